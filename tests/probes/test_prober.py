"""From a judged sample to what a probe found: sent again or not, within budget, stopping first."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.access.prices import Prices
from gateway.config.prices import PriceConfig
from gateway.judging.budget import CallBudget
from gateway.probes.prober import ProbeBounds
from gateway.probes.table import table
from gateway.trust.ledger import entry_of
from gateway.upstream.posts import PostError
from tests.support.fakes import Counts
from tests.support.worlds.replayed import World, chat_sample, last_text

ASKED = "Is the earth round?"


async def test_a_request_asked_again_that_is_answered_otherwise_is_inconsistent() -> None:
    world = World(lambda _: "No, it is flat.", "again")
    await world.replay(chat_sample("s1", ASKED, "Yes, it is.", probability=0.5))
    (found,) = world.found
    assert [(score.slug, score.flagged, score.detector) for score in entry_of(found).scores] == [
        ("inconsistency", True, "probe:again@1"),
        ("hallucination", True, "probe:again@1"),
    ]
    assert (found.id, found.probability, found.route) == ("s1/again", 0.5, "default")
    assert found.sample is None
    assert found.texts() == {}


async def test_answers_of_which_few_differ_are_inconsistent_and_not_made_up() -> None:
    answers = iter(["Yes.", "No.", "Yes.", "Yes."])
    world = World(lambda _: next(answers), rows={"again": table(times=4)["again"]})
    await world.replay(chat_sample("s1", ASKED, "Yes, I am 90% sure."))
    scores = {score.slug: (score.flagged, round(score.score, 2)) for score in entry_of(world.found[0]).scores}
    assert scores == {"inconsistency": (True, 0.25), "hallucination": (False, 0.25), "miscalibration": (False, 0.15)}


async def test_it_is_sent_as_it_was_but_whole_and_without_whose_it_was() -> None:
    world = World(lambda _: "Yes.", "again")
    more: dict[str, Any] = {
        "temperature": 0.7,
        "user": "kim",
        "metadata": {"a": "b"},
        "stream": True,
        "n": 3,
        "stream_options": {},
    }
    await world.replay(chat_sample("s1", ASKED, "Yes, it is.", **more))
    assert (
        world.model.asked == [{"model": "m", "messages": [{"role": "user", "content": ASKED}], "temperature": 0.7}] * 2
    )
    assert [score.flagged for score in entry_of(world.found[0]).scores] == [False, False]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"tools": [{"type": "web_search"}]}, "effects"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "mcp"}]}, "effects"),
        ({"tools": "all"}, "effects"),
        ({"store": True}, "effects"),
        ({"web_search_options": {}}, "effects"),
        ({"background": True}, "effects"),
        ({"something_new": 1}, "effects"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "not_text"),
        ({"messages": [{"role": "user", "content": "x" * 30_000}]}, "too_long"),
    ],
)
async def test_what_may_have_an_effect_or_is_no_text_is_not_sent_again(more: dict[str, Any], reason: str) -> None:
    passed = Counts("assay_probe_passed_over_total")
    world = World(lambda _: "Yes.", "again")
    await world.replay(chat_sample("s1", ASKED, "Yes.", **more))
    assert world.model.asked == []
    assert passed.added() == {(reason,): 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": 500}, "outcome"),
        ({"outcome": "client_gone"}, "outcome"),
        ({"operation": "embeddings"}, "operation"),
        ({"operation": "responses"}, "effects"),  # which keeps what does not say otherwise
        ({"cut": True}, "too_long"),
        ({"answer": b"{}"}, "no_answer"),
        ({"answer": b"\xff"}, "no_answer"),
        ({"prompt": b"[" * 5000}, "effects"),
        ({"upstream": "another"}, "upstream"),
    ],
)
async def test_what_did_not_end_well_is_not_sent_again(change: dict[str, Any], reason: str) -> None:
    passed = Counts("assay_probe_passed_over_total")
    world = World(lambda _: "Yes.", "again")
    taken = chat_sample("s1", ASKED, "Yes.")
    assert taken.sample is not None
    await world.replay(replace(taken, sample=replace(taken.sample, **change)))
    assert (world.model.asked, passed.added()) == ([], {(reason,): 1})


async def test_other_routes_are_left_alone() -> None:
    world = World(lambda _: "Yes.", "again")
    taken = chat_sample("s1", ASKED, "Yes.")
    assert taken.sample is not None
    world.prober.take(replace(taken, sample=replace(taken.sample, route="other")))
    world.prober.take(replace(taken, sample=None))
    assert len(world.lane.queue) == 0


async def test_a_difference_that_is_there_without_the_change_does_not_count() -> None:
    answers = iter(["Yes.", "No.", "No.", "Yes.", "No.", "No.", "Yes.", "Yes."])
    world = World(lambda _: next(answers), "opinion_removed")
    question = "I think that cats are better than dogs. Are cats better than dogs?"
    await world.replay(*(chat_sample(f"s{number}", question, "Yes.") for number in range(4)))
    rows = [[(score.detector, score.flagged) for score in entry_of(found).scores] for found in world.found]
    changed, control = "probe:opinion_removed@1", "probe:opinion_removed.control@1"
    assert rows == [
        [(changed, True), (control, False)],  # as it was yes, changed no
        [(changed, False), (control, True)],
        [(changed, False), (control, False)],  # both turned: chance
        [(changed, False), (control, False)],
    ]
    assert [last_text(asked) for asked in world.model.asked[:2]] == [question, "Are cats better than dogs?"]


async def test_an_upstream_in_trouble_is_left_alone_before_anything_else_is() -> None:
    world = World(lambda _: PostError("status", "the server answered with status 429", wait_seconds=90), "again")
    fates, failures = Counts("assay_probe_items_total"), Counts("assay_probe_failures_total")
    world.prober.take(chat_sample("s1", ASKED, "Yes."))
    assert await world.prober.step(world.lane) == 0.0
    assert len(world.model.asked) == 1
    assert await world.prober.step(world.lane) == 90  # as long as it asks
    world.now += 90
    await world.prober.step(world.lane)
    assert len(world.model.asked) == 2
    assert (fates.added(), failures.added()) == ({("failed", "again"): 1}, {("status",): 2})
    world.prober.take(chat_sample("s2", ASKED, "Yes."))
    assert await world.prober.step(world.lane) == 120  # twice as long as at first
    assert world.prober.report()["resting"] == {"first": "status"}
    world.model.says = lambda _: "Yes."
    world.now += 120
    await world.prober.step(world.lane)
    assert world.prober.report()["resting"] == {}
    assert len(world.found) == 1


async def test_an_upstream_that_traffic_finds_down_is_not_asked() -> None:
    world = World(lambda _: "Yes.", "again")
    world.up = False
    world.prober.take(chat_sample("s1", ASKED, "Yes."))
    assert await world.prober.step(world.lane) > 0
    assert world.model.asked == []
    world.up = True
    await world.replay()
    assert len(world.found) == 1


async def test_a_request_that_is_refused_ends_alone() -> None:
    refused = PostError("status", "the server answered with status 400", again=False)
    world = World(lambda _: refused, "again")
    fates = Counts("assay_probe_items_total")
    await world.replay(chat_sample("s1", ASKED, "Yes."), chat_sample("s2", ASKED, "Yes."))
    assert fates.added() == {("failed", "again"): 2}
    assert world.found == []


async def test_an_empty_answer_decides_nothing() -> None:
    world = World(lambda _: "  ", "again")
    fates = Counts("assay_probe_items_total")
    await world.replay(chat_sample("s1", ASKED, "Yes."))
    assert (fates.added(), world.found) == ({("undecided", "again"): 1}, [])


async def test_what_waited_too_long_is_not_asked() -> None:
    world = World(lambda _: "Yes.", "again", bounds=ProbeBounds(expiry_seconds=60))
    fates = Counts("assay_probe_items_total")
    world.prober.take(chat_sample("s1", ASKED, "Yes."))
    world.now += 61
    await world.replay()
    assert (fates.added(), world.model.asked) == ({("expired", "again"): 1}, [])


@pytest.mark.parametrize("which", ["calls", "tokens", "cost"])
async def test_no_more_is_spent_than_an_hour_allows(which: str) -> None:
    """Each call costs 110 tokens and 0.0011; of each kind of amount there is enough for about 100 calls an hour."""
    amounts = {"calls": 1e9, "tokens": 1e12, "cost": 1e9}
    amounts[which] = {"calls": 100, "tokens": 11_000, "cost": 0.11}[which]
    clock = [0.0]
    spending = CallBudget(amounts["calls"], amounts["tokens"], cost_per_hour=amounts["cost"], clock=lambda: clock[0])
    prices = Prices(
        {"m": PriceConfig.model_validate({"input_per_million_tokens": 10, "output_per_million_tokens": 10})}
    )
    world = World(
        lambda _: "Yes.", "again", spending=spending, prices=prices, bounds=ProbeBounds(expiry_seconds=math.inf)
    )
    exhausted = Counts("assay_probe_budget_exhausted_total")
    for number in range(200):
        world.prober.take(chat_sample(f"s{number}", ASKED, "Yes."))
    while clock[0] < 3600:
        clock[0] += max(1.0, await world.prober.step(world.lane))
    assert 90 <= len(world.model.asked) <= 110
    assert set(exhausted.added()) == {(which,)}
    report = world.prober.report()
    assert report["calls"] == len(world.model.asked)
    assert report["cost"] == pytest.approx(len(world.model.asked) * 0.0011)


async def test_nothing_is_drawn_where_the_budget_is_zero() -> None:
    world = World(lambda _: "Yes.", "again", per_hour=0.0)
    await world.replay(*(chat_sample(f"s{number}", ASKED, "Yes.") for number in range(50)))
    assert world.model.asked == []


@pytest.mark.slow
async def test_weights_add_up_to_the_traffic_whatever_the_budget() -> None:
    """The rule behind every rate: the sum of 1/probability over what was found is how much was there."""
    world = World(lambda _: "Yes.", "again", per_hour=600.0)
    for number in range(6000):
        world.now += 1
        world.prober.take(replace(chat_sample(f"s{number}", ASKED, "Yes."), at=world.now))
        await world.prober.step(world.lane)
    await world.replay()
    assert 900 <= len(world.found) <= 1200
    assert sum(1 / found.probability for found in world.found) == pytest.approx(6000, rel=0.1)


async def test_no_text_is_in_what_is_noted() -> None:
    noted: list[tuple[str, Mapping[str, Any]]] = []
    world = World(lambda _: "No.", "again", note=lambda kind, line: noted.append((kind, line)))
    await world.replay(chat_sample("s1", "What is secret-place?", "secret-place is here."))
    ((kind, line),) = noted
    assert (kind, line["sample"], line["probe"], line["by"]) == ("probe", "s1", "again", "verdict")
    assert "secret-place" not in json.dumps(line)


async def test_who_is_answered_by_another_name_is_not_treated_otherwise() -> None:
    world = World(lambda body: "Lakisha" if "Lakisha" in last_text(body) else "Emily", "names")
    await world.replay(chat_sample("s1", "Emily or nobody: who gets it?", "Emily"))
    assert [score.flagged for score in entry_of(world.found[0]).scores] == [False] * 4
