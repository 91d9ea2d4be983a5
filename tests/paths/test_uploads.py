"""Uploads are judged line by line before they go on; one line that a rule stops keeps all of it back."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from itertools import chain, repeat
from typing import Any

import brotli
import pytest
from backports import zstd

from gateway.exchange import Principal
from gateway.openai_api.uploads import read_upload
from tests.support.fakes import Counts, JudgingHere, Seen, World, rules
from tests.support.running.together import together
from tests.support.servers.scripted_server import JSON, Peer, Script, always, answer, serve

BLOCK = rules("id: r, when: {subcategory: violence, on: prompt}, then: block, on_error: allow")
STRICT = rules("id: r, when: {subcategory: violence, on: prompt}, then: block, on_error: block")
CUT = rules("id: r, when: {subcategory: privacy_violation, on: prompt}, then: redact, on_error: allow")
FILED = answer(b'{"id":"file-1","object":"file"}', JSON)
BOUNDARY = "x1x2x3"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
KEYS = [("sk-one", Principal("one")), ("sk-two", Principal("two"))]


def form(content: bytes, *, kind: str = "application/jsonl", fields: Mapping[str, str] | None = None) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (fields or {"purpose": "batch"}).items()
    ]
    head = f'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\nContent-Type: {kind}'
    file = f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return b"".join(parts) + file


def line(number: int, text: str, url: str = "/v1/chat/completions") -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": text}]},
        "/v1/responses": {"model": "m", "input": [{"type": "message", "role": "user", "content": text}]},
        "/v1/embeddings": {"model": "m", "input": [text]},
        "/v1/completions": {"model": "m", "prompt": text},
    }
    return {"custom_id": f"r{number}", "method": "POST", "url": url, "body": bodies[url]}


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


async def upload(world: World, body: bytes, *, path: str = "/v1/files", kind: str = FORM) -> Seen:
    headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
    return await world.ask(path, [body[at : at + 700] for at in range(0, len(body), 700)], headers=headers)


async def judged(content: bytes, policy: str = BLOCK, **more: Any) -> tuple[Seen, bool, dict[tuple[str, ...], float]]:
    """What the client saw, whether the upstream saw the very same, and what was unread."""
    unread = Counts("assay_unread_total")
    body = form(content, **more)
    async with serve(always(FILED)) as server, World(server.port, rules=policy) as world:
        seen = await upload(world, body)
        passed = [request.body for request in server.requests] == [body]
        assert passed or not server.requests
    return seen, passed, unread.added()


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions"])
async def test_a_line_of_a_batch_that_a_rule_blocks_is_named_and_nothing_goes_on(url: str) -> None:
    texts = ["good day"] * 40 + ["a grenade"] + ["good day"] * 3
    seen, passed, _ = await judged(lines(*[line(n, text, url) for n, text in enumerate(texts)]))
    assert (seen.status, passed) == (400, False)
    assert seen.error["code"] == "content_filter"
    assert seen.error["message"].startswith("line 41 of the upload was blocked by rule 'r'")
    assert "grenade" not in seen.error["message"]


async def test_what_may_pass_passes_as_it_came() -> None:
    seen, passed, unread = await judged(lines(line(1, "good day"), line(2, "and a fine evening")), STRICT)
    assert (seen.status, passed, unread) == (200, True, {})


TEXTS = {
    "plain text": b"first line\nsecond line\nthen a grenade\n",
    "escapes in JSON": b'{"messages":[{"role":"user","content":"a \\u0067renade"}]}',
    "a document of JSON": json.dumps({"a": [{"deep": "this is about a grenade"}]}, indent=1).encode(),
    "JSON in JSON": lines({"body": json.dumps({"text": "this is \"a grenade\" here"})}),
    "CR LF": b"first line\r\nthen a grenade\r\n",
    "no line end": b"a grenade",
    "a byte order mark": b"\xef\xbb\xbf" + lines(line(1, "a grenade")),
    "an example to train on": lines({"messages": [{"role": "assistant", "content": "here is a grenade"}]}),
    "a list": b'["what is a grenade"]\n',
    "a broken line": lines(line(1, "good day")) + b'{"custom_id": "what is a grenade\n',
    "a line nested too deeply": lines(line(1, "good day")) + b"[" * 9000 + b'"a grenade"' + b"]" * 9000,
}  # fmt: skip


@pytest.mark.parametrize("what", TEXTS)
async def test_text_is_judged_however_it_is_written(what: str) -> None:
    seen, passed, _ = await judged(TEXTS[what])
    assert (seen.status, passed) == (400, False)
    assert seen.error["code"] == "content_filter"


async def test_the_fields_of_a_form_are_judged() -> None:
    seen, passed, _ = await judged(b"good day", fields={"prompt": "draw a grenade on a table"})
    assert (seen.status, passed) == (400, False)
    assert seen.error["message"].startswith("the upload was blocked")


UNREAD = {
    "bytes": (b"\x00\x01\x02 not text", "application/octet-stream", "file"),
    "broken UTF-8": (b"text \xff text", "text/plain", "file"),
    "an image": (b"\x89PNG\x00", "image/png", "image"),
    "a sound": (b"RIFF\x00", "audio/wav", "audio"),
    "an unknown field of a request": (
        lines(line(1, "hi") | {"body": {"model": "m", "messages": [], "novel": "it says this"}}),
        "application/jsonl",
        "field",
    ),
    "an unknown operation": (
        lines({"custom_id": "1", "url": "/v1/novel", "body": {"a": "it says this to all"}}),
        "application/jsonl",
        "operation",
    ),
}


@pytest.mark.parametrize("what", UNREAD)
async def test_what_cannot_be_read_is_unread_and_on_error_decides(what: str) -> None:
    content, kind, reason = UNREAD[what]
    for policy, passes in ((BLOCK, True), (STRICT, False)):
        seen, passed, unread = await judged(content, policy, kind=kind)
        assert (passed, unread) == (passes, {("user", reason): 1})
        assert passes or (seen.error["code"] == "content_unjudged" and reason in seen.error["message"])


AMBIGUOUS = {
    "a key that is there twice": form(b'{"url":"/v1/completions","body":{"prompt":"hi","prompt":"ho"}}\n'),
    "a line end without CR": form(b"good day\n--x1x2x3\nmore"),
    "something before it": b"preamble\r\n" + form(b"good day"),
    "something after it": form(b"good day") + b"a grenade",
    "no end": form(b"good day").removesuffix(b"--x1x2x3--\r\n"),
    "two names": form(b"good day").replace(b'name="file"', b'name="file"; name="other"'),
    "no name": form(b"good day").replace(b'name="file"; ', b""),
    "base64": form(b"Z29vZA==").replace(b"Content-Type:", b"Content-Transfer-Encoding: base64\r\nContent-Type:"),
    "a field twice": form(b"good day").replace(b"Content-Type:", b"Content-Type: a/b\r\nContent-Type:"),
    "a boundary that goes on": form(b"good day\r\n--x1x2x3x\r\nmore"),
}


@pytest.mark.parametrize("what", AMBIGUOUS)
async def test_a_form_that_servers_read_in_two_ways_is_refused(what: str) -> None:
    async with serve(always(FILED)) as server, World(server.port, rules=BLOCK) as world:
        seen = await upload(world, AMBIGUOUS[what])
        assert (seen.status, seen.error["code"], server.requests) == (400, "invalid_body", [])


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=a; boundary=b"])
async def test_a_form_without_one_boundary_is_refused(kind: str) -> None:
    async with serve(always(FILED)) as server, World(server.port, rules=BLOCK) as world:
        assert (await upload(world, form(b"good day"), kind=kind)).status == 400
        assert server.requests == []


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": _raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@together("encoding", PACKED)
@pytest.mark.parametrize("text", ["good day", "a grenade"])
async def test_an_upload_in_a_content_encoding_is_unpacked_to_be_judged(encoding: str, text: str) -> None:
    body = PACKED[encoding](form(lines(line(1, text))))
    seen, passed, unread = await packed(body, encoding)
    assert (seen.status, passed, unread) == ((200, True, {}) if text == "good day" else (400, False, {}))


@pytest.mark.parametrize("encoding", ["lz4", "gzip, br", "br"])
async def test_an_upload_that_cannot_be_unpacked_is_unread(encoding: str) -> None:
    body = gzip.compress(form(lines(line(1, "good day"))))
    seen, passed, unread = await packed(body, encoding)
    assert (seen.status, passed, unread) == (400, False, {("user", "encoding"): 1})
    seen, passed, _ = await packed(gzip.compress(form(b"good day " * 500_000)), "gzip")
    assert (seen.status, passed) == (400, False)


async def packed(body: bytes, encoding: str) -> tuple[Seen, bool, dict[tuple[str, ...], float]]:
    """What the client saw, whether the very same went on, and what was unread."""
    kind = f"multipart/form-data; boundary={BOUNDARY}".encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"content-encoding", encoding.encode()),
    ]
    unread = Counts("assay_unread_total")
    async with serve(always(FILED)) as server, World(server.port, rules=STRICT) as world:
        seen = await world.ask("/v1/files", body, headers=headers)
        return seen, [request.body for request in server.requests] == [body], unread.added()


async def test_nothing_can_be_cut_out_of_an_upload() -> None:
    seen, passed, _ = await judged(lines(line(1, "hi"), line(2, "my AKIA42 key")), CUT)
    assert (seen.status, passed) == (400, False)
    assert "line 2 " in seen.error["message"]


async def test_of_a_large_upload_the_beginning_is_judged_and_the_rest_is_unread() -> None:
    """The bound of this gateway is 10,000 bytes."""
    many = [line(number, "good day") for number in range(500)]
    for first, policy, status in (("hi", BLOCK, 200), ("a grenade", BLOCK, 400), ("hi", STRICT, 400)):
        seen, passed, unread = await judged(lines(line(0, first), *many), policy)
        assert (seen.status, passed) == (status, status == 200)
        assert unread[("user", "too_long")] == 1


async def test_detectors_that_do_not_answer_leave_it_to_on_error() -> None:
    for policy, status in ((BLOCK, 200), (STRICT, 400)):
        judge = JudgingHere()
        judge.error = "worker_died"
        async with serve(always(FILED)) as server, World(server.port, rules=policy, judge=judge) as world:
            assert (await upload(world, form(lines(line(1, "a grenade"))))).status == status


async def test_judging_an_upload_is_urgent_and_nobody_is_asked_about_one_that_says_nothing() -> None:
    async with serve(always(FILED)) as server, World(server.port, rules=BLOCK) as world:
        for content, asked in ((lines({}, {}, {}), 0), (lines(line(1, "good day")), 1)):
            assert (await upload(world, form(content))).status == 200
            assert [request.urgent for request in world.judge.requests] == [True] * asked


async def test_a_policy_that_only_records_passes_all_as_it_comes() -> None:
    seen, passed, unread = await judged(
        b"a grenade" * 9000,
        rules("id: r, when: {subcategory: violence}, then: flag"),
    )
    assert (seen.status, passed, unread) == (200, True, {})


PIECES = "/v1/uploads/upload_1"
WHOLE = lines(line(1, "good day"), line(2, "schöner Tag"), line(3, "all about a grenade and more"))


class Sent:
    """An upload in pieces, which a server numbers."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def piece(self, content: bytes, **more: Any) -> int:
        return (await upload(self._world, form(content, **more), path=f"{PIECES}/parts")).status

    async def complete(self, *ids: str, path: str = f"{PIECES}/complete") -> Seen:
        return await self._world.ask(path, json.dumps({"part_ids": ids}).encode())

    async def batch(self) -> Seen:
        return await self._world.ask("/v1/batches", b'{"input_file_id":"file-1"}')


