"""Moderated completions: what a request asks of its moderation is done here, in the shapes of the official client."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from tests.fakes import DONE, BenchJudge, Counts, World
from tests.paths.test_policy_actions import rules
from tests.paths.test_request_path import JSON, streaming
from tests.scripted_server import Script, answer, answering, serve
from tests.surfaces import CHAT, RESPONSES, Delta, Surface, objects

CLEAN = [Delta("Good "), Delta("day to you."), Delta(" Goodbye.")]
BAD = [Delta("throw the "), Delta("gren"), Delta("ade now")]
SURFACES = {"chat": CHAT, "responses": RESPONSES}


def asked(surface: Surface, *, stream: bool = False, text: str = "hi", **modes: str) -> bytes:
    policy = {side: {"mode": mode} for side, mode in modes.items()}
    moderation = {"model": "omni-moderation-latest", **({"policy": policy} if policy else {})}
    said: dict[str, Any] = {"messages": [{"role": "user", "content": text}]} if surface is CHAT else {"input": text}
    return surface.request(stream=stream, moderation=moderation, **said)


def script(surface: Surface, deltas: list[Delta], *, stream: bool) -> Script:
    return streaming(*surface.stream(deltas)) if stream else answering(answer(surface.whole(deltas), JSON))


async def talk(
    surface: Surface, deltas: list[Delta], body: bytes, *, stream: bool = False, **more: Any
) -> tuple[World, Any, list[bytes]]:
    async with serve(script(surface, deltas, stream=stream)) as server, World(server.port, **more) as world:
        seen = await world.ask(surface.path, body)
        return world, seen, [request.body for request in server.requests]


def moderation_in(surface: Surface, body: bytes, *, stream: bool) -> Any:
    """The moderation, read with the client's own types, as plain values."""
    told: Any
    if surface is RESPONSES:
        found = json.loads(body) if not stream else objects(body)[-1]["response"]
        told = Response.model_validate(found).moderation
    elif stream:
        parts = [ChatCompletionChunk.model_validate(part) for part in objects(body)]
        (told,) = [part.moderation for part in parts if part.moderation is not None]
    else:
        told = ChatCompletion.model_validate(json.loads(body.replace(b".chunk", b""))).moderation
    assert told is not None
    return told.model_dump()


def flagged(surface: Surface, side: dict[str, Any]) -> list[bool]:
    results = [side] if surface is RESPONSES else side["results"]
    return [result["flagged"] for result in results]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SURFACES)
async def test_both_sides_are_scored_and_nothing_is_withheld(name: str, stream: bool) -> None:
    surface = SURFACES[name]
    body = asked(surface, stream=stream, text="a grenade")
    world, seen, bodies = await talk(surface, CLEAN, body, stream=stream)
    assert seen.status == 200
    told = moderation_in(surface, seen.body, stream=stream)
    assert flagged(surface, told["input"]) == [True]
    assert flagged(surface, told["output"]) == [False]
    assert b"moderation" not in bodies[0], "the model server need not know of it"
    assert world.fate == ("completed", "")
    if stream:
        said = surface.said(seen.body)
        assert said == {(0, "assistant"): "Good day to you. Goodbye."}
        assert objects(seen.body)[-1].get("usage") or objects(seen.body)[-1]["response"]["usage"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SURFACES)
async def test_a_flagged_answer_is_withheld_where_that_is_asked_for(name: str, stream: bool) -> None:
    surface = SURFACES[name]
    body = asked(surface, stream=stream, output="block")
    world, seen, _ = await talk(surface, BAD, body, stream=stream)
    assert seen.status == 200
    assert b"gren" not in seen.body
    assert b"content_filter" in seen.body
    assert flagged(surface, moderation_in(surface, seen.body, stream=stream)["output"]) == [True]
    assert world.fate == ("blocked", "answer_blocked")
    assert world.last.decision == "block"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SURFACES)
