"""From a judged sample to a second opinion in the ledger: drawn with a known probability, one fate each."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.judging.budget import CallBudget
from gateway.judging.dialects import DIALECTS, Options
from gateway.opinions.judge import Judge, Retries
from gateway.opinions.second import SecondOpinions, WaitingBounds
from gateway.trust.drawing import DrawBudget
from gateway.trust.ledger import Ledger
from gateway.trust.stores.sqlite_ledger import SqliteStore
from gateway.upstream.posts import PostAnswer, PostError
from tests.support.fakes import Counts
from tests.support.judges.judge_models import chat_answer
from tests.support.worlds.ledgers import NOON, judged

pytestmark = pytest.mark.real_time
UNSAFE, SAFE = (json.dumps(chat_answer(said)).encode() for said in ("unsafe\nS1", "safe"))


class Model:
    """Answers as it is told; counts what it was asked."""

    def __init__(self) -> None:
        self.turn: bytes | PostError = SAFE
        self.first: list[bytes] = []  # answers before that one
        self.asked: list[bytes] = []

    async def post(self, path: str, body: bytes) -> PostAnswer:
        self.asked.append(body)
        if self.first:
            return PostAnswer(self.first.pop(0), 0.1)
        if isinstance(self.turn, PostError):
            raise self.turn
        return PostAnswer(self.turn, 0.1)


class World:
    """A ledger in a file, a judge that is scripted, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now = NOON
        self.model = Model()
        self.ledger = Ledger(SqliteStore(folder / "ledger.db", days=30, most_bytes=2**24), clock=lambda: self.now)
        self.fates = Counts("assay_opinion_items_total")

    def opinions(
        self,
        *,
        per_hour: float = 1e9,
        bounds: WaitingBounds = WaitingBounds(),
        dialect: str = "llama_guard",
        only: frozenset[str] = frozenset(),
    ) -> SecondOpinions:
        async def sleep(seconds: float) -> None:
            self.now += seconds

        judge = Judge(
            DIALECTS[dialect],
            Options("guard-1"),
            self.model,
            CallBudget(1e9, 1e9, clock=lambda: self.now),
            retries=Retries(1, sleep, lambda: 0.5),
        )
        return SecondOpinions(
            judge,
            self.ledger,
            DrawBudget(per_hour, clock=lambda: self.now),
            bounds=bounds,
            only=only,
            clock=lambda: self.now,
            draw=lambda: 0.25,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.ledger.flush()


async def test_what_the_judge_says_is_in_the_ledger_beside_its_sample(world: World) -> None:
    opinions = world.opinions()
    world.model.turn = UNSAFE
    one = judged("s1", flagged=True)
    world.ledger.take(one)
    opinions.take(one)
    assert await opinions.ask_one()
    assert not await opinions.ask_one()
    ((given, entry),) = await world.ledger.opinions("24h")
    assert (given.sample, given.kind, given.name, given.probability) == ("s1", "judge", "guard-1@llama_guard", 1.0)
    assert [(each.direction, each.slug, each.value) for each in given.labels] == [("prompt", "violence", 1.0)]
    assert entry.id == "s1"
    assert world.fates.added() == {("answered",): 1}
    assert b"what somebody said" in world.model.asked[0]


async def test_the_probability_is_that_of_the_draw(world: World) -> None:
    opinions = world.opinions(per_hour=60)  # ten at once, then fewer and fewer
    for number in range(400):
        one = judged(f"s{number}", flagged=number % 4 == 0)
        world.ledger.take(one)
        opinions.take(one)
        world.now += 6
    while await opinions.ask_one():
        pass
    given = await world.ledger.opinions("24h")
    assert 20 < len(given) < 100
    assert min(opinion.probability for opinion, _ in given) < 0.5
    assert all(0 < opinion.probability <= 1 for opinion, _ in given)


async def test_nonsense_is_an_opinion_without_labels(world: World) -> None:
    opinions = world.opinions()
    world.model.turn = b"nonsense"
    one = judged("s1")
    world.ledger.take(one)
    opinions.take(one)
    await opinions.ask_one()
    ((given, _),) = await world.ledger.opinions("24h")
    assert given.labels == []
    assert world.fates.added() == {("failed",): 1}


async def test_a_judge_that_is_down_gets_its_samples_when_it_is_back(world: World) -> None:
    opinions = world.opinions()
    world.model.turn = PostError("connect_failed", "down")
    one = judged("s1")
    world.ledger.take(one)
    opinions.take(one)
    await opinions.ask_one()
    assert opinions.report()["answers"] is False
    assert await world.ledger.opinions("24h") == []
    world.model.turn = SAFE
    await opinions.ask_one()
    assert opinions.report()["answers"] is True
    assert world.fates.added() == {("answered",): 1}


async def test_a_sample_that_waited_too_long_expires(world: World) -> None:
    opinions = world.opinions(bounds=WaitingBounds(expiry_seconds=60))
    one = judged("s1")
    world.ledger.take(one)
    opinions.take(one)
    world.now += 61
    await opinions.ask_one()
    assert world.model.asked == []
    assert world.fates.added() == {("expired",): 1}


async def test_half_a_text_is_not_shown(world: World) -> None:
    opinions = world.opinions(bounds=WaitingBounds(characters=5))
    failures = Counts("assay_opinion_failures_total")
    opinions.take(judged("s1"))
    await opinions.ask_one()
    assert world.model.asked == []
    assert failures.added() == {("too_long",): 1}


async def test_what_the_dialect_cannot_speak_of_is_not_drawn(world: World) -> None:
    opinions = world.opinions(dialect="wildguard")  # it speaks of `unsafe` alone, and the detector of violence
    opinions.take(judged("s1"))
    assert not await opinions.ask_one()
    assert world.fates.added() == {}


async def test_what_the_operator_names_is_asked_though_no_detector_judges_it(world: World) -> None:
    opinions = world.opinions(dialect="questions", only=frozenset({"misinformation", "hallucination"}))
    world.model.turn = json.dumps(chat_answer("Yes")).encode()
    one = judged("s1")  # a prompt alone, and hallucination is one of answers
    world.ledger.take(one)
    opinions.take(one)
    await opinions.ask_one()
    ((opinion, _),) = await world.ledger.opinions("24h")
    assert [(label.direction, label.slug, label.value) for label in opinion.labels] == [("prompt", "misinformation", 1)]


@pytest.mark.parametrize(("turn", "flagged", "says", "first"), [(UNSAFE, False, "yes", 15), (SAFE, True, "no", 100)])
async def test_a_judge_that_always_says_the_same_is_seen(
    world: World, turn: bytes, flagged: bool, says: str, first: int, caplog: pytest.LogCaptureFixture
) -> None:
    opinions = world.opinions()
    world.model.turn = turn
    for number in range(first):
        assert opinions.report()["warnings"] == []
        opinions.take(judged(f"s{number}", flagged=flagged))
        await opinions.ask_one()
    (row,) = opinions.report()["subcategories"]
    assert (row["opinions"], row["entropy_bits"], row["agreement"]) == (first, 0.0, 0.0)
    (warning,) = opinions.report()["warnings"]
    assert f"the judge says {says} to" in warning
    opinions.take(judged("one more", flagged=flagged))
    await opinions.ask_one()
    assert caplog.text.count(f"the judge says {says} to") == 1


async def test_the_judge_is_shown_harmless_texts_as_a_check_and_they_are_no_labels(world: World) -> None:
    opinions, controls = world.opinions(), Counts("assay_opinion_controls_total")
    world.model.turn = UNSAFE
    for number in range(100):
        one = judged(f"s{number}", flagged=number % 2 == 0)
        world.ledger.take(one)
        opinions.take(one)
        await opinions.ask_one()
    assert controls.added() == {("prompt", "1", "violence"): 21}
    assert len(world.model.asked) == 121
    assert sum(b"boil an egg" in body for body in world.model.asked) == 2
    (row,) = opinions.report()["subcategories"]
    assert (row["opinions"], row["controls"], row["controls_yes"]) == (100, 21, 21)
    (warning,) = [each for each in opinions.report()["warnings"] if "harmless" in each and "check" in each]
    assert "yes to 21 of 21 harmless texts" in warning
    assert len(await world.ledger.opinions("24h")) == 100


async def test_a_check_that_fails_is_left_out(world: World) -> None:
    opinions, controls = world.opinions(), Counts("assay_opinion_controls_total")
    world.model.first = [SAFE, SAFE, SAFE, b"nonsense"]
    for number in range(6):
        opinions.take(judged(f"s{number}"))
        await opinions.ask_one()
    assert controls.added() == {("prompt", "0", "violence"): 1}
    assert world.fates.added() == {("answered",): 6}


async def test_a_judge_that_cannot_be_understood_is_seen(world: World, caplog: pytest.LogCaptureFixture) -> None:
    opinions = world.opinions()
    world.model.turn = b"nonsense"
    for number in range(31):
        assert bool(opinions.report()["warnings"]) == (number == 30)
        opinions.take(judged(f"s{number}"))
        await opinions.ask_one()
    (warning,) = opinions.report()["warnings"]
    assert "for 31 of 31 samples no answer could be read" in warning
    assert "`dialect`" in warning
    assert caplog.text.count("could be read, so they have no second opinion") == 1


async def test_some_nonsense_is_no_warning(world: World) -> None:
    opinions = world.opinions()
    for number in range(60):
        world.model.turn = b"nonsense" if number % 3 == 0 else (UNSAFE, SAFE)[number % 2]
        opinions.take(judged(f"s{number}"))
        await opinions.ask_one()
    assert not any("understood" in warning for warning in opinions.report()["warnings"])


async def test_opinions_wait_for_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "ledger.db").mkdir()
    opinions = world.opinions()
    one = judged("s1")
    world.ledger.take(one)
    opinions.take(one)
    await opinions.ask_one()
    (tmp_path / "ledger.db").rmdir()
    assert not await opinions.ask_one()
    assert [given.sample for given, _ in await world.ledger.opinions("24h")] == ["s1"]
