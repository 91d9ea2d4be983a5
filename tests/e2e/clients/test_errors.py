"""What the official client raises when something goes wrong, and what the body of the error says."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from tests.support.servers import scripted_upstream as script
from tests.support.servers.clients import openai_client
from tests.support.servers.gateway_process import MOST_BODY_BYTES, SILENT, GatewayProcess
from tests.support.servers.scripted_upstream import End, ScriptedUpstream

KEYS = {"message", "type", "param", "code"}


@pytest.fixture(scope="module")
def client(strict_gateway: GatewayProcess) -> Iterator[OpenAI]:
    with openai_client(strict_gateway) as strict:
        yield strict


def ask(client: OpenAI, model: str = "demo-small", text: str = "hello", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


@dataclass(frozen=True)
class Case:
    """A request that fails, and how the client and the body of the reply say so."""

    name: str
    send: Callable[[OpenAI], Any]
    raises: type[openai.APIStatusError]
    status: int
    code: str | None
    param: str | None = None
    says: str = ""


CASES = (
    Case(
        "unknown model", lambda c: ask(c, "gpt-none"), openai.NotFoundError, 404, "model_not_found", "model", "gpt-none"
    ),
    Case(
        "unknown model of the upstream",
        lambda c: ask(c, "demo-huge"),
        openai.NotFoundError,
        404,
        "model_not_found",
        "model",
        "demo-huge",
    ),
    Case(
        "unknown model, retrieved",
        lambda c: c.models.retrieve("gpt-none"),
        openai.NotFoundError,
        404,
        "model_not_found",
        "model",
    ),
    Case(
        "a body above the limit",
        lambda c: ask(c, text="x" * MOST_BODY_BYTES),
        openai.APIStatusError,
        413,
        "request_too_large",
        says=str(MOST_BODY_BYTES),
    ),
    Case(
        "500",
        lambda c: ask(c, "demo-small?status=500"),
        openai.InternalServerError,
        500,
        None,
        says="told to answer 500",
    ),
    Case(
        "429",
        lambda c: ask(c, "demo-small?status=429"),
        openai.RateLimitError,
        429,
        "rate_limit_exceeded",
        says="told to answer 429",
    ),
    Case("418", lambda c: ask(c, "demo-small?status=418"), openai.APIStatusError, 418, None, says="told to answer 418"),
    Case(
        "429, streamed",
        lambda c: ask(c, "demo-small?status=429", stream=True),
        openai.RateLimitError,
        429,
        "rate_limit_exceeded",
    ),
    Case(
        "no messages",
        lambda c: c.chat.completions.create(model="demo-small", messages=[]),
        openai.BadRequestError,
        400,
        None,
        says="'messages'",
    ),
    Case(
        "a model that is no text",
        lambda c: ask(c, extra_body={"model": 5}),
        openai.BadRequestError,
        400,
        "invalid_body",
        "model",
        "must be a string",
    ),
    Case(
        "an upstream that cannot be reached",
        lambda c: ask(c, "unreachable"),
        openai.InternalServerError,
        502,
        "upstream_connect_failed",
    ),
    Case(
        "an upstream that hangs",
        lambda c: ask(c, "demo-small?hang=1"),
        openai.InternalServerError,
        504,
        "upstream_first_byte_timeout",
        says="2 s",
    ),
    Case(
        "an upstream that hangs, streamed",
        lambda c: ask(c, "demo-small?hang=1", stream=True),
        openai.InternalServerError,
        504,
        "upstream_first_byte_timeout",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_client_raises_what_it_should(case: Case, client: OpenAI) -> None:
    with pytest.raises(case.raises) as raised:
        case.send(client)
    error = raised.value
    assert error.status_code == case.status
    assert isinstance(error.body, dict)
    assert set(error.body) == KEYS
    assert (error.body["code"], error.body["param"]) == (case.code, case.param)
    assert case.says in error.body["message"]
    assert error.request_id


@pytest.mark.parametrize(
    ("headers", "says"), [({"authorization": ""}, "no API key was given"), ({}, "not known to this gateway")]
)
def test_callers_without_a_good_key_are_turned_away(
    strict_gateway: GatewayProcess, headers: dict[str, str], says: str
) -> None:
    with (
        OpenAI(base_url=strict_gateway.base_url, api_key="sk-wrong-0123", default_headers=headers) as stranger,
        pytest.raises(openai.AuthenticationError, match=says) as raised,
    ):
        stranger.models.list()
    assert (raised.value.status_code, raised.value.code) == (401, "invalid_api_key")
    assert isinstance(raised.value.body, dict)
    assert set(raised.value.body) == KEYS


def test_fifty_megabytes_are_refused_and_the_client_hears_why(gateway: GatewayProcess) -> None:
    """By its announced length, before the body is read; the default limit is 20 MiB."""
    with (
        openai_client(gateway) as client,
        pytest.raises(openai.APIStatusError) as raised,
    ):
        ask(client, text="x" * 50_000_000)
    assert (raised.value.status_code, raised.value.code) == (413, "request_too_large")


def test_a_body_without_a_length_is_measured_as_it_comes(strict_gateway: GatewayProcess) -> None:
    body = [b'{"model": "demo-small", "x": "', *[b"x" * 65_536] * (MOST_BODY_BYTES // 65_536), b'"}']
    answer = strict_gateway.http.post(
        f"{strict_gateway.base_url}/chat/completions", content=iter(body), headers=_json(strict_gateway)
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_body_in_an_unknown_encoding_is_refused(strict_gateway: GatewayProcess) -> None:
    headers = _json(strict_gateway) | {"content-encoding": "compress"}
    body = b'{"model": "demo-small"}'
    answer = strict_gateway.http.post(f"{strict_gateway.base_url}/chat/completions", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_content_encoding")


def _json(gateway: GatewayProcess) -> dict[str, str]:
    return gateway.headers() | {"content-type": "application/json"}


def test_the_wait_that_an_upstream_asks_for_reaches_the_client(client: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        ask(client, "demo-small?status=429")
    assert raised.value.response.headers["retry-after"] == "1"


def test_a_page_of_html_is_passed_through_as_the_error_it_is(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        ask(client, "demo-small?html=1")
    assert raised.value.status_code == 502
    assert "502 Bad Gateway" in raised.value.response.text


BROKEN_BODIES = {
    "empty": b"",
    "cut short": b'{"model": "demo-small", "messages": [',
    "not JSON": b"hello",
    "an array": b"[1, 2]",
    "invalid UTF-8": b'{"model": "demo-small", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "UTF-16": '{"model": "demo-small"}'.encode("utf-16"),
    "nested a hundred thousand deep": b'{"model": "demo-small", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings", "responses"])
def test_a_broken_body_is_refused(strict_gateway: GatewayProcess, path: str, body: bytes) -> None:
    answer = strict_gateway.http.post(f"{strict_gateway.base_url}/{path}", content=body, headers=_json(strict_gateway))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == KEYS
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("content", ["", None, [], " ", [{"type": "text", "text": ""}]])
def test_empty_content_passes(client: OpenAI, content: Any) -> None:
    message: Any = {"role": "user", "content": content}
    assert client.chat.completions.create(model="demo-small", messages=[message]).choices


# --- upstreams that break off


def plain(client: OpenAI, model: str) -> None:
    ask(client, model)


def streamed(client: OpenAI, model: str) -> None:
    with ask(client, model, stream=True) as chunks:
        for _ in chunks:
            pass


HALF_A_BODY = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"id": "chatc'
BEFORE_THE_ANSWER = {
    "closes": ((End.CLOSE,), "upstream_reset"),
    "resets": ((End.RESET,), "upstream_reset"),
    "closes within the head": ((b"HTTP/1.1 200 OK\r\ncontent-ty", End.CLOSE), "upstream_reset"),
    "closes a small body early": ((HALF_A_BODY, End.CLOSE), "upstream_truncated"),
    "resets within a small body": ((HALF_A_BODY, End.RESET), "upstream_truncated"),
    "speaks no HTTP": ((b"SSH-2.0-OpenSSH_9.2\r\n", End.CLOSE), "upstream_bad_response"),
}


@pytest.mark.parametrize(("steps", "code"), BEFORE_THE_ANSWER.values(), ids=BEFORE_THE_ANSWER.keys())
@pytest.mark.parametrize("mode", [plain, streamed], ids=lambda mode: mode.__name__)
def test_an_upstream_that_breaks_off_before_its_answer(
    client: OpenAI, scripted: ScriptedUpstream, mode: Callable[[OpenAI, str], None], steps: Any, code: str
) -> None:
    played = scripted.plays(*steps)
    with pytest.raises(openai.InternalServerError) as raised:
        mode(client, played.model)
    assert (raised.value.status_code, raised.value.code) == (502, code)


def test_an_upstream_that_closes_a_large_body_early_breaks_the_answer_off(
    client: OpenAI, scripted: ScriptedUpstream
) -> None:
    """The status is gone by then: what is left is to let the client see that the body is not whole."""
    whole = script.answer(b'{"id": "' + b"x" * 500_000 + b'"}')
    played = scripted.plays(whole[:400_000], End.CLOSE)
    with pytest.raises(openai.APIConnectionError):
        plain(client, played.model)


def event(text: str) -> bytes:
    return b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,' + (
        b'"delta":{"content":"%b"},"finish_reason":null}]}\n\n' % text.encode()
    )


BREAKS = {
    "closes after an event": ((script.chunk(event("one")), End.CLOSE), "upstream_truncated"),
    "resets after an event": ((script.chunk(event("one")), End.RESET), "upstream_truncated"),
    "closes within an event": ((script.chunk(event("one") + event("two")[:-20]), End.CLOSE), "upstream_truncated"),
    "closes within a line end": ((script.chunk(event("one") + event("two")[:-1]), End.CLOSE), "upstream_truncated"),
    "closes within a chunk": ((script.chunk(event("one") + event("two"))[:-40], End.CLOSE), "upstream_truncated"),
    "falls silent": ((script.chunk(event("one")), End.WAIT), "upstream_idle_timeout"),
    "falls silent within an event": ((script.chunk(event("one") + b"data: {"), End.WAIT), "upstream_idle_timeout"),
    "breaks the framing": ((script.chunk(event("one")), b"zz\r\n", End.WAIT), "upstream_bad_response"),
}


@pytest.mark.parametrize(("steps", "code"), BREAKS.values(), ids=BREAKS.keys())
def test_a_stream_that_breaks_off_ends_with_an_error_event(
    client: OpenAI, strict_gateway: GatewayProcess, scripted: ScriptedUpstream, steps: Any, code: str
) -> None:
    kind = SILENT if code == "upstream_idle_timeout" else "scripted-breaking-"
    played, said = scripted.plays(script.stream_head(), *steps, begins=kind), list[str | None]()
    with pytest.raises(openai.APIError) as raised, ask(client, played.model, stream=True) as chunks:
        said += (chunk.choices[0].delta.content for chunk in chunks)
    assert raised.value.code == code
    assert isinstance(raised.value.body, dict)
    assert set(raised.value.body) == KEYS
    raw = _raw_stream(strict_gateway, scripted.plays(script.stream_head(), *steps, begins=kind).model)
    assert said[0] == "one"
    *whole, last, after = raw.split(b"\n\n")
    assert [each + b"\n\n" for each in whole] == [event(text or "") for text in said]
    assert last.strip().startswith(b'data: {"error":')
    assert after == b""


def _raw_stream(gateway: GatewayProcess, model: str) -> bytes:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    return gateway.http.post(f"{gateway.base_url}/chat/completions", json=body, headers=gateway.headers()).content


def test_nothing_of_ours_is_put_behind_half_an_event(client: OpenAI, scripted: ScriptedUpstream) -> None:
    """An event too large to be kept back has left in part: the client must see a broken connection, not a medley."""
    part = event("x" * 100_000)[:90_000]
    played = scripted.plays(script.stream_head(), script.chunk(part), End.CLOSE)
    with pytest.raises(openai.APIConnectionError):
        streamed(client, played.model)


@pytest.mark.parametrize("events", [0, 3])
def test_nothing_of_ours_is_put_into_a_compressed_stream(strict_gateway: GatewayProcess, events: int) -> None:
    model = f"demo-small?gzip=1&reset_after={events}"
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    url, seen = f"{strict_gateway.base_url}/chat/completions", b""
    with (
        strict_gateway.http.stream("POST", url, json=body, headers=strict_gateway.headers()) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        for piece in answer.iter_raw():
            seen += piece
    assert zlib.decompressobj(wbits=31).decompress(seen).count(b"\n\n") == events


def test_a_response_stream_that_breaks_off_ends_with_an_error_event(client: OpenAI) -> None:
    """The Responses API has an event of its own for errors."""
    model = "demo-small?reset_after=4"
    with client.responses.create(model=model, input="Tell me of the sea", stream=True) as stream:
        *whole, last = [stream_event.model_dump() for stream_event in stream]
    assert [passed["sequence_number"] for passed in whole] == [0, 1, 2, 3]
    assert (last["type"], last["code"]) == ("error", "upstream_truncated")


def test_an_error_event_of_the_upstream_is_passed_on(client: OpenAI) -> None:
    with pytest.raises(openai.APIError, match="told to fail here"):
        streamed(client, "demo-small?error_after=3")
