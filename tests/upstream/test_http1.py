"""The HTTP/1.1 client against a real server on loopback that misbehaves in every way there is."""

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest

from gateway.errors import UpstreamError
from gateway.upstream.http1 import Http1Response, Http1Transport
from gateway.upstream.transport import Limits
from tests.support.running.patience import PATIENCE_SECONDS, turns, until
from tests.support.running.together import together
from tests.support.servers.scripted_server import (
    Certificate,
    Peer,
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
from tests.support.wire.http1_answers import ANSWERS, BROKEN, GARBAGE, HEAD_OF, Whole

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
# Where a limit is reached, a machine that stands still for longer must not decide which one.
IN_VIRTUAL_TIME = pytest.mark.asyncio(loop_factories=["virtual"])
waits = pytest.mark.asyncio(loop_factories=["virtual"])  # waiting takes no time

GET = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
SOON = 0.05  # a limit that is meant to be reached
MIB = 1 << 20


async def read(under_way: Http1Response) -> bytes:
    return b"".join([piece async for piece in pieces(under_way)])


async def pieces(under_way: Http1Response) -> AsyncIterator[bytes]:
    while piece := await under_way.more():
        yield piece


async def ask(
    pool: Http1Transport, head: bytes = GET, body: bytes = b"", *, head_only: bool = False, fresh: bool = False
) -> Whole:
    """One request and all of its answer; given up like the request path gives up."""
    under_way = await pool.request(head, body, head_only=head_only, fresh=fresh)
    try:
        await under_way.head()
        return Whole(under_way.status, under_way.headers, await read(under_way), under_way.reused)
    finally:
        under_way.abort()


async def fails(pool: Http1Transport) -> str:
    """The reason for which a request fails."""
    with pytest.raises(UpstreamError) as caught:
        await ask(pool)
    return caught.value.reason


@asynccontextmanager
async def pool_at(
    host: str, port: int, limits: Limits = Limits(), tls: ssl.SSLContext | None = None
) -> AsyncIterator[Http1Transport]:
    pool = Http1Transport(host, port, limits, tls=tls)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield pool
    finally:
        await pool.close()
        assert pool.counts() == (0, 0)
        await asyncio.sleep(0)


@asynccontextmanager
async def connected(script: Script, limits: Limits = Limits()) -> AsyncIterator[tuple[Http1Transport, Server]]:
    async with serve(script) as server, pool_at("127.0.0.1", server.port, limits) as pool:
        yield pool, server


def behind(gate: asyncio.Event) -> Script:
    """Answers each request once the gate is open."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await gate.wait()
            await peer.send(answer())

    return script


# --- what an answer may look like ----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [False, True], ids=["in one piece", "byte by byte"])
@together("name", ANSWERS)
async def test_answers(name: str, cut: bool) -> None:
    wire, closes, expected, reusable = ANSWERS[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*([wire[i : i + 1] for i in range(len(wire))] if cut else [wire]))
        if not closes:
            await peer.client_left()

    async with connected(script) as (pool, _):
        assert await ask(pool) == expected
        assert pool.counts() == ((1, 0) if reusable else (0, 0))


async def test_an_answer_to_head_has_no_body() -> None:
    async with connected(always(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")) as (pool, _):
        for _ in range(2):
            got = await ask(pool, b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", head_only=True)
            assert (got.status, got.headers, got.body) == (200, [(b"content-length", b"1000")], b"")


async def test_a_small_announced_answer_is_there_whole_with_its_head() -> None:
    wire = answer(b"x" * 1000)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire[:60], wire[60:500], wire[500:])

    async with connected(script) as (pool, _):
        under_way = await pool.request(GET, b"")
        await under_way.head()
        assert under_way.complete
        assert under_way.take() == b"x" * 1000
        assert under_way.take() == await under_way.more() == b""


async def test_a_stream_is_passed_on_as_it_comes() -> None:
    read_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(5):
            await read_on.wait()
            read_on.clear()
            await peer.send(b"1\r\n%d\r\n" % number)
        await peer.send(b"0\r\n\r\n")

    async with connected(script) as (pool, _):
        under_way = await pool.request(GET, b"")
        await under_way.head()
        assert not under_way.complete
        for number in range(5):
            read_on.set()
            assert await under_way.more() == b"%d" % number
        assert await under_way.more() == b""


class Taker:
    """Takes what is offered, but at every third piece it must be waited for."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self._full = False

    def offer(self, data: bytes) -> bool:
        assert data
        assert not self._full, "nothing is offered while it settles"
        self.got.append(data)
        self._full = len(self.got) % 3 == 0
        return not self._full

    async def settle(self) -> None:
        assert self._full, "it is waited for only when it said so"
        await asyncio.sleep(0.002)
        self._full = False


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_an_answer_can_be_poured(chunked: bool) -> None:
    parts = [b"%d," % number * (1 + number * 40) for number in range(200)]
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(b"".join(parts))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD_OF + framing + b"\r\n\r\n")
        for part in parts:
            await peer.send(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            if len(part) % 7 == 0:
                await asyncio.sleep(0.001)
        if chunked:
            await peer.send(b"0\r\n\r\n")
        await peer.client_left()

    async with connected(script) as (pool, _):
        under_way = await pool.request(GET, b"")
        await under_way.head()
        taker = Taker()
        last = await under_way.pour(taker.offer, taker.settle)
        assert b"".join(taker.got) + last == b"".join(parts)
        assert len(taker.got) > 3
        assert pool.counts() == (1, 0)


async def test_what_is_poured_does_not_wait_for_a_task() -> None:
    """It is handed over from within the connection's callback: one turn of the loop after it was sent."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD_OF + b"transfer-encoding: chunked\r\n\r\n")
        await go_on.wait()
        await peer.send(b"3\r\none\r\n")
        await peer.client_left()

    async with connected(script) as (pool, _):
        under_way = await pool.request(GET, b"")
        await under_way.head()
        callers: list[asyncio.Task[object] | None] = []

        def offer(data: bytes) -> bool:
            callers.append(asyncio.current_task())
            return True

        async with asyncio.TaskGroup() as group:
            pouring = group.create_task(under_way.pour(offer, Taker().settle))
            await asyncio.sleep(0)
            go_on.set()
            await until(lambda: bool(callers), "the piece came")
            pouring.cancel()
        assert callers == [None]
        under_way.abort()
        await until(lambda: pool.counts() == (0, 0), "the connection is gone")


# --- what is no answer ---------------------------------------------------------------------------------------


@together("name", GARBAGE)
async def test_garbage(name: str) -> None:
    async with connected(answering(GARBAGE[name])) as (pool, _):
        assert await fails(pool) == "bad_response"
        assert pool.counts() == (0, 0)


@together(
    "line",
    [
        b"HTTP/1.1 600 Odd",
        b"HTTP/1.1 999 Odd",
        b"RTSP/1.0 200 OK",
        b"RTSP/1.0 200 OK\r\nx: HTTP/1.0 200 OK",
        b"ICE/1.0 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200",
    ],
)
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_heads_of_no_http_answer(line: bytes, interim: bytes) -> None:
    async with connected(always(interim + line + b"\r\ncontent-length: 0\r\n\r\n")) as (pool, _):
        assert await fails(pool) == "bad_response"


@pytest.mark.parametrize("cut", [False, True])
async def test_white_space_around_values_is_no_part_of_them(cut: bool) -> None:
    wire = b"HTTP/1.1 200 OK\r\nx:\t a b \r\ncontent-length: 2 \t\r\n\r\nok"

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*([wire[at : at + 1] for at in range(len(wire))] if cut else [wire]))

    async with connected(script) as (pool, _):
        for reused in (False, True):
            assert await ask(pool) == Whole(200, [(b"x", b"a b"), (b"content-length", b"2")], b"ok", reused)


@pytest.mark.parametrize("coding", [b"chunked\t", b"chunked \t ", b"\tChunked\t\t"])
async def test_any_white_space_behind_the_coding_is_legal(coding: bytes) -> None:
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding:%b\r\n\r\n2\r\n\t\r\r\n0\r\n\r\n" % coding
    async with connected(always(wire)) as (pool, _):
        for reused in (False, True):
            assert await ask(pool) == Whole(200, [(b"transfer-encoding", coding.strip())], b"\t\r", reused)


async def test_many_and_long_headers_pass_below_the_limit() -> None:
    lines = [b"x-%d: %s" % (number, b"y" * 300) for number in range(199)]
    async with connected(always(answer(b"ok", *lines))) as (pool, _):
        assert len((await ask(pool)).headers) == 200
        assert (await ask(pool)).reused


FLOODS = {
    "one header without end": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 4096),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 700),
    "a reason phrase without end": (b"HTTP/1.1 200 ", b"O" * 4096),
    "interim answers without end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 170),
    "a chunk extension without end": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;", b"x" * 4096),
    "one trailer without end": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"y" * 4096),
    "trailers without end": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 700),
}


@together("name", FLOODS)
async def test_floods_are_cut_off(name: str) -> None:
    first, endless = FLOODS[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(first)
        while True:
            await peer.send(endless)
            await asyncio.sleep(0)

    async with connected(script) as (pool, server):
        assert await fails(pool) == "bad_response"
        await asyncio.sleep(0)
        assert server.peers[0].sent < 2 * MIB  # what the sockets' buffers take, not what the client holds
        assert pool.counts() == (0, 0)


async def test_many_small_chunks_are_no_flood() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await peer.send(b"1;extension=%s\r\nx\r\n" % (b"e" * 100) * 5000)
        await peer.send(b"0\r\n\r\n")

    async with connected(script) as (pool, _):
        assert (await ask(pool)).body == b"x" * 5000


# --- answers that break off ----------------------------------------------------------------------------------


@pytest.mark.parametrize("poured", [False, True], ids=["read", "poured"])
@together("how", ["closed", "half-closed", "reset"])
@together("name", BROKEN)
async def test_answers_that_break_off(name: str, how: str, poured: bool) -> None:
    wire, reason = BROKEN[name]
    end: Callable[[Peer], None] = {"closed": Peer.abort, "half-closed": Peer.end_sending, "reset": Peer.reset}[how]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)
        await turns()  # a reset overtakes what was not read yet
        end(peer)
        await peer.client_left()

    async with connected(script) as (pool, _):
        under_way = await pool.request(GET, b"")
        got = b""
        taker = Taker()
        with pytest.raises(UpstreamError) as caught:
            await under_way.head()
            if poured:
                await under_way.pour(taker.offer, taker.settle)
            async for piece in pieces(under_way):
                got += piece
        got += b"".join(taker.got)
        assert caught.value.reason == reason
        large = reason == "truncated" and b"content-length: 10\r" not in wire
        assert got == (b"five!" if large and b"five!" in wire else b"")
        assert pool.counts() == (0, 0)


async def test_a_reset_ends_no_answer_that_runs_up_to_the_close() -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        await go_on.wait()
        peer.reset()

    async with connected(script) as (pool, _):
        under_way = await pool.request(GET, b"")
        await under_way.head()
        assert await under_way.more() == b"first"
        go_on.set()
        with pytest.raises(UpstreamError) as caught:
            await under_way.more()
        assert caught.value.reason == "truncated"


async def test_the_end_is_noticed_though_our_own_bytes_wait() -> None:
    """A server that says all it has to say and reads no more must not cost the write timeout."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\n\r\nno")
        peer.end_sending()
        await hang(peer)

    async with connected(script) as (pool, _):
        got = await ask(pool, b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (32 * MIB), bytes(32 * MIB))
        assert (got.status, got.body) == (413, b"no")
        assert pool.counts() == (0, 0)


