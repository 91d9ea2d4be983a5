"""Calling model servers: what goes upstream, what comes back, what is tried again. Against real servers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from gateway.config.settings import DEFAULT_FORWARDED
from gateway.errors import UpstreamError
from gateway.exchange import Asked, Exchange, Headers, Route, Upstream
from gateway.openai_api import operation_of
from gateway.upstream import headers as passed_on
from gateway.upstream.calls import Tries, Upstreams
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.outgoing import fixed_lines
from gateway.upstream.transport import Limits, Response
from tests.support.running.patience import PATIENCE_SECONDS, until
from tests.support.running.together import together
from tests.support.servers.origins import Turn, http1_origin, http2_origin, proxy
from tests.support.servers.scripted_server import (
    Peer,
    Request,
    Script,
    Server,
    always,
    answer,
    answering,
    certify,
    hang,
    in_turn,
    serve,
)
from tests.support.worlds.seen_tries import SeenTries

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])
# Where a limit is reached, a machine that stands still for longer must not decide which one.
IN_VIRTUAL_TIME = pytest.mark.asyncio(loop_factories=["virtual"])

CHAT = "/v1/chat/completions"
MIB = 1 << 20


def exchange_for(upstreams: Iterable[Upstream], method: str = "POST", path: str = CHAT, *headers: bytes) -> Exchange:
    exchange = Exchange("req_1", Asked(method, path, headers=pairs(*headers)))
    exchange.asked.operation = operation_of(method, path)
    exchange.route = Route("default", tuple(upstreams), 1.0)
    return exchange


def pairs(*headers: bytes) -> Headers:
    return [(name, value) for name, _, value in (header.partition(b": ") for header in headers)]


async def read(under_way: Response) -> bytes:
    got = b""
    while piece := await under_way.more():
        got += piece
    return got


@dataclass(slots=True)
class World:
    """Upstreams a, b, … with a server each; `failures` is what was reported."""

    calls: Upstreams
    upstreams: list[Upstream]
    servers: list[Server]
    failures: list[tuple[str, str]] = field(default_factory=list)

    def asked(self) -> list[int]:
        """Requests that each server has seen."""
        return [len(server.requests) for server in self.servers]

    async def call(self, method: str = "POST", path: str = CHAT, body: bytes = b"{}") -> Response:
        exchange = exchange_for(self.upstreams, method, path)
        return await self.calls.call(exchange, body, path.removeprefix("/v1").encode())

    def busy(self) -> int:
        return sum(busy for _, busy in self.calls.counts().values())


@asynccontextmanager
async def world(
    *scripts: Script, limits: Limits = Limits(), retries: int = 1, forwarded: Iterable[str] = DEFAULT_FORWARDED
) -> AsyncIterator[World]:
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(script)) for script in scripts]
        upstreams = [
            Upstream(chr(97 + number), "http", "127.0.0.1", server.port, "/v1", f"sk-up-{number}")
            for number, server in enumerate(servers)
        ]
        failures: list[tuple[str, str]] = []
        calls = Upstreams(
            limits,
            HeaderFilter(forwarded),
            SeenTries(failures),
            tries=Tries(retries, pause_seconds=0),
        )
        stack.push_async_callback(calls.close)
        yield World(calls, upstreams, servers, failures)


# --- what goes upstream --------------------------------------------------------------------------------------

CLIENT = (
    b"host: gateway.example",
    b"authorization: Bearer gateway-key",
    b"api-key: gateway-key",
    b"x-api-key: gateway-key",
    b"proxy-authorization: Basic gateway-key",
    b"cookie: session=gateway-key",
    b"content-type: application/json",
    b"content-length: 99",
    b"transfer-encoding: chunked",
    b"connection: keep-alive",
    b"keep-alive: timeout=5",
    b"proxy-connection: keep-alive",
    b"te: trailers",
    b"trailer: x",
    b"upgrade: h2c",
    b"forwarded: for=10.0.0.1",
    b"x-forwarded-for: 10.0.0.1",
    b"x-real-ip: 10.0.0.1",
    b"origin: http://page.example",
    b"referer: http://page.example/secret",
    b"x-internal: secret",
    b"x-assay-anything: secret",
    b"user-agent: app/1",
    b"openai-organization: org-1",
    b"x-stainless-lang: python",
    b"idempotency-key: abc",
    b"accept: a, b",
    b"accept: c",
)
FORWARDED = [
    (b"content-type", b"application/json"),
    (b"user-agent", b"app/1"),
    (b"openai-organization", b"org-1"),
    (b"x-stainless-lang", b"python"),
    (b"idempotency-key", b"abc"),
    (b"accept", b"a, b"),
    (b"accept", b"c"),
]


async def sent(
    *headers: bytes,
    method: str = "POST",
    path: str = CHAT,
    query: bytes = b"",
    body: bytes = b"{}",
    forwarded: Iterable[str] = DEFAULT_FORWARDED,
) -> Request:
    """What arrives at the upstream."""
    async with world(always(answer()), forwarded=forwarded) as at:
        exchange = exchange_for(at.upstreams, method, path, *headers)
        tail = path.removeprefix("/v1").encode() + (b"?" + query if query else b"")
        under_way = await at.calls.call(exchange, body, tail)
        assert under_way.status == 200
        [server] = at.servers
        [request] = server.requests
        assert request.get(b"host") == [b"127.0.0.1:%d" % server.port]
        return request


async def test_only_allowed_headers_go_upstream() -> None:
    request = await sent(*CLIENT)
    assert request.headers[1:] == [(b"authorization", b"Bearer sk-up-0"), (b"content-length", b"2"), *FORWARDED]
    assert not any(b"gateway-key" in value or b"secret" in value for _, value in request.headers)


@pytest.mark.parametrize("allowed", [["*"], ["x-*", "*"], [*DEFAULT_FORWARDED, "authorization", "cookie", "x-api-key"]])
async def test_no_setting_lets_keys_and_connection_headers_through(allowed: list[str]) -> None:
    request = await sent(*CLIENT, b"accept-encoding: lzma, gzip", forwarded=allowed)
    assert not any(b"gateway-key" in value for _, value in request.headers)
    assert request.get(b"authorization") == [b"Bearer sk-up-0"]
    assert request.get(b"content-length") == [b"2"]
    assert request.get(b"accept-encoding") == [b"gzip"]
    for name in (b"te", b"trailer", b"upgrade", b"connection", b"keep-alive", b"transfer-encoding", b"x-real-ip"):
        assert request.get(name) == []


@pytest.mark.parametrize("last", [False, True])
async def test_what_connection_names_stays_here(last: bool) -> None:
    named = b"connection: close, User-Agent , x-stainless-lang"
    headers = [*CLIENT, named] if last else [named, *CLIENT]
    request = await sent(*headers)
    assert request.headers[3:] == [h for h in FORWARDED if h[0] not in (b"user-agent", b"x-stainless-lang")]


@pytest.mark.parametrize(
    ("offered", "passed"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
        ("gzip, dcb, compress", "gzip"),
        ("gzip", "gzip"),
        ("lzma", "identity"),
        ("*", "identity"),
        ("", "identity"),
        ("LZMA;q=1.0, GZIP;q=0.5, identity;q=0.1", "gzip;q=0.5, identity;q=0.1"),
        ("identity", "identity"),
    ],
)
async def test_encodings_that_can_be_read(offered: str, passed: str) -> None:
    for _ in range(2):  # the second from memory
        assert (await sent(b"accept-encoding: " + offered.encode())).get(b"accept-encoding") == [passed.encode()]


async def test_no_encoding_is_asked_for_on_the_clients_behalf() -> None:
    assert (await sent()).get(b"accept-encoding") == []


async def test_the_filter_remembers_a_bounded_number_of_names() -> None:
    chosen = HeaderFilter(["x-*"])
    for number in range(10_000):
        chosen.upstream([(b"x-%d" % number, b"1"), (b"accept-encoding", b"%d" % number)])
    assert len(chosen._known) == len(chosen._encodings) == 512
    assert chosen.upstream([(b"x-9999", b"1"), (b"y", b"1")]) == b"x-9999: 1\r\n"


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("POST", b"{}", [b"2"]),
        ("POST", b"", [b"0"]),
        ("DELETE", b"", [b"0"]),
        ("GET", b"", []),
        ("HEAD", b"", []),
        ("OPTIONS", b"", []),
        ("GET", b"{}", [b"2"]),
    ],
)
async def test_framing(method: str, body: bytes, framing: list[bytes]) -> None:
    request = await sent(method=method, path="/v1/files", body=body)
    assert (request.method.decode(), request.body) == (method, body)
    assert request.get(b"content-length") == framing
    assert request.get(b"transfer-encoding") == []


async def test_path_and_query() -> None:
    request = await sent(path="/v1/files/a%20b", query=b"after=%2F&x=1", method="GET", body=b"")
    assert request.target == b"/v1/files/a%20b?after=%2F&x=1"


@pytest.mark.parametrize(
    ("upstream", "lines"),
    [
        (Upstream("a", "https", "api.example", 443, "", "k"), b"host: api.example\r\nauthorization: Bearer k\r\n"),
        (Upstream("a", "http", "api.example", 80, ""), b"host: api.example\r\n"),
        (Upstream("a", "https", "api.example", 80, ""), b"host: api.example:80\r\n"),
        (Upstream("a", "http", "::1", 8000, ""), b"host: [::1]:8000\r\n"),
    ],
)
async def test_host_and_key(upstream: Upstream, lines: bytes) -> None:
    assert fixed_lines(upstream) == lines


async def test_large_bodies_arrive_as_they_are() -> None:
    body = bytes(range(256)) * 4096 * 8

    async def echo(peer: Peer) -> None:
        await peer.send(answer((await peer.request()).body))
        await peer.client_left()

    async with world(echo) as at:
        assert await read(await at.call(body=body)) == body


# --- what comes back -----------------------------------------------------------------------------------------


async def test_headers_of_the_answer() -> None:
    wire = answer(
        b"{}",
        b"Content-Type: application/json",
        b"X-Request-Id: up-1",
        b"OpenAI-Processing-Ms: 5",
        b"Set-Cookie: a=b",
        b"Connection: keep-alive, X-Hop",
        b"connection: x-other",
        b"X-Hop: 1",
        b"X-Other: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Connection: close",
        b"TE: x",
        b"Trailer: x",
        b"Upgrade: h2c",
        b"X-Assay-Decision: allow",
        b"X-Assay-Policy: mine",
        b"X-Assay-Guard-Ms: 0",
        b"X-Twice: 1",
        b"X-Twice: 2",
    )
    async with world(always(wire)) as at:
        assert passed_on.downstream((await at.call()).headers) == pairs(
            b"content-length: 2",
            b"content-type: application/json",
            b"x-upstream-request-id: up-1",
            b"openai-processing-ms: 5",
            b"x-twice: 1",
            b"x-twice: 2",
        )


@pytest.mark.parametrize("connection", [b"keep-alive", b"Keep-Alive", b"close"])
async def test_a_plain_connection_header_names_nothing(connection: bytes) -> None:
    async with world(always(answer(b"", b"close: 1", b"connection: " + connection))) as at:
        assert passed_on.downstream((await at.call()).headers) == [(b"content-length", b"0"), (b"close", b"1")]


# --- what is tried again -------------------------------------------------------------------------------------


def status(code: int, body: bytes = b"{}") -> bytes:
    return answer(body, status=b"%d Status" % code)


async def resetting(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def cut_off(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")


@dataclass(frozen=True, slots=True)
class Case:
    scripts: tuple[Script, ...]
    ends: int | str  # a status, or the reason of the failure
    asked: list[int]
    failures: list[tuple[str, str]]
    request: tuple[str, str] = ("POST", CHAT)
    retries: int = 1


OK = always(answer())
DOWN = always(status(503))
GARBAGE = always(b"garbage\r\n\r\n")
UPLOAD = ("POST", "/v1/fine_tuning/jobs")
LOOK_UP = ("GET", "/v1/files/f-1")
CASES = {
    "it answers": Case((OK,), 200, [1], []),
    "a reset is tried again": Case((in_turn(resetting, OK),), 200, [2], [("a", "reset")]),
    "two resets are one too many": Case((in_turn(resetting, resetting, OK),), "reset", [2], [("a", "reset")] * 2),
    "no retries": Case((in_turn(resetting, OK),), "reset", [1], [("a", "reset")], retries=0),
    "more retries": Case((resetting,), "reset", [4], [("a", "reset")] * 4, retries=3),
    "the other upstream after a reset": Case((resetting, OK), 200, [1, 1], [("a", "reset")]),
    "the other upstream without retries": Case((resetting, OK), 200, [1, 1], [("a", "reset")], retries=0),
    **{
        f"the other upstream after {code}": Case((always(status(code)), OK), 200, [1, 1], [("a", "status")])
        for code in (408, 429, 500, 502, 503, 504, 529)
    },
    **{
        f"{code} is an answer": Case((always(status(code)), OK), code, [1, 0], [])
        for code in (200, 204, 301, 400, 401, 404, 422)
    },
    **{
        f"{code} is an answer, and a failure": Case((always(status(code)), OK), code, [1, 0], [("a", "status")])
        for code in (501, 505)
    },
    "429 of the only upstream is passed on": Case((always(status(429)),), 429, [1], [("a", "status")], retries=5),
    "503 of the only upstream is passed on": Case((DOWN,), 503, [1], [("a", "status")], retries=5),
    "503 of the last upstream is passed on": Case((DOWN, DOWN), 503, [1, 1], [("a", "status"), ("b", "status")]),
    "three upstreams": Case((resetting, DOWN, OK), 200, [1, 1, 1], [("a", "reset"), ("b", "status")]),
    "503, and then nobody is there": Case((DOWN, resetting), "reset", [1, 1], [("a", "status"), ("b", "reset")]),
    "a truncated answer is not tried again": Case((cut_off, OK), "truncated", [1, 0], [("a", "truncated")]),
    "garbage is tried elsewhere": Case((GARBAGE, OK), 200, [1, 1], [("a", "bad_response")]),
    "garbage is not tried again": Case((GARBAGE,), "bad_response", [1], [("a", "bad_response")], retries=3),
    "garbage may have taken effect": Case((GARBAGE, OK), "bad_response", [1, 0], [("a", "bad_response")], UPLOAD),
    "silence is tried elsewhere": Case((hang, OK), 200, [0, 1], [("a", "first_byte_timeout")]),
    "silence everywhere": Case(
        (hang, hang),
        "first_byte_timeout",
        [0, 0],
        [(name, "first_byte_timeout") for name in "ab"],
        retries=3,
    ),
    "silence is not tried again": Case((hang,), "first_byte_timeout", [0], [("a", "first_byte_timeout")], retries=3),
    "silence may have taken effect": Case(
        (hang, OK), "first_byte_timeout", [0, 0], [("a", "first_byte_timeout")], UPLOAD
    ),
    "what may have taken effect is not repeated": Case((resetting, OK), "reset", [1, 0], [("a", "reset")], UPLOAD),
    "nor on the same upstream": Case((in_turn(resetting, OK),), "reset", [1], [("a", "reset")], UPLOAD, 3),
    "nor after 502": Case((always(status(502)), OK), 502, [1, 0], [("a", "status")], UPLOAD),
    "nor after 504": Case((always(status(504)), OK), 504, [1, 0], [("a", "status")], UPLOAD),
    "what was refused is repeated, 429": Case((always(status(429)), OK), 200, [1, 1], [("a", "status")], UPLOAD),
    "what was refused is repeated, 503": Case((DOWN, OK), 200, [1, 1], [("a", "status")], UPLOAD),
    "a look-up is repeated": Case((in_turn(resetting, OK),), 200, [2], [("a", "reset")], LOOK_UP),
    "a look-up is repeated elsewhere": Case((always(status(502)), OK), 200, [1, 1], [("a", "status")], LOOK_UP),
    "DELETE is not repeated": Case((resetting, OK), "reset", [1, 0], [("a", "reset")], ("DELETE", "/v1/files/f-1")),
}


@IN_VIRTUAL_TIME
@together("name", CASES)
async def test_retries(name: str) -> None:
    case = CASES[name]
    async with world(*case.scripts, retries=case.retries, limits=Limits(first_byte_seconds=0.05)) as at:
        try:
            under_way = await at.call(*case.request)
            ends: int | str = under_way.status
            await read(under_way)
        except UpstreamError as error:
            ends = error.reason
        assert (ends, at.asked(), at.failures) == (case.ends, case.asked, case.failures)
        assert at.busy() == 0


async def test_nobody_there() -> None:
    async with world(OK) as at:
        nobody = Upstream("nobody", "http", "127.0.0.1", 1, "/v1")
        for request in (("POST", CHAT), UPLOAD):  # nothing left, so nothing can have taken effect
            exchange = exchange_for([nobody, *at.upstreams], *request)
            assert (await at.calls.call(exchange, b"{}", b"/x")).status == 200
            assert exchange.upstream is at.upstreams[0]
        with pytest.raises(UpstreamError) as caught:
            await at.calls.call(exchange_for([nobody]), b"{}", b"/x")
        assert caught.value.reason == "connect_failed"
        assert at.failures == [("nobody", "connect_failed")] * 3  # set aside after the first
        assert at.busy() == 0


async def test_an_answer_that_is_given_up_for_another_costs_no_connection() -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 503 Down\r\ncontent-length: 1000000\r\n\r\nsorry")
        await peer.client_left()
        left.set()

    left = asyncio.Event()
    async with world(endless, OK) as at:
        assert (await at.call()).status == 200
        await left.wait()
        assert list(at.calls.counts().values()) == [(0, 0), (1, 0)]


async def test_a_connection_gone_stale_is_no_failure() -> None:
    """The server closes it in the moment it is used again: the request goes out once more, on a fresh one."""

    async def stale(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await peer.head()  # and closes

    async with world(stale, limits=Limits(max_connections=3), retries=0) as at:
        for number in range(4):
            assert (await at.call()).status == 200
            assert len(at.servers[0].peers) == number + 1
        assert at.failures == []


@IN_VIRTUAL_TIME
async def test_what_may_take_effect_never_meets_a_stale_connection() -> None:
    async def stale(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await peer.head()

    async with world(stale, retries=0, limits=Limits(max_connections=2, pool_seconds=0.1)) as at:
        for number in range(4):
            assert (await at.call(*UPLOAD)).status == 200
            assert at.asked() == [number + 1]
        assert at.failures == []


async def test_a_stale_connection_and_a_broken_one() -> None:
    """The fresh connection is the last word of one try."""

    async def stale(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await peer.head()

    async with world(in_turn(stale, resetting, OK), retries=0) as at:
        assert (await at.call()).status == 200
        with pytest.raises(UpstreamError):
            await at.call()
        assert at.failures == [("a", "reset")]
        assert at.asked() == [3]


async def test_the_time_with_the_upstream_is_added_up() -> None:
    ticks = count(step=10)
    async with serve(DOWN) as down, serve(OK) as fine:
        calls = Upstreams(Limits(), HeaderFilter(()), SeenTries(), clock=lambda: next(ticks))
        first, second = (Upstream(name, "http", "127.0.0.1", at.port, "") for name, at in (("a", down), ("b", fine)))
        exchange = exchange_for([first, second])
        await calls.call(exchange, b"{}", b"/x")
        assert exchange.upstream is second
        assert exchange.timing.upstream_seconds == 20
        await calls.close()


async def test_upstreams_of_one_origin_share_their_connections() -> None:
    async with serve(always(answer())) as server:
        calls = Upstreams(Limits(), HeaderFilter(()), SeenTries())
        one, two = (Upstream(name, "http", "127.0.0.1", server.port, "/" + name, "key-" + name) for name in "ab")
        for upstream in (one, two):
            assert (await calls.call(exchange_for([upstream]), b"{}", b"/x")).status == 200
        assert calls.counts() == {f"http://127.0.0.1:{server.port}": (1, 0)}
        assert [(r.target, r.get(b"authorization")) for r in server.requests] == [
            (b"/a/x", [b"Bearer key-a"]),
            (b"/b/x", [b"Bearer key-b"]),
        ]
        await calls.close()


@pytest.mark.parametrize("phase", ["pool", "head", "half a head", "small body"])
async def test_cancel_costs_no_connection(phase: str) -> None:
    wire = {
        "small body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!",
        "half a head": b"HTTP/1.1 503 Down\r\ntransfer-encoding: chunked\r\n",
    }.get(phase, b"")
    said = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)
        said.set()
        await peer.client_left()

    async with (
        world(in_turn(script, OK), limits=Limits(max_connections=1, pool_seconds=1)) as at,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(at.call())]
        await said.wait()
        if phase == "pool":
            tasks.insert(0, group.create_task(at.call()))
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        assert at.busy() == 0
        assert (await at.call()).status == 200
        assert at.failures == []


async def test_tls_trusts_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certify(tmp_path)
    async with serve(always(answer()), tls=certificate.server) as server:
        upstream = Upstream("a", "https", "localhost", server.port, "/v1")
        strict = Upstreams(Limits(), HeaderFilter(()), SeenTries())
        with pytest.raises(UpstreamError) as caught:
            await strict.call(exchange_for([upstream]), b"{}", b"/x")
        assert caught.value.reason == "tls_failed"
        assert server.requests == []

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
        trusting = Upstreams(Limits(), HeaderFilter(()), SeenTries())
        assert (await trusting.call(exchange_for([upstream]), b"{}", b"/x")).status == 200
        assert server.requests[0].get(b"host") == [b"localhost:%d" % server.port]
        for calls in (strict, trusting):
            await calls.close()


async def test_tls_of_the_known_upstreams_is_made_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certify(tmp_path)
    async with serve(always(answer()), tls=certificate.server) as server:
        upstream = Upstream("a", "https", "localhost", server.port, "/v1")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
        calls = Upstreams(Limits(), HeaderFilter(()), SeenTries(), known=[upstream])
        monkeypatch.delenv("SSL_CERT_FILE")
        assert (await calls.call(exchange_for([upstream]), b"{}", b"/x")).status == 200
        await calls.close()


async def test_http2_is_not_agreed_on_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certify(tmp_path)
    certificate.server.set_alpn_protocols(["h2", "http/1.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    async with http2_origin(plainly_ok, certificate.server) as wants_it, serve(OK, tls=certificate.server) as server:
        one = Upstream("one", "https", "localhost", wants_it.port, "/v1", http2=True)
        other = Upstream("other", "https", "localhost", server.port, "/v1")
        calls = Upstreams(Limits(), HeaderFilter(()), SeenTries(), known=[one, other])
        for upstream in (one, other, one, other):  # the offer to one is none to the other
            assert (await calls.call(exchange_for([upstream]), b"{}", b"/x")).status == 200
        assert (len(wants_it.turns), len(server.requests)) == (2, 2)
        await calls.close()


# --- by a proxy, and in HTTP/2 -------------------------------------------------------------------------------


async def test_upstreams_of_one_origin_may_be_reached_in_two_ways() -> None:
    async with http1_origin(plainly_ok) as origin, proxy("u:pw") as between:
        calls = Upstreams(Limits(), HeaderFilter(()), SeenTries())
        near = Upstream("near", "http", "localhost", origin.port, "/v1")
        far = Upstream("far", "http", "localhost", origin.port, "/v1", proxy=f"http://u:pw@127.0.0.1:{between.port}")
        for upstream in (near, far, near):
            assert (await calls.call(exchange_for([upstream]), b"{}", b"/x")).status == 200
        await until(lambda: calls.counts() == {f"http://localhost:{origin.port}": (1, 0)})
        assert [turn.connection for turn in origin.turns] == [0, 1, 0]
        assert between.asked == [b"POST http://localhost:%d/v1/x HTTP/1.1" % origin.port]
        await calls.close()
        assert calls.counts() == {f"http://localhost:{origin.port}": (0, 0)}


async def plainly_ok(turn: Turn) -> None:
    body = b"" if turn.method == b"HEAD" else await turn.body() or b"ok"
    await turn.start(200, length=len(body) or 7)
    if body:
        await turn.send(body)
    await turn.end()


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("tunnel", [False, True])
async def test_http2(method: str, tunnel: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certify(tmp_path)
    certificate.server.set_alpn_protocols(["h2"])
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    async with http2_origin(plainly_ok, certificate.server) as origin, proxy() as between:
        url = f"http://127.0.0.1:{between.port}" if tunnel else None
        upstream = Upstream("a", "https", "localhost", origin.port, "/v1", "sk-1", http2=True, proxy=url)
        calls = Upstreams(Limits(), HeaderFilter(DEFAULT_FORWARDED), SeenTries(), known=[upstream])
        exchange = exchange_for([upstream], method, FILES, b"accept-encoding: gzip, lzma", b"x-stainless-os: linux")
        body = b"{}" if method == "POST" else b""
        under_way = await calls.call(exchange, body, b"/files?a=%2F")
        assert (under_way.status, await read(under_way)) == (200, b"" if method == "HEAD" else body or b"ok")
        if method == "POST":
            under_way = await calls.stream(exchange, pieces(b"a", b"", b"bc"), None, b"/files?a=%2F")
            assert await read(under_way) == b"abc"
        for turn in origin.turns:
            assert turn.target == b"/v1/files?a=%2F"
            assert (b"authorization", b"Bearer sk-1") in turn.headers
            assert (b"accept-encoding", b"gzip") in turn.headers
            assert (b"x-stainless-os", b"linux") in turn.headers
        assert len(between.asked) == (len(origin.turns) if tunnel else 0)
        assert calls.counts() == {f"https://localhost:{origin.port}": (1, 0)}
        await calls.close()


@IN_VIRTUAL_TIME
@pytest.mark.parametrize("script", [resetting, hang], ids=["reset", "silence"])
async def test_a_proxy_that_breaks_off_is_a_failure_like_any_other(script: Script) -> None:
    async with serve(script) as between, http1_origin(plainly_ok) as origin:
        failures: list[tuple[str, str]] = []
        calls = Upstreams(
            Limits(first_byte_seconds=0.05),
            HeaderFilter(()),
            SeenTries(failures),
            tries=Tries(pause_seconds=0),
        )
        far = Upstream("far", "http", "localhost", origin.port, "", proxy=f"http://127.0.0.1:{between.port}")
        near = Upstream("near", "http", "localhost", origin.port, "")
        assert (await calls.call(exchange_for([far, near]), b"{}", b"/x")).status == 200
        assert failures == [("far", "reset" if script is resetting else "first_byte_timeout")]
        await until(lambda: sum(busy for _, busy in calls.counts().values()) == 0)
        await calls.close()


# --- bodies that are passed on as they come ------------------------------------------------------------------


async def pieces(*each: bytes) -> AsyncIterator[bytes]:
    for piece in each:
        yield piece
        await asyncio.sleep(0)


FILES = "/v1/files"


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE", "HEAD"])
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunks"])
async def test_an_upload(method: str, announced: bool) -> None:
    given = [b"a", b"", b"bc", b"x" * 100_000, b""]
    body = b"".join(given)
    wire = answer(b"" if method == "HEAD" else b"{}")
    async with world(always(wire)) as at:
        exchange = exchange_for(at.upstreams, method, FILES, b"transfer-encoding: chunked", b"content-type: a/b")
        length = len(body) if announced else None
        under_way = await at.calls.stream(exchange, pieces(*given), length, b"/files?x=1")
        assert under_way.status == 200
        [request] = at.servers[0].requests
        assert (request.method.decode(), request.target, request.body) == (method, b"/v1/files?x=1", body)
        assert request.get(b"content-length") == ([b"%d" % len(body)] if announced else [])
        assert request.get(b"transfer-encoding") == ([] if announced else [b"chunked"])
        assert request.get(b"authorization") == [b"Bearer sk-up-0"]
        assert request.get(b"content-type") == [b"a/b"]
        assert at.busy() == 0
        assert exchange.timing.upstream_seconds > 0


@pytest.mark.parametrize(("code", "failures"), [(413, []), (500, [("a", "status")]), (503, [("a", "status")])])
async def test_an_upload_is_tried_once(code: int, failures: list[tuple[str, str]]) -> None:
    async with world(always(status(code)), OK, retries=3) as at:
        under_way = await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), pieces(b"x"), 1, b"/x")
        assert (under_way.status, at.asked(), at.failures) == (code, [1, 0], failures)


async def test_an_empty_upload_in_chunks() -> None:
    async with world(always(answer())) as at:
        assert (await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), pieces(), None, b"/x")).status == 200
        assert at.servers[0].requests[0].body == b""


@pytest.mark.slow
async def test_a_large_upload_never_lies_here_whole() -> None:
    read_on = asyncio.Event()
    taken: list[int] = []

    async def client() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MIB)
            taken.append(MIB)

    async def slow(peer: Peer) -> None:
        await read_on.wait()
        await peer.request()
        await peer.send(answer())

    async with world(slow) as at, asyncio.TaskGroup() as group:
        upload = group.create_task(at.calls.stream(exchange_for(at.upstreams, "POST", FILES), client(), None, b"/x"))
        while True:
            before = len(taken)
            await asyncio.sleep(0.03)
            if taken and len(taken) == before:
                break
        assert before < 20
        read_on.set()
        assert (await upload).status == 200
        assert len(at.servers[0].requests[0].body) == 40 * MIB


class Client:
    """Sends until it is told to stop; counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 1
            yield bytes(4096)
            await asyncio.sleep(0)


