"""Stored answers belong to the key that made them."""

import gzip
import json
from typing import Any

import pytest

from gateway.access.stored import StoredAnswers
from gateway.exchange import Principal
from tests.support.fakes import Seen, World, rules
from tests.support.scripted_server import EVENTS, JSON, always, answer, serve

KEYS = [("sk-one", Principal("one")), ("sk-two", Principal("two"))]
ENFORCE = rules("id: r, when: {subcategory: violence, on: [response]}, then: block")
OBSERVE = rules("id: r, when: {subcategory: violence, on: [response]}, then: flag")
RESPONSE = {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Good day."}]}], "id": "resp_1"}
PLAIN = answer(json.dumps(RESPONSE).encode(), JSON)
CREATED = b'data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","output":[]}}\n\n'


def body(**more: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hi", **more}).encode()


async def ask(world: World, key: str, path: str, content: bytes = b"", method: str = "POST") -> Seen:
    headers = [(b"authorization", b"Bearer " + key.encode())]
    return await world.ask(path, content, method=method, headers=headers)


GOES_ON: list[dict[str, Any]] = [
    {"previous_response_id": "resp_1"},
    {"conversation": "resp_1"},
    {"conversation": {"id": "resp_1"}},
]
FETCHES = [
    ("GET", "/v1/responses/resp_1"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("GET", "/v1//responses/resp%5F1/"),
    ("GET", "/v1/responses/resp%255F1;x"),
]


@pytest.mark.parametrize("how", ["plain", "held", "packed", "stream", "held stream"])
async def test_another_key_finds_nothing(how: str) -> None:
    packed = answer(gzip.compress(json.dumps(RESPONSE).encode()), JSON, b"content-encoding: gzip")
    reply = packed if how == "packed" else PLAIN
    if "stream" in how:
        ended = b'data: {"type":"response.completed","response":{"id":"resp_1","output":[]}}\n\n'
        reply = answer(CREATED + ended, EVENTS)
    policy = ENFORCE if "held" in how else OBSERVE
    async with serve(always(reply)) as server, World(server.port, rules=policy, keys=KEYS) as world:
        assert (await ask(world, "sk-one", "/v1/responses", body(stream="stream" in how))).status == 200
        sent = len(server.requests)
        for method, path in FETCHES:
            refused = await ask(world, "sk-two", path, method=method)
            assert (refused.status, refused.error["code"]) == (404, "not_found"), path
        for field in GOES_ON:
            refused = await ask(world, "sk-two", "/v1/responses", body(**field))
            assert (refused.status, refused.error["param"]) == (404, next(iter(field)))
        escaped = body(previous_response_id="resp_1").replace(b"previous_r", b"\\u0070revious_r")
        assert (await ask(world, "sk-two", "/v1/responses", escaped)).status == 404
        assert len(server.requests) == sent
        assert (await ask(world, "sk-one", "/v1/responses/resp_1", method="GET")).status == 200
        assert (await ask(world, "sk-one", "/v1/responses", body(previous_response_id="resp_1"))).status == 200
        assert (await ask(world, "sk-two", "/v1/responses/resp_2", method="GET")).status == 200


async def test_chat_completions_are_kept_where_the_request_says_so() -> None:
    reply = answer(b'{"id":"chat_1","choices":[{"index":0,"message":{"content":"Good day."}}]}', JSON)
    async with serve(always(reply)) as server, World(server.port, keys=KEYS) as world:
        chat: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        await ask(world, "sk-one", "/v1/chat/completions", json.dumps(chat).encode())
        assert (await ask(world, "sk-two", "/v1/chat/completions/chat_1", method="GET")).status == 200
        assert (await ask(world, "sk-two", "/v1/chat/completions", method="GET")).status == 200
        await ask(world, "sk-one", "/v1/chat/completions", json.dumps(chat | {"store": True}).encode())
        assert (await ask(world, "sk-two", "/v1/chat/completions/chat_1", method="DELETE")).status == 404
        assert (await ask(world, "sk-two", "/v1/chat/completions/chat_1/messages", method="GET")).status == 404
        assert (await ask(world, "sk-two", "/v1/chat/completions?limit=9", method="GET")).status == 404
        assert (await ask(world, "sk-one", "/v1/chat/completions", method="GET")).status == 200


async def test_conversations_are_kept() -> None:
    async with serve(always(answer(b'{"id":"conv_1"}', JSON))) as server, World(server.port, keys=KEYS) as world:
        await ask(world, "sk-one", "/v1/conversations", b'{"items":[]}')
        assert (await ask(world, "sk-two", "/v1/conversations/conv_1/items", b'{"items":[]}')).status == 404
        assert (await ask(world, "sk-two", "/v1/responses", body(conversation="conv_1"))).status == 404
        assert (await ask(world, "sk-one", "/v1/responses", body(conversation="conv_1"))).status == 200


async def test_without_keys_nothing_is_remembered() -> None:
    async with serve(always(PLAIN)) as server, World(server.port) as world:
        for _ in range(2):
            assert (await world.ask("/v1/responses", body())).status == 200
        assert (await world.ask("/v1/responses/resp_1", b"", method="GET")).status == 200


def owners(stored: StoredAnswers, *ids: str) -> list[str | None]:
    return [stored.owner(id) for id in ids]


def test_the_record_is_bounded_in_entries_and_in_bytes() -> None:
    stored = StoredAnswers(entries=2)
    for id in "abc":
        stored.remember(id, "one", "responses")
    stored.remember("c", "two", "responses")
    assert owners(stored, "a", "b", "c") == [None, "one", "one"]
    stored = StoredAnswers(most_bytes=2000)
    stored.remember("a", "one", "responses")
    stored.remember("b" * 380, "one", "responses")
    assert owners(stored, "a", "b" * 380) == [None, "one"]
    stored.remember("b" * 10_000, "one", "responses")
    assert owners(stored, "b" * 380, "b" * 10_000) == [None, None]
