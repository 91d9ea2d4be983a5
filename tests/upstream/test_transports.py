"""What every transport promises, over every way to an upstream; and what is particular to proxies and to HTTP/2."""

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpcore2
import pytest

from gateway.errors import REASONS as KNOWN
from gateway.errors import UpstreamError
from gateway.upstream.http1 import Http1Transport
from gateway.upstream.library import LibraryTransport
from gateway.upstream.library.reasons import REASONS, TRANSPORT_ERRORS, failure
from gateway.upstream.transport import Limits, Response, Transport
from tests.support.running.examples import some
from tests.support.running.patience import PATIENCE_SECONDS, turns, until
from tests.support.running.together import together
from tests.support.servers.origins import Origin, Proxy, Script, Turn, http1_origin, http2_origin, proxy
from tests.support.servers.scripted_server import Certificate, Peer, certify, serve

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])
# Where a limit is reached, a machine that stands still for longer must not decide which one.
IN_VIRTUAL_TIME = pytest.mark.asyncio(loop_factories=["virtual"])

SOON = 0.05  # a limit that is meant to be reached
MIB = 1 << 20
ONE = Limits(max_connections=1, pool_seconds=1)
SECRET = "user:p%40ss-w0rd"


@dataclass(frozen=True, slots=True)
class Certificates:
    plain: Certificate
    http2: Certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    plain, http2 = (certify(tmp_path_factory.mktemp(name)) for name in ("plain", "http2"))
    http2.server.set_alpn_protocols(["h2", "http/1.1"])
    return Certificates(plain, http2)


@dataclass(slots=True)
class Way:
    transport: Transport
    origin: Origin
    proxy: Proxy | None = None

    async def begin(
        self,
        body: bytes | None = b"",
        *,
        method: bytes = b"POST",
        target: bytes = b"/v1/x",
        lines: bytes = b"",
        length: int | None = None,
        fresh: bool = False,
    ) -> Response:
        """Send a request; `body` None is streamed, with its `length` or in chunks."""
        framing = b"content-length: %d\r\n" % (length or 0 if body is None else len(body))
        if body is None and length is None:
            framing = b"transfer-encoding: chunked\r\n"
        if method == b"GET":
            framing = b""
        head = b"%b %b HTTP/1.1\r\nhost: localhost\r\n%b%b\r\n" % (method, target, framing, lines)
        return await self.transport.request(head, body, fresh=fresh, chunked=body is None and length is None)

    async def ask(self, body: bytes = b"", *, fresh: bool = False) -> tuple[int, bytes]:
        """One request and all of its answer; given up like the request path gives up."""
        answer = await self.begin(body, fresh=fresh)
        try:
            await answer.head()
            return answer.status, await read(answer)
        finally:
            answer.abort()

    async def fails(self) -> str:
        with pytest.raises(UpstreamError) as caught:
            await self.ask()
        assert SECRET.partition(":")[2] not in caught.value.message
        return caught.value.reason

    async def fails_fresh(self) -> None:
        with pytest.raises(UpstreamError):
            await self.ask(fresh=True)

    @property
    def kept(self) -> tuple[int, int]:
        """The counts once an answer is over: the library keeps no connection that spoke HTTP/1.1."""
        kept = not isinstance(self.transport, LibraryTransport) or self.transport.shares
        return (1, 0) if kept else (0, 0)

    async def settles(self, *counts: tuple[int, int]) -> None:
        """The connections become that many idle and busy ones."""
        await until(lambda: self.transport.counts() in counts, f"{self.transport.counts()} becomes {counts}")


async def read(answer: Response) -> bytes:
    got = []
    while piece := await answer.more():
        got.append(piece)
    return b"".join(got)


Opener = Callable[[AsyncExitStack, Script, Limits, Certificates], Awaitable[Way]]


async def directly(stack: AsyncExitStack, script: Script, limits: Limits, _: Certificates) -> Way:
    origin = await stack.enter_async_context(http1_origin(script))
    return Way(Http1Transport("127.0.0.1", origin.port, limits), origin)


async def by_tls(stack: AsyncExitStack, script: Script, limits: Limits, certificates: Certificates) -> Way:
    certificate = certificates.plain
    origin = await stack.enter_async_context(http1_origin(script, tls=certificate.server))
    return Way(Http1Transport("localhost", origin.port, limits, tls=certificate.trusting()), origin)


async def forwarded(stack: AsyncExitStack, script: Script, limits: Limits, _: Certificates) -> Way:
    origin = await stack.enter_async_context(http1_origin(script))
    between = await stack.enter_async_context(proxy("user:p@ss-w0rd"))
    url = f"http://{SECRET}@127.0.0.1:{between.port}"
    return Way(LibraryTransport("http", "localhost", origin.port, limits, proxy=url), origin, between)


async def tunnelled(stack: AsyncExitStack, script: Script, limits: Limits, certificates: Certificates) -> Way:
    certificate = certificates.plain
    origin = await stack.enter_async_context(http1_origin(script, tls=certificate.server))
    between = await stack.enter_async_context(proxy("user:p@ss-w0rd"))
    url = f"http://{SECRET}@127.0.0.1:{between.port}"
    pool = LibraryTransport("https", "localhost", origin.port, limits, tls=certificate.trusting(), proxy=url)
    return Way(pool, origin, between)