async def test_an_upload_that_is_refused_early_ends_early() -> None:
    async def refusing(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(b"too large", status=b"413 Content Too Large"))
        await peer.client_left()

    client = Client()
    async with world(refusing) as at:
        under_way = await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), client.body(), None, b"/x")
        assert (under_way.status, await read(under_way)) == (413, b"too large")
        assert client.taken < 10_000
        assert at.busy() == 0


async def _silent_after(piece: bytes, closed: asyncio.Event) -> AsyncIterator[bytes]:
    """A client that sends a piece and then nothing for ever."""
    try:
        yield piece
        await asyncio.Event().wait()
    finally:
        closed.set()


@pytest.mark.parametrize("piece", [b"", b"first"])
async def test_an_early_answer_does_not_wait_for_a_client_that_says_nothing_more(piece: bytes) -> None:
    async def refusing(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(b"too large", status=b"413 Content Too Large"))
        await peer.client_left()

    closed = asyncio.Event()
    async with world(refusing) as at:
        body = _silent_after(piece, closed)
        under_way = await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), body, None, b"/x")
        assert (under_way.status, await read(under_way)) == (413, b"too large")
        await closed.wait()
        assert at.busy() == 0


async def test_an_upstream_that_breaks_off_is_noticed_while_the_client_says_nothing() -> None:
    async def breaking(peer: Peer) -> None:
        await peer.head()
        peer.reset()

    closed = asyncio.Event()
    async with world(breaking) as at:
        with pytest.raises(UpstreamError) as caught:
            body = _silent_after(b"first", closed)
            await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), body, None, b"/x")
        assert caught.value.reason == "reset"
        await closed.wait()
        assert at.failures == [("a", "reset")]


