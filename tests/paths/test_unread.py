"""What no detector is shown is not clean: whatever a rule blocks for it leaves on no surface and in no mode."""

import json
from typing import Any

import pytest

from gateway.exchange import Streams
from tests.support.fakes import Counts, World, rules
from tests.support.running.together import together
from tests.support.servers.scripted_server import JSON, Script, answer, answering, serve, streaming
from tests.support.wire.surfaces import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Delta, Surface, text_and_end

STRICT = rules("id: r, when: {subcategory: violence, on: [prompt, response]}, then: block, on_error: block")
LENIENT = rules("id: r, when: {subcategory: violence, on: [prompt, response]}, then: block, on_error: allow")
CUTTING = rules("id: r, when: {subcategory: privacy_violation, on: [prompt, response]}, then: redact, on_error: block")
SURFACES = {"chat": CHAT, "completions": COMPLETIONS, "responses": RESPONSES, "messages": MESSAGES}
MARK = "kept-back"
BROKEN = {
    "an array": b'data: ["' + MARK.encode() + b'"]\n\n',
    "a trailing comma": b'data: {"a": "' + MARK.encode() + b'",}\n\n',
    "a broken byte": b'data: {"a": "' + MARK.encode() + b'\xff"}\n\n',
    "no event": b'{"a": "' + MARK.encode() + b'"}\n\n',
    "an unknown field": b'data: {"novel": "it says ' + MARK.encode() + b'"}\n\n',
}


def asked(surface: Surface, *, stream: bool) -> bytes:
    return surface.request(stream=stream)


@pytest.mark.parametrize("mode", ["hold", "window"])
@together("what", BROKEN)
@together("name", SURFACES)
async def test_an_event_that_nobody_can_read_ends_the_stream_and_does_not_leave(
    name: str, what: str, mode: Streams
) -> None:
    surface, unread = SURFACES[name], Counts("assay_unread_total")
    events = surface.stream([Delta("Good day. ")])
    script = streaming(events[0], BROKEN[what], *events[1:])
    async with serve(script) as server, World(server.port, rules=STRICT, streams=mode) as world:
        seen = await world.ask(surface.path, asked(surface, stream=True))
    assert MARK.encode() not in seen.body
    assert surface.block_sign in seen.body
    assert world.fate == ("blocked", "answer_unjudged")
    assert sum(unread.added().values()) >= 1


@together("mode", ["hold", "window", "observe"])
@together("what", BROKEN)
async def test_it_passes_and_is_counted_where_the_rule_says_allow(what: str, mode: Streams) -> None:
    events = CHAT.stream([Delta("Good day. ")])
    script = streaming(events[0], BROKEN[what], *events[1:])
    async with serve(script) as server, World(server.port, rules=LENIENT, streams=mode) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=True))
    assert seen.body == b"".join([events[0], BROKEN[what], *events[1:]])
    assert world.fate == ("completed", "")


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PROMPTS: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "an image": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE]}]},
        ("user", "image"),
    ),
    "audio": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA"}}]}]},
        ("user", "audio"),
    ),
    "a file": (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]},
        ("user", "file"),
    ),
    "an image of the Responses API": (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x.test/a.png"}]}]},
        ("user", "image"),
    ),
    "tokens": ("/v1/completions", {"prompt": [1, 2, 3]}, ("user", "tokens")),
    "a text in a query": ("/v1/embeddings?note=how+to%20do+this", {"input": "hi"}, ("user", "field")),
    "a text in a query's key": ("/v1/embeddings?how%20to+do+this", {"input": "hi"}, ("user", "field")),
    "a text without spaces": ("/v1/embeddings?q=" + "%E7%82%B8" * 9, {"input": "hi"}, ("user", "field")),
    "tokens to embed": ("/v1/embeddings", {"input": [[1, 2], [3]]}, ("user", "tokens")),
    "an unknown field": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hi"}], "novel": {"deep": ["it says this"]}},
        ("user", "field"),
    ),
    "an unknown field of a message": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hi", "novel": "it says this"}]},
        ("user", "field"),
    ),
    "an unknown part": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "hologram", "beam": "AAAA"}]}]},
        ("user", "part"),
    ),
    "an unknown operation": ("/v1/novel", {"text": "hello there"}, ("user", "operation")),
}


