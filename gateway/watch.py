"""Notices that the client has gone, while the request is being worked on, without a task of its own.

ASGI tells of a disconnect through `receive`. A task that waits there would cost a good part of what the whole
request costs, so the waiting coroutine is stepped by hand: it is resumed by the future it waits for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Watch:
    """Cancels the task that made it when the client goes; `gone` then tells this cancellation from others."""

    __slots__ = ("_future", "_receive", "_task", "_waiting", "gone")

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._task: asyncio.Task[Any] | None = None
        self._waiting: Generator[Any, Any, MutableMapping[str, Any]] | None = None
        self._future: asyncio.Future[Any] | None = None

    def start(self) -> None:
        """Begin; the whole request body must have been received."""
        self._task = asyncio.current_task()
        self._waiting = self._receive().__await__()
        self._step()

    def stop(self) -> None:
        """End; after this the task is not cancelled any more."""
        waiting, self._waiting = self._waiting, None
        if self._future is not None:
            self._future.remove_done_callback(self._step)
            self._future = None
        if waiting is not None:
            waiting.close()

    def _step(self, _: object = None) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        self._future = None
        try:
            yielded = next(waiting)
        except StopIteration as stop:
            self._waiting = None
            if stop.value["type"] == "http.disconnect":
                self.gone = True
                if self._task is not None:
                    self._task.cancel()
            return
        if yielded is None:  # a bare yield: again at the next turn of the loop
            asyncio.get_running_loop().call_soon(self._step)
            return
        yielded._asyncio_future_blocking = False
        self._future = yielded
        yielded.add_done_callback(self._step)
