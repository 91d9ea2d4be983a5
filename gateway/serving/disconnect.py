"""Notices that the client has gone while its request is being worked on.

ASGI tells of a disconnect only to who waits in `receive`; a task that waits there would cost a good part of what the
whole request costs. So `gateway.serving.connection` offers an extension: who registers is called when the client goes.
"""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from gateway.serving.request import GONE

Register = Callable[[Callable[[], None] | None], None]


class Watch:
    """Cancels the task that made it when the client goes; `gone` then tells this cancellation from others."""

    __slots__ = ("_register", "_task", "gone")

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        """Under a server without the extension nothing is noticed before the client is written to."""
        self.gone = False
        extensions: Mapping[str, Register] = scope.get("extensions", {})
        self._register = extensions.get(GONE)
        self._task: asyncio.Task[Any] | None = None
        if self._register is not None:
            self._task = asyncio.current_task()
            self._register(self._on_gone)

    def stop(self) -> None:
        """End; after this the task is not cancelled any more."""
        if self._register is not None:
            self._register(None)
            self._register = None

    def _on_gone(self) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel()