def numbering(pieces: int) -> Script:
    """Answers with the ids of pieces, then with the file, then with a batch."""
    made = [answer(b'{"id":"part_%d","object":"upload.part"}' % n, JSON) for n in range(pieces)]
    done = answer(b'{"id":"upload_1","object":"upload","file":{"id":"file-1","object":"file"}}', JSON)
    answers = chain(made, [done], repeat(answer(b'{"id":"batch_1"}', JSON)))

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(next(answers))

    return script


@pytest.mark.parametrize("size", [1, 40, 130, 1000])
async def test_a_file_in_pieces_is_judged_where_they_meet(size: int) -> None:
    """Wherever they are cut, in the middle of a character too; `size` 1 cuts at the first sixty bytes only."""
    for content, passes in ((WHOLE[: WHOLE.index(b'{"custom_id": "r3"')], True), (WHOLE, False)):
        cuts = range(0, min(len(content), 60) if size == 1 else len(content), size)
        parts = [content[at : at + size] for at in cuts][:-1]
        parts.append(content[sum(map(len, parts)) :])
        async with serve(numbering(len(parts))) as server, World(server.port, rules=STRICT) as world:
            sent = Sent(world)
            statuses = [await sent.piece(part) for part in parts]
            if 400 in statuses:  # enough of it stands in one piece
                assert not passes
                continue
            done = await sent.complete(*[f"part_{n}" for n in range(len(parts))])
            assert (done.status == 200) is passes
            if passes:
                assert (await sent.batch()).status == 200
            else:
                assert done.error["code"] == "content_filter"


