"""One response of an upstream, filled by its connection and read by the request path."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.errors import UpstreamError
from gateway.exchange import Headers


class Source(Protocol):
    """The connection, as far as a response needs it."""

    @property
    def is_open(self) -> bool: ...

    reading_paused: bool

    def resume(self) -> None: ...

    def close(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def end_body(self) -> None: ...


class Http1Response:
    """A response under way: see `transport.Response`."""

    __slots__ = (
        "_chunks", "_connection", "_error", "_loop", "_offer", "_waiter", "complete", "headers", "is_small", "reused",
        "size", "started", "status",
    )  # fmt: skip

    def __init__(self, connection: Source, loop: asyncio.AbstractEventLoop, *, reused: bool) -> None:
        self.status = 0
        self.headers: Headers = []
        self.started = False  # the status line and headers are here
        self.is_small = False  # its head is given out together with all of its body
        self.complete = False  # the last byte is here (it may still wait in the buffer)
        self.reused = reused
        self.size = 0  # bytes that wait in the buffer
        self._connection: Source | None = connection
        self._chunks: list[bytes] = []
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._offer: Callable[[bytes], bool] | None = None
        self._loop = loop

    async def head(self) -> None:
        """Wait for the head, and for a small announced body unless it is an error's. Raises UpstreamError."""
        while not self.complete and (not self.started or self.is_small):
            if self._error is not None:
                raise self._error
            await self._next_arrival()
        if self._error is not None and not self._chunks:
            raise self._error

    def take(self) -> bytes:
        """What has arrived and was not taken yet, perhaps nothing."""
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
        """Hand what comes to `offer`, at once and without waking this task; returns the last bytes.

        When `offer` returns False, `settle` is awaited before it gets more. Raises UpstreamError if the answer broke
        off, after everything that had come.
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
        """Abandon the answer. An unfinished one closes its connection, so that the model server stops too."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def send(self, data: bytes) -> None:
        """Send a piece of a request body that is streamed; waits while the upstream does not read."""
        connection = self._connection
        if connection is None or not connection.is_open:
            return  # it was answered early or broke off, as `head` will show
        connection.write(data)
        await connection.drain()

    def sent(self) -> None:
        """The whole request body was handed over: from now on the upstream's time runs."""
        connection = self._connection
        if connection is not None and connection.is_open:
            connection.end_body()

    def _next_arrival(self) -> "asyncio.Future[None]":
        """Done when something comes: more of the answer, its end, or its failure."""
        waiter = self._waiter = self._loop.create_future()
        return waiter

    @property
    def settled(self) -> bool:
        """Whether it has begun or failed: the rest of the request need not be sent."""
        return self.started or self._error is not None

    # --- called by the connection

    def add(self, data: bytes) -> int:
        """Add a piece of the body; returns the bytes that wait."""
        self._chunks.append(data)
        self.size += len(data)
        return self.size

    def arrived(self) -> None:
        """What the connection read was added: hand it to `offer`, or wake whoever waits."""
        if self._offer is None:
            self.wake()
        elif self._chunks and not self._offer(self.take()):
            self._offer = None
            self.wake()

    def finish(self) -> None:
        """The last byte was added."""
        self.complete = True
        self._connection = None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: UpstreamError) -> None:
        """Nothing more comes."""
        self._error = error
        self._connection = None
        self.wake()

    def wake(self) -> None:
        """Wake whoever waits."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
