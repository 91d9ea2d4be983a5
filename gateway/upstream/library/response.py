"""One response that comes through the library, filled by a task of its own and read by the request path."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Protocol, cast

import httpcore2

from gateway.errors import UpstreamError
from gateway.exchange import Headers
from gateway.upstream.library.network import WRITTEN, Connection, LastWritten
from gateway.upstream.library.reasons import TRANSPORT_ERRORS, failure
from gateway.upstream.transport import (
    FAILURES,
    HIGH_WATER,
    MAX_HEADERS,
    SHUTTING_DOWN,
    STATUSES,
    WHOLE_BYTES,
    Limits,
    late,
)

_HEAD_WRITTEN = "send_request_headers.complete"
_PIECE_BYTES = 64 * 1024  # of a request body handed over at once; time limits run from piece to piece
_WHITE = b" \t"

# Steps that the library reports → the time limit that runs from there.
_LIMIT_FROM = MappingProxyType(
    {
        "connect_tcp.started": "connect_timeout",
        "send_request_headers.started": "write_timeout",
        "receive_response_headers.started": "first_byte_timeout",
    }
)


class Phase(IntEnum):
    """How far a request has come."""

    WAITING = 0  # for a connection
    ON_WIRE = 1
    BEGUN = 2  # the head of its answer is here
    ENDED = 3


class Owner(Protocol):
    """The transport, as far as a response needs it."""

    limits: Limits
    proxied: bool
    shares: bool

    def let_go(self, response: "LibraryResponse") -> None:
        """Nobody waits for the response any more."""
        ...

    def reset(self, connection: Connection, stream: int) -> None:
        """Tell the upstream that this stream of a shared connection is not wanted any more."""
        ...


class _GivenUp(Exception):  # noqa: N818 - not an error: nobody wants the request any more
    """Raised into the library where it asks for more of a request that was given up."""


class LibraryResponse:
    """A response under way: see `transport.Response`. Its task drives the library from the request's first byte to the
    answer's last, so that readers may come, wait and leave without the library noticing."""

    def __init__(
        self, owner: Owner, pool: httpcore2.AsyncConnectionPool, request: httpcore2.Request, body: bytes | None,
        limits: Limits,
    ) -> None:  # fmt: skip
        self.status = 0
        self.headers: Headers = []
        self.phase = Phase.WAITING
        self.complete = False
        self.reused = True  # until a connection is opened
        self.given_up = False
        self.deadline = 0.0  # loop time at which the transport's sweep ends it; 0 for none
        self.size = 0  # bytes that wait in the buffer
        self._owner = owner
        self._limits = limits
        self._body = body
        self._whole = False  # it is so small that its head is given out together with all of its body
        self._alone = not owner.shares  # no other request uses its connection
        self._written = LastWritten()
        self._stream = 0  # its number in HTTP/2
        self._resettable: tuple[Connection, int] | None = None  # the stream, once the upstream has heard of it
        self._error: BaseException | None = None
        self._chunks: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._limit = "pool_timeout"
        self._seconds = _seconds_of(limits)
        # The library reads this step by step. It keeps the limits of connecting itself, which must not be interrupted.
        self._connecting = {"connect": limits.connect_seconds, "read": limits.connect_seconds}
        self._pieces = _Pieces()  # of a request body that is streamed
        request.stream = _RequestBody(self)
        request.extensions = {"trace": self._trace, "timeout": self._connecting}
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(self._run(pool, request))
        self.task.add_done_callback(self._ended)

    # --- for the one who asked: see `transport.Response`

    async def head(self) -> None:
        """Wait for the head, and for a small announced body unless it is an error's. Raises UpstreamError."""
        while not self.started or (self._whole and not self.complete):
            if self._error is not None:
                raise self._error
            await self._wait()
        if self._error is not None and not self._chunks:
            raise self._error

    def take(self) -> bytes:
        """What has arrived and was not taken yet, perhaps nothing."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self.size = 0
        self._room.set()
        return data

    async def more(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end. Raises UpstreamError when it broke off."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._wait()
        return self.take()

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        """Hand to `offer` what comes until the end; await `settle` when it returns False. Raises UpstreamError."""
        while data := await self.more():
            if not offer(data):
                await settle()
        return b""

    def abort(self) -> None:
        """Give up the answer. The upstream hears of it at once: see the package."""
        self._give_up(UpstreamError("reset", SHUTTING_DOWN))

    async def send(self, data: bytes) -> None:
        """Send a piece of a request body that is streamed; waits while the upstream does not read."""
        if data and not self.settled:
            await self._pieces.give(data)

    def sent(self) -> None:
        """The whole request body was handed over."""
        self._pieces.give_no_more()

    @property
    def settled(self) -> bool:
        """Whether it has begun or failed: the rest of the request need not be sent."""
        return self.started or self._error is not None

    @property
    def started(self) -> bool:
        """Whether status and headers are here."""
        return self.status > 0

    # --- for the transport

    @property
    def may_be_cut(self) -> bool:
        """Whether its connection may be closed now without leaving anything half done."""
        return self.phase is not Phase.WAITING

    def time_out(self) -> None:
        """The deadline has passed."""
        self._give_up(late(self._limit, self._limits))

    def _give_up(self, error: UpstreamError) -> None:
        if self.given_up or self.phase is Phase.ENDED:
            return
        self.given_up = True
        self.deadline = 0.0
        self._error = self._error or error
        self._room.set()
        self._pieces.release()
        if self._alone and self.may_be_cut:
            self.task.cancel()
        elif self._resettable is not None:
            self._owner.reset(*self._resettable)
        self._wake()
        self._owner.let_go(self)

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the task

    async def _run(self, pool: httpcore2.AsyncConnectionPool, request: httpcore2.Request) -> None:
        self._allow("pool_timeout")
        WRITTEN.set(self._written)
        try:
            response = await pool.handle_async_request(request)
            try:
                await self._receive(response)
            finally:
                await response.aclose()
        except TRANSPORT_ERRORS as error:
            proxied = self._owner.proxied
            raise failure(error, self._limits, begun=self.started, proxied=proxied) from None

    async def _receive(self, response: httpcore2.Response) -> None:
        pieces = cast(AsyncGenerator[bytes, None], aiter(cast(AsyncIterable[bytes], response.stream)))
        try:
            self._begin(response)
            async for piece in pieces:
                self._keep(piece)
                while self.size > HIGH_WATER and not self.given_up:
                    self.deadline = 0.0  # the silence is ours: the client is slow
                    self._room.clear()
                    await self._room.wait()
                if self.given_up:
                    break
                self._allow("idle_timeout")
        finally:
            await pieces.aclose()

    async def _trace(self, step: str, info: Mapping[str, Any]) -> None:
        step = step.partition(".")[2]
        if step == _HEAD_WRITTEN and self._stream:
            self._now_resettable()
        limit = _LIMIT_FROM.get(step)
        if limit == "connect_timeout":
            self.reused = False
        # Asking the proxy for a tunnel is a part of connecting.
        if limit is None or (limit != "connect_timeout" and info["request"].method == b"CONNECT"):
            return
        if limit == "write_timeout":
            if self.given_up:
                raise _GivenUp
            self.phase = Phase.ON_WIRE
            self._connecting.clear()
            self._stream = info.get("stream_id", 0)
            self._alone = self._alone or not self._stream  # HTTP/1.1 was agreed on
        self._allow(limit)

    def _now_resettable(self) -> None:
        """The upstream has the head, so the stream may be reset. Resetting an unknown stream would end the
        connection."""
        assert self._written.connection is not None
        self._resettable = self._written.connection, self._stream
        if self.given_up:
            self._owner.reset(*self._resettable)
            raise _GivenUp

    def _allow(self, limit: str) -> None:
        """From now on this limit runs."""
        self._limit = limit
        # The library itself keeps the limit of connecting.
        waits = 0.0 if limit == "connect_timeout" or self.given_up else self._loop.time() + self._seconds[limit]
        self.deadline = waits

    async def pieces(self) -> AsyncIterator[bytes]:
        """The request body, as the library takes it."""
        for piece in _cut(self._body or b""):
            if self.given_up:
                raise _GivenUp
            self._allow("write_timeout")
            yield piece
        while self._body is None:
            self.deadline = 0.0  # the silence is the client's
            given = await self._pieces.take()
            if self.given_up:
                raise _GivenUp  # if it just ended here, half a body could pass for a whole one
            for piece in _cut(given):
                self._allow("write_timeout")
                yield piece
            if self._pieces.are_all_taken:
                self._allow("write_timeout")
                return

    def _begin(self, response: httpcore2.Response) -> None:
        status = response.status
        headers = [(name.lower(), value.strip(_WHITE)) for name, value in response.headers]
        if status == 101:
            raise UpstreamError("bad_response", "the upstream switched to another protocol, which was not asked for")
        if status not in STATUSES:
            raise UpstreamError("bad_response", f"the upstream answered with {status:03}, which is not a status")
        if status == 407 and self._owner.proxied:
            raise UpstreamError("connect_failed", "the proxy on the way to the upstream refused our credentials")
        if len(headers) > MAX_HEADERS:
            raise UpstreamError("bad_response", f"the upstream's answer has more than {MAX_HEADERS} headers")
        self.phase = Phase.BEGUN
        if self.given_up:
            return
        self.status = status
        self.headers = headers
        length = dict(headers).get(b"content-length", b"")
        self._whole = status < FAILURES and length.isdigit() and int(length) <= WHOLE_BYTES
        self._pieces.let_go()  # the rest of the request is not sent
        self._allow("idle_timeout")
        if not self._whole:
            self._wake()

    def _keep(self, piece: bytes) -> None:
        if piece and not self.given_up:
            self._chunks.append(piece)
            self.size += len(piece)
            if not self._whole:
                self._wake()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = UpstreamError("reset", SHUTTING_DOWN) if task.cancelled() else task.exception()
        self.phase = Phase.ENDED
        self.deadline = 0.0
        self._body = b""
        self._error = self._error or error
        self.complete = self._error is None
        self._pieces.let_go()
        self._wake()
        self._owner.let_go(self)


class _Pieces:
    """The pieces of a streamed request body: one is being sent, and one waits here."""

    def __init__(self) -> None:
        self._waiting = b""
        self._all_given = False
        self._given, self._taken = asyncio.Event(), asyncio.Event()

    async def give(self, piece: bytes) -> None:
        """Give a piece; returns when it was taken, or never will be."""
        self._waiting = piece
        self._taken.clear()
        self._given.set()
        await self._taken.wait()

    def give_no_more(self) -> None:
        """That was all."""
        self._all_given = True
        self._given.set()

    async def take(self) -> bytes:
        """The next piece; empty at the end, or if nobody wants more."""
        await self._given.wait()
        self._given.clear()
        piece, self._waiting = self._waiting, b""
        self._taken.set()
        return piece

    @property
    def are_all_taken(self) -> bool:
        return self._all_given and not self._waiting

    def let_go(self) -> None:
        """Whoever gives a piece need not wait any more."""
        self._taken.set()

    def release(self) -> None:
        """Nobody who gives a piece or waits for one need wait any more."""
        self._taken.set()
        self._given.set()


class _RequestBody:
    def __init__(self, response: LibraryResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.pieces()


def _seconds_of(limits: Limits) -> dict[str, float]:
    """The limits by the reason that is given when they are reached."""
    return {
        "pool_timeout": limits.pool_seconds,
        "connect_timeout": limits.connect_seconds,
        "write_timeout": limits.idle_seconds,
        "first_byte_timeout": limits.first_byte_seconds,
        "idle_timeout": limits.idle_seconds,
    }


def _cut(data: bytes) -> Iterator[bytes]:
    if len(data) <= _PIECE_BYTES:
        return iter((data,) if data else ())
    return (data[start : start + _PIECE_BYTES] for start in range(0, len(data), _PIECE_BYTES))