# --- connections used again ----------------------------------------------------------------------------------


async def test_a_connection_is_used_again() -> None:
    async with connected(always(answer())) as (pool, server):
        assert [(await ask(pool)).reused for _ in range(5)] == [False, True, True, True, True]
        assert pool.counts() == (1, 0)
        assert len(server.peers) == 1


async def test_bodies_of_one_request_do_not_reach_the_next() -> None:
    """Answers of every framing, one after the other on one connection."""
    kept = [name for name, (_, closes, _, reusable) in ANSWERS.items() if reusable and not closes] * 2
    async with connected(answering(*[ANSWERS[name][0] for name in kept])) as (pool, server):
        for number, name in enumerate(kept):
            expected = ANSWERS[name][2]
            assert await ask(pool) == Whole(expected.status, expected.headers, expected.body, number > 0)
        assert len(server.peers) == 1


@pytest.mark.parametrize("last", [0, 1, 2])
async def test_the_connection_used_last_is_taken_first(last: int) -> None:
    """The same one again and again: what is not needed may grow old."""
    gates = [asyncio.Event() for _ in range(3)]

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await gates[peer.number].wait()
            await peer.send(answer(b"%d" % peer.number))

    async with connected(script) as (pool, server):
        under_way = []
        for number in range(3):
            under_way.append(await pool.request(GET, b""))
            await until(lambda number=number: len(server.requests) == number + 1)  # type: ignore[misc]
        for number in [*({0, 1, 2} - {last}), last]:
            gates[number].set()
            await under_way[number].head()
        assert pool.counts() == (3, 0)
        for _ in range(3):
            assert (await ask(pool)).body == b"%d" % last


