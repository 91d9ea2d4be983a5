"""Another model in the shadow, the panel of detectors behind probes, and what the configuration makes of `probes`."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from detectors.opinions import Opinion
from detectors.probed import PROBES
from detectors.taxonomy import SLUGS
from gateway.config.probes import ProbeName
from gateway.config.routes import upstreams
from gateway.config.settings import Config
from gateway.exchange import Sample
from gateway.judging.budget import CallBudget
from gateway.judging.client import JudgingError
from gateway.judging.messages import Finding, Findings, JudgingRequest
from gateway.probes.changes.conversation import Conversation
from gateway.probes.lane import Lane
from gateway.probes.panel import DetectorPanel
from gateway.probes.prober import Prober
from gateway.probes.table import SHADOW, shadow, table
from gateway.probes.wiring import probes_of
from gateway.trust import drawing
from gateway.trust.estimates import evidence, probed
from gateway.trust.judged import Judged
from gateway.trust.ledger import entry_of
from gateway.trust.moments import Sums, add_judged
from tests.support.fakes import Counts, sample
from tests.support.worlds.replayed import Model, World, chat_sample

UPSTREAMS = {"first": {"url": "http://127.0.0.1:9/v1", "model": "inside"}, "second": {"url": "http://127.0.0.1:9/v1"}}


def _config(**probes: Any) -> Config:
    routes = {
        "chat": {"models": ["m"], "upstreams": ["first", "second"], "model": "asked"},
        "other": {"models": ["*"], "upstreams": ["second"]},
    }
    return Config.model_validate({"upstreams": UPSTREAMS, "routes": routes, "probes": {"routes": ["chat"]} | probes})


def _probes(config: Config) -> Prober | None:
    world = World(lambda _: "Yes.", "again")
    found = probes_of(
        config, world, upstreams(config), judging=None, slugs=(), note=lambda _, __: None, clock=world.clock
    )
    return found.prober


class Panel:
    """Finds `toxicity` in answers that say `rude`."""

    async def opinions(self, sample: Sample, answer: bytes) -> Mapping[str, Opinion]:
        assert sample.operation == "chat"
        flagged = b"rude" in answer
        return {"toxicity": Opinion("words@1", "toxicity", float(flagged), flagged, [])}

    async def contradiction(self, conversation: Conversation, answer: str) -> float | None:
        return None


async def test_the_other_models_answers_are_judged_beside_the_first_ones() -> None:
    """30 of 100 answers of the new model are rude, 10 of the old one's, never the same: 20 % more."""
    world = World(lambda _: "unused", rows={SHADOW: shadow("new@1")})
    model = Model(lambda body: "rude" if int(body["messages"][0]["content"]) < 30 else "kind")
    lane = Lane("second", model, model="new@1", clock=world.clock, draw=lambda: 0.25)
    prober = Prober(
        {SHADOW: shadow("new@1")},
        {SHADOW: drawing.DrawBudget(1e9, clock=world.clock)},
        {("default", "first"): world.lane},
        CallBudget(1e9, 1e12, clock=world.clock),
        world,
        looks=drawing.DrawBudget(1e9, clock=world.clock),
        shadow=lane,
        panel=Panel(),
        clock=world.clock,
    )
    for number in range(100):
        before = Opinion("words@1", "toxicity", 0.5, 30 <= number < 40, [])
        taken = replace(chat_sample(f"s{number}", str(number), "An answer."), scores=[("response", before)])
        prober.take(taken)
        assert await prober.step(lane) == 0.0
    assert (world.model.asked, {asked["model"] for asked in model.asked}) == ([], {"new@1"})
    found = probed(evidence(_sums(world.found))["toxicity", "response"])
    assert found.keys() == {"probe:shadow@new_1"}
    assert found["probe:shadow@new_1"].estimate == pytest.approx(0.2)


def _cut_off(text: str) -> bytes:
    """A chat answer that its limit ended."""
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "length"}]}).encode()


@pytest.mark.parametrize(
    ("first", "flagged", "second", "new", "old"),
    [
        (_cut_off("All is well. How rude"), True, "kind", False, False),
        (_cut_off("How rude. All is"), False, "kind", False, True),
        ("kind", False, _cut_off("All is well. How rude"), False, False),
        ("kind", False, _cut_off("How rude. All is"), True, False),
        ("kind", True, _cut_off("All is well. How rude"), False, True),
    ],
)
async def test_of_a_cut_answer_what_was_said_to_an_end_is_judged(
    first: str | bytes, flagged: bool, second: str | bytes, new: bool, old: bool
) -> None:
    """`flagged`: what the panel found in the first answer when it came, which stays where that one was not cut."""
    world = World(lambda _: second, rows={SHADOW: shadow("new")}, panel=Panel())
    before = Opinion("words@1", "toxicity", 0.9, flagged, [])
    await world.replay(replace(chat_sample("s", "?", first), scores=[("response", before)]))
    (found,) = world.found
    assert {opinion.detector: opinion.flagged for _, opinion in found.scores} == {
        "probe:shadow@new": new,
        "probe:shadow.control@new": old,
    }


