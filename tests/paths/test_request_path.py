"""The request path in whole sentences: a client without sockets, every real stage, a model server on the loopback."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
from backports import zstd
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from gateway.config.prices import PriceConfig
from gateway.errors import REASONS
from gateway.exchange import Exchange, Outcome, Principal, Route, Streams, Usage
from gateway.openai_api.sse import Decoder
from gateway.serving.bodies import BodyBounds
from gateway.upstream.transport import Limits
from tests.support.fakes import (
    DONE,
    ENFORCE,
    OBSERVE,
    STRICT,
    Counts,
    JudgingHere,
    Message,
    World,
    chat,
    chunk,
    completion,
    upstream,
)
from tests.support.running.examples import examples
from tests.support.running.patience import PATIENCE_SECONDS, until
from tests.support.running.together import together
from tests.support.servers.scripted_server import (
    EVENTS,
    JSON,
    Peer,
    Script,
    Waits,
    always,
    answer,
    answering,
    hang,
    in_turn,
    serve,
    streaming,
)

HELLO = answer(completion("Good day."), JSON)
BY_CLOSE = b"HTTP/1.1 200 OK\r\n"


# --- it works


async def test_an_exchange_is_admitted_routed_forwarded_recorded_and_sampled() -> None:
    requests = Counts("assay_requests_total")
    async with serve(answering(HELLO)) as server, World(server.port) as world:
        body = b'{ "model":"m", "messages":[{"role":"user","content":"hi"}] }'
        seen = await world.ask(body=body, headers=[(b"content-type", b"application/json"), (b"cookie", b"c")])
        assert seen.status == 200
        assert seen.body == completion("Good day.")
        assert seen.ended
        (request,) = server.requests
        assert (request.method, request.target, request.body) == (b"POST", b"/v1/chat/completions", body)
        assert request.get(b"authorization") == [b"Bearer sk-upstream"]
        assert request.get(b"cookie") == []
        assert world.fate == ("completed", "")
        assert requests.added() == {("chat", "completed", "default", "2xx"): 1}
        (taken,) = await world.queue.take(9, 0)
        assert taken.sample.prompt == body
        assert taken.sample.answer == completion("Good day.")
        assert taken.sample.probability == 1.0


async def test_every_answer_says_which_request_it_answers_and_what_was_decided() -> None:
    async with serve(answering(HELLO, HELLO)) as server, World(server.port) as world:
        first = await world.ask(body=chat("hi"))
        second = await world.ask(body=chat("hi"))
    assert first.headers[b"x-request-id"] == b"req_t0000000080000000"
    assert second.headers[b"x-request-id"] == b"req_t0000000180000000"
    assert first.headers[b"x-assay-decision"] == b"allow"
    assert len(first.headers[b"x-assay-policy"]) == 12
    assert first.headers[b"x-assay-guard-ms"] == b"0"


async def test_a_model_that_the_upstream_knows_by_another_name_is_renamed_and_nothing_else() -> None:
    async with serve(answering(HELLO, HELLO)) as server:
        renamed = Route("fast", (upstream(server.port),), 0.0, model="vendor/m-8b")
        async with World(routes=[(("*",), renamed)]) as world:
            await world.ask(body=b'{"seed": 1e3,"model":"m","messages":[]}')
            await world.ask(body=b'{"messages":[]}')  # names no model: there is nothing to rename
        assert json.loads(server.requests[0].body)["model"] == "vendor/m-8b"
        assert b"1e3" in server.requests[0].body
        assert server.requests[1].body == b'{"messages":[]}'
        assert [closed.outcome for closed in world.notebook.closed_ones] == ["completed"] * 2


async def test_what_is_not_ours_to_read_goes_through_as_it_comes() -> None:
    pieces = [b"a" * 20_000, b"b" * 20_000]  # twice what a body that is read may have
    async with serve(answering(answer(b"{}"))) as server, World(server.port) as world:
        headers = [(b"content-type", b"multipart/form-data"), (b"content-length", b"40000")]
        seen = await world.ask("/v1/files?purpose=x", pieces, headers=headers)
        assert seen.status == 200
        assert server.requests[0].target == b"/v1/files?purpose=x"
        assert server.requests[0].body == b"".join(pieces)
        assert world.fate == ("completed", "")


async def test_an_upload_whose_length_nobody_knows_goes_through_in_chunks() -> None:
    async with serve(answering(answer(b"{}"))) as server, World(server.port) as world:
        await world.ask("/v1/files", [b"a" * 9, b"", b"b"], headers=[(b"transfer-encoding", b"chunked")])
        assert server.requests[0].body == b"a" * 9 + b"b"
        assert server.requests[0].get(b"transfer-encoding") == [b"chunked"]


async def test_an_upstreams_error_passes_as_it_is_and_counts_as_the_upstreams() -> None:
    errors = Counts("assay_errors_total")
    page = answer(b"<html>down</html>", b"content-type: text/html", status=b"500 Internal Server Error")
    async with serve(answering(page)) as server, World(server.port) as world:
        seen = await world.ask(body=chat("hi"))
    assert (seen.status, seen.body) == (500, b"<html>down</html>")
    assert seen.headers[b"content-type"] == b"text/html"
    assert world.fate == ("upstream_failed", "status")
    assert errors.added() == {("status", "upstream"): 1}


async def test_an_upstreams_refusal_is_a_completed_exchange() -> None:
    async with serve(answering(answer(b"{}", status=b"404 Not Found"))) as server, World(server.port) as world:
        assert (await world.ask(body=chat("hi"))).status == 404
    assert world.fate == ("completed", "")


# --- it refuses


CHAT = "/v1/chat/completions"
KEYED: dict[str, Any] = {"keys": [("sk-right-key", Principal("app", frozenset({"other"})))]}
RIGHT = [(b"authorization", b"Bearer sk-right-key")]
REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "no_key": (KEYED, {"body": chat("hi")}, 401),
    "wrong_key": (KEYED, {"body": chat("hi"), "headers": [(b"api-key", b"sk-wrong")]}, 401),
    "route_forbidden": (KEYED, {"body": chat("hi"), "headers": RIGHT}, 403),
    "foreign_origin": ({}, {"body": chat("hi"), "headers": [(b"origin", b"https://evil.example")]}, 403),
    "not_local": ({}, {"body": chat("hi"), "headers": [(b"host", b"evil.example")]}, 403),
    "bad_header": ({}, {"body": chat("hi"), "headers": [(b"host", b"localhost"), (b"host", b"evil.example")]}, 400),
    "bad_body": ({}, {"body": b'{"model": "m", '}, 400),
    "body_too_large": ({}, {"body": [b"x" * 9_999, b"xx"]}, 413),
    "body_timeout": (
        {"bounds": BodyBounds(each=10, all=100_000, seconds=0.02), "in_flight": 1},
        {"body": b"{", "unended": True},
        408,
    ),
    "bad_encoding": ({}, {"body": b"\x1f\x8b", "headers": [(b"content-encoding", b"gzip")]}, 415),
    "unknown_model": (
        {"routes": [(("other",), Route("other", (upstream(9),), 1.0))]},
        {"body": chat("hi")},
        404,
    ),
    "not_found": ({}, {"path": "/v1/../admin"}, 404),
    "method_not_allowed": ({}, {"method": "BREW"}, 405),
}


@together("reason", REFUSALS)
async def test_a_refusal_says_why_and_nothing_is_sent_upstream(reason: str) -> None:
    build, request, status = REFUSALS[reason]
    requests, errors = Counts("assay_requests_total"), Counts("assay_errors_total")
    async with World(9, **build) as world:  # nobody listens at this port: a call would fail otherwise
        seen = await world.ask(**request)
    assert seen.status == status == REASONS[reason].status
    assert seen.ended
    assert seen.error["code"] == REASONS[reason].code
    assert seen.error["type"] == "invalid_request_error"
    assert seen.error["message"]
    assert seen.headers[b"content-length"] == b"%d" % len(seen.body)
    assert seen.headers[b"x-request-id"]
    assert world.fate == ("rejected", reason)
    assert sum(requests.added().values()) == 1
    assert errors.added() == {(reason, "client"): 1}
    assert world.queue.depth() == (0, 0)
    assert world.failures == []


def test_every_reason_of_the_clients_is_tried() -> None:
    of_clients = {name for name, reason in REASONS.items() if reason.source == "client"}
    assert of_clients - {"client_gone"} == set(REFUSALS)


async def test_a_length_that_is_announced_too_large_is_refused_unread() -> None:
    async with World(9) as world:
        seen = await world.ask(body=b"", headers=[(b"content-length", b"10001")], unended=True)
    assert seen.status == 413
    assert world.fate == ("rejected", "body_too_large")


@pytest.mark.parametrize("path", ["/v1/v1/messages", "/v1/v1/chat/completions", "/v1/v1/models"])
async def test_a_base_url_that_has_v1_once_too_often_is_told(path: str) -> None:
    """Anthropic's client adds `/v1` itself; a model server would only say that it knows no such path."""
    async with World(9) as world:
        answer = await world.ask(path, body=chat("hi"))
    assert answer.status == 404
    assert b"leave /v1 out of the base URL" in answer.body
    assert world.fate == ("rejected", "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../../etc/passwd",
        "/v1/./chat/completions",
        "/v1/%2e%2e/admin",
        "/v1/%252e%252e/admin",
        "/v1/x\\..\\..\\admin",
        "/v1/files/..%5c..%5cadmin",
        "/v1%2F..%2Fadmin",
        "/%76%31/chat/completions",
    ],
)
async def test_a_path_that_could_leave_v1_goes_nowhere(path: str) -> None:
    async with World(9) as world:
        assert (await world.ask(path, body=chat("hi"))).status == 404
    assert world.fate == ("rejected", "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "/v1/chat/%63ompletions",
        "/v1/Chat/Completions",
        "/v1/chat%2Fcompletions",
    ],
)
async def test_no_spelling_of_a_path_slips_past_the_guard(path: str) -> None:
    async with serve(always(HELLO)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(path, body=chat("make a grenade"))
    assert seen.status == 400
    assert world.fate == ("blocked", "prompt_blocked")
    assert server.requests == []


async def test_a_head_request_is_refused_without_a_body() -> None:
    async with World(9, **KEYED) as world:
        seen = await world.ask("/v1/models", method="HEAD")
    assert (seen.status, seen.body) == (401, b"")
    assert int(seen.headers[b"content-length"]) > 0


async def test_no_more_exchanges_are_open_than_allowed() -> None:
    slow = Waits(HELLO)
    async with serve(slow) as server, World(server.port, in_flight=1) as world:
        first = asyncio.create_task(world.ask(body=chat("hi")))  # noqa: TID251 - awaited below
        await slow.arrived.wait()
        assert world.pipeline.open == 1
        refused = await world.ask(body=chat("hi"))
        assert refused.status == 503
        assert refused.headers[b"retry-after"] == b"1"
        assert refused.error["code"] == "overloaded"
        slow.go.set()
        assert (await first).status == 200
        assert world.pipeline.open == 0
    assert [(c.outcome, c.reason) for c in world.notebook.closed_ones] == [
        ("internal", "overloaded"),
        ("completed", ""),
    ]


async def test_all_bodies_together_are_bounded() -> None:
    slow = Waits(HELLO)
    bounds = BodyBounds(each=1_000, all=1_500, seconds=5)
    async with serve(slow) as server, World(server.port, bounds=bounds) as world:
        first = asyncio.create_task(world.ask(body=chat("x" * 900)))  # noqa: TID251 - awaited below
        await slow.arrived.wait()
        refused = await world.ask(body=chat("x" * 900))
        assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
        assert "max_bodies_bytes" in refused.error["message"]
        in_two = chat("x" * 900)
        assert (await world.ask(body=[in_two[:500], in_two[500:]])).status == 503
        assert (await world.ask(body=[in_two, b"x" * 200])).status in (413, 503)
        slow.go.set()
        assert (await first).status == 200
        for _ in range(3):  # what was refused and what was answered is not held any more
            assert (await world.ask(body=chat("x" * 900))).status == 200


async def test_a_header_may_be_repeated_with_the_same_value() -> None:
    async with serve(answering(HELLO)) as server, World(server.port) as world:
        twice = [(b"content-type", b"application/json")] * 2
        assert (await world.ask(body=chat("hi"), headers=twice)).status == 200


# --- the upstream fails


async def until_head(peer: Peer) -> None:
    await peer.request()


async def garbage(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    await peer.client_left()


QUICK = Limits(connect_seconds=2.0, first_byte_seconds=0.01, idle_seconds=0.01)
FAILURES: dict[str, tuple[Script, int]] = {
    "reset": (until_head, 502),
    "bad_response": (garbage, 502),
    "first_byte_timeout": (hang, 504),
}


@pytest.mark.parametrize("reason", FAILURES)
async def test_an_upstream_that_fails_before_its_answer_gives_an_error_with_its_reason(reason: str) -> None:
    script, status = FAILURES[reason]
    async with serve(script) as server, World(server.port, limits=QUICK) as world:
        seen = await world.ask(body=chat("hi"))
    assert seen.status == status
    assert seen.error["type"] == "upstream_error"
    assert seen.error["code"] == REASONS[reason].code
    assert world.fate == ("upstream_failed", reason)
    tries = 2 if REASONS[reason].retryable else 1
    assert world.failures == [("up0", reason)] * tries


async def test_nobody_listens() -> None:
    async with World(1) as world:
        seen = await world.ask(body=chat("hi"))
    assert seen.status == 502
    assert world.fate == ("upstream_failed", "connect_failed")


async def test_a_failed_try_before_the_first_byte_is_made_again() -> None:
    async with serve(in_turn(until_head, answering(HELLO))) as server, World(server.port) as world:
        seen = await world.ask(body=chat("hi"))
    assert seen.status == 200
    assert world.fate == ("completed", "")
    assert world.failures == [("up0", "reset")]
    assert len(server.requests) == 2


async def test_the_second_upstream_answers_when_the_first_has_no_time() -> None:
    busy = answer(b"{}", status=b"503 Service Unavailable")
    async with serve(always(busy)) as first, serve(always(HELLO)) as second, World(first.port, second.port) as world:
        seen = await world.ask(body=chat("hi"))
    assert seen.status == 200
    assert world.last.upstream is not None
    assert world.last.upstream.name == "up1"
    assert world.failures == [("up0", "status")]


async def test_after_the_first_byte_nothing_is_tried_again_and_the_stream_ends_with_an_error_event() -> None:
    script = streaming(chunk("Good "), chunk("day"), cut=True)
    async with serve(script) as server, World(server.port, server.port) as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert len(server.requests) == 1
    assert seen.status == 200
    assert seen.ended
    assert seen.body.startswith(chunk("Good ") + chunk("day"))
    last = seen.body[len(chunk("Good ") + chunk("day")) :]
    assert last.startswith(b"data: ")
    assert last.endswith(b"\n\n")
    error = json.loads(last[6:])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "upstream_truncated"
    assert b"[DONE]" not in seen.body
    assert world.fate == ("upstream_failed", "truncated")


async def test_half_an_event_never_stands_before_the_error_event() -> None:
    script = streaming(chunk("Good "), b'data: {"cho', cut=True)
    async with serve(script) as server, World(server.port) as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert b'{"cho' not in seen.body.removeprefix(chunk("Good "))
    assert seen.body.count(b"\n\n") == 2


@pytest.mark.parametrize("line", [b'data: {"a": 1}\n', b"event: x\r\n", b": comment\r", b"data: 1\n\n\n", b"id: 3\n"])
async def test_the_error_event_is_an_event_of_its_own_behind_any_line(line: bytes) -> None:
    async with serve(streaming(line, cut=True)) as server, World(server.port) as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert seen.body.startswith(line)
    (*_, last) = [event for event in Decoder().feed(seen.body) if event.data]
    assert json.loads(last.data)["error"]["code"] == "upstream_truncated"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_packed_request_is_judged_and_forwarded_as_it_came(encoding: str) -> None:
    packers = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress}
    headers = [(b"content-encoding", encoding.encode())]
    async with serve(always(HELLO)) as server, World(server.port, rules=ENFORCE) as world:
        packed = packers[encoding](chat("hi"))
        assert (await world.ask(body=packed, headers=headers)).status == 200
        assert server.requests[0].body == packed
        assert server.requests[0].get(b"content-encoding") == [encoding.encode()]
        refused = await world.ask(body=packers[encoding](chat("grenade")), headers=headers)
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (400, "content_filter")
    assert len(server.requests) == 1


async def test_a_plain_answer_that_breaks_off_is_left_unfinished() -> None:
    head = BY_CLOSE + b"content-length: 100000\r\n\r\n" + b"x" * 70_000

    async def breaks_off(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)

    async with serve(breaks_off) as server, World(server.port) as world:
        seen = await world.ask(body=chat("hi"))
    assert seen.status == 200
    assert not seen.ended  # so the server closes the connection, and the client sees that something is missing
    assert world.fate == ("upstream_failed", "truncated")


# --- the client leaves


async def test_a_client_that_leaves_while_it_sends() -> None:
    leave = asyncio.Event()
    leave.set()
    async with World(9) as world:
        seen = await world.ask(body=b"{", unended=True, leave=leave)
    assert seen.status == 0
    assert world.fate == ("client_gone", "client_gone")


async def test_a_client_that_leaves_while_it_uploads_takes_the_upstream_call_along() -> None:
    leave, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.read(3)
        leave.set()
        await peer.client_left()
        left.set()

    async with serve(script) as server, World(server.port) as world:
        headers = [(b"content-length", b"100")]
        await world.ask("/v1/files", b"abc", unended=True, headers=headers, leave=leave)
        await asyncio.wait_for(left.wait(), PATIENCE_SECONDS)
    assert world.fate == ("client_gone", "client_gone")


async def test_a_client_that_leaves_while_its_prompt_is_judged() -> None:
    judge = JudgingHere()
    judge.pause = asyncio.Event()
    leave = asyncio.Event()
    async with World(9, rules=ENFORCE, judge=judge) as world:
        asking = asyncio.create_task(world.ask(body=chat("hi"), leave=leave))  # noqa: TID251 - awaited below
        await until(lambda: bool(judge.requests))
        leave.set()
        assert (await asking).status == 0
    assert world.fate == ("client_gone", "client_gone")


@pytest.mark.parametrize("rules", [OBSERVE, ENFORCE])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_leaves_stops_the_upstream_within_a_tenth_of_a_second(rules: str, begun: bool) -> None:
    leave, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if begun:
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + EVENTS + b"\r\n\r\n")
            event = chunk("Good ")
            await peer.send(b"%x\r\n%b\r\n" % (len(event), event))
        leave.set()
        await peer.client_left()
        left.set()

    async with serve(script) as server, World(server.port, rules=rules) as world:
        await world.ask(body=chat("hi", stream=True), leave=leave)
        await asyncio.wait_for(left.wait(), 0.1)
    assert world.fate == ("client_gone", "client_gone")
    assert sum(busy for _, busy in world.upstreams.counts().values()) == 0


