"""The gateway's end of a socket to a process of its own, on which frames come and go."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from gateway.judging.messages import FrameReader


async def line_over(
    ours: socket.socket, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]
) -> asyncio.WriteTransport:
    """Tells of each frame that comes, and once of the other side's end. Takes the socket over."""
    ours.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: _Line(on_frame, on_lost), sock=ours)
    return cast(asyncio.WriteTransport, transport)


class _Line(asyncio.Protocol):
    def __init__(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._reader = FrameReader()
        self._on_frame = on_frame
        self._on_lost = on_lost

    def data_received(self, data: bytes) -> None:
        for body in self._reader.feed(data):
            self._on_frame(body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        self._on_lost()