async def by_http2(stack: AsyncExitStack, script: Script, limits: Limits, certificates: Certificates) -> Way:
    certificate = certificates.http2
    origin = await stack.enter_async_context(http2_origin(script, certificate.server))
    pool = LibraryTransport("https", "localhost", origin.port, limits, tls=certificate.trusting(), http2=True)
    return Way(pool, origin)


async def http2_tunnelled(stack: AsyncExitStack, script: Script, limits: Limits, certificates: Certificates) -> Way:
    """Through a proxy that is itself reached by TLS."""
    certificate, at_proxy = certificates.http2, certificates.plain
    origin = await stack.enter_async_context(http2_origin(script, certificate.server))
    between = await stack.enter_async_context(proxy("user:p@ss-w0rd", tls=at_proxy.server))
    pool = LibraryTransport(
        "https",
        "localhost",
        origin.port,
        limits,
        tls=certificate.trusting(),
        http2=True,
        proxy=f"https://{SECRET}@localhost:{between.port}",
        proxy_tls=at_proxy.trusting(),
    )
    return Way(pool, origin, between)


WAYS: Mapping[str, Opener] = {
    "direct": directly,
    "TLS": by_tls,
    "forwarded": forwarded,
    "tunnel": tunnelled,
    "HTTP/2": by_http2,
    "HTTP/2 in a tunnel": http2_tunnelled,
}
HTTPX_WAYS = tuple(list(WAYS)[2:])
on_every_way = pytest.mark.parametrize("way", WAYS)
on_http2 = pytest.mark.parametrize("way", ["HTTP/2", "HTTP/2 in a tunnel"])


@asynccontextmanager
async def opened(way: str, script: Script, certificates: Certificates, limits: Limits = Limits()) -> AsyncIterator[Way]:
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as stack:
        at = await WAYS[way](stack, script, limits, certificates)
        try:
            yield at
        finally:
            await at.transport.close()
            assert at.transport.counts() == (0, 0)
            await asyncio.sleep(0)


async def ok(turn: Turn) -> None:
    await turn.body()
    await turn.start(200, (b"content-type", b"text/plain"), length=2)
    await turn.send(b"ok")
    await turn.end()


def first(script: Script, then: Script = ok) -> Script:
    """The first request gets this script, those that follow the other."""
    begun: list[Turn] = []

    async def chosen(turn: Turn) -> None:
        begun.append(turn)
        await (script if len(begun) == 1 else then)(turn)

    return chosen


# --- what every transport promises -----------------------------------------------------------------------------


@on_every_way
async def test_a_request_arrives_as_it_was_written(way: str, certificates: Certificates) -> None:
    target = b"/v1/a%20b/%2e%2F?x=|{}&y=%zz&z='\"~"
    lines = b"authorization: Bearer sk-1\r\nx-twice: 1\r\nx-twice: 2\r\naccept-encoding: gzip\r\n"
    async with opened(way, ok, certificates) as at:
        answer = await at.begin(b"{}", target=target, lines=lines)
        await answer.head()
        [turn] = at.origin.turns
        assert (turn.method, turn.target) == (b"POST", target)
        kept = [header for header in turn.headers if not header[0].startswith(b":")]
        if at.kept == (0, 0):
            kept.remove((b"connection", b"close"))
        assert sorted(kept) == [
            (b"accept-encoding", b"gzip"),
            (b"authorization", b"Bearer sk-1"),
            (b"content-length", b"2"),
            (b"host", b"localhost"),
            (b"x-twice", b"1"),
            (b"x-twice", b"2"),
        ]
        if at.proxy is not None:
            place = b"localhost:%d" % at.origin.port
            forwarding = b"POST http://%b%b HTTP/1.1" % (place, target)
            assert at.proxy.asked == [forwarding if way == "forwarded" else b"CONNECT %b HTTP/1.1" % place]


@on_every_way
async def test_the_status_of_an_error_is_known_though_its_body_never_ends(way: str, certificates: Certificates) -> None:
    async def script(turn: Turn) -> None:
        await turn.start(503, (b"retry-after", b"7"), length=100)
        await turn.send(b"{")
        await asyncio.Event().wait()

    async with opened(way, script, certificates) as at:
        answer = await at.begin(method=b"GET")
        await answer.head()
        assert (answer.status, answer.complete) == (503, False)
        assert (b"retry-after", b"7") in answer.headers
        answer.abort()


