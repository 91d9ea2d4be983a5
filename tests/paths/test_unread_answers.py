"""Answers that have no texts, and heads of answers: what says something there all the same is judged or unread."""

import gzip
import json
from typing import Any

import brotli
import pytest

from gateway.upstream.transport import Limits
from tests.support.fakes import OBSERVE, Counts, World, rules
from tests.support.servers.scripted_server import JSON, Peer, answer, answering, hang, serve
from tests.support.wire.surfaces import CHAT, Delta

STRICT = rules("id: r, when: {subcategory: violence, on: [prompt, response]}, then: block, on_error: block")
LENIENT = rules("id: r, when: {subcategory: violence, on: [prompt, response]}, then: block, on_error: allow")
NUMBERS = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5] * 200}
HARMLESS = {"object": "list", "data": [NUMBERS], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
SPOKEN = [
    HARMLESS | {"note": "bring the jewels home"},
    {**HARMLESS, "data": [NUMBERS, *({"object": word} for word in ("bring", "those", "jewels", "home"))]},
    HARMLESS | {"model": "bring the jewels home"},
]
EMBED = ("/v1/embeddings", b'{"model":"m","input":"hi"}')


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("body", [dump(body) for body in (*SPOKEN, HARMLESS)])
@pytest.mark.parametrize("encoding", ["", "gzip", "br"])
async def test_embeddings_pass_as_they_came_and_texts_in_them_are_unread(body: bytes, encoding: str) -> None:
    packed = {"": bytes, "gzip": gzip.compress, "br": brotli.compress}[encoding](body)
    lines = [b"content-encoding: " + encoding.encode()] if encoding else []
    is_clean = body == dump(HARMLESS)
    for policy, passes in ((LENIENT, True), (STRICT, is_clean)):
        unread = Counts("assay_unread_total")
        async with serve(answering(answer(packed, JSON, *lines))) as server, World(server.port, rules=policy) as world:
            seen = await world.ask(*EMBED)
        assert (seen.body == packed) is passes
        assert unread.added() == ({} if is_clean else {("assistant", "field"): 1})
        assert world.fate == (("completed", "") if passes else ("blocked", "answer_unjudged"))


@pytest.mark.parametrize("policy", [LENIENT, STRICT])
async def test_embeddings_larger_than_what_is_held_pass_as_they_come(policy: str) -> None:
    body = dump(HARMLESS | {"data": [NUMBERS] * 200})

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 9_999):
            piece = body[at : at + 9_999]
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await peer.send(b"0\r\n\r\n")

    async with serve(script) as server, World(server.port, rules=policy, held_bytes=50_000) as world:
        seen = await world.ask(*EMBED)
    assert len(body) > 100_000
    assert (seen.body, seen.ended) == (body, True)
    assert world.fate == ("completed", "")


async def test_of_what_says_something_at_its_end_the_end_does_not_leave() -> None:
    body = dump(HARMLESS | {"data": [NUMBERS] * 50, "note": "bring the jewels home"})

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 9_999):
            await peer.send(body[at : at + 9_999])

    async with serve(script) as server, World(server.port, rules=STRICT) as world:
        seen = await world.ask(*EMBED)
    assert b"jewels" not in seen.body
    assert not seen.ended or seen.status == 400
    assert world.fate == ("blocked", "answer_unjudged")


NAMES = ("gpt-4.1-mini-2025-04-14", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "grenade-launcher-experimental-v2")
LISTED = {"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": "m"} for name in NAMES]}


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/v1/models", b""),
        ("GET", "/v1/models/m", b""),
        ("POST", "/v1/messages/count_tokens", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'),
        ("POST", "/v1/moderations", b'{"model":"other","input":"hi"}'),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_what_lists_and_counts_say_is_judged(method: str, path: str, asked: bytes, framing: str) -> None:
    for body, passes in ((LISTED, True), (LISTED | {"note": "throw a grenade at them"}, False)):
        wire = answer(dump(body), JSON)
        if framing == "chunks":
            data = dump(body)
            wire = b"HTTP/1.1 200 OK\r\n%b\r\ntransfer-encoding: chunked\r\n\r\n" % JSON
            wire += b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        async with serve(answering(wire)) as server, World(server.port, rules=STRICT, moderates=False) as world:
            seen = await world.ask(path, asked, method=method)
        assert (seen.status == 200) is passes
        assert (seen.body == dump(body)) is passes


ORDINARY = [b"x-ratelimit-reset-tokens: 6m0s", b"server: cloudflare", b"x-cache: Error from cloudfront"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("line", [b"x-note: bring the jewels home tonight", b"retry-after: bring jewels home tonight"])
async def test_a_header_of_an_answer_that_says_something_is_left_out(line: bytes, stream: bool) -> None:
    name = line.partition(b":")[0]
    for policy, passes in ((LENIENT, True), (STRICT, False)):
        unread = Counts("assay_unread_total")
        if stream:
            events = b"".join(CHAT.stream([Delta("Good day.")]))
            wire = answer(events, b"content-type: text/event-stream", *ORDINARY, line)
        else:
            wire = answer(CHAT.whole([Delta("Good day.")]), JSON, *ORDINARY, line)
        async with serve(answering(wire)) as server, World(server.port, rules=policy) as world:
            seen = await world.ask(CHAT.path, CHAT.request(stream=stream))
        assert seen.status == 200
        assert b"Good day." in seen.body
        assert (name in seen.headers) is passes
        assert all(each.partition(b":")[0] in seen.headers for each in ORDINARY)
        assert unread.added() == {("assistant", "field"): 1}
        assert world.fate == ("completed", "")


@pytest.mark.parametrize(("policy", "status"), [(LENIENT, 504), (OBSERVE, 500)])
async def test_an_error_whose_body_never_ends_tells_its_status(policy: str, status: int) -> None:
    """Held for the policy it is given up, with its status in the message; else the status leaves at once."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 500 Oh no\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        await hang(peer)

    limits = Limits(first_byte_seconds=5.0, idle_seconds=0.5)
    async with serve(script) as server, World(server.port, rules=policy, limits=limits) as world:
        seen = await world.ask(CHAT.path, CHAT.request())
    assert seen.status == status
    assert world.fate[1] == "idle_timeout"
    assert (b"its status was 500" in seen.body) is (status == 504)
