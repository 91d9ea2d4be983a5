"""Calls to upstreams as metrics: each try, each failure, and series that are there before anything happened."""

import pytest

from gateway.exchange import Route
from gateway.telemetry import metrics
from gateway.telemetry.upstreams import UpstreamMetrics
from tests.support.fakes import Observed, upstream

STATES = ["up", "aside", "probed", "suspected"]


def value(name: str, **labels: str) -> float | None:
    metrics.flush()
    return metrics.samples(name).get(tuple(sorted(labels.items())))


def test_known_series_are_there_from_the_start() -> None:
    one, two = upstream(1, "met-a"), upstream(2, "met-b")
    UpstreamMetrics(["met-a", "met-b"], [Route("met-r", (one, two), 1.0)])
    assert value("assay_upstream_tries_total", upstream="met-a", result="failed") == 0
    assert value("assay_upstream_failovers_total", route="met-r", upstream="met-b") == 0
    assert value("assay_upstream_state", upstream="met-b", state="up") == 1
    assert value("assay_upstream_state", upstream="met-b", state="aside") == 0


@pytest.mark.slow
def test_a_first_byte_is_timed_only_when_it_came() -> None:
    seen = UpstreamMetrics(["met-c"])
    timed = Observed("assay_upstream_first_byte_seconds", upstream="met-c")
    seen.answered("met-c", 0.25)
    seen.failed("met-c", "reset")
    seen.failed("met-c", "truncated", begun=True)
    assert timed.added() == pytest.approx((1, 0.25))
    assert value("assay_upstream_tries_total", upstream="met-c", result="answered") == 1
    assert value("assay_upstream_tries_total", upstream="met-c", result="failed") == 1
    assert value("assay_upstream_failures_total", upstream="met-c", reason="truncated") == 1


@pytest.mark.parametrize("state", STATES)
def test_one_state_is_shown(state: str) -> None:
    UpstreamMetrics(["met-d"]).show({"met-d": state})
    shown = {each: value("assay_upstream_state", upstream="met-d", state=each) for each in STATES}
    assert shown == {**dict.fromkeys(STATES, 0), state: 1}


def test_the_log_tells_of_transitions_alone(caplog: pytest.LogCaptureFixture) -> None:
    seen = UpstreamMetrics(["met-e", "met-f"])
    for state in ("up", "up"):
        seen.show({"met-e": state, "met-f": "up"})
    assert caplog.messages == []
    for _ in range(1000):
        seen.failed("met-e", "connect_failed")
    for state in ("suspected", "up", "aside", "probed", "aside", "aside", "up", "suspected", "up"):
        seen.show({"met-e": state, "met-f": "up"})
    assert caplog.messages == [
        "upstream met-e is set aside (connect_failed); a request tries it again after each cool-down",
        "upstream met-e answers again",
    ]