@pytest.mark.parametrize("script", [resetting, cut_off], ids=["reset", "closed"])
async def test_an_upload_that_breaks_off_takes_no_more_from_the_client(script: Script) -> None:
    async def breaking(peer: Peer) -> None:
        await peer.head()
        await peer.read(5000)
        peer.reset() if script is resetting else peer.abort()

    client = Client()
    async with world(breaking, OK) as at:
        with pytest.raises(UpstreamError) as caught:
            await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), client.body(), None, b"/x")
        assert caught.value.reason == "reset"
        assert client.taken < 10_000
        assert at.asked() == [1, 0]  # a body that went by cannot be sent again
        assert at.failures == [("a", "reset")]
        assert at.busy() == 0


async def test_a_client_that_breaks_off_its_upload() -> None:
    async def client() -> AsyncIterator[bytes]:
        yield b"first"
        raise LookupError("the client left")

    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.client_left()
        left.set()

    async with world(script) as at:
        with pytest.raises(LookupError):
            await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), client(), 100, b"/x")
        await left.wait()
        assert at.busy() == 0
        assert at.failures == []


@pytest.mark.parametrize("phase", ["body", "head"])
async def test_cancelling_an_upload_costs_no_connection(phase: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MIB)

    body = endless() if phase == "body" else pieces(b"all")
    async with (
        world(in_turn(hang, OK), limits=Limits(max_connections=1, pool_seconds=1)) as at,
        asyncio.TaskGroup() as group,
    ):
        upload = group.create_task(at.calls.stream(exchange_for(at.upstreams, "POST", FILES), body, None, b"/x"))
        await until(lambda: bool(at.servers[0].peers))
        await asyncio.sleep(0.02)
        upload.cancel()
        await asyncio.wait([upload])
        assert upload.cancelled()
        assert at.busy() == 0
        assert (await at.call()).status == 200


@IN_VIRTUAL_TIME
async def test_an_upload_never_uses_a_used_connection() -> None:
    """It could have gone stale, and the body cannot be sent twice."""
    async with world(answering(answer(), answer()), limits=Limits(max_connections=1, pool_seconds=0.1)) as at:
        await at.call()
        under_way = await at.calls.stream(exchange_for(at.upstreams, "POST", FILES), pieces(b"x"), 1, b"/x")
        assert under_way.status == 200
        assert len(at.servers[0].peers) == 2
