"""What needs no change arrives as the bytes that were sent, in both directions."""

import gzip
import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.servers import scripted_upstream as script
from tests.support.servers.gateway_process import UPSTREAM_KEY, DemoUpstream, GatewayProcess
from tests.support.servers.scripted_upstream import End, ScriptedUpstream, Step

ASKED = '"messages": [{"role": "user", "content": "How do I boil an egg?"}], "prompt": "egg", "input": "egg"'
TEXT_PATHS = ("chat/completions", "completions", "responses", "embeddings")


# --- towards the upstream

ODD_BODIES = {
    "odd whitespace": '\r\n\t {"model"\t:\n"MODEL" ,' + ASKED + " }\n\n ",
    "escapes": r'{"\u006dodel": "MODEL", "x": "\u00e9\ud83d\ude00\/\b", ' + ASKED + "}",
    "a lone surrogate": r'{"model": "MODEL", "x": "\ud800", ' + ASKED + "}",
    "duplicate keys": '{"model": "other", "model": "MODEL", "temperature": 1, "temperature": 2, ' + ASKED + "}",
    "numbers": '{"model": "MODEL", "a": 123456789012345678901234567890, "b": 1.10e-07, "c": -0.0, ' + ASKED + "}",
    "unknown fields": '{"model": "MODEL", "brand_new": {"": [null, {"deep": []}]}, ' + ASKED + "}",
    "not only ASCII": '{"model": "MODEL", "ключ": "日本語 \u2028 é e\u0301 👩🏽‍🚀", ' + ASKED + "}",
    "null fields": '{"model": "MODEL", "stream": null, "stream_options": null, ' + ASKED + "}",
}


@pytest.mark.parametrize("path", TEXT_PATHS)
@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES.keys())
def test_the_upstream_receives_the_very_body(
    gateway: GatewayProcess, scripted: ScriptedUpstream, path: str, body: str
) -> None:
    played = scripted.plays(script.answer(b"{}"))
    sent = body.replace("MODEL", played.model).encode()
    answer = gateway.http.post(f"{gateway.base_url}/{path}", content=sent, headers=_json(gateway))
    assert answer.status_code == 200
    head, _, received = played.requests[0].partition(b"\r\n\r\n")
    assert received == sent
    assert head.startswith(b"POST /v1/%b HTTP/1.1\r\n" % path.encode())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_requests_that_the_gateway_does_not_know_arrive_as_they_are(
    gateway: GatewayProcess, scripted: ScriptedUpstream, method: str
) -> None:
    played = scripted.plays(script.answer(b"{}"))
    tail = "/fine_tuning/jobs/a%20b%C3%A9;x?after=x%2By&limit=2&empty=&q=%"
    sent = f'{{ "x" : 1,\n"model":"{played.model}" }}'.encode()
    gateway.http.request(method, gateway.base_url + tail, content=sent, headers=_json(gateway))
    head, _, body = played.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(f"{method} /v1{tail} HTTP/1.1\r\n".encode())
    assert body == sent


def test_an_upload_arrives_as_it_was_sent(gateway: GatewayProcess, upstream: DemoUpstream) -> None:
    """Both with its length announced and in chunks of unknown number."""
    boundary = "----------x"
    part = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode()
    sent = part + bytes(range(256)) * 20_000 + f"\r\n--{boundary}--\r\n".encode()
    headers = gateway.headers() | {"content-type": f"multipart/form-data; boundary={boundary}"}
    pieces = [sent[start : start + 70_001] for start in range(0, len(sent), 70_001)]
    for content in (sent, iter(pieces)):
        answer = gateway.http.post(f"{gateway.base_url}/files", content=content, headers=headers)
        assert answer.json()["sha256"] == hashlib.sha256(sent).hexdigest()


def test_headers_that_go_upstream(gateway: GatewayProcess, upstream: DemoUpstream) -> None:
    """The gateway's key for the upstream in place of the caller's; nothing of the caller's connection."""
    headers = gateway.headers() | {
        "content-type": "application/json; charset=utf-8",
        "openai-organization": "org-1",
        "idempotency-key": "once",
        "user-agent": "somebody/1.0",
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.1",
        "x-api-key": gateway.key,
        "x-secret-of-the-caller": "hidden",
        "te": "trailers",
    }
    gateway.http.post(f"{gateway.base_url}/chat/completions", content=_body("demo-small"), headers=headers)
    received: Any = upstream.received()["last"]
    sent = dict(received["headers"])
    assert sent["authorization"] == f"Bearer {UPSTREAM_KEY}"
    kept = {"content-type", "openai-organization", "idempotency-key", "user-agent"}
    assert {name: sent[name] for name in kept} == {name: headers[name] for name in kept}
    assert not {"cookie", "x-forwarded-for", "x-api-key", "x-secret-of-the-caller", "te"} & set(sent)
    assert gateway.key not in str(sent)