@together("what", PROMPTS)
async def test_a_prompt_that_is_not_wholly_read_goes_nowhere_where_a_rule_says_so(what: str) -> None:
    path, more, (channel, reason) = PROMPTS[what]
    body = json.dumps({"model": "m", **more}).encode()
    script = answering(answer(b'{"object":"list","data":[]}', JSON))
    for policy, passes in ((LENIENT, True), (STRICT, False)):
        unread = Counts("assay_unread_total")
        async with serve(script) as server, World(server.port, rules=policy) as world:
            seen = await world.ask(path, body)
            assert bool(server.requests) is passes
        assert unread.added() == {(channel, reason): 1}
        assert (seen.status == 200) is passes
        if not passes:
            assert seen.error["code"] == "content_unjudged"
            assert reason in seen.error["message"]
            assert world.fate == ("blocked", "prompt_unjudged")


@pytest.mark.parametrize(
    "query", ["api-version=2026-01-01", "limit=20&order=asc&after=x_1", "name=My+Z%C3%BCrich+file"]
)
async def test_a_query_of_settings_is_no_text(query: str) -> None:
    unread = Counts("assay_unread_total")
    script = answering(answer(b'{"object":"list","data":[]}', JSON))
    async with serve(script) as server, World(server.port, rules=STRICT) as world:
        assert (await world.ask(f"/v1/embeddings?{query}", b'{"model":"m","input":"hi"}')).status == 200
    assert unread.added() == {}


HEAD: dict[bytes, tuple[bytes, bool]] = {
    b"openai-organization": (b"how to do this", False),
    b"x-stainless-lang": ("как это открыть".encode(), False),
    b"anthropic-beta": (b"context-1m-2025-08-07,files-api-2025-04-14", True),
    b"user-agent": (b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) like a browser", True),
    b"accept-language": (b"de, en;q=0.8, fr;q=0.5", True),
    b"x-title": (b"this one goes nowhere", True),
}


@pytest.mark.parametrize("name", HEAD)
async def test_a_text_in_a_header_that_goes_upstream_is_unread(name: bytes) -> None:
    value, is_none = HEAD[name]
    unread = Counts("assay_unread_total")
    async with serve(answering(answer(b"{}", JSON))) as server, World(server.port, rules=STRICT) as world:
        seen = await world.ask("/v1/embeddings", b'{"model":"m","input":"hi"}', headers=[(name, value)])
    assert (seen.status == 200) is is_none
    assert unread.added() == ({} if is_none else {("user", "field"): 1})


@pytest.mark.parametrize(
    "path", ["/v1/models/how%20to%20do%20this", "/v1/files/how-to-do-this-with-them", "/v1/models?q=how+to+do+it"]
)
async def test_a_text_in_the_path_or_query_of_what_has_no_body_is_unread(path: str) -> None:
    for policy, passes in ((STRICT, False), (LENIENT, True)):
        async with serve(answering(answer(b"{}", JSON))) as server, World(server.port, rules=policy) as world:
            assert ((await world.ask(path, method="GET")).status == 200) is passes
            assert bool(server.requests) is passes


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses/resp_1", "/v1/models", "/v1/models/m"])
async def test_a_body_where_none_belongs_is_unread(path: str) -> None:
    for body, policy, passes in ((b"", STRICT, True), (b'{"a":"b"}', STRICT, False), (b'{"a":"b"}', LENIENT, True)):
        async with serve(answering(answer(b'{"data":[]}', JSON))) as server, World(server.port, rules=policy) as world:
            assert ((await world.ask(path, body, method="GET")).status == 200) is passes


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"hi"}],"messages":[]}',
        b'{"model":"m","Messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"hi","Content":"grenade"}]}',
        '{"model":"m","me\u017fsages":[]}'.encode(),
    ],
)
async def test_a_body_that_servers_read_in_two_ways_is_refused(body: bytes) -> None:
    async with serve(answering(answer(b"{}", JSON))) as server, World(server.port, rules=LENIENT) as world:
        seen = await world.ask(CHAT.path, body)
        assert (seen.status, server.requests) == (400, [])
    assert world.fate == ("rejected", "bad_body")


# --- answers as clients read them


def typed(kind: bytes) -> tuple[bytes, ...]:
    return (b"content-type: " + kind,) if kind else ()