async def test_a_clean_answer_passes_where_flagged_ones_are_withheld(name: str, stream: bool) -> None:
    surface = SURFACES[name]
    world, seen, _ = await talk(surface, CLEAN, asked(surface, stream=stream, output="block"), stream=stream)
    assert b"day to you." in seen.body
    assert world.fate == ("completed", "")


@pytest.mark.parametrize("name", SURFACES)
async def test_a_flagged_prompt_goes_nowhere_where_that_is_asked_for(name: str) -> None:
    surface = SURFACES[name]
    world, seen, bodies = await talk(surface, CLEAN, asked(surface, text="a grenade", input="block"))
    assert (seen.status, seen.error["code"]) == (400, "content_filter")
    assert seen.error["param"] == ("messages" if surface is CHAT else "input")
    assert bodies == []
    assert world.fate == ("blocked", "prompt_blocked")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SURFACES)
async def test_detectors_that_do_not_answer_are_an_error_in_its_place_or_a_block(name: str, stream: bool) -> None:
    surface = SURFACES[name]
    counted = Counts("assay_moderations_total")
    judge = BenchJudge()
    judge.error = "timed_out"
    _, seen, _ = await talk(surface, CLEAN, asked(surface, stream=stream), stream=stream, judge=judge)
    told = moderation_in(surface, seen.body, stream=stream)
    assert [told[side]["type"] for side in ("input", "output")] == ["error", "error"]
    assert b"day to you." in seen.body
    assert set(counted.added().values()) == {1}
    body = asked(surface, stream=stream, output="block")
    world, seen, _ = await talk(surface, CLEAN, body, stream=stream, judge=judge)
    assert b"day to you." not in seen.body, "what could not be judged is not served"
    assert world.fate == ("blocked", "answer_blocked")
    _, seen, bodies = await talk(surface, CLEAN, asked(surface, input="block"), judge=judge)
    assert (seen.status, bodies) == (503, [])


@pytest.mark.parametrize(
    ("moderation", "param"),
    [
        ({}, "moderation.model"),
        ({"model": 3}, "moderation.model"),
        ({"model": "m", "policy": {"output": {"mode": "maybe"}}}, "moderation.policy.output.mode"),
    ],
)
async def test_what_nobody_could_have_meant_is_refused(moderation: Any, param: str) -> None:
    _, seen, bodies = await talk(CHAT, CLEAN, CHAT.request(moderation=moderation))
    assert (seen.status, seen.error["param"], bodies) == (400, param, [])


async def test_without_detectors_the_model_server_is_asked() -> None:
    body = asked(CHAT)
    _, _, bodies = await talk(CHAT, CLEAN, body, moderates=False)
    assert bodies == [body]


async def test_one_flagged_choice_of_two_is_withheld_alone() -> None:
    deltas = [Delta("Good day"), Delta("a grenade", choice=1)]
    body = CHAT.request(n=2, moderation={"model": "m", "policy": {"output": {"mode": "block"}}})
    world, seen, _ = await talk(CHAT, deltas, body)
    choices = json.loads(seen.body)["choices"]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "content_filter"]
    assert flagged(CHAT, moderation_in(CHAT, seen.body, stream=False)["output"]) == [False, True]
    assert world.fate == ("completed", "")


async def test_what_the_policy_does_comes_before() -> None:
    policy = rules("id: r, when: {subcategory: violence, on: prompt}, then: block")
    world, seen, _ = await talk(CHAT, CLEAN, asked(CHAT, text="a grenade"), rules=policy)
    assert seen.status == 400
    assert "rule 'r'" in seen.error["message"]
    assert world.fate == ("blocked", "prompt_blocked")


async def test_a_stream_is_only_kept_back_at_its_end() -> None:
    events = CHAT.stream(CLEAN)
    _, seen, _ = await talk(CHAT, CLEAN, asked(CHAT, stream=True), stream=True)
    assert seen.body.startswith(b"".join(events[:-2]))
    assert seen.body.endswith(events[-2] + DONE)