@on_every_way
async def test_an_answer_comes_back_as_it_was_written(way: str, certificates: Certificates) -> None:
    packed = b"\x1f\x8b not really gzip"

    async def script(turn: Turn) -> None:
        headers = [(b"content-encoding", b"gzip"), (b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"\xff")]
        await turn.start(298, *headers, length=len(packed))
        await turn.send(packed)
        await turn.end()

    async with opened(way, script, certificates) as at:
        answer = await at.begin(method=b"GET")
        await answer.head()
        assert answer.status == 298
        assert answer.complete
        assert answer.settled
        assert answer.headers == [
            (b"content-length", b"%d" % len(packed)),
            (b"content-encoding", b"gzip"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
            (b"x-b", b"\xff"),
        ]
        assert answer.take() == packed
        assert answer.take() == await answer.more() == b""
        await at.settles(at.kept)


@on_every_way
async def test_a_stream_is_passed_on_as_it_comes(way: str, certificates: Certificates) -> None:
    go_on = asyncio.Event()

    async def script(turn: Turn) -> None:
        await turn.body()
        await turn.start(200)
        for number in range(4):
            await go_on.wait()
            go_on.clear()
            await turn.send(b"%d" % number)
        await turn.end()

    async with opened(way, script, certificates) as at:
        answer = await at.begin()
        await answer.head()
        assert not answer.complete
        for number in range(4):
            with pytest.raises(TimeoutError):  # one who stops waiting does the answer no harm
                async with asyncio.timeout(0.01):
                    await answer.more()
            go_on.set()
            assert await answer.more() == b"%d" % number
        assert await answer.more() == b""
        await at.settles(at.kept)


@on_every_way
async def test_a_connection_is_used_again_unless_a_fresh_one_is_wanted(way: str, certificates: Certificates) -> None:
    async with opened(way, ok, certificates, ONE) as at:
        for fresh in (False, False, True, True, False):
            assert await at.ask(fresh=fresh) == (200, b"ok")
            await at.settles(at.kept)
        again = at.kept == (1, 0)
        assert [turn.connection for turn in at.origin.turns] == ([0, 0, 1, 2, 2] if again else [0, 1, 2, 3, 4])


@pytest.mark.slow
@on_every_way
async def test_large_bodies_both_ways(way: str, certificates: Certificates) -> None:
    body = random.Random(2).randbytes(9 * MIB)

    async def echo(turn: Turn) -> None:
        came = await turn.body()
        await turn.start(200, length=len(came))
        await turn.send(came)
        await turn.end()

    async with opened(way, echo, certificates) as at:
        _, came = await at.ask(body)
        assert sha256(came).digest() == sha256(body).digest()
        await at.settles(at.kept)


@on_every_way
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunks"])
async def test_an_upload(way: str, announced: bool, certificates: Certificates) -> None:
    given = [b"a", b"", b"bc", b"x" * 300_000, b"", b"end"]
    body = b"".join(given)

    async def echo(turn: Turn) -> None:
        came = await turn.body()
        await turn.start(200, length=len(came))
        await turn.send(came)
        await turn.end()

    async with opened(way, echo, certificates) as at:
        answer = await at.begin(None, length=len(body) if announced else None, fresh=True)
        for piece in given:
            assert not answer.settled
            await answer.send(piece)
        answer.sent()
        await answer.head()
        assert await read(answer) == body
        await at.settles(at.kept)


@on_every_way
async def test_an_empty_upload(way: str, certificates: Certificates) -> None:
    async with opened(way, ok, certificates) as at:
        answer = await at.begin(None)
        answer.sent()
        await answer.head()
        assert (answer.status, await read(answer)) == (200, b"ok")


@IN_VIRTUAL_TIME
@pytest.mark.slow
@on_every_way
async def test_a_slow_reader_holds_the_upstream_back(way: str, certificates: Certificates) -> None:
    piece, count = b"x" * (256 * 1024), 160  # 40 MiB

    async def script(turn: Turn) -> None:
        await turn.body()
        await turn.start(200)
        for _ in range(count):
            await turn.send(piece)
        await turn.end()

    async with opened(way, script, certificates, Limits(idle_seconds=0.5)) as at:
        answer = await at.begin()
        await answer.head()
        while True:  # until every buffer on the way is full; the silence is not the upstream's
            before = at.origin.sent
            await asyncio.sleep(0.15)
            if at.origin.sent == before:
                break
        await asyncio.sleep(0.5)
        assert before < 30 * MIB
        largest = total = 0
        while got := await answer.more():
            largest, total = max(largest, len(got)), total + len(got)
        assert total == len(piece) * count
        assert largest <= MIB
        await at.settles(at.kept)


@pytest.mark.slow
@on_every_way
async def test_a_slow_upstream_holds_the_upload_back(way: str, certificates: Certificates) -> None:
    read_on = asyncio.Event()
    sent: list[int] = []

    async def script(turn: Turn) -> None:
        await read_on.wait()
        body = await turn.body()
        await turn.start(200, length=0)
        await turn.end()
        sizes.append(len(body))

    async def upload(answer: Response) -> None:
        for _ in range(24):
            await answer.send(bytes(MIB))
            sent.append(MIB)
        answer.sent()

    sizes: list[int] = []
    async with opened(way, script, certificates) as at, asyncio.TaskGroup() as group:
        answer = await at.begin(None)
        task = group.create_task(upload(answer))
        while True:
            before = len(sent)
            await asyncio.sleep(0.05)
            if len(sent) == before:
                break
        assert before < 20
        read_on.set()
        await task
        await answer.head()
        assert answer.status == 200
        await until(lambda: sizes == [24 * MIB])


# --- what goes wrong -----------------------------------------------------------------------------------------


async def no_answer(turn: Turn) -> None:
    await turn.body()
    turn.break_off()


async def half_an_answer(turn: Turn) -> None:
    await turn.body()
    await turn.start(200, length=10)
    await turn.send(b"five!")
    turn.break_off()


async def half_a_stream(turn: Turn) -> None:
    await turn.body()
    await turn.start(200)
    await turn.send(b"five!")
    await turns()
    turn.break_off()


async def silence(turn: Turn) -> None:
    await turn.body()
    await turn.left()


async def silence_after_the_head(turn: Turn) -> None:
    await turn.body()
    await turn.start(200)
    await turn.left()


async def silence_in_the_middle(turn: Turn) -> None:
    await turn.body()
    await turn.start(200, length=10)
    await turn.send(b"five!")
    await turn.left()


async def many_headers(turn: Turn) -> None:
    await turn.start(200, *[(b"x-%d" % number, b"1") for number in range(201)], length=0)
    await turn.end()


FAILURES: Mapping[str, tuple[Script, str]] = {
    "no answer": (no_answer, "reset"),
    "half an answer": (half_an_answer, "truncated"),
    "half a stream": (half_a_stream, "truncated"),
    "silence": (silence, "first_byte_timeout"),
    "silence after the head": (silence_after_the_head, "idle_timeout"),
    "silence in the middle": (silence_in_the_middle, "idle_timeout"),
    "201 headers": (many_headers, "bad_response"),
}


@IN_VIRTUAL_TIME
@on_every_way
@pytest.mark.asyncio(loop_factories=["virtual"])
async def test_every_failure_has_its_reason(way: str, certificates: Certificates) -> None:
    limits = Limits(first_byte_seconds=SOON, idle_seconds=SOON, max_connections=1, pool_seconds=2)

    async def reason(script: Script) -> str:
        async with opened(way, first(script), certificates, limits) as at:
            found = await at.fails()
            assert await at.ask() == (200, b"ok")  # the one slot is free again
            await at.settles(at.kept)
            return found

    found = await asyncio.gather(*[reason(script) for script, _ in FAILURES.values()])
    assert dict(zip(FAILURES, found, strict=True)) == {name: expected for name, (_, expected) in FAILURES.items()}


@on_every_way
async def test_what_came_before_the_end_can_be_read(way: str, certificates: Certificates) -> None:
    async with opened(way, half_a_stream, certificates) as at:
        answer = await at.begin()
        await answer.head()
        assert await answer.more() == b"five!"
        with pytest.raises(UpstreamError) as caught:
            await answer.more()
        assert caught.value.reason == "truncated"


@IN_VIRTUAL_TIME
@on_every_way
async def test_waiting_for_a_connection_ends(way: str, certificates: Certificates) -> None:
    async with opened(way, silence, certificates, Limits(max_connections=1, pool_seconds=SOON)) as at:
        busy = await at.begin()
        await until(lambda: bool(at.origin.turns))
        with pytest.raises(UpstreamError, match="all 1 connections to the upstream were busy") as caught:
            await at.ask()
        assert (caught.value.reason, caught.value.retry_after_seconds) == ("pool_timeout", 1)
        busy.abort()
        await at.settles((0, 0))


@IN_VIRTUAL_TIME
@on_every_way
async def test_an_upload_that_nobody_reads_ends(way: str, certificates: Certificates) -> None:
    async def deaf(turn: Turn) -> None:
        await asyncio.Event().wait()

    limits = Limits(idle_seconds=SOON, first_byte_seconds=60)
    async with opened(way, deaf, certificates, limits) as at:
        answer = await at.begin(None)
        while not answer.settled:
            await answer.send(bytes(MIB))
        with pytest.raises(UpstreamError) as caught:
            await answer.head()
        assert caught.value.reason == "write_timeout"
        await at.settles((0, 0))


@IN_VIRTUAL_TIME
@on_every_way
async def test_a_client_that_sends_slowly_does_not_use_up_the_upstreams_time(
    way: str, certificates: Certificates
) -> None:
    limits = Limits(idle_seconds=SOON, first_byte_seconds=0.3)
    async with opened(way, ok, certificates, limits) as at:
        answer = await at.begin(None, length=2)
        await answer.send(b"a")
        await asyncio.sleep(0.4)
        await answer.send(b"b")
        answer.sent()
        await answer.head()
        assert answer.status == 200


@on_every_way
async def test_an_upload_breaks_off_with_the_upstream(way: str, certificates: Certificates) -> None:
    async def breaking(turn: Turn) -> None:
        await asyncio.sleep(0.01)
        turn.break_off()

    async with opened(way, breaking, certificates) as at:
        answer = await at.begin(None)
        for _ in range(10_000):
            if answer.settled:
                break
            await answer.send(bytes(65536))
            await asyncio.sleep(0)
        assert answer.settled
        with pytest.raises(UpstreamError) as caught:
            await answer.head()
        assert caught.value.reason == "reset"
        await at.settles((0, 0))


@on_every_way
async def test_a_stale_connection_is_replaced(way: str, certificates: Certificates) -> None:
    """The server ends it in the moment it is used again: the second try is left to `Upstreams`, which is told."""

    async def stale(turn: Turn) -> None:
        await turn.body()
        if len([each for each in at.origin.turns if each.connection == turn.connection]) > 1:
            turn.break_off()
        else:
            await ok(turn)

    async with opened(way, stale, certificates, ONE) as at:
        assert await at.ask() == (200, b"ok")
        if at.kept == (1, 0):
            under_way = await at.begin()
            with pytest.raises(UpstreamError) as caught:
                await under_way.head()
            assert (caught.value.reason, under_way.reused) == ("reset", True)
        under_way = await at.begin()
        await under_way.head()
        assert not under_way.reused


async def test_what_follows_an_answer_never_answers_the_next_request(certificates: Certificates) -> None:
    """Bytes behind an answer would be the next caller's: the library keeps them, so no connection is used twice."""

    async def chatty(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"
        )
        await peer.client_left()

    async with serve(chatty) as server, proxy() as between, asyncio.timeout(PATIENCE_SECONDS):
        url = f"http://127.0.0.1:{between.port}"
        async with pool("http", "localhost", server.port, Limits(), proxy=url) as at:
            for _ in range(5):
                assert await at.ask() == (200, b"ok")


# --- giving up -----------------------------------------------------------------------------------------------


@on_every_way
@pytest.mark.parametrize("script", [silence, silence_after_the_head, silence_in_the_middle])
async def test_giving_up_tells_the_upstream_and_costs_no_connection(
    way: str, script: Script, certificates: Certificates
) -> None:
    left = asyncio.Event()

    async def watched(turn: Turn) -> None:
        await script(turn)
        left.set()

    async with opened(way, first(watched), certificates, ONE) as at:
        answer = await at.begin()
        await until(lambda: bool(at.origin.turns))
        await asyncio.sleep(0.02)
        answer.abort()
        answer.abort()
        await left.wait()
        assert await at.ask() == (200, b"ok")
        await at.settles(at.kept)


@on_every_way
async def test_giving_up_while_the_reader_is_slow(way: str, certificates: Certificates) -> None:
    async def endless(turn: Turn) -> None:
        await turn.start(200)
        while True:
            await turn.send(bytes(65536))

    async with opened(way, first(endless), certificates, ONE) as at:
        answer = await at.begin()
        await answer.head()
        await asyncio.sleep(0.1)
        answer.abort()
        assert await at.ask() == (200, b"ok")
        await at.settles(at.kept)


@on_every_way
async def test_giving_up_an_upload(way: str, certificates: Certificates) -> None:
    async def upload(at: Way) -> None:
        answer = await at.begin(None)
        try:
            while True:
                await answer.send(bytes(MIB))
                sent.append(MIB)
        finally:
            answer.abort()

    sent: list[int] = []
    async with opened(way, first(silence_unread), certificates, ONE) as at, asyncio.TaskGroup() as group:
        task = group.create_task(upload(at))
        await until(lambda: bool(sent))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        assert await at.ask() == (200, b"ok")
        await at.settles(at.kept)


async def silence_unread(turn: Turn) -> None:
    await asyncio.Event().wait()


@on_every_way
async def test_giving_up_at_once(way: str, certificates: Certificates) -> None:
    async with opened(way, ok, certificates, ONE) as at:
        for wait in some(12):  # at every step of connecting
            answer = await at.begin()
            for _ in range(wait):
                await asyncio.sleep(0)
            answer.abort()
            assert await at.ask() == (200, b"ok")
            await at.settles(at.kept)


@on_every_way
async def test_closing_ends_what_is_under_way_and_what_waits(way: str, certificates: Certificates) -> None:
    async with opened(way, silence, certificates, ONE) as at, asyncio.TaskGroup() as group:
        answer = await at.begin()
        waiting = group.create_task(at.fails())
        await until(lambda: len(at.origin.turns) == 1)
        await at.transport.close()
        with pytest.raises(UpstreamError, match="shutting down"):
            await answer.head()
        assert await waiting == "reset"
        assert await at.fails() == "reset"
        assert at.transport.counts() == (0, 0)
        assert len(at.origin.turns) == 1


@IN_VIRTUAL_TIME
@on_every_way
async def test_idle_connections_expire(way: str, certificates: Certificates) -> None:
    async with opened(way, ok, certificates, Limits(keepalive_seconds=SOON)) as at:
        await asyncio.gather(at.ask(), at.ask(), at.ask())
        assert at.transport.counts()[0] >= at.kept[0]
        await at.settles((0, 0))
        if at.proxy is not None:
            await until(lambda: not at.proxy or not at.proxy.open, "the proxy sees them go")


@on_every_way
async def test_those_that_wait_are_all_served(way: str, certificates: Certificates) -> None:
    most = 0

    async def counting(turn: Turn) -> None:
        nonlocal most
        most = max(most, at.transport.counts()[1])
        await ok(turn)

    async with opened(way, counting, certificates, Limits(max_connections=3)) as at:
        assert await asyncio.gather(*[at.ask() for _ in some(40)]) == [(200, b"ok")] * len(some(40))
        assert 1 < most <= 3
        if at.kept == (1, 0):
            assert len({turn.connection for turn in at.origin.turns}) <= 3
        assert at.transport.counts()[1] == 0


async def _every_slot_is_there(at: Way, slots: int) -> None:
    held = [await at.begin() for _ in range(slots)]
    for answer in held:
        try:
            await answer.head()
        except UpstreamError as error:
            assert error.reason in ("reset", "truncated"), error
        answer.abort()
    await until(lambda: at.transport.counts()[1] == 0)


@pytest.mark.slow
@on_every_way
async def test_soak_with_cancels(way: str, certificates: Certificates) -> None:
    chance = random.Random(5)
    outcomes = {"answered": 0, "failed": 0, "cancelled": 0}

    async def moody(turn: Turn) -> None:
        luck = chance.random()
        await turn.body()
        if luck < 0.05:
            turn.break_off()
            return
        await asyncio.sleep(luck * 0.004 if luck < 0.4 else 0)
        await turn.start(200, length=None if luck < 0.7 else 4)
        await turn.send(b"so")
        if luck > 0.95:
            turn.break_off()
            return
        await turn.send(b"me")
        await turn.end()

    async def one(at: Way) -> None:
        try:
            async with asyncio.timeout(chance.random() * 0.03 if chance.random() < 0.3 else None):
                assert await at.ask(fresh=chance.random() < 0.1) == (200, b"some")
            outcomes["answered"] += 1
        except TimeoutError:
            outcomes["cancelled"] += 1
        except UpstreamError as error:
            assert error.reason in ("reset", "truncated"), error
            outcomes["failed"] += 1

    limits = Limits(max_connections=6, pool_seconds=15)
    async with opened(way, moody, certificates, limits) as at:
        for _ in range(10):
            await asyncio.gather(*[one(at) for _ in range(24)])
        assert sum(outcomes.values()) == 240  # how many of each depends on how busy the machine is
        await until(lambda: at.transport.counts()[1] == 0, "no connection stays busy")
        await _every_slot_is_there(at, 6)


# --- no way to the upstream ----------------------------------------------------------------------------------


@asynccontextmanager
async def pool(*given: object, **more: Any) -> AsyncIterator[Way]:
    transport = LibraryTransport(*given, **more)  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield Way(transport, Origin())
    finally:
        await transport.close()
        assert transport.counts() == (0, 0)


def a_port_where_nobody_is() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


async def test_a_proxy_that_is_not_there() -> None:
    url = f"http://{SECRET}@127.0.0.1:{a_port_where_nobody_is()}"
    async with pool("http", "upstream.example", 80, ONE, proxy=url) as at:
        for _ in range(2):
            with pytest.raises(UpstreamError, match=r"^the proxy on .* reached: Connection refused$") as caught:
                await at.ask()
            assert caught.value.reason == "connect_failed"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "a" * 70 + ".example"])