# --- towards the client


@dataclass(frozen=True)
class Request:
    """A request to the demo upstream, whose knobs are part of the model's name."""

    knobs: str = ""
    path: str = "chat/completions"
    more: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, http: httpx.Client, base_url: str, key: str) -> tuple[int, dict[str, str], bytes]:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"} | self.headers
        url, method = f"{base_url}/{self.path}", "GET" if self.path.startswith(("files", "models")) else "POST"
        content = None if method == "GET" else _body(f"demo-small?{self.knobs}", self.more)
        with http.stream(method, url, content=content, headers=headers) as answer:
            raw = b"".join(answer.iter_raw())
        same = ("content-type", "content-length", "content-encoding", "retry-after", "cache-control")
        return answer.status_code, {name: answer.headers[name] for name in same if name in answer.headers}, raw


STREAM = ', "stream": true, "stream_options": {"include_usage": true}'
PLAIN_TEXT = {"accept-encoding": "identity"}
REQUESTS = {
    "plain": Request(),
    "plain, in pieces of unknown number": Request("split=7"),
    "plain, split at every byte": Request("split=1"),
    "plain, large": Request("big=700000"),
    "plain, compressed": Request("gzip=1"),
    "completion": Request(path="completions"),
    "embedding": Request(path="embeddings"),
    "response": Request(path="responses"),
    "stream": Request(more=STREAM),
    "stream of a completion": Request(path="completions", more=STREAM),
    "stream of a response": Request(path="responses", more=STREAM),
    "stream, CRLF": Request("crlf=1", more=STREAM),
    "stream, split at every byte": Request("split=1", more=STREAM),
    "stream, CRLF, split at every byte": Request("split=1&crlf=1", more=STREAM),
    "stream, CRLF, split at every third byte": Request("split=3&crlf=1", more=STREAM),
    "stream, compressed": Request("gzip=1", more=STREAM),
    "stream, not compressed": Request(more=STREAM, headers=PLAIN_TEXT),
    "stream, events larger than is kept back": Request("big=900000&deltas=3", more=STREAM),
    "stream with an error event": Request("error_after=3", more=STREAM),
    "error": Request("status=500"),
    "error, compressed": Request("status=500&gzip=1"),
    "too many requests": Request("status=429"),
    "page of HTML": Request("html=1"),
    "page of HTML for a stream": Request("html=1", more=STREAM),
    "download": Request(path="files/file-1000003/content"),
    "download, compressed": Request(path="files/file-1000003/content?gzip=1"),
    "download, in small pieces": Request(path="files/file-20003/content?split=11"),
    "models": Request(path="models"),
    "no such model": Request(path="models/none"),
    "no such page": Request(path="nonsense"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_the_client_receives_the_very_answer(
    gateway: GatewayProcess, upstream: DemoUpstream, request_: Request
) -> None:
    through = request_.send(gateway.http, gateway.base_url, gateway.key)
    direct = request_.send(upstream.http, upstream.url, "any")
    assert through == direct
    assert through[2]


EVERY_BYTE = bytes(range(256)) * 40
EVENTS = b"\xef\xbb\xbf: a comment\n\ndata: one\n\nevent: x\ndata: two\ndata: lines\nid: 7\nretry: 5\n\n"
ODD_ANSWERS: dict[str, tuple[tuple[Step, ...], bytes]] = {
    "every byte": ((script.answer(EVERY_BYTE, "application/octet-stream"),), EVERY_BYTE),
    "ended by the close": ((b"HTTP/1.1 200 OK\r\ncontent-type: x/y\r\n\r\n" + EVERY_BYTE, End.CLOSE), EVERY_BYTE),
    "an empty body": ((script.answer(b""),), b""),
    "HTTP/1.0": ((b"HTTP/1.0 200 Fine\r\ncontent-length: 3\r\n\r\nyes", End.CLOSE), b"yes"),
    "after a 100": ((b"HTTP/1.1 100 Continue\r\n\r\n" + script.answer(b"yes"),), b"yes"),
    "events with comments and a BOM": ((script.answer(EVENTS, "text/event-stream"),), EVENTS),
    "events in chunks": (
        (script.stream_head(), *(script.chunk(EVENTS[i : i + 1]) for i in range(len(EVENTS))), script.chunk(b"")),
        EVENTS,
    ),
    "events with bare CRs": (
        (script.stream_head(), script.chunk(b"data: one\r\rdata: two\r\r"), script.chunk(b"")),
        b"data: one\r\rdata: two\r\r",
    ),
    "a last event without its end": (
        (script.stream_head(), script.chunk(b"data: one\n\ndata: two"), script.chunk(b"")),
        b"data: one\n\ndata: two",
    ),
    "nothing of a stream": ((script.stream_head(), script.chunk(b"")), b""),
}


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize(("steps", "body"), ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
def test_odd_answers_arrive_as_they_were_sent(
    gateway: GatewayProcess, scripted: ScriptedUpstream, steps: tuple[Step, ...], body: bytes, stream: str
) -> None:
    played = scripted.plays(*steps)
    content = _body(played.model, f', "stream": {stream}')
    answer = gateway.http.post(f"{gateway.base_url}/chat/completions", content=content, headers=_json(gateway))
    assert (answer.status_code, answer.content) == (200, body)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_an_event_is_passed_on_when_it_is_whole(
    gateway: GatewayProcess, scripted: ScriptedUpstream, end: bytes
) -> None:
    """The upstream says the second only when the client has the first, and the client never gets half a one."""
    one, two, seen = b"data: one" + end * 2, b"data: two" + end * 2, threading.Event()
    played = scripted.plays(
        script.stream_head(), script.chunk(one + two[:4]), seen, script.chunk(two[4:]), script.chunk(b"")
    )
    url, body = f"{gateway.base_url}/chat/completions", _body(played.model, ', "stream": true')
    with gateway.http.stream("POST", url, content=body, headers=_json(gateway)) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == one
        seen.set()
        assert b"".join(pieces) == two


def test_an_encoding_that_cannot_be_read_is_not_asked_for(gateway: GatewayProcess, upstream: DemoUpstream) -> None:
    headers = _json(gateway) | {"accept-encoding": "compress, gzip;q=0.5, exi"}
    gateway.http.post(f"{gateway.base_url}/chat/completions", content=_body("demo-small"), headers=headers)
    received: Any = upstream.received()["last"]
    assert dict(received["headers"])["accept-encoding"] == "gzip;q=0.5"


def test_a_compressed_answer_unpacks_to_what_was_said(gateway: GatewayProcess) -> None:
    status, headers, raw = Request("gzip=1&say=hello").send(gateway.http, gateway.base_url, gateway.key)
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert b'"content":"hello"' in gzip.decompress(raw)


def test_headers_that_reach_the_client(gateway: GatewayProcess, scripted: ScriptedUpstream) -> None:
    """What the upstream says of its answer, not of its connection; its own request id under another name."""
    given = (
        "x-request-id: up-1",
        "set-cookie: a=b",
        "openai-version: 2020",
        "connection: keep-alive, x-hop",
        "x-hop: 1",
    )
    played = scripted.plays(script.answer(b"{}", "application/json", *given, "x-assay-decision: forged", "x-twice: 1"))
    answer = gateway.http.post(
        f"{gateway.base_url}/chat/completions", content=_body(played.model), headers=_json(gateway)
    )
    assert answer.headers["x-upstream-request-id"] == "up-1"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-assay-decision"] == "allow"
    assert (answer.headers["openai-version"], answer.headers["x-twice"]) == ("2020", "1")
    assert not {"set-cookie", "x-hop"} & set(answer.headers)


def test_an_answer_without_a_body(gateway: GatewayProcess, scripted: ScriptedUpstream) -> None:
    played = scripted.plays(b"HTTP/1.1 204 No Content\r\nx-kept: 1\r\n\r\n")
    answer = gateway.http.post(
        f"{gateway.base_url}/chat/completions", content=_body(played.model), headers=_json(gateway)
    )
    assert (answer.status_code, answer.content, answer.headers["x-kept"]) == (204, b"", "1")
    again = scripted.plays(script.answer(b"{}"))
    assert gateway.http.post(
        f"{gateway.base_url}/chat/completions", content=_body(again.model), headers=_json(gateway)
    ).is_success


def test_head_requests_have_no_body(gateway: GatewayProcess, upstream: DemoUpstream) -> None:
    through = gateway.http.head(f"{gateway.base_url}/models", headers=gateway.headers())
    direct = upstream.http.head(f"{upstream.url}/models")
    assert (through.status_code, through.content) == (direct.status_code, direct.content)


def _json(gateway: GatewayProcess) -> dict[str, str]:
    return gateway.headers() | {"content-type": "application/json"}


def _body(model: str, more: str = "") -> bytes:
    return f'{{"model": "{model}", {ASKED}{more}}}'.encode()
