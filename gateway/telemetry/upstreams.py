"""Metrics of calls to upstreams."""

import logging
from collections.abc import Iterable, Mapping

from gateway.exchange import Route
from gateway.telemetry import metrics
from gateway.telemetry.metrics import Spread, Tally

log = logging.getLogger("assay")

_STATES = ("up", "aside", "probed", "suspected")
_HEDGED = ("won", "lost", "failed", "refused")


class UpstreamMetrics:
    """Counts tries, failures and failovers. Known series exist at zero from the start."""

    def __init__(self, names: Iterable[str], routes: Iterable[Route] = ()) -> None:
        self._answered: dict[str, tuple[Tally, Spread]] = {}
        self._failed: dict[str, str] = {}  # the reason of each one's last failure
        self._aside: set[str] = set()
        for name in names:
            for result in ("answered", "failed"):
                metrics.UPSTREAM_TRIES.labels(name, result)
            for state in _STATES:
                metrics.UPSTREAM_STATE.labels(name, state).set(state == "up")
        for route in routes:
            for upstream in route.upstreams[1:]:
                metrics.UPSTREAM_FAILOVERS.labels(route.name, upstream.name)
            for result in _HEDGED if len(route.upstreams) > 1 else ():
                metrics.UPSTREAM_HEDGES.labels(route.name, result)

    def answered(self, upstream: str, seconds: float) -> None:
        """The first byte of an answer came this many seconds after the request was sent."""
        found = self._answered.get(upstream)
        if found is None:
            found = self._answered[upstream] = (
                metrics.tally(metrics.UPSTREAM_TRIES, upstream, "answered"),
                metrics.spread(metrics.UPSTREAM_FIRST_BYTE, upstream),
            )
        tries, first_byte = found
        tries.waiting += 1
        first_byte.observe(seconds)

    def failed(self, upstream: str, reason: str, *, begun: bool = False) -> None:
        """A try failed, or an answer that had begun (`begun`) did."""
        metrics.tally(metrics.UPSTREAM_FAILURES, upstream, reason).add()
        self._failed[upstream] = reason
        if not begun:
            metrics.tally(metrics.UPSTREAM_TRIES, upstream, "failed").add()

    def failed_over(self, route: str, upstream: str) -> None:
        """A request goes on to this upstream because another one failed."""
        metrics.tally(metrics.UPSTREAM_FAILOVERS, route, upstream).add()

    def hedged(self, route: str, result: str) -> None:
        """Count how a second try beside a slow first one ended."""
        metrics.tally(metrics.UPSTREAM_HEDGES, route, result).add()

    def show(self, states: Mapping[str, str]) -> None:
        """Set the gauge of each upstream's state, and log when one is set aside or answers again."""
        for name, current in states.items():
            for state in _STATES:
                metrics.UPSTREAM_STATE.labels(name, state).set(current == state)
            if current == "up" and name in self._aside:
                self._aside.discard(name)
                log.warning("upstream %s answers again", name)
            elif current in ("aside", "probed") and name not in self._aside:
                self._aside.add(name)
                reason = self._failed.get(name, "unknown")
                log.error("upstream %s is set aside (%s); a request tries it again after each cool-down", name, reason)
