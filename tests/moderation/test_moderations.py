"""`/v1/moderations`, answered by the gateway's own detectors: OpenAI's shape, one result an input, honest failures."""

import json
from typing import Any

import pytest
from openai.types import ModerationCreateResponse
from openai.types.moderation import Categories

from detectors.taxonomy import AUXILIARIES, SLUGS
from gateway.moderation.categories import CATEGORIES, InputScores, moderation_body, read_inputs
from gateway.openai_api import BodyError
from tests.support.fakes import DETECTOR, Counts, JudgingHere, Seen, World

PATH = "/v1/moderations"


async def ask(world: World, body: Any) -> Seen:
    return await world.ask(PATH, body if isinstance(body, bytes) else json.dumps(body).encode())


def results(seen: Seen) -> list[Any]:
    assert (seen.status, seen.headers[b"content-type"]) == (200, b"application/json")
    ModerationCreateResponse.model_validate_json(seen.body, strict=True)
    found: list[Any] = json.loads(seen.body)["results"]
    return found


async def test_a_text_is_judged_here() -> None:
    async with World() as world:  # no upstream at all
        (result,) = results(await ask(world, {"input": "throw the grenade", "model": "omni-moderation-latest"}))
        assert result["flagged"]
        assert {name for name, flagged in result["categories"].items() if flagged} == {"violence", "violence/graphic"}
        assert (result["category_scores"]["violence"], result["category_scores"]["hate"]) == (1.0, 0.0)
        assert result["assay"]["flags"] == ["violence"]
        assert result["assay"]["detectors"]["violence"] == DETECTOR
        assert not result["assay"]["truncated"]
        assert world.fate == ("completed", "")
        assert world.queue.depth() == (0, 0)  # what a caller asks about is no traffic


async def test_one_result_for_each_text_in_their_order() -> None:
    async with World() as world:
        found = results(await ask(world, {"input": ["calm", "a grenade", "", "calm again"]}))
    assert [result["flagged"] for result in found] == [False, True, False, False]


async def test_content_parts_are_one_input() -> None:
    parts = [{"type": "text", "text": "calm"}, {"type": "text", "text": "a grenade"}]
    async with World() as world:
        found = results(await ask(world, {"input": parts}))
    assert [result["flagged"] for result in found] == [True]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[" * 100_000, None),
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [{"type": "image_url", "image_url": {"url": "data:,"}}]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
    ],
)
async def test_what_cannot_be_judged_is_said(body: Any, param: str | None) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BodyError) as raised:
        read_inputs(content)
    assert raised.value.param == param


async def test_a_bad_body_is_a_bad_request() -> None:
    async with World() as world:
        seen = await ask(world, {"input": 7})
        assert (seen.status, seen.error["param"], seen.error["code"]) == (400, "input", "invalid_body")
        assert world.fate == ("rejected", "bad_body")


async def test_a_text_that_no_detector_can_read_is_not_called_clean() -> None:
    counted = Counts("assay_detector_texts_total")
    async with World() as world:
        (result,) = results(await ask(world, {"input": "illegible"}))
    assert (result["flagged"], result["assay"]["failure"]) == (False, "unreadable")
    assert counted.added() == {(DETECTOR, "unreadable"): 1}


@pytest.mark.parametrize("text", ["crash", None])
async def test_without_detectors_it_says_so(text: str | None) -> None:
    """A clean bill from nobody would be worse than an error."""
    judge = JudgingHere()
    if text is None:
        judge.error = "worker_died"
    async with World(judge=judge) as world:
        seen = await ask(world, {"input": text or "calm"})
        assert (seen.status, seen.error["code"]) == (503, "guard_unavailable")


def test_every_category_of_the_sdk_is_mapped_to_known_slugs() -> None:
    fields = Categories.model_fields
    assert {field.alias or name for name, field in fields.items()} == set(CATEGORIES)
    known = SLUGS | set(AUXILIARIES)
    assert {slug for category in CATEGORIES.values() for slug in (*category.any_of, *category.also)} <= known


def test_a_narrow_category_needs_both_and_scores_the_lower() -> None:
    alone = InputScores({"toxicity": 0.9, "violence": 0.2}, {"toxicity"})
    both = InputScores({"toxicity": 0.9, "violence": 0.7}, {"toxicity", "violence"})
    body = json.loads(moderation_body("x", "m", [alone, both], failure="truncated"))
    first, second = body["results"]
    assert (first["categories"]["harassment/threatening"], second["categories"]["harassment/threatening"]) == (
        False,
        True,
    )
    assert second["category_scores"]["harassment/threatening"] == 0.7
    assert first["assay"]["truncated"]


@pytest.mark.parametrize("field", ["documents", "query", "suffix"])
async def test_text_in_another_field_is_no_input(field: str) -> None:
    async with World() as world:
        found = results(await ask(world, {"input": ["calm", "calm again"], field: {"text": "a grenade"}}))
    assert [result["flagged"] for result in found] == [False, False]