@IN_VIRTUAL_TIME
@waits
async def test_idle_connections_expire() -> None:
    async with connected(always(answer()), Limits(keepalive_seconds=SOON)) as (pool, server):
        first = await pool.request(GET, b"")
        await ask(pool)
        await first.head()
        assert pool.counts() == (2, 0)
        await until(lambda: pool.counts() == (0, 0), "the idle connections expire")
        assert not (await ask(pool)).reused
        assert len(server.peers) == 3


@IN_VIRTUAL_TIME
@waits
async def test_a_connection_that_is_used_does_not_expire() -> None:
    async with connected(always(answer()), Limits(keepalive_seconds=0.2)) as (pool, server):
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.5
        while loop.time() < end:
            await ask(pool)
            await asyncio.sleep(0.01)
        assert len(server.peers) == 1


@pytest.mark.parametrize("ending", [Peer.abort, Peer.reset, Peer.end_sending], ids=["closed", "reset", "half-closed"])
async def test_an_idle_connection_that_the_server_ends_is_forgotten(ending: Callable[[Peer], None]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await turns()
        ending(peer)
        await peer.client_left()

    async with connected(script) as (pool, _):
        await ask(pool)
        assert pool.counts() == (1, 0)
        await until(lambda: pool.counts() == (0, 0), "the connection is forgotten")
        assert not (await ask(pool)).reused


UNASKED = {
    "another answer": answer(b"forged"),
    "half an answer": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nfor",
    "a letter": b"H",
    "garbage": b"what?",
    "a late timeout": answer(b"", status=b"408 Request Timeout"),
}


@pytest.mark.parametrize("apart", [False, True], ids=["with the answer", "after it"])
@together("name", UNASKED)
async def test_what_follows_an_answer_never_answers_the_next_request(name: str, apart: bool) -> None:
    async def forging(peer: Peer) -> None:
        await peer.request()
        if apart:
            await peer.send(answer())
            await turns()
            await peer.send(UNASKED[name])
        else:
            await peer.send(answer() + UNASKED[name])
        await peer.client_left()

    async with connected(in_turn(forging, always(answer(b"right")))) as (pool, server):
        assert (await ask(pool)).body == b"ok"
        if apart:
            await until(lambda: pool.counts() == (0, 0), "the connection is dropped")
        assert pool.counts() == (0, 0)
        assert (await ask(pool)).body == b"right"
        assert len(server.peers) == 2


async def test_empty_lines_after_an_answer_do_no_harm() -> None:
    async with connected(always(answer() + b"\r\n")) as (pool, _):
        assert [(await ask(pool)).body for _ in range(3)] == [b"ok"] * 3


@IN_VIRTUAL_TIME
async def test_a_fresh_connection_may_be_asked_for() -> None:
    async with connected(always(answer()), Limits(max_connections=2, pool_seconds=0.5)) as (pool, server):
        await ask(pool)
        assert not (await ask(pool, fresh=True)).reused
        assert pool.counts() == (2, 0)
        # Full of idle connections: the oldest makes room at once.
        assert not (await ask(pool, fresh=True)).reused
        await until(lambda: pool.counts() == (2, 0))
        assert len(server.peers) == 3


async def test_one_that_waits_for_a_fresh_connection_gets_no_used_one() -> None:
    gate = asyncio.Event()
    async with connected(behind(gate), Limits(max_connections=1)) as (pool, server), asyncio.TaskGroup() as group:
        group.create_task(ask(pool))
        await until(lambda: len(server.requests) == 1)
        waiting = group.create_task(ask(pool, fresh=True))
        after = group.create_task(ask(pool))
        await asyncio.sleep(0)
        gate.set()
        assert not (await waiting).reused
        assert (await after).reused
        assert len(server.peers) == 2


# --- no connection -------------------------------------------------------------------------------------------


async def test_connection_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with pool_at("127.0.0.1", bound.getsockname()[1]) as pool:
            with pytest.raises(UpstreamError, match=r"cannot be reached: Connection refused$") as caught:
                await ask(pool)
            assert caught.value.reason == "connect_failed"
            assert pool.counts() == (0, 0)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "a" * 70 + ".example"])
