"""The library's connections, and the one thing that it never writes to them: the reset of a stream."""

import asyncio
import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import httpcore2

_RST_STREAM, _CANCEL = 3, 8  # RFC 9113, sections 6.4 and 7


class LastWritten:
    """The connection on which a request was last written: the library tells only the number of its stream."""

    def __init__(self) -> None:
        self.connection: Connection | None = None


# For the task that drives a request: the library writes what belongs to a request in that task.
WRITTEN: ContextVar[LastWritten] = ContextVar("written")


class Network(httpcore2.AsyncNetworkBackend):
    """The library's own network backend, with connections whose streams can be reset."""

    def __init__(self) -> None:
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> "Connection":
        return Connection(await self._network.connect_tcp(host, port, timeout, local_address, socket_options))


class Connection(httpcore2.AsyncNetworkStream):
    """One connection. Each write stays together; in HTTP/2 it is always whole frames."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._writing = asyncio.Lock()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if (written := WRITTEN.get(None)) is not None:
            written.connection = self
        async with self._writing:
            await self._stream.write(buffer, timeout)

    async def reset(self, stream: int) -> None:
        """Tell the other side that this stream of HTTP/2 is not wanted any more.

        The library is not told: for it the stream stays open until the connection is closed.
        """
        frame = (4).to_bytes(3) + bytes((_RST_STREAM, 0)) + stream.to_bytes(4) + _CANCEL.to_bytes(4)
        async with self._writing:
            await self._stream.write(frame)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "Connection":
        return Connection(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
