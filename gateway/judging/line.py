"""The gateway's end of a socket to one of its own processes, on which frames come and go."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from gateway.judging.messages import FrameReader


async def line_over(
    ours: socket.socket,
    on_frame: Callable[[bytes], None],
    on_lost: Callable[[], None],
    on_full: Callable[[bool], None] | None = None,
) -> asyncio.WriteTransport:
    """Take over a socket: `on_frame` gets each frame, `on_lost` is called once when the other side is gone.

    `on_full` is called with True when the other side takes no more for now, and with False when it does again.
    """
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: _Line(on_frame, on_lost, on_full), sock=ours)
    return cast(asyncio.WriteTransport, transport)


class _Line(asyncio.Protocol):
    def __init__(
        self,
        on_frame: Callable[[bytes], None],
        on_lost: Callable[[], None],
        on_full: Callable[[bool], None] | None,
    ) -> None:
        self._reader = FrameReader()
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_full = on_full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._on_full is not None:
            cast(asyncio.WriteTransport, transport).set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        if self._on_full is not None:
            self._on_full(True)

    def resume_writing(self) -> None:
        if self._on_full is not None:
            self._on_full(False)

    def data_received(self, data: bytes) -> None:
        for body in self._reader.feed(data):
            self._on_frame(body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        self._on_lost()