async def test_pieces_are_judged_in_the_order_that_they_are_put_together_in() -> None:
    halves = b"good day\nall about a gre", b"nade and more\n"
    for order, passes in (((0, 1), False), ((1, 0), True)):
        async with serve(numbering(2)) as server, World(server.port, rules=STRICT) as world:
            sent = Sent(world)
            assert [await sent.piece(half) for half in halves] == [200, 200]
            assert ((await sent.complete(*[f"part_{n}" for n in order])).status == 200) is passes
            told = [line["action"] for kind, line in world.journal.lines if kind == "decision"]
            assert told == ([] if passes else ["block"]), "a block where pieces meet is recorded as any other"


async def test_a_piece_that_nobody_judged_leaves_the_file_unread() -> None:
    path = f"{PIECES}/complete"
    for policy, passes in ((BLOCK, True), (STRICT, False)):
        unread = Counts("assay_unread_total")
        async with serve(numbering(1)) as server, World(server.port, rules=policy) as world:
            sent = Sent(world)
            assert await sent.piece(b"good day") == 200
            seen = await sent.complete("part_0", "part_7")
            assert (seen.status == 200) is passes
            assert passes or seen.error["code"] == "content_unjudged"
            plain = await upload(world, b'{"part_ids":["part_0"]}', path=path, kind="text/plain")
            assert (plain.status == 200) is passes
            assert (await sent.complete("part_0", path="/v1/uploads/u/%63omplete")).status == 200
        assert unread.added() == {("user", "file"): 2}


