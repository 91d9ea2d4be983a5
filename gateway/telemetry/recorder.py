"""Records every exchange when it closes: counts it, times it, and offers it as a sample if it was chosen."""

from typing import Protocol

from gateway.errors import REASONS
from gateway.exchange import Exchange, Outcome, Sample, SampleQueue
from gateway.telemetry import metrics
from gateway.telemetry.metrics import Spread, Tally

_STATUS = {1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_COMPLETED = Outcome.COMPLETED  # bound here because looking it up in the enumeration is slow
_NOT_SAMPLED = frozenset({Outcome.REJECTED, Outcome.INTERNAL})


class Sampler(Protocol):
    """Makes a sample of a closed exchange."""

    def sample(self, exchange: Exchange) -> Sample: ...


class Meter(Protocol):
    """Adds up the tokens of a closed exchange."""

    def count(self, exchange: Exchange) -> None: ...


class Recorder:
    """Remembers the tallies of each kind of exchange, because it runs for every request; `metrics.flush` shows them.
    Without a `meter` no tokens are counted."""

    def __init__(self, sampler: Sampler, queue: SampleQueue, meter: Meter | None) -> None:
        self._sampler = sampler
        self._queue = queue
        self._meter = meter
        self._kinds: dict[tuple[str, str, str, int, bool], tuple[Tally, Spread]] = {}
        self._added = metrics.spread(metrics.ADDED)

    def closed(self, exchange: Exchange) -> None:
        """Record a closed exchange. Never raises and never blocks."""
        assert exchange.outcome is not None
        route = exchange.route.name if exchange.route else "none"
        operation, outcome, timing, transcript = (
            exchange.asked.operation,
            exchange.outcome,
            exchange.timing,
            exchange.transcript,
        )
        key = (route, operation, outcome, exchange.status // 100, transcript.stream)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _kind(*key)
        requests, durations = kind
        requests.waiting += 1
        durations.observe(timing.ended_at - timing.received_at)
        if outcome is not _COMPLETED:
            self._failed(exchange)
        if exchange.upstream is not None:
            if timing.first_byte_at:
                self._added.observe(max(0.0, timing.first_byte_at - timing.read_at - timing.upstream_seconds))
            if self._meter is not None:
                self._meter.count(exchange)
        if transcript.sampled and outcome not in _NOT_SAMPLED:
            self._offer(exchange, route)

    def _failed(self, exchange: Exchange) -> None:
        reason = exchange.reason
        source = REASONS[reason].source if reason in REASONS else "upstream"
        metrics.tally(metrics.ERRORS, source, reason).add()

    def _offer(self, exchange: Exchange, route: str) -> None:
        metrics.tally(metrics.SAMPLES_OFFERED, route).add()
        if not self._queue.offer(self._sampler.sample(exchange)):
            metrics.tally(metrics.SAMPLES, "dropped", "queue_full").add()


def _kind(route: str, operation: str, outcome: str, hundreds: int, stream: bool) -> tuple[Tally, Spread]:
    """The counter of a kind of exchange, and the histogram of its durations."""
    requests = metrics.tally(metrics.REQUESTS, route, operation, outcome, _STATUS.get(hundreds, "none"))
    return requests, metrics.spread(metrics.DURATION, operation, "stream" if stream else "plain")
