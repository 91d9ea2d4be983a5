"""What the calls to upstreams tell of themselves, kept for a test to look at."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class SeenTries:
    """`failures` are (upstream, reason), `broken` those of answers that had begun, other than by their status."""

    failures: list[tuple[str, str]] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    failovers: list[tuple[str, str]] = field(default_factory=list)
    hedges: list[str] = field(default_factory=list)

    def answered(self, upstream: str, seconds: float) -> None:
        assert seconds >= 0
        self.answers.append(upstream)

    def failed(self, upstream: str, reason: str, *, begun: bool = False) -> None:
        (self.broken if begun and reason != "status" else self.failures).append((upstream, reason))

    def failed_over(self, route: str, upstream: str) -> None:
        self.failovers.append((route, upstream))

    def hedged(self, route: str, result: str) -> None:
        self.hedges.append(result)