async def test_a_name_that_leads_nowhere(host: str) -> None:
    async with pool_at(host, 80) as pool:
        assert await fails(pool) == "connect_failed"
        assert pool.counts() == (0, 0)


@asynccontextmanager
async def full_backlog() -> AsyncIterator[int]:
    """The port of a listener whose queue is full: who connects next waits for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


# --- every phase may hang ------------------------------------------------------------------------------------


def saying(*wire: bytes) -> Script:
    """Reads one request, says that much, and then nothing for ever."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*wire)
        await peer.client_left()

    return script


HANGS: dict[str, tuple[Script, str]] = {
    "silence": (saying(), "first_byte_timeout"),
    "half a status line": (saying(b"HTTP/1.1 2"), "first_byte_timeout"),
    "half the headers": (saying(HEAD_OF + b"x: y\r\n"), "first_byte_timeout"),
    "an interim answer only": (saying(b"HTTP/1.1 100 Continue\r\n\r\n"), "first_byte_timeout"),
    "nothing read": (hang, "first_byte_timeout"),
    "no body": (saying(HEAD_OF + b"content-length: 1000000\r\n\r\n"), "idle_timeout"),
    "a small body, in part": (saying(HEAD_OF + b"content-length: 10\r\n\r\nfive!"), "idle_timeout"),
    "a large body, in part": (saying(HEAD_OF + b"content-length: 1000000\r\n\r\nfive!"), "idle_timeout"),
    "chunks, in part": (saying(HEAD_OF + b"transfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n"), "idle_timeout"),
    "no last line": (saying(HEAD_OF + b"transfer-encoding: chunked\r\n\r\n0\r\n"), "idle_timeout"),
    "up to a close that never comes": (saying(HEAD_OF + b"\r\nfive!"), "idle_timeout"),
}


@IN_VIRTUAL_TIME
@waits
async def test_hangs_end_with_their_reason() -> None:
    limits = Limits(first_byte_seconds=SOON, idle_seconds=SOON)

    async def reason(script: Script) -> str:
        async with connected(script, limits) as (pool, server):
            found = await fails(pool)
            assert pool.counts() == (0, 0)
            assert len(server.peers) == 1
        return found

    found = await asyncio.gather(*[reason(script) for script, _ in HANGS.values()])
    assert dict(zip(HANGS, found, strict=True)) == {name: expected for name, (_, expected) in HANGS.items()}


@IN_VIRTUAL_TIME
async def test_a_hang_while_connecting_ends() -> None:
    async with full_backlog() as port, pool_at("127.0.0.1", port, Limits(connect_seconds=SOON)) as pool:
        assert await fails(pool) == "connect_timeout"
        assert pool.counts() == (0, 0)