@pytest.mark.parametrize(("first", "second"), [(_cut_off("How rude"), "kind"), ("kind", _cut_off("How rude"))])
async def test_where_not_one_sentence_was_said_to_an_end_nothing_is_decided(
    first: str | bytes, second: str | bytes
) -> None:
    world, fates = (
        World(lambda _: second, rows={SHADOW: shadow("new")}, panel=Panel()),
        Counts("assay_probe_items_total"),
    )
    before = Opinion("words@1", "toxicity", 0.9, True, [])
    await world.replay(replace(chat_sample("s", "?", first), scores=[("response", before)]))
    assert world.found == []
    assert fates.added() == {("undecided", SHADOW): 1}


def _sums(found: list[Judged]) -> Sums:
    sums: Sums = {}
    for judged in found:
        add_judged(sums, entry_of(judged))
    return sums


class Judging:
    """A detector of contradictions that says 0.8 of everything, or is gone."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone
        self.asked: list[JudgingRequest] = []

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        assert timeout_seconds > 0
        self.asked.append(request)
        if self.gone:
            raise JudgingError("worker_died")
        said = [Opinion("pair@1", "inconsistency", 0.8, True, [])]
        path: list[str | int] = ["choices", 0, "message", "content"]
        return Findings(1, [Finding("response", "assistant", path, 0, True, "digest", said)], [], {})


async def test_a_detector_of_contradictions_reads_both_answers() -> None:
    conversation = Conversation((), "It was in spring.")
    judging = Judging()
    panel = DetectorPanel(judging, ["inconsistency", "toxicity"])
    assert await panel.contradiction(conversation, "It was in autumn.") == 0.8
    (asked,) = judging.asked
    assert asked.answer_slugs == ["inconsistency"]
    assert [said["content"] for said in json.loads(asked.prompt)["messages"] if said["role"] == "assistant"] == [
        "It was in spring."
    ]
    assert b"It was in autumn." in asked.answer


async def test_without_one_nobody_is_asked_and_one_that_is_gone_says_nothing() -> None:
    conversation, judging = Conversation((), "a"), Judging(gone=True)
    assert await DetectorPanel(judging, ["toxicity"]).contradiction(conversation, "b") is None
    assert judging.asked == []
    assert await DetectorPanel(judging, ["inconsistency"]).contradiction(conversation, "b") is None
    assert await DetectorPanel(judging, []).opinions(sample(), b"{}") == {}


def test_each_upstream_of_an_opted_in_route_is_asked_under_its_own_name() -> None:
    prober = _probes(_config(shadow={"upstream": "second", "model": "new"}))
    assert prober is not None
    assert [(lane.upstream, lane.model) for lane in prober.lanes] == [
        ("first", "inside"), ("second", "asked"), ("second", "new")
    ]  # fmt: skip
    assert prober.report()["routes"] == ["chat"]
    assert set(prober.report()["probes"]) == {*table(), SHADOW}


@pytest.mark.parametrize("amount", ["calls_per_hour", "tokens_per_hour", "cost_per_hour"])
def test_an_amount_of_zero_turns_probes_off(amount: str) -> None:
    assert _probes(_config(**{amount: 0})) is None


def test_left_out_nothing_is_sent_twice() -> None:
    assert _probes(Config.model_validate({"upstreams": UPSTREAMS})) is None


def test_the_settings_name_the_rows_of_the_table() -> None:
    assert ProbeName.__args__ == tuple(table())  # type: ignore[attr-defined]
    assert all(row.calls >= 1 and row.speaks_for for row in table().values())
    only = _probes(_config(only=["again", "typos"], times=3))
    assert only is not None
    assert {name: row["calls"] for name, row in only.report()["probes"].items()} == {"again": 3, "typos": 2}


def test_the_taxonomy_names_the_probes_that_speak_for_each_row() -> None:
    speaking: dict[str, list[str]] = {}
    for row in table().values():
        for slug in row.speaks_for:
            speaking.setdefault(slug, []).append(row.name)
    assert {slug: list(names) for slug, names in PROBES.items()} == speaking
    assert speaking.keys() <= SLUGS
