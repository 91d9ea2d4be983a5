"""Which exchanges become samples, with which known probability, and what of them is kept."""

import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from gateway.exchange import Asked, Exchange, Outcome, Principal, Route
from gateway.openai_api import Operation
from gateway.samples.sampling import JUDGED, Sampler
from tests.support.fakes import upstream

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def exchange(rate: float = 1.0, operation: Operation = Operation.CHAT) -> Exchange:
    opened = Exchange("req_1", Asked("POST", "/v1/chat/completions"))
    opened.route = Route("default", (upstream(9),), rate)
    opened.principal = Principal("app")
    opened.asked.operation = operation
    return opened


@pytest.mark.parametrize(("rate", "draw", "chosen"), [(0.3, 0.29, True), (0.3, 0.3, False), (0.0, 0.0, False)])
def test_an_exchange_is_chosen_when_the_draw_is_below_its_rate(rate: float, draw: float, chosen: bool) -> None:
    opened = exchange(rate)
    Sampler(draw=lambda: draw).choose(opened)
    assert opened.transcript.sampled is chosen
    assert opened.transcript.probability == rate


def test_at_rate_one_every_exchange_is_chosen_without_a_draw() -> None:
    def none_needed() -> float:
        raise AssertionError("a draw, though the rate is 1")

    opened = exchange(1.0)
    Sampler(draw=none_needed).choose(opened)
    assert opened.transcript.sampled


@pytest.mark.parametrize("operation", Operation)
def test_only_what_the_detectors_can_read_is_chosen(operation: Operation) -> None:
    opened = exchange(1.0, operation)
    Sampler().choose(opened)
    assert opened.transcript.sampled is (operation in JUDGED)


def test_without_detectors_nothing_is_chosen() -> None:
    opened = exchange(1.0)
    Sampler(enabled=False).choose(opened)
    assert not opened.transcript.sampled


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_one_that_is_insisted_on_stands_for_itself_alone(rate: float) -> None:
    """It was not drawn: weighted with its route's rate it would count for exchanges that nobody insisted on."""
    opened = exchange(rate)
    Sampler(draw=lambda: 0.99).choose(opened)
    Sampler().insist(opened)
    assert (opened.transcript.sampled, opened.transcript.probability) == (True, 1.0)


def test_what_the_detectors_cannot_read_is_not_insisted_on() -> None:
    opened = exchange(0.0, Operation.MODELS)
    Sampler().insist(opened)
    assert not opened.transcript.sampled


def test_the_share_chosen_is_the_rate_and_each_draw_is_its_own() -> None:
    sampler = Sampler(draw=random.Random(7).random)
    chosen = []
    for _ in range(20_000):
        opened = exchange(0.2)
        sampler.choose(opened)
        chosen.append(opened.transcript.sampled)
    assert sum(chosen) / len(chosen) == pytest.approx(0.2, abs=0.01)
    pairs = sum(one and two for one, two in pairwise(chosen)) / len(chosen)
    assert pairs == pytest.approx(0.04, abs=0.005)


def test_a_sample_holds_the_raw_bytes_and_the_known_probability() -> None:
    opened = exchange(0.25)
    Sampler(draw=lambda: 0.1).choose(opened)
    opened.asked.body = b'{"model":"m"}'
    opened.asked.model = "m"
    opened.transcript.pieces = [b"one ", b"two"]
    opened.transcript.cut = True
    opened.transcript.encoding = "gzip"
    opened.status = 200
    opened.transcript.stream = True
    opened.ruling.guarded = True
    opened.close(Outcome.COMPLETED, "", 1.0)
    kept = Sampler(wall_clock=lambda: NOON).sample(opened)
    assert (kept.prompt, kept.answer) == (b'{"model":"m"}', b"one two")
    assert kept.probability == 0.25
    assert kept.closed_at == NOON.timestamp()
    assert (kept.id, kept.route, kept.principal, kept.operation) == ("req_1", "default", "app", "chat")
    assert (kept.outcome, kept.status, kept.encoding) == ("completed", 200, "gzip")
    assert kept.cut
    assert kept.stream
    assert kept.guarded
    assert kept.size() >= len(kept.prompt) + len(kept.answer)
