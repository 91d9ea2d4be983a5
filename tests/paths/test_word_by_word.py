"""A text that comes word by word in places that each hold a word is judged as what a client puts together."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.exchange import Streams
from tests.support.fakes import World, rules
from tests.support.running.together import together
from tests.support.servers.scripted_server import JSON, answer, answering, serve, streaming
from tests.support.wire.surfaces import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Surface

STRICT = rules("id: r, when: {subcategory: violence, on: [prompt, response]}, then: block, on_error: block")
LENIENT = rules("id: r, when: {subcategory: violence, on: [prompt, response]}, then: block, on_error: allow")
CUTTING = rules("id: r, when: {subcategory: privacy_violation, on: [prompt, response]}, then: redact, on_error: block")
WAYS: tuple[Streams, ...] = ("hold", "window")
Event = Callable[[int, str], list[dict[str, Any]]]


def choice(**fields: Any) -> list[dict[str, Any]]:
    return [{"id": "c", "created": 7, "model": "m", "choices": [{"index": 0, **fields}]}]


def call(**fields: Any) -> list[dict[str, Any]]:
    return choice(delta={"tool_calls": [{"index": 0, "id": "t", "type": "function", **fields}]})


def token(text: str, *others: str) -> dict[str, Any]:
    beside = [{"token": other, "logprob": -2, "bytes": None} for other in others]
    return {"token": text, "logprob": -1, "bytes": list(text.encode()), "top_logprobs": beside}


def part(number: int, text: str) -> list[dict[str, Any]]:
    place = {"item_id": "i", "output_index": 0, "content_index": number}
    said = {"type": "output_text", "text": text, "annotations": []}
    return [{"type": "response.content_part.added", **place, "part": said}]


def delta(number: int, text: str, **more: Any) -> dict[str, Any]:
    place = {"item_id": "i", "output_index": 0, "content_index": number}
    return {"type": "response.output_text.delta", **place, "delta": text, **more}


def block(number: int, text: str) -> list[dict[str, Any]]:
    place = {"index": number}
    return [
        {"type": "content_block_start", **place, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", **place, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", **place},
    ]


PLACES: dict[str, tuple[Surface, Event]] = {
    "tokens": (CHAT, lambda n, text: choice(delta={"content": f"{n} "}, logprobs={"content": [token(text)]})),
    "tokens without a text": (CHAT, lambda _, text: choice(delta={}, logprobs={"content": [token(text)]})),
    "tokens of completions": (COMPLETIONS, lambda n, text: choice(text=f"{n} ", logprobs={"tokens": [text]})),
    "tokens of Responses": (RESPONSES, lambda n, text: [delta(0, f"{n} ", logprobs=[token(text)])]),
    "the name of a tool": (CHAT, lambda _, text: call(function={"name": text})),
    "the name of a custom tool": (CHAT, lambda _, text: call(custom={"name": text})),
    "a name in a message": (CHAT, lambda _, text: choice(delta={"name": text})),
    "messages": (CHAT, lambda _, text: choice(message={"role": "assistant", "content": text})),
    "messages beside deltas": (CHAT, lambda n, text: choice(delta={"content": f"{n} "}, message={"content": text})),
    "parts that grow": (RESPONSES, lambda n, text: [delta(n, text)]),
    "parts that come whole": (RESPONSES, part),
    "blocks": (MESSAGES, block),
}


def written(surface: Surface, events: list[dict[str, Any]]) -> bytes:
    named = surface in (RESPONSES, MESSAGES)
    name = "event: {type}\n" if named else ""
    out = b"".join(f"{name.format(**each)}data: {json.dumps(each)}\n\n".encode() for each in events)
    return out if named else out + b"data: [DONE]\n\n"


@together("way", WAYS)
@together("place", PLACES)
async def test_words_of_a_stream_are_one_text(place: str, way: Streams) -> None:
    surface, event = PLACES[place]
    pieces = ("about ", "a gre", "na", "de, ", "well")
    stream = written(surface, [each for n, piece in enumerate(pieces) for each in event(n, piece)])
    async with serve(streaming(stream)) as server, World(server.port, rules=LENIENT, streams=way) as world:
        seen = await world.ask(surface.path, surface.request(stream=True))
    assert b"well" not in seen.body
    assert world.fate == ("blocked", "answer_blocked")


@together("place", PLACES)
async def test_a_word_in_pieces_is_cut(place: str) -> None:
    surface, event = PLACES[place]
    pieces = ("my key ", "AKI", "A4", "2 here")
    stream = written(surface, [each for n, piece in enumerate(pieces) for each in event(n, piece)])
    async with serve(streaming(stream)) as server, World(server.port, rules=CUTTING, streams="hold") as world:
        seen = await world.ask(surface.path, surface.request(stream=True))
    assert not any(f'"{piece}'.encode() in seen.body for piece in ("AKI", "A4", "2 here") if "tokens" in place)
    assert b'"AKI"' not in seen.body
    assert b'"A4"' not in seen.body
    assert world.fate == ("completed", "")


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_with_a_short_name_leaves_as_it_came(way: Streams) -> None:
    events = call(function={"name": "look_up", "arguments": ""}) + call(function={"arguments": '{"a": 1}'})
    stream = written(CHAT, [*events, *choice(delta={}, finish_reason="tool_calls")])
    async with serve(streaming(stream)) as server, World(server.port, rules=STRICT, streams=way) as world:
        seen = await world.ask(CHAT.path, CHAT.request(stream=True))
    assert seen.body == stream


WHOLE: dict[str, tuple[Surface, Callable[[Any], dict[str, Any]]]] = {
    "chat": (CHAT, lambda told: choice(message={"content": "good day"}, logprobs={"content": told})[0]),
    "responses": (
        RESPONSES,
        lambda told: {
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "good day", "logprobs": told}]}]
        },
    ),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(("policy", "stays"), [(STRICT, False), (LENIENT, True)])
async def test_alternatives_do_not_leave_where_nothing_leaves_unread(name: str, policy: str, *, stays: bool) -> None:
    surface, make = WHOLE[name]
    told = [token("good", "good", "a gre"), token(" day", " day", "nade")]
    body = json.dumps(make(told)).encode()
    async with serve(answering(answer(body, JSON))) as server, World(server.port, rules=policy) as world:
        seen = await world.ask(surface.path, surface.request(stream=False))
    without = json.dumps(make([{**each, "top_logprobs": []} for each in told])).encode()
    assert seen.body == (body if stays else without)
    assert world.fate == ("completed", "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("policy", "stays"), [(STRICT, False), (LENIENT, True)])
async def test_alternatives_in_a_stream_do_not_leave_either(way: Streams, policy: str, *, stays: bool) -> None:
    told = [token("good", "good", "a gre"), token(" day", " day", "nade")]
    chunks = [choice(delta={"content": each["token"]}, logprobs={"content": [each]}) for each in told]
    bare = [choice(delta={"content": e["token"]}, logprobs={"content": [{**e, "top_logprobs": []}]}) for e in told]
    stream = written(CHAT, [each for chunk in chunks for each in chunk])
    async with serve(streaming(stream)) as server, World(server.port, rules=policy, streams=way) as world:
        seen = await world.ask(CHAT.path, CHAT.request(stream=True))
    assert seen.body == (stream if stays else written(CHAT, [each for chunk in bare for each in chunk]))