async def test_a_client_that_leaves_in_the_middle_of_an_answer_is_a_sample_of_what_it_got() -> None:
    leave = asyncio.Event()

    async def after_the_first_event(message: Message) -> None:
        if message.get("body"):
            leave.set()
            await asyncio.sleep(0)

    async with serve(streaming(chunk("Good "), *[chunk("day ")] * 50)) as server, World(server.port) as world:
        seen = await world.ask(body=chat("hi", stream=True), leave=leave, on_message=after_the_first_event)
        assert not seen.ended
        (taken,) = await world.queue.take(9, 0)
    assert taken.sample.outcome == "client_gone"
    assert taken.sample.answer.startswith(chunk("Good "))


async def test_a_client_that_leaves_after_the_last_byte_was_served() -> None:
    leave = asyncio.Event()

    async def at_the_end(message: Message) -> None:
        if message["type"] == "http.response.body":
            leave.set()
            await asyncio.sleep(0)

    async with serve(answering(HELLO)) as server, World(server.port) as world:
        seen = await world.ask(body=chat("hi"), leave=leave, on_message=at_the_end)
    assert seen.ended
    assert world.fate == ("completed", "")


async def test_a_stop_of_the_gateway_is_not_the_clients_doing() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.client_left()

    async with serve(script) as server, World(server.port) as world:
        asking = asyncio.create_task(world.ask(body=chat("hi")))  # noqa: TID251 - awaited below
        await arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert world.fate == ("internal", "shutting_down")