async def test_a_name_that_leads_nowhere(host: str, certificates: Certificates) -> None:
    async with pool("https", host, 443, ONE, tls=certificates.plain.trusting(), http2=True) as at:
        assert [await at.fails() for _ in range(2)] == ["connect_failed"] * 2


@pytest.mark.parametrize("way", ["forwarded", "tunnel", "HTTP/2 in a tunnel"])
@pytest.mark.parametrize("credentials", ["other:one", "user:other"])
async def test_a_proxy_that_wants_other_credentials(way: str, credentials: str, certificates: Certificates) -> None:
    async with opened(way, ok, certificates, ONE) as at:
        assert at.proxy is not None
        at.proxy.credentials = credentials
        for _ in range(2):
            with pytest.raises(UpstreamError, match=r"tunnel: it answered 407$|refused our credentials$") as caught:
                await at.ask()
            assert caught.value.reason == "connect_failed"
        assert at.origin.turns == []
        at.proxy.credentials = "user:p@ss-w0rd"
        assert await at.ask() == (200, b"ok")


async def test_a_forwarding_proxys_own_errors_pass_as_answers(certificates: Certificates) -> None:
    async with opened("forwarded", ok, certificates, ONE) as at:
        assert at.proxy is not None
        at.proxy.answers = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\ndown"
        assert await at.ask() == (502, b"down")