def test_a_line_that_is_too_long_at_the_end_of_a_piece_is_unread() -> None:
    for length, unread in ((65_536, []), (65_537, [("user", "file")])):
        for content in (b"good day\n" + b"x" * length, b"x" * length + b"\ngood day", b"x" * length):
            assert read_upload(form(content), FORM, whole=True, is_piece=True).unread == unread


async def test_pieces_belong_to_the_key_that_sent_them() -> None:
    async with serve(numbering(1)) as server, World(server.port, rules=BLOCK, keys=KEYS) as world:
        headers = [
            (b"authorization", b"Bearer sk-one"),
            (b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode()),
        ]
        body = form(b"good day")
        sent = await world.ask(f"{PIECES}/parts", body, headers=[*headers, (b"content-length", b"%d" % len(body))])
        assert sent.status == 200
        other = [(b"authorization", b"Bearer sk-two")]
        assert (await world.ask(f"{PIECES}/complete", b'{"part_ids":["part_0"]}', headers=other)).status == 404
        assert (await world.ask(f"{PIECES}/complete", b'{"part_ids":["part_0"]}', headers=headers[:1])).status == 200


# --- what is done with files


async def test_a_batch_runs_where_its_file_was_judged_by_this_policy() -> None:
    batch = json.dumps({"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h"}).encode()
    async with serve(always(FILED)) as server, World(server.port, rules=STRICT) as world:
        refused = await world.ask("/v1/batches", batch)
        assert (refused.status, refused.error["code"]) == (400, "content_unjudged")
        assert (await upload(world, form(lines(line(1, "good day"))))).status == 200
        assert (await world.ask("/v1/batches", batch)).status == 200
    async with serve(always(FILED)) as server, World(server.port, rules=BLOCK) as world:
        unread = Counts("assay_unread_total")
        assert (await world.ask("/v1/batches", batch)).status == 200
        assert unread.added() == {("user", "file"): 1}


async def test_a_file_that_was_not_wholly_read_is_not_judged() -> None:
    batch = json.dumps({"input_file_id": "file-1"}).encode()
    async with serve(always(FILED)) as server, World(server.port, rules=BLOCK) as world:
        assert (await upload(world, form(b"\x00", kind="image/png"))).status == 200
        unread = Counts("assay_unread_total")
        assert (await world.ask("/v1/batches", batch)).status == 200
        assert unread.added() == {("user", "file"): 1}


