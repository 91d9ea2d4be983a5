"""What becomes of calls to upstreams, as metrics."""

from collections.abc import Iterable, Mapping

from gateway.exchange import Route
from gateway.telemetry import metrics
from gateway.telemetry.metrics import Spread, Tally

_STATES = ("up", "aside", "probed")


class UpstreamMetrics:
    """Counts tries, failures and failovers. Known series exist at zero from the start."""

    def __init__(self, names: Iterable[str], routes: Iterable[Route] = ()) -> None:
        self._answered: dict[str, tuple[Tally, Spread]] = {}
        for name in names:
            for result in ("answered", "failed"):
                metrics.UPSTREAM_TRIES.labels(name, result)
            for state in _STATES:
                metrics.UPSTREAM_STATE.labels(name, state).set(state == "up")
        for route in routes:
            for upstream in route.upstreams[1:]:
                metrics.UPSTREAM_FAILOVERS.labels(route.name, upstream.name)

    def answered(self, upstream: str, seconds: float) -> None:
        """A first byte came so long after the request was sent."""
        found = self._answered.get(upstream)
        if found is None:
            found = self._answered[upstream] = (
                metrics.tally(metrics.UPSTREAM_TRIES, upstream, "answered"),
                metrics.spread(metrics.UPSTREAM_FIRST_BYTE, upstream),
            )
        tries, first_byte = found
        tries.add()
        first_byte.observe(seconds)

    def failed(self, upstream: str, reason: str, *, begun: bool = False) -> None:
        """A try failed, or an answer that had begun (`begun`) did."""
        metrics.tally(metrics.UPSTREAM_FAILURES, upstream, reason).add()
        if not begun:
            metrics.tally(metrics.UPSTREAM_TRIES, upstream, "failed").add()

    def failed_over(self, route: str, upstream: str) -> None:
        """A request goes on to this upstream because another one failed."""
        metrics.tally(metrics.UPSTREAM_FAILOVERS, route, upstream).add()


def show_states(states: Mapping[str, str]) -> None:
    """Set the gauge of each upstream's state."""
    for name, current in states.items():
        for state in _STATES:
            metrics.UPSTREAM_STATE.labels(name, state).set(current == state)