TUNNEL_REFUSALS = {
    "403": (b"HTTP/1.1 403 Forbidden by <script>\r\ncontent-length: 0\r\n\r\n", "connect_failed"),
    "502": (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "connect_failed"),
    "garbage": (b"what?\r\n\r\n", "bad_response"),
}


@pytest.mark.parametrize("name", TUNNEL_REFUSALS)
async def test_a_tunnel_that_is_none(name: str, certificates: Certificates) -> None:
    said, reason = TUNNEL_REFUSALS[name]
    async with opened("tunnel", ok, certificates, ONE) as at:
        assert at.proxy is not None
        at.proxy.answers = said
        assert [await at.fails() for _ in range(2)] == [reason] * 2
        at.proxy.answers = b""
        assert await at.ask() == (200, b"ok")


@IN_VIRTUAL_TIME
@pytest.mark.parametrize("way", ["forwarded", "tunnel"])
async def test_a_proxy_that_hangs(way: str, certificates: Certificates) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.transport.abort()

    listener = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://{SECRET}@127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    limits = Limits(connect_seconds=SOON, first_byte_seconds=SOON, max_connections=1)
    scheme = "http" if way == "forwarded" else "https"
    async with pool(scheme, "localhost", 1, limits, tls=certificates.plain.trusting(), proxy=url) as at:
        expected = "first_byte_timeout" if way == "forwarded" else "connect_timeout"
        assert [await at.fails() for _ in range(2)] == [expected] * 2
        await at.settles((0, 0))
    listener.close()


