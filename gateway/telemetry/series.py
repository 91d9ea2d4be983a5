"""Creates, at zero, the series that are known from the configuration, so that the first event of each is an increase.

Prometheus sees no increase in a counter that appears with its first event: the first blocks of a new gateway and the
first failures of an upstream would be invisible.
"""

from collections.abc import Iterable
from itertools import product

from gateway.errors import REASONS, Source
from gateway.exchange import Outcome
from gateway.openai_api import SURFACES
from gateway.telemetry import metrics

_DIRECTIONS = ("prompt", "response")
_ROUTES = 50  # of more routes only these: series that may stay at zero for ever cost more than they tell
_ENDS = (
    (Outcome.COMPLETED, "2xx"),
    (Outcome.COMPLETED, "4xx"),
    (Outcome.REJECTED, "4xx"),
    (Outcome.BLOCKED, "2xx"),
    (Outcome.BLOCKED, "4xx"),
    (Outcome.UPSTREAM_FAILED, "5xx"),
    (Outcome.CLIENT_GONE, "2xx"),
    (Outcome.CLIENT_GONE, "none"),
    (Outcome.INTERNAL, "5xx"),
)
_UNJUDGED = ("not_ready", "worker_died", "timed_out", "overloaded", "turned_off", "truncated", "unreadable", "detector")
_FATES = (
    *(("judged", reason) for reason in ("", "truncated", "unreadable", "detector")),
    ("dropped", "queue_full"),
    ("expired", ""),
    *(("failed", reason) for reason in ("record", "detector", *_UNJUDGED[:4])),
)
_STATES = ("scanned", "skipped", "truncated", "unreadable", "stopped", "errored", "timed_out")


def begin_traffic(routes: Iterable[str], upstreams: Iterable[str]) -> None:
    """The series of requests and of calls to upstreams."""
    named = list(routes)
    operations = [surface.operation for surface in SURFACES.values() if surface.metered]
    for operation in operations:
        metrics.REQUESTS.labels("none", operation, Outcome.REJECTED, "4xx")
        for mode in ("plain", "stream"):
            metrics.DURATION.labels(operation, mode)
    for route in named:
        metrics.SAMPLES_OFFERED.labels(route)
    for route, operation, (outcome, status) in product(named[:_ROUTES], operations, _ENDS):
        metrics.REQUESTS.labels(route, operation, outcome, status)
    for name, what in REASONS.items():
        metrics.ERRORS.labels(what.source, name)
    metrics.ERRORS.labels(Source.UPSTREAM, "status")
    of_upstreams = [name for name, what in REASONS.items() if what.source is Source.UPSTREAM]
    for upstream in upstreams:
        metrics.UPSTREAM_FIRST_BYTE.labels(upstream)
        for reason in (*of_upstreams, "status"):
            metrics.UPSTREAM_FAILURES.labels(upstream, reason)


def begin_guard() -> None:
    """The series of inline judging, and of the moderation that requests ask for."""
    for direction in _DIRECTIONS:
        metrics.GUARD.labels(direction)
        for reason in _UNJUDGED:
            metrics.BYPASSES.labels(direction, reason)
    for labels in product(("input", "output"), ("score", "block"), ("clean", "flagged", "failed")):
        metrics.MODERATIONS.labels(*labels)


def begin_judging(detectors: Iterable[str]) -> None:
    """The series of detectors, given as name@version, and of samples."""
    for fate in _FATES:
        metrics.SAMPLES.labels(*fate)
    for detector in detectors:
        metrics.REMEMBERED.labels(detector)
        for state in _STATES:
            metrics.COVERAGE.labels(detector, state)