@IN_VIRTUAL_TIME
@waits
async def test_a_hang_while_an_upload_is_sent_ends() -> None:
    async with connected(hang, Limits(idle_seconds=SOON, first_byte_seconds=60)) as (pool, _):
        under_way = await pool.request(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", None)
        while not under_way.settled:
            await under_way.send(bytes(MIB))
        with pytest.raises(UpstreamError) as caught:
            await under_way.head()
        assert caught.value.reason == "write_timeout"
        assert pool.counts() == (0, 0)


@IN_VIRTUAL_TIME
@waits
async def test_a_client_that_sends_slowly_does_not_use_up_the_upstreams_time() -> None:
    async with connected(always(answer()), Limits(idle_seconds=SOON, first_byte_seconds=SOON)) as (pool, server):
        under_way = await pool.request(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n", None)
        await under_way.send(b"a")
        await asyncio.sleep(0.4)
        await under_way.send(b"b")
        under_way.sent()
        await under_way.head()
        assert under_way.status == 200
        assert server.requests[0].body == b"ab"
        assert pool.counts() == (1, 0)


@IN_VIRTUAL_TIME
@waits
async def test_a_stream_may_last_longer_than_any_limit() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.05)
            await peer.send(b"1\r\nx\r\n")
        await peer.send(b"0\r\n\r\n")

    async with connected(script, Limits(idle_seconds=0.3, first_byte_seconds=0.3)) as (pool, _):
        assert (await ask(pool)).body == b"x" * 8


@IN_VIRTUAL_TIME
@waits
async def test_a_slow_reader_is_no_silence_of_the_upstream() -> None:
    total = 4 * MIB

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD_OF + b"content-length: %d\r\n\r\n" % total + bytes(total))

    async with connected(script, Limits(idle_seconds=SOON)) as (pool, _):
        under_way = await pool.request(GET, b"")
        await under_way.head()
        await until(lambda: under_way.size > 256 * 1024, "reading pauses")
        await asyncio.sleep(0.4)
        assert len(await read(under_way)) == total
        assert pool.counts() == (1, 0)


# --- TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certify(tmp_path_factory.mktemp("tls"))


async def test_tls(certificate: Certificate) -> None:
    body = random.Random(1).randbytes(3 * MIB)

    async def echo(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(answer(request.body))

    async with (
        serve(echo, tls=certificate.server) as server,
        pool_at("localhost", server.port, tls=certificate.trusting()) as pool,
    ):
        for number in range(3):
            got = await ask(pool, b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body), body)
            assert got.body == body
            assert got.reused == (number > 0)
        assert pool.counts() == (1, 0)


async def test_a_certificate_of_an_unknown_authority_is_refused(certificate: Certificate) -> None:
    async with (
        serve(always(answer()), tls=certificate.server) as server,
        pool_at("localhost", server.port, tls=ssl.create_default_context()) as pool,
    ):
        with pytest.raises(UpstreamError, match="self-signed") as caught:
            await ask(pool)
        assert caught.value.reason == "tls_failed"
        assert pool.counts() == (0, 0)
        assert server.requests == []


async def test_a_certificate_for_another_host_is_refused(certificate: Certificate) -> None:
    async with (
        serve(always(answer()), tls=certificate.server) as server,
        pool_at("127.0.0.1", server.port, tls=certificate.trusting()) as pool,
    ):
        with pytest.raises(UpstreamError, match=r"not valid for '127\.0\.0\.1'") as caught:
            await ask(pool)
        assert caught.value.reason == "tls_failed"
        assert server.requests == []


async def test_a_server_without_tls_is_refused(certificate: Certificate) -> None:
    async def plain(peer: Peer) -> None:
        await peer.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serve(plain) as server, pool_at("localhost", server.port, tls=certificate.trusting()) as pool:
        assert await fails(pool) == "tls_failed"
        assert pool.counts() == (0, 0)


@IN_VIRTUAL_TIME
async def test_a_handshake_that_hangs_ends(certificate: Certificate) -> None:
    limits = Limits(connect_seconds=SOON)
    async with serve(hang) as server, pool_at("localhost", server.port, limits, certificate.trusting()) as pool:
        assert await fails(pool) == "connect_timeout"
        assert pool.counts() == (0, 0)


async def test_a_handshake_that_is_cut_off_ends(certificate: Certificate) -> None:
    async def cut(peer: Peer) -> None:
        await peer.read(1)
        peer.reset()

    async with serve(cut) as server, pool_at("localhost", server.port, tls=certificate.trusting()) as pool:
        assert await fails(pool) in ("connect_failed", "tls_failed")
        assert pool.counts() == (0, 0)


@pytest.mark.parametrize("name", BROKEN)
async def test_answers_that_break_off_under_tls(certificate: Certificate, name: str) -> None:
    wire, reason = BROKEN[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)

    async with (
        serve(script, tls=certificate.server) as server,
        pool_at("localhost", server.port, tls=certificate.trusting()) as pool,
    ):
        assert await fails(pool) == reason
        assert pool.counts() == (0, 0)


# --- the pool's limit ----------------------------------------------------------------------------------------


async def test_those_that_wait_are_served_in_their_order() -> None:
    gate = asyncio.Semaphore(0)
    order: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            order.append((await peer.request()).target)
            await gate.acquire()
            # Some connections last, others end, so that slots are passed on in both ways.
            await peer.send(answer(b"ok", *[b"connection: close"] * (len(order) % 3 == 0)))

    async with connected(script, Limits(max_connections=2)) as (pool, _), asyncio.TaskGroup() as group:
        asked = []
        for number in range(12):
            asked.append(group.create_task(ask(pool, b"GET /%d HTTP/1.1\r\n\r\n" % number)))
            await asyncio.sleep(0)
        for number, task in enumerate(asked):
            await until(lambda number=number: len(order) >= min(number + 2, 12))  # type: ignore[misc]
            assert pool.counts()[1] <= 2
            gate.release()
            await task
    assert sorted(order[:2]) == [b"/0", b"/1"]
    assert order[2:] == [b"/%d" % number for number in range(2, 12)]