@pytest.mark.parametrize("way", ["tunnel", "HTTP/2"])
async def test_a_certificate_of_an_unknown_authority_is_refused(way: str, certificates: Certificates) -> None:
    """Again and again: a failed handshake leaves the one slot free."""
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(http1_origin(ok, tls=certificates.plain.server))
        between = await stack.enter_async_context(proxy())
        url = f"http://127.0.0.1:{between.port}" if way == "tunnel" else None
        strict = ssl.create_default_context()
        async with pool("https", "localhost", origin.port, ONE, tls=strict, proxy=url, http2=way != "tunnel") as at:
            for _ in range(3):
                with pytest.raises(UpstreamError, match="self-signed") as caught:
                    await at.ask()
                assert caught.value.reason == "tls_failed"
            assert origin.turns == []
        trusting = certificates.plain.trusting()
        async with pool("https", "127.0.0.1", origin.port, ONE, tls=trusting, proxy=url) as at:
            assert await at.fails() == "tls_failed"  # another host's


@pytest.mark.slow
@pytest.mark.asyncio(loop_factories=["virtual"])  # TLS is given time to say goodbye
@pytest.mark.parametrize("way", ["tunnel", "HTTP/2"])
async def test_giving_up_in_the_handshake(way: str) -> None:
    """The library leaves such a connection open; it is closed here."""
    closed: list[int] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        if way == "tunnel":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read(1)
        hello.set()
        while await reader.read(65536):
            pass
        closed.append(1)
        writer.transport.abort()

    begun, hello = asyncio.Event(), asyncio.Event()
    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}" if way == "tunnel" else None
    async with pool(
        "https", "localhost", port, ONE, tls=ssl.create_default_context(), proxy=url, http2=way != "tunnel"
    ) as at:
        for number in range(3):
            hello.clear()
            answer = await at.begin()
            await hello.wait()
            answer.abort()
            await until(lambda number=number: len(closed) == number + 1, "the connection is closed")  # type: ignore[misc]
            await at.settles((0, 0))
    listener.close()