async def test_files_belong_to_the_key_that_sent_them() -> None:
    async with serve(always(FILED)) as server, World(server.port, rules=BLOCK, keys=KEYS) as world:
        body = form(b"good day")
        kind = f"multipart/form-data; boundary={BOUNDARY}".encode()
        for key, path, content, status in (
            (b"sk-one", "/v1/files", body, 200),
            (b"sk-two", "/v1/files/file-1/content", b"", 404),
            (b"sk-two", "/v1/batches", b'{"input_file_id":"file-1"}', 404),
            (b"sk-one", "/v1/batches", b'{"input_file_id":"file-1"}', 200),
        ):
            headers = [(b"authorization", b"Bearer " + key)]
            if content is body:
                headers += [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
            seen = await world.ask(path, content, method="POST" if content else "GET", headers=headers)
            assert seen.status == status, path


BATCH = b'{"id":"batch_1","status":"completed","output_file_id":"out_1","error_file_id":"err_1"}'
FINISHED = b'{"id":"up_1","object":"upload","status":"completed","file":{"id":"out_1","object":"file"}}'


@pytest.mark.parametrize(
    ("reply", "method", "path"),
    [
        (BATCH, "POST", "/v1/batches"),
        (BATCH, "GET", "/v1/batches/batch_1"),
        (BATCH, "POST", "/v1/batches/batch_1/cancel"),
        (FINISHED, "POST", "/v1/uploads/up_1/complete"),
        (b'{"id":"out_1"}', "POST", "/v1/messages/batches"),
        (b'{"id":"out_1"}', "POST", "/v1/uploads"),
    ],
)
async def test_what_a_batch_gave_belongs_to_the_key_that_asked_for_it(reply: bytes, method: str, path: str) -> None:
    async with serve(always(answer(reply, JSON))) as server, World(server.port, rules=BLOCK, keys=KEYS) as world:

        async def ask(key: bytes, path: str, method: str = "GET", content: bytes = b"") -> int:
            seen = await world.ask(path, content, method=method, headers=[(b"authorization", b"Bearer " + key)])
            return seen.status

        assert await ask(b"sk-two", "/v1/files/out_1/content") == 200  # nobody knows of it yet
        assert await ask(b"sk-one", path, method, b"{}" if method == "POST" else b"") == 200
        assert await ask(b"sk-two", "/v1/files/out_1/content") == 404
        assert await ask(b"sk-one", "/v1/files/out_1/content") == 200


SECRET_LINES = {
    "a choice": (
        {"choices": [{"index": 0, "message": {"content": "mail AKIA42 now"}}]},
        "mail [REDACTED:word] now",
    ),
    "JSON in a string": ({"arguments": '{"to": "AKIA42"}'}, '{\\"to\\": \\"[REDACTED:word]\\"}'),
    "a key": ({"told by AKIA42": 1}, "told by [REDACTED:word]"),
}


@pytest.mark.parametrize("what", SECRET_LINES)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
async def test_a_finding_in_a_file_of_lines_is_cut_out_and_all_else_stays(what: str, end: str) -> None:
    value, cut = SECRET_LINES[what]
    around = ['{"custom_id": "r0",  "n": 1.50, "said": "Good day to you."}', '{"custom_id": "r2"}']
    written = [around[0], json.dumps({"custom_id": "r1", "response": value}), around[1]]
    reply = answer(end.join([*written, ""]).encode(), b"content-type: application/octet-stream")
    policy = rules("id: r, when: {subcategory: privacy_violation, on: response}, then: redact, on_error: block")
    async with serve(always(reply)) as server, World(server.port, rules=policy) as world:
        seen = await world.ask("/v1/files/file-1/content", method="GET")
    assert seen.status == 200
    left = seen.body.decode().split(end)
    assert [left[0], *left[2:]] == [around[0], around[1], ""]
    assert cut in left[1]
    assert json.loads(left[1])["custom_id"] == "r1"
    assert "AKIA42" not in seen.body.decode()


OPENAI_LINE = {"id": "l1", "custom_id": "r1", "response": {"body": {"content": "all about a grenade"}}, "error": None}
OTHERS_LINE = {"custom_id": "r1", "result": {"type": "succeeded", "message": {"content": "all about a grenade"}}}
SAID_IN_NAMES = {"id": "l1", "custom_id": "say all about a grenade", "response": {"body": {"content": "Fine."}}}
BATCH_LINES = {
    "OpenAI's": (OPENAI_LINE, {"id": "l1", "custom_id": "r1", "response": None}),
    "Anthropic's": (OTHERS_LINE, {"custom_id": "r1"}),
    "in its name": (SAID_IN_NAMES, {"id": "l1", "response": None}),
    "no batch's": ({"n": 1, "text": "all about a grenade"}, {}),
}


@pytest.mark.parametrize("what", BATCH_LINES)
@pytest.mark.parametrize("then", ["then: block", "then: replace, message: No."])
async def test_a_line_of_a_file_that_a_rule_stops_is_kept_back_alone(what: str, then: str) -> None:
    value, told = BATCH_LINES[what]
    around = [
        b'{"custom_id": "r0",  "response": {"said": "Good day."}}\r\n',
        b'{"custom_id": "r2", "said": "mail AKIA42 now"}',
    ]
    reply = answer(around[0] + json.dumps(value).encode() + b"\n\n" + around[1], b"content-type: text/plain")
    cut = "id: s, when: {subcategory: privacy_violation, on: response}, then: redact"
    policy = rules(f"id: r, when: {{subcategory: violence, on: response}}, {then}", cut)
    async with serve(always(reply)) as server, World(server.port, rules=policy) as world:
        seen = await world.ask("/v1/files/file-1/content", method="GET")
    assert seen.status == 200
    assert seen.body.startswith(around[0])
    assert seen.body.endswith(b"\n\n" + around[1].replace(b"AKIA42", b"[REDACTED:word]"))
    left = json.loads(seen.body.splitlines()[1])
    assert b"grenade" not in seen.body
    error = left.pop("error", None) or left.pop("result")["error"]["error"]
    assert (error["code"], left) == ("content_filter", told)


async def test_of_lines_of_which_one_is_unread_none_leaves_where_a_rule_says_so() -> None:
    reply = answer(b'{"a":"Good day."}\n{"a":"Good day.","a":"Good night."}\n', b"content-type: text/plain")
    policy = rules("id: r, when: {subcategory: violence, on: response}, then: block, on_error: block")
    async with serve(always(reply)) as server, World(server.port, rules=policy) as world:
        assert (await world.ask("/v1/files/file-1/content", method="GET")).status == 400


async def test_what_begins_and_ends_an_upload_is_known() -> None:
    unread = Counts("assay_unread_total")
    begun = {"filename": "a.jsonl", "bytes": 9, "mime_type": "application/jsonl", "purpose": "batch"}
    async with serve(always(FILED)) as server, World(server.port, rules=STRICT) as world:
        for path, content in (("", begun), ("/up_1/cancel", {})):
            assert (await world.ask(f"/v1/uploads{path}", json.dumps(content).encode())).status == 200, path
        assert unread.added() == {}
        harmful = begun | {"filename": "all about a grenade.jsonl"}
        assert (await world.ask("/v1/uploads", json.dumps(harmful).encode())).status == 400


@pytest.mark.parametrize("policy", [BLOCK, STRICT])
async def test_the_requests_of_a_batch_of_messages_are_judged(policy: str) -> None:
    async def asked(text: str) -> Seen:
        params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        body = json.dumps({"requests": [{"custom_id": "a", "params": params}]}).encode()
        async with serve(always(FILED)) as server, World(server.port, rules=policy) as world:
            return await world.ask("/v1/messages/batches", body)

    assert (await asked("good day")).status == 200
    assert (await asked("a grenade")).status == 400


async def test_a_search_in_a_vector_store_is_judged() -> None:
    async with serve(always(answer(b'{"data":[]}', JSON))) as server, World(server.port, rules=STRICT) as world:
        for query, status in (("good day", 200), ("a grenade", 400)):
            body = json.dumps({"query": query, "max_num_results": 3}).encode()
            assert (await world.ask("/v1/vector_stores/vs_1/search", body)).status == status
        assert (await world.ask("/v1/vector_stores", b'{"name":"n","file_ids":["file-9"]}')).status == 400
