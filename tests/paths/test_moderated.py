"""Moderated completions: what a request asks of its moderation is done here, in the shapes of the official client."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from gateway.judging.messages import Findings, JudgingRequest
from gateway.openai_api.sse import PING
from tests.support.fakes import DETECTOR, DONE, Counts, JudgingHere, World, rules
from tests.support.servers.scripted_server import EVENTS, JSON, Peer, Script, answer, answering, serve, streaming
from tests.support.wire.surfaces import CHAT, RESPONSES, Delta, Surface, objects

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
    assert world.last.ruling.decision == "block"


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
    judge = JudgingHere()
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


@pytest.mark.parametrize("name", SURFACES)
async def test_a_text_that_no_detector_can_read_is_not_called_clean(name: str) -> None:
    surface, illegible = SURFACES[name], [Delta("an illegible answer")]
    body = asked(surface, text="illegible too")
    _, seen, _ = await talk(surface, illegible, body)
    told = moderation_in(surface, seen.body, stream=False)
    for side in ("input", "output"):
        result = told[side] if surface is RESPONSES else told[side]["results"][0]
        assert (result["flagged"], result["assay"]["failure"]) == (False, "unreadable")
    world, seen, bodies = await talk(surface, illegible, asked(surface, text="illegible too", input="block"))
    assert (seen.status, seen.error["code"], bodies) == (400, "content_filter", [])
    assert world.fate == ("blocked", "prompt_blocked")
    world, seen, _ = await talk(surface, illegible, asked(surface, output="block"))
    assert b"illegible" not in seen.body
    assert world.fate == ("blocked", "answer_blocked")


async def test_what_the_detectors_did_is_counted_as_it_is_for_policies() -> None:
    texts, remembered = Counts("assay_detector_texts_total"), Counts("assay_detector_remembered_total")
    judge = JudgingHere()
    for _ in range(2):
        await talk(CHAT, CLEAN, asked(CHAT), judge=judge)
    assert texts.added() == {(DETECTOR, "scanned"): 4}
    assert remembered.added() == {(DETECTOR,): 2}
    judge.error = "timed_out"
    await talk(CHAT, CLEAN, asked(CHAT), judge=judge)
    assert texts.added()[DETECTOR, "timed_out"] == 2


async def test_without_the_field_nobody_is_asked_and_the_bytes_are_the_clients_own() -> None:
    for more in ({}, {"moderation": None}):
        body = CHAT.request(**more)
        world, seen, bodies = await talk(CHAT, CLEAN, body)
        assert bodies == [body]
        assert seen.body == CHAT.whole(CLEAN)
        assert world.judge.requests == []


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


@pytest.mark.parametrize("modes", [{}, {"output": "block"}])
async def test_what_is_no_answer_passes_as_it_is(modes: dict[str, Any]) -> None:
    error = b'{"error": {"message": "no", "type": "t", "param": null, "code": null}}'
    wire = answer(error, JSON, status=b"418 Teapot")
    async with serve(answering(wire)) as server, World(server.port) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, **modes))
    assert (seen.status, seen.body) == (418, error)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("modes", [{}, {"output": "block"}])
async def test_a_packed_answer_is_unpacked(stream: bool, modes: dict[str, Any]) -> None:
    packing = b"content-encoding: gzip"
    if stream:
        wires = streaming(gzip.compress(b"".join(CHAT.stream(BAD))), lines=(EVENTS, packing))
    else:
        wires = answering(answer(gzip.compress(CHAT.whole(BAD)), JSON, packing))
    async with serve(wires) as server, World(server.port) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=stream, **modes), headers=[(b"accept-encoding", b"gzip")])
    assert b"content-encoding" not in seen.headers
    assert flagged(CHAT, moderation_in(CHAT, seen.body, stream=stream)["output"]) == [True]
    assert (b"gren" in seen.body) is (not modes)


@pytest.mark.parametrize("modes", [{}, {"output": "block"}])
async def test_a_stream_that_breaks_off_ends_with_the_error_and_without_moderation(modes: dict[str, Any]) -> None:
    events = CHAT.stream(BAD)[:2]
    async with serve(streaming(*events, cut=True)) as server, World(server.port) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=True, **modes))
    assert b"upstream_truncated" in seen.body
    assert b"moderation" not in seen.body
    assert seen.body.startswith(b"".join(events)) is (not modes)
    assert world.fate == ("upstream_failed", "truncated")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("modes", [{}, {"output": "block"}])
async def test_an_answer_that_is_too_large_to_keep_is_refused(stream: bool, modes: dict[str, Any]) -> None:
    body = asked(CHAT, stream=stream, **modes)
    world, seen, _ = await talk(CHAT, CLEAN, body, stream=stream, held_bytes=200)
    assert world.fate[1] == "answer_too_large"
    assert b"answer_too_large" in seen.body


async def test_while_a_stream_is_held_its_client_hears_comments() -> None:
    events, more = CHAT.stream(CLEAN), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + EVENTS + b"\r\n\r\n" + events[0])
        await more.wait()
        await peer.send(*events[1:])

    async def heard(message: Any) -> None:
        if message.get("body") == PING:
            more.set()

    async with serve(script) as server, World(server.port, ping_seconds=0.01) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=True, output="block"), on_message=heard)
    assert seen.pieces[0] == PING
    assert b"x-assay-decision" not in seen.headers, "it is still to be made"
    assert CHAT.said(seen.body) == {(0, "assistant"): "Good day to you. Goodbye."}


class Endless(JudgingHere):
    """Never comes to an end by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.dropped = asyncio.Event(), False

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        self.began.set()
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            self.dropped = True
            raise


@pytest.mark.parametrize("modes", [{}, {"input": "block"}])
async def test_a_client_that_leaves_takes_the_judging_along(modes: dict[str, Any]) -> None:
    judge = Endless()
    script = streaming(*CHAT.stream(CLEAN))
    async with serve(script) as server, World(server.port, judge=judge) as world:
        await world.ask(CHAT.path, asked(CHAT, stream=True, **modes), leave=judge.began)
        assert world.fate == ("client_gone", "client_gone")
    assert judge.dropped