# --- HTTP/2 --------------------------------------------------------------------------------------------------


async def test_http2_is_spoken_where_it_is_offered(certificates: Certificates) -> None:
    async with opened("HTTP/2", ok, certificates) as at:
        assert await at.ask() == (200, b"ok")
        assert (b":scheme", b"https") in at.origin.turns[0].headers


async def test_http11_is_spoken_where_http2_is_not_offered(certificates: Certificates) -> None:
    tls = certificates.plain
    async with (
        http1_origin(ok, tls=tls.server) as origin,
        pool("https", "localhost", origin.port, ONE, tls=tls.trusting(), http2=True) as at,
    ):
        assert [await at.ask() for _ in range(2)] == [(200, b"ok")] * 2
        assert [turn.connection for turn in origin.turns] == [0, 1]


@pytest.mark.parametrize("tunnel", [False, True])
async def test_a_server_without_tls_is_refused(tunnel: bool, certificates: Certificates) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.transport.abort()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with proxy() as between:
        url = f"http://127.0.0.1:{between.port}" if tunnel else None
        tls = certificates.plain.trusting()
        async with pool("https", "localhost", port, ONE, tls=tls, proxy=url, http2=True) as at:
            assert [await at.fails() for _ in range(3)] == ["tls_failed"] * 3
            assert at.transport.counts() == (0, 0)
    listener.close()


async def test_answers_share_a_connection_and_a_slow_one_keeps_no_other_waiting(certificates: Certificates) -> None:
    async with opened("HTTP/2", first(silence), certificates) as at:
        slow = await at.begin()
        await until(lambda: len(at.origin.turns) == 1)
        assert await asyncio.gather(*[at.ask() for _ in range(20)]) == [(200, b"ok")] * 20
        assert {turn.connection for turn in at.origin.turns} == {0}
        assert at.transport.counts() == (0, 1)
        slow.abort()
        await at.settles((0, 0))


async def test_more_answers_than_a_connection_takes_go_to_another(certificates: Certificates) -> None:
    async with opened("HTTP/2", silence, certificates) as at:
        answers = [await at.begin() for _ in range(101)]
        await until(lambda: len(at.origin.turns) == 101)
        assert {turn.connection for turn in at.origin.turns} == {0, 1}
        for answer in answers:
            answer.abort()
        await at.settles((0, 0))


async def test_what_is_given_up_leaves_those_beside_it_alone(certificates: Certificates) -> None:
    go_on = asyncio.Event()

    async def slow(turn: Turn) -> None:
        await turn.body()
        await turn.start(200)
        await turn.send(b"a")
        await go_on.wait()
        await turn.send(b"b")
        await turn.end()

    async with opened("HTTP/2", slow, certificates) as at:
        answers = [await at.begin() for _ in range(6)]
        for answer in answers:
            await answer.head()
        for answer in answers[::2]:
            answer.abort()
        later = await at.begin()
        await later.head()
        assert at.origin.turns[-1].connection == 1  # the first takes no more requests
        go_on.set()
        assert [await read(answer) for answer in [*answers[1::2], later]] == [b"ab"] * 4
        await at.settles((1, 0))


