"""Puts `ServerConnection` in the place of uvicorn's own httptools protocol, for uvicorn's own tests.

Loaded by pytest before those tests are imported. They drive a protocol by hand, with a loop and a transport that know
only what uvicorn's protocols use; what ours uses besides is added here. Time passes only when a test says so.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn.protocols.http.httptools_impl as theirs

from gateway.serving.connection import ServerConnection


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Their loop, with a clock that ours looks at, futures, and what runs next."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._now = 0.0
        self._timers: list[Timer] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._now

    def create_future(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def call_soon(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return self.call_at(self._now + delay, callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        self._timers.append(Timer(when, callback))
        return self._timers[-1]

    def run_later(self, with_delay: float) -> None:
        self._now += with_delay
        due = [timer for timer in self._timers if timer.when <= self._now]
        self._timers = [timer for timer in self._timers if timer.when > self._now]
        for timer in due:
            if not timer.cancelled:
                timer.callback()


class Transport:
    """Their transport, which can also close one side, break off, and tell what waits."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._transport.closed = True

    write_eof = abort = close

    def get_write_buffer_size(self) -> int:
        return 0


class Connection(ServerConnection):
    """Ours, as their tests look at it."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        loop: Any = Loop(_loop) if _loop is not None else None
        super().__init__(config, server_state, app_state, loop)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        wrapped: Any = Transport(transport)
        super().connection_made(wrapped)


replaced: Any = theirs
replaced.HttpToolsProtocol = Connection