@together("kind", [b"text/event-stream", b"Text/Event-Stream", b"", b"text/plain", b"application/json"])
@together("name", SURFACES)
async def test_a_stream_is_one_whatever_it_is_called(name: str, kind: bytes) -> None:
    surface = SURFACES[name]
    script: Script = streaming(*surface.stream([Delta("my key AKI"), Delta("A42 here")]), lines=typed(kind))
    async with serve(script) as server, World(server.port, rules=CUTTING) as world:
        seen = await world.ask(surface.path, asked(surface, stream=True))
    assert b"A42" not in seen.body
    assert b"[REDACTED:word]" in seen.body
    assert world.fate == ("completed", "")


@pytest.mark.parametrize("mode", ["hold", "window"])
@pytest.mark.parametrize("where", ['"delta":{"thoughts":"%s"}', '"delta":{},"said":"%s"', '"delta":{"a":[{"b":"%s"}]}'])
async def test_a_field_that_nobody_knows_is_judged_piece_by_piece(where: str, mode: Streams) -> None:
    events = [('data: {"choices":[{"index":0,' + where % text + "}]}\n\n").encode() for text in ("a", " gre", "nade")]
    async with serve(streaming(*events)) as server, World(server.port, rules=LENIENT, streams=mode) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=True))
    assert b"nade" not in seen.body
    assert world.fate == ("blocked", "answer_blocked")


BESIDE = {
    b"event: said here": False,
    b"id: said here": False,
    b": as is said here now": False,
    b": the key is AKIAQ3EGRNV5.": False,
    b"retry: as is said here now": False,
    b": ping - 2026-11-29 09:48:12.123456+00:00": True,
    b": OPENROUTER PROCESSING": True,
    b"event: completion.chunk": True,
    b"id: chatcmpl-1": True,
    b"retry: 3000": True,
}


@together("beside", BESIDE)
@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_what_is_said_beside_the_data_of_an_event_is_unread(beside: bytes, mode: Streams) -> None:
    event = beside + b'\ndata: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    for policy, passes in ((LENIENT, True), (STRICT, BESIDE[beside])):
        async with serve(streaming(event)) as server, World(server.port, rules=policy, streams=mode) as world:
            seen = await world.ask(CHAT.path, asked(CHAT, stream=True))
        assert (beside in seen.body) is passes


@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_what_every_event_repeats_is_cut_from_each(mode: Streams) -> None:
    event = b'data: {"from":"AKIA42","choices":[{"index":0,"delta":{"content":"hi "}}]}\n\n'
    async with serve(streaming(*[event] * 5)) as server, World(server.port, rules=CUTTING, streams=mode) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=True))
    assert seen.body.count(b'"from":"[REDACTED:word]"') == 5
    assert seen.body.count(b"hi ") == 5


async def test_a_secret_in_a_key_is_cut_and_what_is_left_is_json() -> None:
    call = {"type": "tool_use", "id": "t", "name": "save", "input": {"my AKIA42 key": 1, "other": "good day"}}
    body = {"type": "message", "role": "assistant", "content": [call], "stop_reason": "tool_use"}
    script = answering(answer(json.dumps(body).encode(), JSON))
    async with serve(script) as server, World(server.port, rules=CUTTING) as world:
        seen = await world.ask(MESSAGES.path, asked(MESSAGES, stream=False))
    assert json.loads(seen.body)["content"][0]["input"] == {"my [REDACTED:word] key": 1, "other": "good day"}


ANSWERED = '{"choices":[{"index":0,"message":{"role":"assistant","content":"my key AKIA42"},"logprobs":%s}]}'


@pytest.mark.parametrize("whole", [b"\xef\xbb\xbf" + (ANSWERED % "null").encode(), (ANSWERED % "-Infinity").encode()])
async def test_a_body_is_json_as_clients_read_it(whole: bytes) -> None:
    async with serve(answering(answer(whole, JSON))) as server, World(server.port, rules=CUTTING) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=False))
    assert seen.body == whole.replace(b"AKIA42", b"[REDACTED:word]")


@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_events_parted_by_one_line_end_are_events(mode: Streams) -> None:
    stream = b"".join(CHAT.stream([Delta("my key AKI"), Delta("A42 here")])).replace(b"\n\n", b"\n")
    async with serve(streaming(stream)) as server, World(server.port, rules=CUTTING, streams=mode) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=True))
    assert b"A42" not in seen.body
    assert b"[REDACTED:word]" in seen.body