@on_http2
@pytest.mark.parametrize("script", [silence, silence_after_the_head, silence_in_the_middle])
async def test_an_upstream_hears_at_once_of_what_is_given_up_beside_others(
    way: str, script: Script, certificates: Certificates
) -> None:
    others_end, left = asyncio.Event(), asyncio.Event()

    async def watched(turn: Turn) -> None:
        await script(turn)
        left.set()

    async def patient(turn: Turn) -> None:
        await turn.body()
        await turn.start(200)
        await turn.send(b"a")
        await others_end.wait()
        await turn.send(b"b")
        await turn.end()

    async with opened(way, first(watched, patient), certificates) as at:
        given_up = await at.begin()
        await until(lambda: bool(at.origin.turns))
        beside = await at.begin()
        await beside.head()
        given_up.abort()
        await left.wait()  # while the other one goes on, on the same connection
        assert {turn.connection for turn in at.origin.turns} == {0}
        others_end.set()
        assert await read(beside) == b"ab"
        await at.settles((0, 0))


@on_http2
async def test_an_upload_keeps_no_other_waiting(way: str, certificates: Certificates) -> None:
    left = asyncio.Event()

    async def watched(turn: Turn) -> None:
        await turn.left()
        left.set()

    async with opened(way, first(watched), certificates) as at:
        upload = await at.begin(None, fresh=True)
        await upload.send(b"a")
        await until(lambda: bool(at.origin.turns))
        assert await asyncio.gather(*[at.ask() for _ in range(2)]) == [(200, b"ok")] * 2
        upload.abort()
        await left.wait()
        await at.settles((1, 0))


@on_http2
async def test_giving_up_at_any_step_harms_no_neighbour(way: str, certificates: Certificates) -> None:
    """A stream that the upstream has not heard of must not be reset: that would end the connection."""
    go_on = asyncio.Event()

    async def patient(turn: Turn) -> None:
        await turn.body()
        await go_on.wait()
        await ok(turn)

    async with opened(way, patient, certificates) as at:
        beside = [await at.begin()]
        for steps in some(24):
            given_up = await at.begin(bytes(100_000))
            beside.append(await at.begin())
            for _ in range(steps):
                await asyncio.sleep(0)
            given_up.abort()
        go_on.set()
        for answer in beside:
            await answer.head()
            assert await read(answer) == b"ok"
        await at.settles((0, 0), (1, 0))


async def test_what_agreed_on_http11_is_given_up_at_once_beside_others(certificates: Certificates) -> None:
    left = asyncio.Event()

    async def watched(turn: Turn) -> None:
        await silence(turn)
        left.set()

    tls = certificates.plain
    async with (
        http1_origin(first(watched, silence), tls=tls.server) as origin,
        pool("https", "localhost", origin.port, Limits(), tls=tls.trusting(), http2=True) as at,
    ):
        given_up = await at.begin()
        await until(lambda: bool(origin.turns))
        beside = await at.begin()
        await until(lambda: len(origin.turns) == 2)
        given_up.abort()
        await left.wait()
        beside.abort()


async def stream_reset(turn: Any) -> None:
    await turn.body()
    turn.reset()
    await turn.left()


async def _half(turn: Any) -> None:
    await turn.body()
    await turn.start(200)
    await turn.send(b"five!")


async def stream_reset_in_the_middle(turn: Any) -> None:
    await _half(turn)
    turn.reset()
    await turn.left()


async def go_away(turn: Any) -> None:
    await turn.body()
    turn.go_away()
    await turn.left()


async def garbage(turn: Any) -> None:
    await turn.body()
    turn.garbage()
    await turn.left()


async def garbage_in_the_middle(turn: Any) -> None:
    await _half(turn)
    turn.garbage()
    await turn.left()


@pytest.mark.parametrize(
    ("script", "reasons"),
    [
        (stream_reset, ["reset"]),
        (stream_reset_in_the_middle, ["truncated"]),
        (go_away, ["reset"]),
        (garbage, ["bad_response"]),
        (garbage_in_the_middle, ["bad_response"]),
    ],
)
async def test_http2_failures(script: Script, reasons: list[str], certificates: Certificates) -> None:
    async with opened("HTTP/2", first(script), certificates, ONE) as at:
        assert await at.fails() in reasons
        assert await at.ask() == (200, b"ok")
        await at.settles(at.kept)


# --- the library's errors ------------------------------------------------------------------------------------


def exceptions_of(library: Any) -> set[type[Exception]]:
    found = {getattr(library, name) for name in library.__all__}
    return {each for each in found if isinstance(each, type) and issubclass(each, Exception)}


async def test_every_exception_of_the_library_has_its_reason() -> None:
    assert exceptions_of(httpcore2) == {kind for kind in REASONS if kind.__module__ == "httpcore2"}
    assert {reason for pair in REASONS.values() for reason in pair} <= KNOWN.keys()


@pytest.mark.parametrize("begun", [False, True])
@together("kind", TRANSPORT_ERRORS)
async def test_every_exception_becomes_ours_without_the_librarys_words(kind: type[Exception], begun: bool) -> None:
    ours = failure(kind("the library's own words"), Limits(), begun=begun, proxied=True)
    assert ours.what.source == "upstream"
    assert "own words" not in ours.message


# --- nothing of the credentials leaves -----------------------------------------------------------------------


async def test_credentials_are_not_logged(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for way in ("forwarded", "tunnel"):
        async with opened(way, ok, certificates) as at:
            assert await at.ask() == (200, b"ok")
            assert at.proxy is not None
            at.proxy.credentials = "another"
            await at.fails_fresh()
    assert len(caplog.records) > 20
    assert not any(word in caplog.text for word in ("w0rd", "dXNlcjpwQHNzLXcwcmQ", "Basic"))