@IN_VIRTUAL_TIME
async def test_waiting_for_a_connection_ends() -> None:
    async with connected(saying(), Limits(max_connections=1, pool_seconds=SOON)) as (pool, server):
        under_way = await pool.request(GET, b"")
        with pytest.raises(UpstreamError, match="all 1 connections to the upstream were busy") as caught:
            await ask(pool)
        assert caught.value.reason == "pool_timeout"
        assert caught.value.retry_after_seconds == 1
        assert pool.counts() == (0, 1)
        under_way.abort()
        assert pool.counts() == (0, 0)
        assert len(server.peers) == 1


async def test_one_that_gave_up_waiting_is_passed_over() -> None:
    gate = asyncio.Event()
    async with connected(behind(gate), Limits(max_connections=1)) as (pool, server), asyncio.TaskGroup() as group:
        group.create_task(ask(pool))
        await until(lambda: len(server.requests) == 1)
        leaving = [group.create_task(ask(pool)) for _ in range(3)]
        patient = group.create_task(ask(pool))
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        gate.set()
        assert (await patient).body == b"ok"
        assert pool.counts() == (1, 0)
        assert len(server.requests) == 2


async def test_the_served_one_leaves_in_the_very_moment() -> None:
    """Cancelled after it was handed a connection and before it could take it: the next one gets it."""
    for abandoned in (False, True):
        async with connected(always(answer()), Limits(max_connections=1)) as (pool, _), asyncio.TaskGroup() as group:
            first = await pool.request(GET, b"")
            leaving = group.create_task(ask(pool))
            patient = group.create_task(ask(pool))
            await asyncio.sleep(0)
            if abandoned:
                first.abort()  # a free slot is handed over
            else:
                await first.head()  # a connection is handed over
            leaving.cancel()
            assert (await patient).body == b"ok"
            assert pool.counts() == (1, 0)


# --- cancellation --------------------------------------------------------------------------------------------


async def cancelled(work: Awaitable[object], when: Callable[[], bool]) -> None:
    task = asyncio.get_running_loop().create_task(_as_coroutine(work))
    await until(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _as_coroutine(work: Awaitable[object]) -> None:
    await work


ONE = Limits(max_connections=1, pool_seconds=1)


async def test_cancel_while_connecting() -> None:
    async with full_backlog() as port, pool_at("127.0.0.1", port, ONE) as pool:
        for _ in range(3):
            await cancelled(ask(pool), lambda: pool._opening == 1)
            assert pool._opening == 0
            assert pool.counts() == (0, 0)


async def test_cancel_during_the_handshake(certificate: Certificate) -> None:
    async with (
        serve(hang) as server,
        pool_at("localhost", server.port, ONE, certificate.trusting()) as pool,
    ):
        for number in range(3):
            await cancelled(ask(pool), lambda: len(server.peers) > number)  # noqa: B023
            assert pool._opening == 0
            assert pool.counts() == (0, 0)


async def test_cancel_while_waiting_for_a_connection() -> None:
    async with connected(in_turn(saying(), always(answer())), ONE) as (pool, _):
        under_way = await pool.request(GET, b"")
        await cancelled(ask(pool), lambda: len(pool._waiters) == 1)
        assert pool.counts() == (0, 1)
        under_way.abort()
        assert (await ask(pool)).body == b"ok"
        assert pool.counts() == (1, 0)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        HEAD_OF,
        HEAD_OF + b"content-length: 10\r\n\r\nfive!",
        HEAD_OF + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
    ],
    ids=["before the head", "in the head", "in a small body", "in a stream"],
)
async def test_cancel_under_way(wire: bytes) -> None:
    said, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)
        said.set()
        await peer.client_left()
        left.set()

    async with connected(in_turn(script, always(answer())), ONE) as (pool, _):
        await cancelled(ask(pool), said.is_set)
        assert pool.counts() == (0, 0)
        assert (await ask(pool)).body == b"ok"
        assert pool.counts() == (1, 0)
        await left.wait()  # the server hears of it