@pytest.mark.parametrize("mode", ["hold", "window"])
@pytest.mark.parametrize("finish", ['""', '"stop"'])
async def test_a_text_that_is_said_to_end_in_every_event_is_one_text(finish: str, mode: Streams) -> None:
    event = 'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\n\n'
    events = [(event % (text, finish)).encode() for text in ("a gre", "na", "de ")]
    async with serve(streaming(*events)) as server, World(server.port, rules=STRICT, streams=mode) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=True))
    assert b"de " not in seen.body or (finish == '"stop"' and mode == "window")
    assert world.fate[0] == "blocked"


@pytest.mark.parametrize("status", [b"400 Bad", b"500 Down"])
@pytest.mark.parametrize("body", [b'{"error":{"message":"no","failed_generation":"a grenade"}}', b"about a grenade"])
async def test_the_errors_of_an_upstream_are_judged(status: bytes, body: bytes) -> None:
    script = answering(answer(body, JSON, status=status))
    async with serve(script) as server, World(server.port, rules=LENIENT) as world:
        seen = await world.ask(CHAT.path, asked(CHAT, stream=False))
    assert b"a grenade" not in seen.body
    assert world.fate == ("blocked", "answer_blocked")


async def test_parts_of_one_message_are_one_text() -> None:
    parts = [{"type": "text", "text": text} for text in ("a gren", "ade")]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]}).encode()
    async with serve(answering(answer(b"{}", JSON))) as server, World(server.port, rules=LENIENT) as world:
        assert (await world.ask(CHAT.path, body)).status == 400
        assert server.requests == []


STORED = {
    "/v1/responses/resp_1": b'{"output":[{"type":"message","content":[{"type":"output_text","text":"%s"}]}]}',
    "/v1/responses/resp_1/input_items": b'{"data":[{"type":"message","content":[{"type":"input_text","text":"%s"}]}]}',
    "/v1/chat/completions/c1": b'{"id":"c1","choices":[{"index":0,"message":{"content":"%s"}}]}',
    "/v1/chat/completions/c1/messages": b'{"data":[{"role":"user","content":"%s"}]}',
    "/v1/conversations/conv_1/items": b'{"data":[{"type":"message","content":[{"text":"%s"}]}]}',
    "/v1/files/file_1/content": b'{"custom_id":"1","response":{"body":{"text":"%s"}}}',
}


@pytest.mark.parametrize("path", STORED)
async def test_what_a_server_kept_is_judged_when_it_is_fetched(path: str) -> None:
    for text, kept in ((b"look at my AKIA42 key", b"look at my [REDACTED:word] key"), (b"good day to you", None)):
        body = STORED[path] % text
        async with serve(answering(answer(body, JSON))) as server, World(server.port, rules=CUTTING) as world:
            seen = await world.ask(path, b"", method="GET")
        assert seen.body == (body if kept is None else STORED[path] % kept)


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/plain"])
@pytest.mark.parametrize("text", [b"good day to you all", b"look at my AKIA42 key"])
async def test_the_lines_of_a_file_are_judged_whatever_they_are_called(kind: str, text: bytes) -> None:
    """Such as the output of a batch: see also `test_uploads`."""
    lines = b'{"custom_id":"1","response":{"body":{"text":"fine words here"}}}\n{"custom_id":"2","text":"%s"}\n' % text
    async with (
        serve(answering(answer(lines, b"content-type: " + kind.encode()))) as server,
        World(server.port, rules=CUTTING) as world,
    ):
        seen = await world.ask("/v1/files/file_1/content", b"", method="GET")
    assert (seen.status, seen.body) == (200, lines.replace(b"AKIA42", b"[REDACTED:word]"))


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}])
@pytest.mark.parametrize(("policy", "status"), [(STRICT, 400), (LENIENT, 200)])
async def test_a_reference_to_an_item_that_the_server_keeps_is_unread(
    item: dict[str, str], policy: str, status: int
) -> None:
    unread = Counts("assay_unread_total")
    body = json.dumps({"model": "m", "input": [item, {"role": "user", "content": "go on"}]}).encode()
    reply = answer(RESPONSES.whole([Delta("Good day.")]), JSON)
    async with serve(answering(reply)) as server, World(server.port, rules=policy) as world:
        assert (await world.ask(RESPONSES.path, body)).status == status
    assert unread.added() == {("user", "part"): 1}


