"""The connections to one origin: who gets which, who waits, and when they end."""

import asyncio
import ssl
from collections import deque
from contextlib import suppress

from gateway.errors import UpstreamError
from gateway.upstream.http1.connection import UpstreamConnection
from gateway.upstream.http1.response import Http1Response
from gateway.upstream.transport import SHUTTING_DOWN, Limits, late, tls_refused, unreachable

_SWEEP_SECONDS = 0.25  # how late a timeout may be noticed


class Http1Transport:
    """Connections to one origin, at most `limits.max_connections`; waiting requests are served in their order."""

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
        self._idle: dict[UpstreamConnection, None] = {}  # open connections, the most recently used last
        self._all: set[UpstreamConnection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._rests = False  # the sweeper sleeps until the first idle connection has to be closed
        self._closed = False

    async def request(
        self,
        head: bytes,
        body: bytes | None,
        *,
        head_only: bool = False,
        fresh: bool = False,
        chunked: bool = False,
        limits: Limits | None = None,
    ) -> Http1Response:
        """Send a request on a free connection: see `transport.Transport`.

        Raises UpstreamError: connect_failed, connect_timeout, tls_failed, pool_timeout, reset.
        """
        if self._rests:
            self._sweep_soon()
        if self._idle and not fresh:
            connection, _ = self._idle.popitem()
        else:
            connection = await self._wait_or_open(fresh)
        return connection.start(head, body, head_only, chunked, limits)

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

    def release(self, connection: UpstreamConnection) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = self.loop.time()
        self._idle[connection] = None

    def forget(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        self._idle.pop(connection, None)
        self._pass_slot_on()

    # --- inside

    def _full(self) -> bool:
        return len(self._all) + self._opening >= self.limits.max_connections

    def _pass_slot_on(self) -> None:
        """A slot became free: the first waiting request opens a connection of its own."""
        while self._waiters and not self._full():
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._opening += 1  # reserved; `_open` takes the reservation over
                waiter.set_result(None)

    async def _wait_or_open(self, fresh: bool) -> UpstreamConnection:
        if fresh and self._idle and self._full():
            next(iter(self._idle)).close()  # the oldest makes room
        if not self._full():
            self._opening += 1
            return await self._open()
        waiter: asyncio.Future[UpstreamConnection | None] = self.loop.create_future()
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
        if not connection.is_open:  # it closed between being handed over and being used
            return await self._wait_or_open(fresh)
        if fresh:
            self._opening += 1  # before the slot is free, else the next in the queue gets it
            connection.close()
            return await self._open()
        return connection

    def _return_unused(self, waiter: "asyncio.Future[UpstreamConnection | None]") -> None:
        """A request left at the moment it was served: the connection it got goes to the next."""
        if not waiter.done() or waiter.cancelled():
            waiter.cancel()
            with suppress(ValueError):  # popped already
                self._waiters.remove(waiter)
            return
        connection = waiter.result()
        if connection is None:
            self._opening -= 1
            self._pass_slot_on()
        elif connection.is_open:
            self.release(connection)

    async def _open(self) -> UpstreamConnection:
        """Open a connection in a reserved slot."""
        connection: UpstreamConnection | None = None
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                _, connection = await self.loop.create_connection(
                    lambda: UpstreamConnection(self),
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
            if connection is None or not connection.is_open:
                self._pass_slot_on()
            else:
                self._all.add(connection)
        if not connection.is_open:
            raise UpstreamError("reset", "the upstream closed the connection as soon as it was open")
        if self._closed:
            connection.close()
            raise UpstreamError("reset", SHUTTING_DOWN)
        if self._sweeper is None:
            self._sweep_soon()
        return connection

    def _sweep_soon(self) -> None:
        self._rests = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweeper = self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """End what is late. There is one timer for all connections, because one for each request would cost too
        much."""
        now = self.loop.time()
        expired = now - self.limits.keepalive_seconds
        for connection in list(self._all):
            if connection.deadline and now >= connection.deadline:
                connection.time_out()
            elif connection in self._idle and connection.idle_since <= expired:
                connection.close()
        # While a connection is being opened there is a request that will get a deadline.
        self._rests = bool(self._all) and len(self._idle) == len(self._all) and not self._opening
        if self._rests:
            first = min(connection.idle_since for connection in self._idle)
            self._sweeper = self.loop.call_at(first + self.limits.keepalive_seconds + _SWEEP_SECONDS, self._sweep)
        else:
            self._sweeper = self.loop.call_later(_SWEEP_SECONDS, self._sweep) if self._all else None
