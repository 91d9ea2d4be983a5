"""What a closed exchange leaves behind: one count, one duration, and a sample when it was chosen."""

import pytest

from gateway.errors import REASONS
from gateway.exchange import Asked, Exchange, Outcome, Principal, Route, Timing, outcome_of
from gateway.openai_api import Operation
from gateway.samples.memory_queue import MemoryQueue
from gateway.samples.sampling import Sampler
from gateway.telemetry.recorder import Recorder
from tests.support.fakes import Counts, Journal, Observed, meter, upstream
from tests.support.running.together import together


def closed(outcome: Outcome, reason: str = "", *, status: int = 200, sampled: bool = True) -> Exchange:
    exchange = Exchange("req_1", Asked("POST", "/v1/chat/completions"), Timing(10.0, 10.0))
    exchange.asked.operation = Operation.CHAT
    exchange.route = Route("default", (upstream(9),), 1.0)
    exchange.principal = Principal("app")
    exchange.transcript.sampled, exchange.transcript.probability = sampled, 1.0
    exchange.status = status
    assert exchange.close(outcome, reason, 10.5)
    return exchange


def recorder(queue: MemoryQueue) -> Recorder:
    return Recorder(Sampler(), queue, meter(["default"], Journal()))


def test_an_exchange_is_closed_once() -> None:
    exchange = closed(Outcome.BLOCKED, "prompt_blocked")
    assert not exchange.close(Outcome.COMPLETED, "", 11.0)
    assert (exchange.outcome, exchange.reason, exchange.timing.ended_at) == ("blocked", "prompt_blocked", 10.5)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_counted_once_and_some_are_sampled(outcome: Outcome) -> None:
    requests = Counts("assay_requests_total")
    durations = Observed("assay_request_duration_seconds", operation="chat", mode="plain")
    queue = MemoryQueue(9, 10**6)
    recorder(queue).closed(closed(outcome, "" if outcome is Outcome.COMPLETED else "bug"))
    assert requests.added() == {("chat", outcome.value, "default", "2xx"): 1}
    assert durations.added()[0] == 1
    kept = {Outcome.COMPLETED, Outcome.BLOCKED, Outcome.UPSTREAM_FAILED, Outcome.CLIENT_GONE}
    assert queue.depth()[0] == (1 if outcome in kept else 0)


def test_how_long_it_took_and_how_much_of_that_was_ours() -> None:
    exchange = closed(Outcome.COMPLETED)
    exchange.upstream = upstream(9, "up0")
    exchange.timing.read_at, exchange.timing.first_byte_at, exchange.timing.upstream_seconds = 10.1, 10.4, 0.25
    whole = Observed("assay_request_duration_seconds", operation="chat", mode="plain")
    ours = Observed("assay_added_latency_seconds")
    recorder(MemoryQueue(9, 10**6)).closed(exchange)
    assert whole.added() == pytest.approx((1, 0.5))
    assert ours.added() == pytest.approx(
        (1, 0.05)
    )  # 0.3 s from the request read to our first byte, less the upstream's


def test_a_status_that_never_was_sent_is_none() -> None:
    requests = Counts("assay_requests_total")
    exchange = closed(Outcome.CLIENT_GONE, "client_gone", status=0, sampled=False)
    exchange.route = None
    recorder(MemoryQueue(9, 10**6)).closed(exchange)
    assert requests.added() == {("chat", "client_gone", "none", "none"): 1}


@together("reason", [*REASONS, "status"])
def test_every_reason_has_a_source(reason: str) -> None:
    errors = Counts("assay_errors_total")
    outcome = Outcome.UPSTREAM_FAILED if reason == "status" else outcome_of(reason)
    recorder(MemoryQueue(9, 10**6)).closed(closed(outcome, reason))
    source = "upstream" if reason == "status" else REASONS[reason].source
    assert errors.added() == {(reason, source): 1}