async def test_items_of_a_conversation_are_judged_when_they_are_sent() -> None:
    body = json.dumps({"items": [{"type": "message", "role": "user", "content": "a grenade"}]}).encode()
    async with serve(answering(answer(b"{}", JSON))) as server, World(server.port, rules=LENIENT) as world:
        for path in ("/v1/conversations", "/v1/conversations/conv_1/items"):
            assert (await world.ask(path, body)).status == 400
        assert server.requests == []


# --- text inside text


@pytest.mark.parametrize("mode", ["hold", "window"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["chat", "responses"])
@together(
    "arguments",
    [
        {"content": "first\nAKIA42\n", "n": 1.50},
        {"body": json.dumps({"api": "AKIA42\t", "list": [1, "\u00e9"]})},
        {"a": json.dumps({"b": json.dumps({"c": 'say "AKIA42"'})})},
    ],
)
async def test_arguments_are_cut_as_they_are_meant_and_stay_json(
    arguments: dict[str, Any], name: str, stream: bool, mode: Streams
) -> None:
    surface, text = SURFACES[name], json.dumps(arguments)
    deltas = [Delta(text[i : i + 5], "arguments") for i in range(0, len(text), 5)]
    script = streaming(*surface.stream(deltas)) if stream else answering(answer(surface.whole(deltas), JSON))
    async with serve(script) as server, World(server.port, rules=CUTTING, streams=mode) as world:
        seen = await world.ask(surface.path, asked(surface, stream=stream))
    if stream:
        out = surface.said(seen.body)[0, "arguments"]
    else:
        value = json.loads(seen.body)
        chat = name == "chat"
        item = value["choices"][0]["message"]["tool_calls"][0]["function"] if chat else value["output"][0]
        out = item["arguments"]
    assert out == text.replace("AKIA42", "[REDACTED:word]")
    json.loads(out)


@pytest.mark.parametrize("stream", [False, True])
async def test_half_a_surrogate_pair_is_never_an_error(stream: bool) -> None:
    whole = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a \\ud83d AKIA42 \\ude00"}}]}'
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a \\ud83d AKIA42 \\ude00"}}]}\n\ndata: [DONE]\n\n'
    script = streaming(chunk) if stream else answering(answer(whole, JSON))
    body = CHAT.request(stream=stream, messages=[{"role": "user", "content": "half a \ud83d pair"}])
    async with serve(script) as server, World(server.port, rules=CUTTING) as world:
        seen = await world.ask(CHAT.path, body)
    assert seen.status == 200
    assert b"AKIA42" not in seen.body
    assert b"\\ud83d" in seen.body


async def test_the_error_of_a_stream_that_breaks_off_has_the_next_number() -> None:
    event = b'data: {"type":"response.in_progress","sequence_number":41}\n\n'
    async with serve(streaming(event, cut=True)) as server, World(server.port) as world:
        seen = await world.ask(RESPONSES.path, asked(RESPONSES, stream=True))
    assert b'"sequence_number":42' in seen.body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_message_with_an_image_ends_as_a_refusal_where_nothing_unread_may_pass(stream: bool) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    body = MESSAGES.request(stream=stream, messages=[{"role": "user", "content": [image]}])
    async with serve(answering(answer(b"{}", JSON))) as server, World(server.port, rules=STRICT) as world:
        seen = await world.ask(MESSAGES.path, body)
        assert server.requests == []
    assert seen.status == 200
    assert text_and_end(MESSAGES.operation, seen.body, stream=stream) == ("", "refusal")
    assert world.fate == ("blocked", "prompt_unjudged")


async def test_identifiers_are_not_judged_and_texts_beside_them_are() -> None:
    told = {"id": "file-grenade9grenade", "sha256": "ab" * 32, "name": "AKIA42 and more words"}
    async with serve(answering(answer(json.dumps(told).encode(), JSON))) as server:
        async with World(server.port, rules=CUTTING) as world:
            seen = json.loads((await world.ask("/v1/novel/1", b"", method="GET")).body)
        assert seen == told | {"name": "[REDACTED:word] and more words"}
    async with (
        serve(answering(answer(json.dumps({"id": told["id"]}).encode(), JSON))) as server,
        World(server.port, rules=STRICT) as world,
    ):
        assert (await world.ask("/v1/novel/1", b"", method="GET")).status == 200