async def test_cancel_while_an_upload_waits() -> None:
    async def upload(pool: Http1Transport) -> None:
        under_way = await pool.request(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", None)
        try:
            while True:
                await under_way.send(bytes(MIB))
                sent.append(MIB)
        finally:
            under_way.abort()

    sent: list[int] = []
    async with connected(in_turn(hang, always(answer())), ONE) as (pool, _):
        await cancelled(upload(pool), lambda: len(sent) > 1)
        assert pool.counts() == (0, 0)
        assert (await ask(pool)).body == b"ok"


async def test_closing_the_pool_ends_what_is_under_way_and_what_waits() -> None:
    async with connected(saying(), ONE) as (pool, server), asyncio.TaskGroup() as group:
        under_way = await pool.request(GET, b"")
        waiting = group.create_task(fails(pool))
        await until(lambda: len(server.requests) == 1)
        await pool.close()
        with pytest.raises(UpstreamError, match="shutting down") as caught:
            await under_way.head()
        assert caught.value.reason == "reset"
        assert await waiting == "reset"
        assert await fails(pool) == "reset"
        assert pool.counts() == (0, 0)
        assert len(server.requests) == 1


# --- large bodies and back-pressure --------------------------------------------------------------------------


@pytest.mark.slow
async def test_large_bodies_both_ways() -> None:
    body = random.Random(2).randbytes(12 * MIB)

    async def echo(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(answer(request.body))
        await peer.client_left()

    async with connected(echo) as (pool, _):
        got = await ask(pool, b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body), body)
        assert sha256(got.body).digest() == sha256(body).digest()
        assert pool.counts() == (1, 0)


async def _sent_until_full(peer: Peer) -> int:
    """The bytes that it could send until the sockets' buffers were full as well."""
    while True:
        before = peer.sent
        await asyncio.sleep(0.03)
        if peer.sent == before:
            return before


@pytest.mark.parametrize("poured", [False, True], ids=["read", "poured"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_a_slow_reader_holds_the_upstream_back(chunked: bool, poured: bool) -> None:
    piece, count = b"x" * (256 * 1024), 160  # 40 MiB
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % (len(piece) * count)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD_OF + framing + b"\r\n\r\n")
        for _ in range(count):
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            await peer.send(b"0\r\n\r\n")
        await peer.client_left()

    async with connected(script) as (pool, server):
        under_way = await pool.request(GET, b"")
        await under_way.head()
        await until(lambda: under_way.size > 256 * 1024, "the buffer fills")
        [peer] = server.peers
        assert await _sent_until_full(peer) < 20 * MIB
        largest = total = 0

        def offer(got: bytes) -> bool:
            nonlocal largest, total
            largest, total = max(largest, len(got)), total + len(got)
            return total >= 2 * MIB

        async def settle() -> None:
            await asyncio.sleep(0.005)

        if poured:
            offer(await under_way.pour(offer, settle))
        else:
            async for got in pieces(under_way):
                if not offer(got):
                    await settle()
        assert total == len(piece) * count
        assert largest <= MIB
        assert pool.counts() == (1, 0)


async def test_a_slow_upstream_holds_the_upload_back() -> None:
    read_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await read_on.wait()
        await peer.request()
        await peer.send(answer())
        await peer.client_left()

    async def upload() -> None:
        for _ in range(40):
            await under_way.send(bytes(MIB))
            sent.append(MIB)
        under_way.sent()

    sent: list[int] = []
    async with connected(script) as (pool, server), asyncio.TaskGroup() as group:
        under_way = await pool.request(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (40 * MIB), None)
        task = group.create_task(upload())
        while True:
            before = len(sent)
            await asyncio.sleep(0.03)
            if len(sent) == before:
                break
        assert before < 20
        read_on.set()
        await task
        await under_way.head()
        assert under_way.status == 200
        assert len(server.requests[0].body) == 40 * MIB
        assert pool.counts() == (1, 0)


async def test_an_answer_before_the_request_was_sent() -> None:
    """The connection cannot be used again: the rest of the request would be read as the next one."""

    async def refusing(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(b"too large", status=b"413 Content Too Large"))
        await peer.client_left()

    async with connected(in_turn(refusing, always(answer()))) as (pool, server):
        under_way = await pool.request(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (40 * MIB), None)
        while not under_way.settled:
            await under_way.send(bytes(1024))
        await under_way.send(b"ignored")
        await under_way.head()
        assert (under_way.status, await read(under_way)) == (413, b"too large")
        assert pool.counts() == (0, 0)
        assert (await ask(pool)).body == b"ok"
        assert len(server.peers) == 2


@pytest.mark.parametrize("chunked", [True, False], ids=["chunks", "length"])
async def test_100_continue_is_no_answer_to_an_upload(chunked: bool) -> None:
    """The body goes out without waiting for it; what comes meanwhile only says that it is welcome."""

    async def script(peer: Peer) -> None:
        head = await peer.head()
        assert head.get(b"expect") == [b"100-continue"]
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        bodies.append(await peer.body_of(head.headers))
        await peer.send(answer())
        await peer.client_left()

    bodies: list[bytes] = []
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: 3"
    async with connected(script) as (pool, server):
        head = b"POST / HTTP/1.1\r\nexpect: 100-continue\r\n%b\r\n\r\n" % framing
        under_way = await pool.request(head, None, chunked=chunked)
        await until(lambda: bool(server.requests))
        await asyncio.sleep(0.01)
        for piece in (b"a", b"", b"bc"):
            assert not under_way.settled
            await under_way.send(piece)
        under_way.sent()
        await under_way.head()
        assert (under_way.status, await read(under_way), bodies) == (200, b"ok", [b"abc"])
        assert pool.counts() == (1, 0)


@pytest.mark.parametrize("ending", [Peer.abort, Peer.reset], ids=["closed", "reset"])
async def test_an_answer_counts_though_writing_fails(ending: Callable[[Peer], None]) -> None:
    """A server that refuses a large body says so and ends the connection under our hands."""

    async def refusing(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer(b"too large", b"connection: close", status=b"413 Content Too Large"))
        await turns()  # a reset overtakes what was not read yet
        ending(peer)

    async with connected(refusing) as (pool, _):
        head = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (16 * MIB)
        got = await ask(pool, head, bytes(16 * MIB))
        assert (got.status, got.body) == (413, b"too large")
        assert pool.counts() == (0, 0)


async def test_an_upload_in_chunks_is_framed_here() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        seen.append(await peer.read(65536))
        await until(lambda: done.is_set())
        seen.append(await peer.read(65536))
        await peer.send(answer())
        await peer.client_left()

    seen: list[bytes] = []
    done = asyncio.Event()
    async with connected(script) as (pool, server):
        under_way = await pool.request(b"POST / HTTP/1.1\r\nte: x\r\n\r\n", None, chunked=True)
        await until(lambda: bool(server.requests))
        await under_way.send(b"0123456789abcdef")
        await under_way.send(b"")
        await until(lambda: bool(seen))
        under_way.sent()
        done.set()
        await under_way.head()
        assert seen == [b"10\r\n0123456789abcdef\r\n", b"0\r\n\r\n"]
        # The next upload on the same connection is framed by its length again.
        again = await pool.request(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n", None)
        assert again.reused
        again.abort()


@IN_VIRTUAL_TIME
@waits
async def test_an_early_answer_that_hangs_ends() -> None:
    """Its silence counts though an upload was under way, and waiting, when it began."""
    read_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await read_on.wait()
        await peer.send(HEAD_OF + b"content-length: 1000000\r\n\r\nfive!")
        while await peer.read(MIB):
            pass

    async with connected(script, Limits(idle_seconds=0.15)) as (pool, _):
        under_way = await pool.request(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", None)
        asyncio.get_running_loop().call_later(0.05, read_on.set)
        while not under_way.settled:
            await under_way.send(bytes(MIB))
        await under_way.head()
        assert await under_way.more() == b"five!"
        with pytest.raises(UpstreamError) as caught:
            await under_way.more()
        assert caught.value.reason == "idle_timeout"


# --- everything at once --------------------------------------------------------------------------------------


def moody(seed: int) -> Script:
    """Answers in every framing, at once or late or in pieces; closes without a word, resets, goes stale."""
    mood = random.Random(seed)
    wires = [wire for wire, closes, _, reusable in ANSWERS.values() if reusable and not closes]

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            luck = mood.random()
            if luck < 0.02:
                peer.reset()
                return
            if luck < 0.2:
                await asyncio.sleep(mood.random() * 0.004)
            wire = mood.choice(wires)
            cut = mood.randrange(len(wire))
            await peer.send(wire[:cut], wire[cut:])
            if luck > 0.97:
                return

    return script


@pytest.mark.slow
async def test_soak_with_cancels() -> None:
    """3,000 requests, every fifth given up after some turns of the loop: no connection, slot or answer goes astray."""
    chance = random.Random(3)
    turns = [chance.randrange(20) if chance.random() < 0.2 else None for _ in range(3000)]
    too_soon = sum(1 for number in turns if number is not None and number <= 1)  # nothing is answered in one turn
    outcomes = {"answered": 0, "failed": 0, "cancelled": 0}

    async def one(pool: Http1Transport, gate: asyncio.Semaphore, turns: int | None) -> None:
        async with gate:
            asking = asyncio.create_task(ask(pool))  # noqa: TID251 - awaited below
            if turns is not None:
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
            await asyncio.wait([asking])
        if asking.cancelled():
            outcomes["cancelled"] += 1
        elif error := asking.exception():
            assert isinstance(error, UpstreamError), error
            assert error.reason == "reset", error
            outcomes["failed"] += 1
        else:
            outcomes["answered"] += 1

    async with connected(moody(4), Limits(max_connections=16, pool_seconds=PATIENCE_SECONDS)) as (pool, server):
        gate = asyncio.Semaphore(48)
        async with asyncio.TaskGroup() as group:
            for number in turns:
                group.create_task(one(pool, gate, number))
        assert sum(outcomes.values()) == len(turns)
        assert outcomes["answered"] > 2000
        assert outcomes["cancelled"] >= too_soon > 50
        assert pool.counts()[1] == 0
        assert len(server.peers) < 1500
        # Every slot is still there: that many at once, none waits.
        under_way = [await pool.request(GET, b"", fresh=True) for _ in range(16)]
        assert sum(pool.counts()) <= 16
        for each in under_way:
            each.abort()
        assert pool.counts()[1] == 0


@IN_VIRTUAL_TIME
async def test_nobody_looks_after_idle_connections_until_one_is_to_be_closed() -> None:
    async with connected(always(answer(b"hello")), Limits(keepalive_seconds=30)) as (ours, _):
        await ask(ours)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)
        before = loop.time()
        assert ours._sweeper is not None
        assert ours._sweeper.when() > before + 20
        await asyncio.sleep(20)
        assert ours.counts() == (1, 0)
        await ask(ours)
        assert ours._sweeper.when() <= loop.time() + 0.25
        await asyncio.sleep(31)
        assert ours.counts() == (0, 0)


class SlowToConnect:
    """A loop on which it takes a while to open a connection."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, *of: Any, **more: Any) -> Any:
        await asyncio.sleep(self._seconds)
        return await self._loop.create_connection(*of, **more)


@IN_VIRTUAL_TIME
async def test_beside_idle_connections_a_request_is_looked_after_whose_own_took_long_to_open() -> None:
    async with serve(in_turn(always(answer()), hang)) as server:
        slow: Any = SlowToConnect(1.0)
        limits = Limits(first_byte_seconds=1.0, keepalive_seconds=60.0)
        pool = Http1Transport("127.0.0.1", server.port, limits, loop=slow)
        await ask(pool)
        began = slow.time()
        with pytest.raises(UpstreamError) as caught:
            await ask(pool, fresh=True)
        assert caught.value.reason == "first_byte_timeout"
        assert slow.time() - began < 3
        await pool.close()
