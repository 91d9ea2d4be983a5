"""HTTP/1.1 client connections and their pool, on asyncio and httptools.

Own code because a library's client costs more than all the rest of the gateway: with httpx's own pool a core
forwards some hundred requests a second, with this some ten thousand (`make bench`). It promises what the request
path needs: one wake-up for a small answer, answers released to the pool when their last byte arrived, back-pressure
both ways, cancellation at any await without a leaked connection, and a named reason for every failure.
"""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import httptools

from gateway.errors import UpstreamError
from gateway.exchange import Headers

WHOLE_BYTES = 64 * 1024  # an announced answer up to this size is waited for, and leaves in one piece
HIGH_WATER = 256 * 1024  # bytes an answer may buffer before reading from the upstream pauses
MAX_HEADERS = 200  # of one answer
SHUTTING_DOWN = "the gateway is shutting down"
_SWEEP_SECONDS = 0.25  # how late a timeout may be noticed
_MAX_HEAD_BYTES = 64 * 1024  # of headers, interim answers, chunk extensions or trailers, before a byte of body comes


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds, and connections to one origin."""

    connect_seconds: float = 5.0
    first_byte_seconds: float = 600.0
    idle_seconds: float = 120.0
    pool_seconds: float = 10.0
    keepalive_seconds: float = 30.0
    max_connections: int = 1024


def late(reason: str, limits: Limits) -> UpstreamError:
    """The error of a phase that lasted longer than its limit."""
    sentence = {
        "connect_timeout": f"no connection to the upstream within {limits.connect_seconds:g} s",
        "pool_timeout": f"all {limits.max_connections} connections to the upstream were busy "
        f"for {limits.pool_seconds:g} s",
        "write_timeout": f"the upstream did not read the request for {limits.idle_seconds:g} s",
        "first_byte_timeout": f"the upstream did not begin to answer within {limits.first_byte_seconds:g} s",
        "idle_timeout": f"the upstream was silent for {limits.idle_seconds:g} s in the middle of its answer",
    }[reason]
    return UpstreamError(reason, sentence, retry_after_seconds=1 if reason == "pool_timeout" else None)


def tls_refused(error: ssl.SSLError) -> UpstreamError:
    why = getattr(error, "verify_message", "") or error.reason or str(error)
    return UpstreamError("tls_failed", f"the upstream's TLS was not accepted: {why}")


def unreachable(error: OSError | UnicodeError, peer: str = "upstream") -> UpstreamError:
    """`UnicodeError` is what cannot be a host name."""
    return UpstreamError("connect_failed", f"the {peer} cannot be reached: {_why(error)}")


class Answer:
    """A response under way. `status` and `headers` (names lower-cased) hold once `head` returned."""

    __slots__ = (
        "_chunks", "_connection", "_error", "_loop", "_offer", "_waiter", "complete", "headers", "size", "started",
        "status",
    )  # fmt: skip

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: Headers = []
        self.started = False  # the status line and headers are here
        self.complete = False  # the last byte is here (it may still wait in the buffer)
        self._connection: Connection | None = connection
        self._chunks: list[bytes] = []
        self.size = 0  # bytes that wait in the buffer
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._offer: Callable[[bytes], bool] | None = None
        self._loop = connection.pool.loop

    async def head(self) -> None:
        """Wait for status and headers; a small announced body is then here as well. Raises UpstreamError."""
        connection = self._connection
        while not self.started or (connection is not None and connection.whole and not self.complete):
            if self._error is not None:
                raise self._error
            await self._next_arrival()
        if self._error is not None and not self._chunks:
            raise self._error

    def take(self) -> bytes:
        """What has arrived and was not taken yet, maybe nothing."""
        chunks = self._chunks
        if not chunks:
            return b""
        self.size = 0
        if len(chunks) == 1:
            data = chunks.pop()
        else:
            data = b"".join(chunks)
            chunks.clear()
        if self._connection is not None and self._connection.reading_paused:
            self._connection.resume()
        return data

    async def more(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end. Raises UpstreamError when it broke off."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._next_arrival()
        return self.take()

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        """Hand to `offer` what comes, at once and without waking this task; the last bytes are returned.

        When `offer` says False, `settle` is awaited before it gets more. Raises UpstreamError when the answer broke
        off, after all that came before.
        """
        while not self.complete and self._error is None:
            taken = True
            if self._chunks:
                taken = offer(self.take())
            else:
                self._offer = offer
                try:
                    await self._next_arrival()
                    taken = self._offer is not None
                finally:
                    self._offer = None
            if not taken:
                await settle()
        if self._error is None:
            return self.take()
        if self._chunks and not offer(self.take()):
            await settle()
        raise self._error

    def abort(self) -> None:
        """Give the answer up: an unfinished one takes its connection along, so the model server stops as well."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def send(self, data: bytes) -> None:
        """Send a piece of a request body that is streamed; waits while the upstream does not read."""
        connection = self._connection
        if connection is None or connection.closed:
            return  # answered early, or broken: `head` tells which
        connection.write(data)
        await connection.drain()

    def sent(self) -> None:
        """The whole request body was handed over: from here the upstream's time runs."""
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.end_body()

    def _next_arrival(self) -> "asyncio.Future[None]":
        """Done when something comes: more of the answer, its end, or its failure."""
        waiter = self._waiter = self._loop.create_future()
        return waiter

    @property
    def settled(self) -> bool:
        """It has begun or failed: what is left of the request need not be sent any more."""
        return self.started or self._error is not None

    # --- called by the connection

    def add(self, data: bytes) -> int:
        self._chunks.append(data)
        self.size += len(data)
        return self.size

    def arrived(self) -> None:
        """What the connection read was added: it goes to who offered to take it, or wakes who waits for it."""
        if self._offer is None:
            self.wake()
        elif self._chunks and not self._offer(self.take()):
            self._offer = None
            self.wake()

    def finish(self) -> None:
        self.complete = True
        self._connection = None
        self.wake()

    def fail(self, error: UpstreamError) -> None:
        self._error = error
        self._connection = None
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One connection: idle, or carrying exactly one request and its answer."""

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.closed = False
        self.used = False  # carried a request before: a reset may only mean that it had gone stale
        self.whole = False
        self.reading_paused = False
        self.deadline = 0.0  # loop time at which the sweep ends it; 0 = none
        self.idle_since = 0.0
        self._timeout_reason = "first_byte_timeout"
        self._loop = pool.loop
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._head_only = False
        self._framed = False  # the answer's end is announced (length or chunks), not given by the close
        self._informational = False
        self._body_pending = False
        self._chunked = False  # the request's body goes out in chunks
        self._reusable = True
        self._overhead = 0  # bytes received since the last byte of body
        self._write_paused = False
        self._drain_waiter: asyncio.Future[None] | None = None

    # --- used by the pool and the answer

    def start(self, head: bytes, body: bytes | None, head_only: bool, chunked: bool = False) -> Answer:
        """Send a request; `body` None means that it follows through `Answer.send`, in chunks if the head says so."""
        answer = self._answer = Answer(self)
        self._head_only = head_only
        self._body_pending = body is None
        self._overhead = 0
        if not body:
            self._transport.write(head)
        elif len(body) < WHOLE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        if body is None:
            self._chunked = chunked
        else:
            self._await_first_byte()
        return answer

    def write(self, data: bytes) -> None:
        """Send a piece of the body. An empty one is none: as a chunk it would be the last."""
        if data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end_body(self) -> None:
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")
        if self._answer is not None and not self._answer.started:
            self._await_first_byte()

    def _await_first_byte(self) -> None:
        self._body_pending = False
        self._timeout_reason = "first_byte_timeout"
        self.deadline = self._loop.time() + self.pool.limits.first_byte_seconds

    async def drain(self) -> None:
        if self._write_paused and not self.closed:
            self._allow_silence("write_timeout")
            self._drain_waiter = self._loop.create_future()
            try:
                await self._drain_waiter
            finally:
                self._drain_waiter = None
                self.deadline = 0.0
                if self._answer is not None and self._answer.started and not self.reading_paused:
                    self._allow_silence("idle_timeout")

    def resume(self) -> None:
        self.reading_paused = False
        self._allow_silence("idle_timeout")
        self._transport.resume_reading()

    def close(self) -> None:
        """Drop the connection at once; the pool forgets it now, not when the loop gets round to it."""
        if not self.closed:
            self.closed = True
            self.deadline = 0.0
            self.pool.forget(self)
            self._transport.abort()

    def give_up(self, error: UpstreamError) -> None:
        answer, self._answer = self._answer, None
        self.close()
        if answer is not None:
            answer.fail(error)

    def time_out(self) -> None:
        self.give_up(late(self._timeout_reason, self.pool.limits))

    def _allow_silence(self, reason: str) -> None:
        self._timeout_reason = reason
        self.deadline = self._loop.time() + self.pool.limits.idle_seconds

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # an idle connection has nothing to say
            self.close()
            return
        size = answer.size
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse("the upstream switched to another protocol, which was not asked for")
            return
        except httptools.HttpParserError as error:
            self._refuse(f"the upstream's answer is not HTTP/1.1: {error}")
            return
        if answer.complete:
            if self._reusable:
                self.used = True
                self.pool.release(self)
            else:
                self.close()
            return
        if answer.size > size:
            self._overhead = 0
        elif self._overhead > _MAX_HEAD_BYTES:
            self._refuse_flood()
        if self.closed or not answer.started:
            return
        if not self.reading_paused:
            self._timeout_reason = "idle_timeout"
            self.deadline = self._loop.time() + self.pool.limits.idle_seconds
        if not self.whole:
            answer.arrived()

    def eof_received(self) -> None:
        # Nothing can follow. Left alone, the transport would first wait for our own bytes to leave.
        self._end(None)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        was_closed, self.closed = self.closed, True
        if not was_closed:
            self.pool.forget(self)
        self.resume_writing()
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.started and not self._framed and exc is None:
            answer.finish()
        elif answer.started:
            answer.fail(UpstreamError("truncated", "the upstream closed the connection in the middle of its answer"))
        else:
            answer.fail(UpstreamError("reset", "the upstream closed the connection without an answer"))

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        waiter = self._drain_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        if self._answer is None:  # what follows an answer unasked must not pass for the answer to the next request
            self._reusable = False
        self._framed = False
        self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer is None or answer.started:  # trailers are no headers: the client has got those by now
            return
        name = name.lower()
        answer.headers.append((name, value))
        if name == b"content-length":
            self._framed = True
            self.whole = value.isdigit() and int(value) <= WHOLE_BYTES
        elif name == b"transfer-encoding":
            if self._framed or value.strip().lower() != b"chunked":
                self._refuse("the upstream used a transfer-encoding that was not asked for")
            self._framed = True

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None:
            return
        status = self._parser.get_status_code()
        if len(answer.headers) > MAX_HEADERS or self._overhead > _MAX_HEAD_BYTES < _size(answer.headers):
            self._refuse_flood()
            return
        if status < 100:
            self._refuse(f"the upstream answered with the status {status:03}, which is none")
            return
        self._informational = status < 200
        if self._informational:  # 100 Continue and its like announce the answer, they are none
            answer.headers.clear()
            return
        answer.status = status
        answer.started = True
        if self._head_only:
            self._reusable = False  # the parser would wait for a body that never comes
            self._finish()

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer is not None and answer.add(data) > HIGH_WATER and not self.reading_paused:
            self.reading_paused = True
            self.deadline = 0.0  # the silence is ours: the client is slow
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._informational:
            self._informational = False
        else:
            self._finish()

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self.deadline = 0.0
        if self.reading_paused:
            self.reading_paused = False
            self._transport.resume_reading()
        # Answered before the request was read to its end: what is still to come has no place in a next request.
        if self._body_pending or not self._parser.should_keep_alive():
            self._reusable = False
        answer.finish()

    def _refuse_flood(self) -> None:
        self._refuse(f"the upstream's answer has more than {MAX_HEADERS} headers or {_MAX_HEAD_BYTES} bytes of them")

    def _refuse(self, message: str) -> None:
        self.give_up(UpstreamError("bad_response", message))


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


class Pool:
    """Connections to one origin, at most `limits.max_connections`; those that wait are served in their order."""

    def __init__(
        self,
        host: str,
        port: int,
        limits: Limits,
        *,
        tls: ssl.SSLContext | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.limits = limits
        self.tls = tls
        self.loop = loop or asyncio.get_running_loop()
        self._idle: dict[Connection, None] = {}  # the most recently used last
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self, head: bytes, body: bytes | None, *, head_only: bool = False, fresh: bool = False, chunked: bool = False
    ) -> tuple[Answer, bool]:
        """Send a request on a free connection; returns the answer under way, and whether the connection was reused.

        `body` None means that it follows through `Answer.send`, `chunked` that the head announced chunks. `fresh` asks
        for a new connection. Raises UpstreamError: connect_failed, connect_timeout, tls_failed, pool_timeout, reset.
        """
        connection = None if fresh else self._take_idle()
        if connection is None:
            connection = await self._wait_or_open(fresh)
        return connection.start(head, body, head_only, chunked), connection.used

    def counts(self) -> tuple[int, int]:
        """Idle and busy connections."""
        return len(self._idle), len(self._all) - len(self._idle)

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._all):
            connection.give_up(UpstreamError("reset", SHUTTING_DOWN))

    # --- called by connections

    def release(self, connection: Connection) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = self.loop.time()
        self._idle[connection] = None

    def forget(self, connection: Connection) -> None:
        self._all.discard(connection)
        self._idle.pop(connection, None)
        self._pass_slot_on()

    # --- inside

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.closed:
                return connection
        return None

    def _full(self) -> bool:
        return len(self._all) + self._opening >= self.limits.max_connections

    def _pass_slot_on(self) -> None:
        """A slot became free: the first that waits opens a connection of its own."""
        while self._waiters and not self._full():
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._opening += 1  # reserved; `_open` takes the reservation over
                waiter.set_result(None)

    async def _wait_or_open(self, fresh: bool) -> Connection:
        if fresh and self._idle and self._full():
            next(iter(self._idle)).close()  # the oldest makes room
        if not self._full():
            self._opening += 1
            return await self._open()
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self.limits.pool_seconds):
                connection = await waiter
        except TimeoutError:
            self._return_unused(waiter)
            raise late("pool_timeout", self.limits) from None
        except asyncio.CancelledError:
            self._return_unused(waiter)
            raise
        if connection is None:
            return await self._open()
        if connection.closed:  # it died between being handed over and being used
            return await self._wait_or_open(fresh)
        if fresh:
            self._opening += 1  # before the slot is given up, else the next in the queue gets it
            connection.close()
            return await self._open()
        return connection

    def _return_unused(self, waiter: "asyncio.Future[Connection | None]") -> None:
        """The one that waited left in the very moment it was served: what it got goes to the next."""
        if not waiter.done() or waiter.cancelled():
            waiter.cancel()
            with suppress(ValueError):  # popped already
                self._waiters.remove(waiter)
            return
        connection = waiter.result()
        if connection is None:
            self._opening -= 1
            self._pass_slot_on()
        elif not connection.closed:
            self.release(connection)

    async def _open(self) -> Connection:
        """Open a connection in a slot that is reserved already."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self),
                    self.host,
                    self.port,
                    ssl=self.tls,
                    server_hostname=self.host if self.tls else None,
                )
        except TimeoutError:
            raise late("connect_timeout", self.limits) from None
        except ssl.SSLError as error:
            raise tls_refused(error) from None
        except (OSError, UnicodeError) as error:
            raise unreachable(error) from None
        finally:
            self._opening -= 1
            if connection is None or connection.closed:
                self._pass_slot_on()
            else:
                self._all.add(connection)
        if connection.closed:
            raise UpstreamError("reset", "the upstream closed the connection as soon as it was open")
        if self._closed:
            connection.close()
            raise UpstreamError("reset", SHUTTING_DOWN)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_SECONDS, self._sweep)
        return connection

    def _sweep(self) -> None:
        """End what is late. One timer for all connections: a timer a request would cost more than the request."""
        now = self.loop.time()
        expired = now - self.limits.keepalive_seconds
        for connection in list(self._all):
            if connection.deadline and now >= connection.deadline:
                connection.time_out()
            elif connection in self._idle and connection.idle_since <= expired:
                connection.close()
        self._sweeper = self.loop.call_later(_SWEEP_SECONDS, self._sweep) if self._all else None


def _why(error: OSError | UnicodeError) -> str:
    """The system's words without the address, which is no business of the gateway's clients."""
    if isinstance(error, UnicodeError):
        return "its host name is not valid"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or "none of its addresses accepts connections"
