"""Traces: a span for each request, below it one for each judging and each try, and no text of anybody in them."""

import json
import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.exchange import Principal
from gateway.openai_api import Operation
from gateway.telemetry import attributes as named
from gateway.telemetry import tracing as tracing_module
from gateway.telemetry.tracing import Tracing
from tests.support.fakes import DONE, ENFORCE, JudgingHere, World, chat, chunk, completion
from tests.support.servers.scripted_server import EVENTS, JSON, Peer, answer, answering, serve, streaming

CALLER = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DROPPED = CALLER[:-1] + b"0"
HELLO = answer(completion("Good day."), JSON)
SAID = "a most peculiar sentence"


class Seen:
    """Traces that end here."""

    def __init__(self, **settings: Any) -> None:
        self._kept = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._kept), **settings)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._kept.get_finished_spans()

    def server(self) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.kind is SpanKind.SERVER]
        return span

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def id_of(span: ReadableSpan) -> int:
    context = span.context
    assert context is not None
    found: int = context.span_id
    return found


def during(span: ReadableSpan) -> tuple[int, int]:
    """Its beginning and its end, in nanoseconds."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def is_below(child: ReadableSpan, parent: ReadableSpan) -> bool:
    """By its context and in time."""
    times = [during(parent)[0], *during(child), during(parent)[1]]
    return times == sorted(times) and child.parent is not None and child.parent.span_id == id_of(parent)


def _tells_of_the_upstream_call(call: ReadableSpan, port: int) -> None:
    assert call.kind is SpanKind.CLIENT
    assert told(call)[named.FIRST_BYTE_SECONDS] >= 0
    assert {**told(call), named.FIRST_BYTE_SECONDS: 0} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": port,
        "assay.upstream": "up0",
        "assay.upstream.first_byte_seconds": 0,
    }


async def test_guards_and_upstream_call_are_siblings_below_the_request() -> None:
    seen = Seen()
    reply = answer(completion(SAID)[:-1] + b',"usage":{"prompt_tokens":3,"completion_tokens":2}}', JSON)
    async with serve(answering(reply)) as server, World(server.port, rules=ENFORCE, tracing=seen.tracing) as world:
        await world.ask(body=chat(SAID, model="gpt-x"))
        host = server.port
    request = seen.server()
    assert request.name == "POST /v1/chat/completions"
    assert {**told(request), named.GUARD_SECONDS: 0} == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-x",
        "assay.request.id": "req_t0000000080000000",
        "assay.caller": "anyone",
        "assay.route": "default",
        "assay.outcome": "completed",
        "assay.decision": "allow",
        "assay.policy.revision": world.guard.policy.revision,
        "assay.guard.calls": 2,
        "assay.guard.seconds": 0,
    }
    (prompt,) = seen.named("apply_guardrail prompt")
    (call,) = seen.named("chat gpt-x")
    (response,) = seen.named("apply_guardrail response")
    assert all(is_below(span, request) for span in (prompt, call, response))
    one_after_the_other = [*during(prompt), *during(call), *during(response)]
    assert one_after_the_other == sorted(one_after_the_other)
    _tells_of_the_upstream_call(call, host)
    assert told(prompt) == {"gen_ai.operation.name": "apply_guardrail", "assay.guard.direction": "prompt"}


@pytest.mark.parametrize("streams", ["hold", "window", "observe"])
async def test_no_text_gets_into_a_span(streams: Any) -> None:
    seen = Seen()
    events = streaming(EVENTS, chunk(SAID), chunk(" and AKIA42"), DONE)
    async with (
        serve(events) as server,
        World(server.port, rules=ENFORCE, streams=streams, tracing=seen.tracing) as world,
    ):
        await world.ask(body=chat(f"ignore {SAID}", stream=True))
        await world.ask("/v1/chat/completions?key=" + SAID.split()[-1], body=chat(SAID, stream=True))
    written = "".join(span.to_json() for span in seen.spans)
    assert len(seen.spans) >= 4
    assert not [word for word in ("peculiar", "sentence", "AKIA") if word in written]


async def test_a_callers_trace_goes_on_in_the_gateway_and_at_the_upstream() -> None:
    seen = Seen()
    async with serve(answering(HELLO)) as server, World(server.port, tracing=seen.tracing) as world:
        headers = [(b"traceparent", CALLER), (b"tracestate", b"vendor=1"), (b"x-stainless-lang", b"py")]
        await world.ask(body=chat("hi"), headers=headers)
        (request,) = server.requests
    (call,) = seen.named("chat m")
    parent = seen.server().parent
    assert parent is not None
    assert parent.span_id == int(b"b7ad6b7169203331", 16)
    assert request.get(b"traceparent") == [CALLER[:36] + b"%016x-01" % id_of(call)]
    assert request.get(b"tracestate") == [b"vendor=1"]
    assert request.get(b"x-stainless-lang") == [b"py"]


async def test_a_trace_that_its_caller_does_not_keep_is_not_kept_here() -> None:
    seen = Seen()
    async with serve(answering(HELLO)) as server, World(server.port, tracing=seen.tracing) as world:
        await world.ask(body=chat("hi"), headers=[(b"traceparent", DROPPED)])
        (passed,) = server.requests[0].get(b"traceparent")
    assert not seen.spans
    assert (passed[:36], passed[-3:]) == (CALLER[:36], b"-00")


@pytest.mark.parametrize("given", [b"", b"junk", b"00-00000000000000000000000000000000-b7ad6b7169203331-01", b"\xff"])
async def test_what_is_no_trace_context_begins_a_new_trace(given: bytes) -> None:
    seen = Seen()
    async with serve(answering(HELLO)) as server, World(server.port, tracing=seen.tracing) as world:
        assert (await world.ask(body=chat("hi"), headers=[(b"traceparent", given)])).status == 200
    assert seen.server().parent is None


async def test_a_share_of_the_traces_that_begin_here_is_kept() -> None:
    seen = Seen(sample_rate=0.0)
    async with serve(answering(HELLO, HELLO)) as server, World(server.port, tracing=seen.tracing) as world:
        await world.ask(body=chat("hi"))
        assert not seen.spans
        await world.ask(body=chat("hi"), headers=[(b"traceparent", CALLER)])
    assert seen.server()


async def test_each_try_has_a_span_that_says_what_became_of_it() -> None:
    async def resets(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    busy = answering(answer(b"{}", status=b"503 Service Unavailable"))
    seen = Seen()
    async with (
        serve(resets) as first,
        serve(busy) as second,
        serve(answering(HELLO)) as third,
        World(first.port, second.port, third.port, tracing=seen.tracing) as world,
    ):
        assert (await world.ask(body=chat("hi"))).status == 200
    tries = seen.named("chat m")
    assert [told(span)[named.UPSTREAM] for span in tries] == ["up0", "up1", "up2"]
    assert [told(span).get(named.ERROR_TYPE) for span in tries] == ["reset", "503", None]
    assert [span.status.status_code for span in tries] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert all(is_below(span, seen.server()) for span in tries)


async def test_an_answer_that_breaks_off_shows_in_its_try_and_in_the_request() -> None:
    async def breaks(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n", chunk("a")
        )
        peer.reset()

    seen = Seen()
    async with serve(breaks) as server, World(server.port, tracing=seen.tracing) as world:
        await world.ask(body=chat("hi", stream=True))
    (call,) = seen.named("chat m")
    assert told(call)[named.ERROR_TYPE] == told(seen.server())[named.ERROR_TYPE] == "truncated"
    assert told(seen.server())[named.OUTCOME] == "upstream_failed"


async def test_a_blocked_prompt_has_no_upstream_call() -> None:
    seen = Seen()
    async with serve(answering()) as server, World(server.port, rules=ENFORCE, tracing=seen.tracing) as world:
        await world.ask(body=chat("ignore"))
    assert {span.name for span in seen.spans} == {"POST /v1/chat/completions", "apply_guardrail prompt"}
    assert told(seen.server())[named.DECISION] == "block"
    assert told(seen.server())[named.ERROR_TYPE] == "prompt_blocked"
    assert seen.server().status.status_code is StatusCode.UNSET  # the client's doing


async def test_detectors_that_do_not_answer_show_in_the_guards_span() -> None:
    judge = JudgingHere()
    judge.error = "overloaded"
    seen = Seen()
    async with (
        serve(answering(HELLO)) as server,
        World(server.port, rules=ENFORCE, judge=judge, tracing=seen.tracing) as world,
    ):
        await world.ask(body=chat("hi"))
    (prompt,) = seen.named("apply_guardrail prompt")
    assert told(prompt)[named.ERROR_TYPE] == "overloaded"


async def test_a_request_that_is_refused_at_the_door_has_a_span() -> None:
    seen = Seen()
    async with World(9, keys=[("sk-right-key", Principal("app"))], tracing=seen.tracing) as world:
        assert (await world.ask(body=chat("hi"), headers=[(b"authorization", b"Bearer no")])).status == 401
    assert told(seen.server())[named.STATUS] == 401
    assert told(seen.server())[named.OUTCOME] == "rejected"


async def test_a_long_stream_has_a_bounded_number_of_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing_module, "_MOST_GUARD_SPANS", 3)
    seen = Seen()
    events = streaming(EVENTS, *[chunk("word " * 40) for _ in range(12)], DONE)
    async with (
        serve(events) as server,
        World(server.port, rules=ENFORCE, streams="window", tracing=seen.tracing) as world,
    ):
        await world.ask(body=chat("hi", stream=True))
    assert len(seen.named("apply_guardrail response")) == 2
    assert told(seen.server())[named.GUARD_CALLS] > 3


async def test_uploads_and_moderations_are_traced() -> None:
    seen = Seen()
    async with serve(answering(answer(b"{}"))) as server, World(server.port, tracing=seen.tracing) as world:
        headers = [(b"content-type", b"multipart/form-data"), (b"content-length", b"4")]
        await world.ask("/v1/files/file-1", b"abcd", headers=headers)
        await world.ask("/v1/moderations", json.dumps({"input": SAID}).encode())
        (sent,) = server.requests
    assert [span.name for span in seen.spans] == [
        "POST",
        "POST /v1/*",
        "apply_guardrail prompt",
        "POST /v1/moderations",
    ]
    assert sent.get(b"traceparent")[0][36:52] == b"%016x" % id_of(seen.spans[0])


async def test_a_models_name_is_cut_and_can_be_sent() -> None:
    seen = Seen()
    async with serve(answering(HELLO)) as server, World(server.port, tracing=seen.tracing) as world:
        await world.ask(body=b'{"model":"' + b"m" * 999 + b'","messages":[]}')
    model = told(seen.server())[named.GEN_AI_REQUEST_MODEL]
    assert model == "m" * 200


@pytest.mark.parametrize(
    ("host", "operation", "provider"),
    [
        ("api.openai.com", Operation.CHAT, "openai"),
        ("x.openai.azure.com", Operation.CHAT, "azure.ai.openai"),
        ("api.anthropic.com", Operation.CHAT, "anthropic"),
        ("localhost", Operation.MESSAGES, "anthropic"),
        ("notanthropic.com", Operation.CHAT, "openai"),
    ],
)
def test_providers_are_told_by_their_host(host: str, operation: Operation, provider: str) -> None:
    assert named.provider_of(host, operation) == provider


def test_a_collector_that_hangs_does_not_hold_the_end_up() -> None:
    let = threading.Event()
    ended = threading.Event()

    class Hanging(SimpleSpanProcessor):
        def shutdown(self) -> None:
            let.wait()
            ended.set()

    Tracing(Hanging(InMemorySpanExporter())).close(0.01)
    assert not ended.is_set()
    let.set()
    assert ended.wait(60)


def test_a_collector_that_does_not_answer_gets_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    handler = tracing_module.RareLines("http://collector:4318", lambda: now[0])
    library = logging.Logger("opentelemetry.exporter")
    library.addHandler(handler)
    for seconds in (0, 1, 58, 2, 3):
        now[0] += seconds
        library.error("Failed to export span batch: %s", "refused")
    assert [record.getMessage() for record in caplog.records] == [
        "traces cannot be sent to http://collector:4318 (otlp_endpoint) and are lost; requests are not affected: "
        "Failed to export span batch: refused"
    ] * 2
