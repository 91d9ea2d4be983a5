"""Which exchanges become samples, with which known probability, and what of them is kept."""

from datetime import UTC, datetime
from itertools import islice, pairwise
from random import Random

import pytest

from gateway.enforcement import signals
from gateway.exchange import Asked, Exchange, Outcome, Principal, Route
from gateway.openai_api import Operation
from gateway.samples.sampling import JUDGED, Sampler, exchange_ids
from gateway.trust import drawing
from tests.support.fakes import upstream
from tests.support.running.together import together

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def exchange(rate: float = 1.0, operation: Operation = Operation.CHAT, id: str = "req_1") -> Exchange:
    opened = Exchange(id, Asked("POST", "/v1/chat/completions"))
    opened.route = Route("default", (upstream(9),), rate)
    opened.principal = Principal("app")
    opened.asked.operation = operation
    return opened


HALF, FIRST, LAST = "80000000", "00000000", "ffffffff"


@pytest.mark.parametrize(
    ("rate", "digits", "chosen"),
    [
        (0.5, "7fffffff", True),
        (0.5, HALF, False),
        (0.01, "028f5c28", True),
        (0.01, "028f5c29", False),
        (0.0, FIRST, False),
        (1e-6, FIRST, True),
        (1.0, LAST, True),
        (1 - 1e-12, LAST, True),
    ],
)
def test_an_exchange_is_chosen_when_its_number_is_below_its_rate(rate: float, digits: str, chosen: bool) -> None:
    opened = exchange(rate, id=f"req_a1b2c3d4e5f600000000{digits}")
    Sampler().choose(opened)
    assert opened.transcript.sampled is chosen
    assert opened.transcript.probability == rate


def test_at_rate_one_every_exchange_is_chosen_whatever_its_id() -> None:
    for id in ("req_1", "post-7", "", "zzzzzzzz"):
        opened = exchange(1.0, id=id)
        Sampler().choose(opened)
        assert opened.transcript.sampled


@together("operation", list(Operation))
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
    Sampler().choose(opened)
    Sampler().insist(opened)
    assert (opened.transcript.sampled, opened.transcript.probability) == (True, 1.0)


def test_what_the_detectors_cannot_read_is_not_insisted_on() -> None:
    opened = exchange(0.0, Operation.MODELS)
    Sampler().insist(opened)
    assert not opened.transcript.sampled


def ids(process: str, count: int, seed: int = 1) -> list[str]:
    return list(islice(exchange_ids(process, Random(seed).randbytes), count))


def chosen_of(rate: float, names: list[str]) -> list[bool]:
    sampler, found = Sampler(), []
    for name in names:
        opened = exchange(rate, id=name)
        sampler.choose(opened)
        found.append(opened.transcript.sampled)
    return found


def test_every_process_and_every_release_chooses_the_same_exchanges() -> None:
    names = [f"req_a1b2c3d4e5f6{n:08x}{n * 2**28:08x}" for n in range(16)]
    assert chosen_of(0.3, names) == chosen_of(0.3, names) == [n < 0.3 * 16 for n in range(16)]


def test_ids_are_never_given_twice_and_tell_what_came_first() -> None:
    names = ids("a1b2c3d4e5f6", 2_000)
    assert len({name[:-8] for name in names}) == 2_000
    assert names == sorted(names)
    assert {len(name) for name in names} == {32}


def test_the_number_cannot_be_told_from_the_rest_of_the_id() -> None:
    """Else a caller could wait with a request until it knows that nobody will look at it."""
    one, two = (list(islice(exchange_ids("a1b2c3d4e5f6"), 600)) for _ in range(2))
    assert [name[:-8] for name in one] == [name[:-8] for name in two]
    assert sum(a == b for a, b in zip(one, two, strict=True)) <= 2


def test_what_a_small_rate_chooses_a_larger_one_chooses_too() -> None:
    names = ids("a1b2c3d4e5f6", 2_000)
    few, more = chosen_of(0.1, names), chosen_of(0.4, names)
    assert 0 < sum(few) < sum(more)
    assert all(more for few, more in zip(few, more, strict=True) if few)


def test_the_choice_is_independent_of_canary_rules_and_of_second_opinions() -> None:
    names = ids("a1b2c3d4e5f6", 5_000)
    chosen = [name for name, is_chosen in zip(names, chosen_of(0.1, names), strict=True) if is_chosen]
    for other in (signals.draw_of, drawing.draw_of):
        assert sum(map(other, chosen)) / len(chosen) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("process", ["000000000000", "ffffffffffff", "a1b2c3d4e5f6"])
def test_the_share_chosen_is_the_rate_and_neighbours_are_independent(process: str) -> None:
    chosen = chosen_of(0.2, ids(process, 20_000))
    assert sum(chosen) / len(chosen) == pytest.approx(0.2, abs=0.01)
    pairs = sum(one and two for one, two in pairwise(chosen)) / len(chosen)
    assert pairs == pytest.approx(0.04, abs=0.005)


def test_a_sample_says_how_long_the_answer_took() -> None:
    opened = exchange()
    opened.timing.received_at, opened.timing.read_at = 100.0, 103.0  # the client was slow to send
    opened.close(Outcome.COMPLETED, "", 104.5)
    assert Sampler().sample(opened).seconds == 1.5


def test_a_sample_holds_the_raw_bytes_and_the_known_probability() -> None:
    opened = exchange(0.25, id=f"req_1{FIRST}")
    Sampler().choose(opened)
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
    assert (kept.id, kept.route, kept.principal, kept.operation) == (f"req_1{FIRST}", "default", "app", "chat")
    assert (kept.outcome, kept.status, kept.encoding) == ("completed", 200, "gzip")
    assert kept.cut
    assert kept.stream
    assert kept.guarded
    assert kept.size() >= len(kept.prompt) + len(kept.answer)
