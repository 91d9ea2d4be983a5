"""Stored answers belong to the key that made them."""

import gzip
import json
from typing import Any

import pytest

from gateway.access.stored import StoredAnswers
from gateway.exchange import Principal
from tests.support.fakes import Seen, World, rules
from tests.support.servers.scripted_server import EVENTS, JSON, always, answer, serve

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


def stored(*texts: tuple[str, str], **more: Any) -> bytes:
    """A list of stored answers, by id."""
    data = [{"id": id, "choices": [{"index": 0, "message": {"content": text}}]} for id, text in texts]
    return json.dumps({"object": "list", "data": data, **more}).encode()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("policy", [ENFORCE, OBSERVE])
async def test_a_list_has_what_this_key_made_and_what_nobody_remembers(policy: str, packed: bool) -> None:
    listed = stored(("chat_1", "One."), ("chat_2", "Two."), ("chat_3", "Three."), has_more=True)
    reply = answer(gzip.compress(listed), JSON, b"content-encoding: gzip") if packed else answer(listed, JSON)
    async with serve(always(reply)) as server, World(server.port, rules=policy, keys=KEYS) as world:
        world.stored.remember("chat_1", "one", "chat/completions")
        whole = await ask(world, "sk-one", "/v1/chat/completions", method="GET")
        assert (gzip.decompress(whole.body) if packed else whole.body) == listed  # nobody else made any
        world.stored.remember("chat_2", "two", "chat/completions")
        for key, ids in (("sk-one", ["chat_1", "chat_3"]), ("sk-two", ["chat_2", "chat_3"])):
            seen = await ask(world, key, "/v1/chat/completions?limit=9", method="GET")
            value = json.loads(seen.body)
            assert [entry["id"] for entry in value["data"]] == ids
            assert (value["has_more"], seen.headers[b"x-assay-left-out"]) == (True, b"1")
            assert seen.headers[b"content-length"] == b"%d" % len(seen.body)


@pytest.mark.parametrize("listed", [b'{"data": 3}', b"no JSON", b'{"data":["chat_2"]}'])
async def test_a_list_that_cannot_be_sifted_is_not_served(listed: bytes) -> None:
    async with serve(always(answer(listed, JSON))) as server, World(server.port, keys=KEYS) as world:
        world.stored.remember("chat_2", "two", "chat/completions")
        assert (await ask(world, "sk-one", "/v1/chat/completions", method="GET")).status == 404


HARMFUL = "all about a grenade"
LISTS: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {"id": f"c{n}", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
        for n, text in enumerate(("Good day.", HARMFUL, "Bye."))
    ],
    "/v1/chat/completions/c1/messages": [
        {"id": "m1", "role": "user", "content": "Good day."},
        {"id": "m2", "role": "user", "content": None, "content_parts": [{"type": "text", "text": HARMFUL}]},
        {"id": "m3", "role": "assistant", "content": "grenad"},
    ],
    "/v1/responses/resp_1/input_items": [
        {"id": "i1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Good day."}]},
        {"id": "i2", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "grenade"}]},
        {"id": "i3", "type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
    ],
    "/v1/conversations/conv_1/items": [
        {"id": "i1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Good day."}]},
        {"id": "i2", "type": "function_call", "name": "f", "arguments": json.dumps({"a": HARMFUL}), "call_id": "c"},
        {"id": "i3", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
    ],
}


@pytest.mark.parametrize("path", LISTS)
async def test_an_entry_of_a_list_that_a_rule_blocks_is_kept_back_and_says_so(path: str) -> None:
    entries = LISTS[path]
    listed = json.dumps({"object": "list", "data": entries, "first_id": "i1", "has_more": False}).encode()
    async with serve(always(answer(listed, JSON))) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(path, b"", method="GET")
    assert seen.status == 200
    assert seen.headers[b"x-assay-decision"] == b"block"
    first, second, third = json.loads(seen.body)["data"]
    assert (first, third) == (entries[0], entries[2])
    assert (second["id"], second["error"]["code"]) == (entries[1]["id"], "content_filter")
    assert b"grenade" not in seen.body


async def test_a_list_with_something_unread_in_it_is_left_to_on_error() -> None:
    image = {"id": "i9", "type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}
    listed = json.dumps({"object": "list", "data": [image]}).encode()
    for policy, status in ((ENFORCE, 200), (ENFORCE.replace("block", "block, on_error: block"), 400)):
        async with serve(always(answer(listed, JSON))) as server, World(server.port, rules=policy) as world:
            seen = await world.ask("/v1/responses/resp_1/input_items", b"", method="GET")
            assert (seen.status, seen.body == listed) == (status, status == 200)


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