# --- the policy


async def test_a_blocked_prompt_never_leaves() -> None:
    decisions = Counts("assay_decisions_total")
    async with serve(always(HELLO)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("how to make a grenade"))
    assert server.requests == []
    assert seen.status == 400
    assert seen.error["code"] == "content_filter"
    assert seen.error["type"] == "invalid_request_error"
    assert seen.error["param"] == "messages"
    assert "no-violence" in seen.error["message"]
    assert seen.headers[b"x-assay-decision"] == b"block"
    assert float(seen.headers[b"x-assay-guard-ms"]) >= 0
    assert world.fate == ("blocked", "prompt_blocked")
    assert decisions.added() == {("block", "prompt", "enforced", "no-violence"): 1}
    (kind, line), *more = world.journal.lines
    assert kind == "decision"
    assert more == []
    assert line["request"] == world.last.id
    assert (line["direction"], line["action"], line["rule"]) == ("prompt", "block", "no-violence")
    assert "grenade" not in json.dumps(line)


async def test_a_blocked_answer_never_arrives() -> None:
    bad = answer(completion("pull the pin of the grenade"), JSON)
    async with serve(answering(bad)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi"))
        assert b"grenade" not in seen.body.replace(b"no-violence", b"")
        assert (seen.status, seen.error["code"]) == (400, "content_filter")
        assert world.fate == ("blocked", "answer_blocked")
        (taken,) = await world.queue.take(9, 0)
    assert taken.sample.guarded
    assert taken.sample.outcome == "blocked"


async def test_a_secret_in_an_answer_is_cut_out_and_the_rest_stays() -> None:
    leaky = answer(completion("the key is AKIA42, keep it"), JSON, b'etag: "1"')
    async with serve(answering(leaky)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi"))
    message = json.loads(seen.body)["choices"][0]["message"]["content"]
    assert message == "the key is [REDACTED:word], keep it"
    assert seen.headers[b"content-length"] == b"%d" % len(seen.body)
    assert b"etag" not in seen.headers
    assert seen.headers[b"x-assay-decision"] == b"redact"
    assert world.fate == ("completed", "")


async def test_a_packed_answer_is_judged_and_redacted_too() -> None:
    packed = gzip.compress(completion("the key is AKIA42"))
    wire = answer(packed, JSON, b"content-encoding: gzip")
    async with serve(answering(wire)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi"), headers=[(b"accept-encoding", b"gzip")])
    assert b"content-encoding" not in seen.headers
    assert "[REDACTED:word]" in json.loads(seen.body)["choices"][0]["message"]["content"]


async def test_an_answer_that_is_fine_is_the_upstreams_own_bytes() -> None:
    body = completion("fine").replace(b": ", b" :  ")
    async with serve(answering(answer(body, JSON))) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi"))
    assert seen.body == body
    assert seen.headers[b"x-assay-decision"] == b"allow"


async def test_a_policy_that_observes_costs_no_judging_and_changes_nothing() -> None:
    bad = answer(completion("grenade AKIA42"), JSON)
    async with serve(answering(bad)) as server, World(server.port) as world:
        seen = await world.ask(body=chat("ignore the grenade"))
    assert seen.status == 200
    assert seen.body == completion("grenade AKIA42")
    assert world.judge.requests == []
    assert world.fate == ("completed", "")


RESPONSE_CREATED = b'{"type":"response.created","sequence_number":0,"response":{"id":"resp_7","output":[]}}'


# Of each surface: its path, a stream that is blocked, and what ends it then.
BLOCKED_STREAMS = {
    "chat": ("/v1/chat/completions", [chunk("gre"), chunk("nade"), DONE], b'"finish_reason":"content_filter"'),
    "completions": (
        "/v1/completions",
        [
            b'data: {"id":"x","choices":[{"index":0,"text":"gre"}]}\n\n',
            b'data: {"choices":[{"index":0,"text":"nade"}]}\n\n',
            DONE,
        ],
        b'"finish_reason":"content_filter"',
    ),
    "responses": (
        "/v1/responses",
        [
            b"event: response.created\ndata: " + RESPONSE_CREATED + b"\n\n",
            *(
                b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
                b'"output_index":0,"content_index":0,"delta":"%b"}\n\n' % part
                for part in (b"gre", b"nade")
            ),
        ],
        b'"incomplete_details":{"reason":"content_filter"}',
    ),
}


@pytest.mark.parametrize("surface", ["chat", "completions", "responses"])
async def test_a_blocked_stream_is_held_and_ends_as_its_surface_asks(surface: str) -> None:
    path, events, ending = BLOCKED_STREAMS[surface]
    async with serve(streaming(*events)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(path, json.dumps({"model": "m", "input": "x", "prompt": "x", "stream": True}).encode())
    assert seen.status == 200
    assert seen.ended
    assert b"nade" not in seen.body
    assert ending in seen.body
    assert seen.body.endswith(DONE) == (surface != "responses")
    if surface == "responses":  # a reader of this surface expects the opening event, whatever follows
        opening, last = Decoder().feed(seen.body)
        assert json.loads(opening.data) == json.loads(RESPONSE_CREATED)
        assert last.event == b"response.incomplete"
        assert json.loads(last.data)["response"]["id"] == "resp_7"
        assert json.loads(last.data)["sequence_number"] == 1
    assert b'"stop"' not in seen.body
    assert seen.headers[b"x-assay-decision"] == b"block"
    assert world.fate == ("blocked", "answer_blocked")


async def test_a_held_stream_that_is_fine_is_the_upstreams_own_bytes() -> None:
    events = [chunk("Good "), b": a comment\r\n\r\n", chunk("day"), DONE]
    async with serve(streaming(*events)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert seen.body == b"".join(events)
    assert world.fate == ("completed", "")


async def test_a_secret_over_two_deltas_of_a_stream_is_cut_out() -> None:
    script = streaming(chunk("the key is AKI"), chunk("A42."), DONE)
    async with serve(script) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert b"A42" not in seen.body
    texts = [json.loads(event[6:])["choices"][0]["delta"]["content"] for event in seen.body.split(b"\n\n")[:-2]]
    assert texts == ["the key is [REDACTED:word]", "."]
    assert seen.body.endswith(DONE)
    assert world.fate == ("completed", "")


async def slow_stream(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + EVENTS + b"\r\n\r\n")
    for event in (chunk("gre"), chunk("nade"), DONE):
        await asyncio.sleep(0.03)
        await peer.send(b"%x\r\n%b\r\n" % (len(event), event))
    await peer.send(b"0\r\n\r\n")
    await peer.client_left()


async def test_a_client_of_a_held_stream_hears_comments_until_it_is_judged() -> None:
    async with serve(slow_stream) as server, World(server.port, rules=ENFORCE, ping_seconds=0.01) as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert seen.pieces[0] == b": ping\n\n"
    assert b"x-assay-decision" not in seen.headers  # it left before there was one
    assert b"gre" not in seen.body
    assert b'"finish_reason":"content_filter"' in seen.body
    assert seen.body.endswith(DONE)
    assert world.fate == ("blocked", "answer_blocked")


async def test_a_packed_stream_under_a_policy_is_held_in_silence() -> None:
    packed = gzip.compress(chunk("fine") + DONE)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(BY_CLOSE + EVENTS + b"\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.03)
        await peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed))
        await peer.client_left()

    async with serve(script) as server, World(server.port, rules=ENFORCE, ping_seconds=0.01) as world:
        headers = [(b"accept-encoding", b"gzip")]
        seen = await world.ask(body=chat("hi", stream=True), headers=headers)
    assert seen.body == packed
    assert seen.headers[b"content-encoding"] == b"gzip"


async def test_a_stream_may_be_passed_and_watched_instead() -> None:
    script = streaming(chunk("grenade"), DONE)
    async with serve(script) as server, World(server.port, rules=ENFORCE, streams="observe") as world:
        seen = await world.ask(body=chat("hi", stream=True))
        (taken,) = await world.queue.take(9, 0)
    assert seen.body == chunk("grenade") + DONE
    assert not taken.sample.guarded  # so the side path counts it as leaked


async def test_a_whole_body_in_place_of_a_stream_is_judged_as_what_it_is() -> None:
    bad = answer(completion("a grenade"), JSON)
    async with serve(answering(bad)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi", stream=True))
    assert (seen.status, seen.error["code"]) == (400, "content_filter")
    assert world.fate == ("blocked", "answer_blocked")


async def test_an_answer_too_large_to_be_held_does_not_pass() -> None:
    big = answer(b"x" * 200_000, JSON)
    async with serve(answering(big)) as server, World(server.port, rules=ENFORCE) as world:
        seen = await world.ask(body=chat("hi"))
    assert (seen.status, seen.error["code"]) == (502, "upstream_answer_too_large")
    assert world.fate == ("upstream_failed", "answer_too_large")


# --- the detectors fail


@pytest.mark.parametrize("error", ["not_ready", "timed_out", "worker_died", "turned_off"])
async def test_without_detectors_each_rule_decides_whether_traffic_passes(error: str) -> None:
    for rules, status in ((ENFORCE, 200), (STRICT, 400)):
        bypasses = Counts("assay_guard_bypasses_total")
        judge = JudgingHere()
        judge.error = error
        async with serve(always(HELLO)) as server, World(server.port, rules=rules, judge=judge) as world:
            assert (await world.ask(body=chat("hi"))).status == status
        passed = {("prompt", error): 1, ("response", error): 1} if rules is ENFORCE else {}
        assert bypasses.added() == passed


async def test_a_guard_that_takes_too_long_is_not_waited_for() -> None:
    judge = JudgingHere()
    judge.pause = asyncio.Event()
    async with World(9, rules=STRICT, judge=judge, guard_seconds=0.01) as world:
        seen = await world.ask(body=chat("hi"))
    assert (seen.status, seen.error["code"]) == (400, "content_unjudged")
    assert "could not be judged" in seen.error["message"]


async def test_a_detector_that_raises_is_a_failure_and_not_a_verdict() -> None:
    for rules, status in ((ENFORCE, 200), (STRICT, 400)):
        async with serve(always(HELLO)) as server, World(server.port, rules=rules) as world:
            assert (await world.ask(body=chat("crash"))).status == status


async def test_an_absent_detector_that_no_enforced_rule_listens_to_is_no_failure() -> None:
    bypasses = Counts("assay_guard_bypasses_total")
    judge = JudgingHere(absent={"pii": "its file is damaged"})
    async with serve(always(HELLO)) as server, World(server.port, rules=STRICT, judge=judge) as world:
        assert (await world.ask(body=chat("hi"))).status == 200
    assert bypasses.added() == {}
    assert world.journal.lines == []


UNREADABLE = {
    "an encoding nobody reads here": answer(b"\x0b\x02\x80", JSON, b"content-encoding: lzma"),
    "a damaged encoding": answer(b"no gzip", JSON, b"content-encoding: gzip"),
    "what is not JSON": answer(b'{"choices": [{"message": {"content": "grenade"}, "logprob": 1,}]}', JSON),
    "invalid UTF-8": answer(b'{"choices": [{"message": {"content": "grenade \xff"}}]}', JSON),
}


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("absent", [None, {"pii": "its file is damaged"}])
async def test_an_answer_that_cannot_be_read_was_not_judged(what: str, absent: dict[str, str] | None) -> None:
    for rules, status in ((ENFORCE, 200), (STRICT, 400)):
        judge = JudgingHere(absent)
        bypasses = Counts("assay_guard_bypasses_total")
        async with serve(always(UNREADABLE[what])) as server, World(server.port, rules=rules, judge=judge) as world:
            seen = await world.ask(body=chat("hi"))
            assert seen.status == status
        assert bypasses.added() == ({("response", "unreadable"): 1} if rules is ENFORCE else {})
        assert world.last.ruling.guarded is False


# --- the gateway's own bugs


async def test_a_bug_of_our_own_is_an_answer_and_an_outcome() -> None:
    class Broken(JudgingHere):
        async def judge(self, case: Any, timeout_seconds: float) -> Any:
            raise ZeroDivisionError

    async with World(9, rules=ENFORCE, judge=Broken()) as world:
        seen = await world.ask(body=chat("hi"))
    assert seen.status == 500
    assert seen.error["code"] == "internal_error"
    assert world.fate == ("internal", "bug")


# --- what is chosen and kept


async def test_only_what_was_chosen_is_kept_and_no_more_than_allowed() -> None:
    long = answer(b"x" * 70_000, JSON)
    async with serve(always(long)) as server:
        half = Route("half", (upstream(server.port),), 0.5)
        draws = iter([0.49, 0.5])
        async with World(routes=[(("*",), half)], draw=lambda: next(draws), sample_bytes=100) as world:
            await world.ask(body=chat("one"))
            await world.ask(body=chat("two"))
            (taken,) = await world.queue.take(9, 0)
    assert taken.sample.prompt == chat("one")
    assert taken.sample.probability == 0.5
    assert taken.sample.answer == b"x" * 100
    assert taken.sample.cut
    assert world.last.transcript.pieces == []


async def test_a_full_queue_drops_and_counts() -> None:
    samples, offered = Counts("assay_samples_total"), Counts("assay_samples_offered_total")
    async with serve(always(HELLO)) as server, World(server.port, queue_items=2) as world:
        for _ in range(5):
            assert (await world.ask(body=chat("hi"))).status == 200
    assert samples.added() == {("dropped", "queue_full"): 3}
    assert offered.added() == {("default",): 5}


# --- whatever happens, one outcome


EVENT = chunk("Good day")
FAULTS: dict[str, Script] = {
    "fine": always(HELLO),
    "stream": streaming(EVENT, EVENT, DONE),
    "cut stream": streaming(EVENT, cut=True),
    "bad": always(answer(completion("grenade"), JSON)),
    "bad stream": streaming(chunk("gre"), chunk("nade"), DONE),
    "error": always(answer(b"{}", status=b"429 Too Many Requests")),
    "closes": until_head,
    "garbage": garbage,
    "silent": hang,
}


async def _set_after(turns: int, event: asyncio.Event) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    event.set()


def _the_one_that_ended(world: World) -> Exchange:
    """It has an outcome and no bug, and nothing of it is left over."""
    (exchange,) = world.notebook.closed_ones
    assert isinstance(exchange.outcome, Outcome)
    assert exchange.reason != "bug"
    assert world.pipeline.open == 0
    assert sum(busy for _, busy in world.upstreams.counts().values()) == 0
    return exchange


@examples(120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fault=st.sampled_from(sorted(FAULTS)),
    rules=st.sampled_from([OBSERVE, ENFORCE, STRICT]),
    prompt=st.sampled_from(["hi", "grenade", "crash", ""]),
    stream=st.booleans(),
    streams=st.sampled_from(["hold", "window", "observe"]),
    failing_judge=st.sampled_from(["", "", "timed_out"]),
    leave_at=st.integers(0, 12),
    unended=st.booleans(),
    tries=st.integers(1, 2),
)
def test_every_exchange_ends_with_exactly_one_outcome(
    fault: str,
    rules: str,
    prompt: str,
    stream: bool,
    streams: Streams,
    failing_judge: str,
    leave_at: int,
    unended: bool,
    tries: int,
) -> None:
    """A fault at any stage, and a client that leaves after any number of turns of the loop (12: it stays)."""

    async def go() -> None:
        judge = JudgingHere()
        judge.error = failing_judge
        leave = asyncio.Event()
        requests = Counts("assay_requests_total")
        bounds = BodyBounds(each=10_000, all=100_000, seconds=0.02)
        chosen = {"rules": rules, "judge": judge, "streams": streams, "bounds": bounds, "limits": QUICK}
        async with (
            serve(FAULTS[fault]) as server,
            World(*[server.port] * tries, **chosen) as world,
            asyncio.TaskGroup() as group,
        ):
            if leave_at < 12:
                group.create_task(_set_after(leave_at * leave_at, leave))
            seen = await world.ask(body=chat(prompt, stream=stream), unended=unended, leave=leave)
        assert sum(requests.added().values()) == 1
        exchange = _the_one_that_ended(world)
        if exchange.outcome is Outcome.COMPLETED:
            assert seen.ended
        if exchange.outcome is Outcome.BLOCKED or rules is STRICT:
            assert b"grenade" not in seen.body or (stream and streams == "observe")

    asyncio.run(go())


# --- tokens


TOLD = completion("Good day.")[:-1] + b',"usage":{"prompt_tokens":7,"completion_tokens":3}}'


@pytest.mark.parametrize("rules", [OBSERVE, ENFORCE])
async def test_the_tokens_that_an_answer_tells_are_on_the_exchange_and_counted(rules: str) -> None:
    tokens, cost = Counts("assay_tokens_total"), Counts("assay_cost_total")
    price = {"input_per_million_tokens": 1e6, "output_per_million_tokens": 2e6}
    prices = {"m": PriceConfig.model_validate(price)}
    async with serve(answering(answer(TOLD, JSON))) as server, World(server.port, rules=rules, prices=prices) as world:
        seen = await world.ask(body=chat("hi"))
        assert seen.body == TOLD
    (closed,) = world.notebook.closed_ones
    assert closed.usage == Usage(7, 3)
    assert tokens.added() == {("input", "m", "default"): 7, ("output", "m", "default"): 3}
    assert cost.added() == {("EUR", "m", "default"): 13.0}


@pytest.mark.parametrize("streams", ["observe", "window", "hold"])
@pytest.mark.parametrize("rules", [OBSERVE, ENFORCE])
async def test_the_last_event_of_a_stream_tells_them(rules: str, streams: Streams) -> None:
    usage = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    script = streaming(chunk("Good "), chunk("day."), usage, DONE)
    async with serve(script) as server, World(server.port, rules=rules, streams=streams) as world:
        await world.ask(body=chat("hi", stream=True))
    (closed,) = world.notebook.closed_ones
    assert closed.usage == Usage(7, 3)
