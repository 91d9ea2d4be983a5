"""Puts `Http1Transport` in the place of httpcore's pool and HTTP/1.1 connection, for httpcore's and httpx's own tests.

Many of them hand a pool scripted streams, which are written and read by turns; `Wire` is such a stream as a transport
of asyncio. Without scripted streams ours opens real connections. `Decoder` is `encodings` in the place of httpx's.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import ModuleType, TracebackType
from typing import Any, Self

import anyio
import httpcore
import httpx
import pytest
from httpcore._async.interfaces import AsyncRequestInterface
from httpx._decoders import ContentDecoder

from gateway.encodings import EncodingError, unpack
from gateway.errors import UpstreamError
from gateway.upstream.http1 import Http1Response, Http1Transport
from gateway.upstream.http1.connection import UpstreamConnection
from gateway.upstream.http1.states import UNDER_WAY
from gateway.upstream.transport import SHUTTING_DOWN, Limits, tls_context

_NEVER = 1e9  # seconds
_MOST = 1 << 20  # bytes that are unpacked
_AT_ONCE = 64 * 1024
_ERRORS: dict[str, type[Exception]] = {
    "connect_failed": httpcore.ConnectError,
    "tls_failed": httpcore.ConnectError,
    "connect_timeout": httpcore.ConnectTimeout,
    "pool_timeout": httpcore.PoolTimeout,
    "write_timeout": httpcore.WriteTimeout,
    "first_byte_timeout": httpcore.ReadTimeout,
    "idle_timeout": httpcore.ReadTimeout,
    "reset": httpcore.RemoteProtocolError,
    "truncated": httpcore.RemoteProtocolError,
    "bad_response": httpcore.RemoteProtocolError,
}
_SENTENCES = {
    "the upstream closed the connection without an answer": "Server disconnected without sending a response.",
}


@contextmanager
def _their_errors() -> Iterator[None]:
    try:
        yield
    except UpstreamError as error:
        kind = httpcore.ReadError if error.message == SHUTTING_DOWN else _ERRORS[error.reason]
        raise kind(_SENTENCES.get(error.message, error.message)) from error


class Wire(asyncio.Transport):
    """A stream of theirs. It is written to the end, then read while an answer is under way; nothing is read ahead."""

    def __init__(self, stream: Any, protocol: UpstreamConnection) -> None:
        super().__init__()
        self.protocol = protocol
        self._stream = stream
        self._waiting: list[bytes] = []
        self._closing = False
        self._turns: asyncio.Task[None] | None = None
        self._paused = False

    def write(self, data: Any) -> None:
        self._waiting.append(bytes(data))
        self._go_on()

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._go_on()

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self.protocol.connection_lost, None)
            if self._turns is not None:
                self._turns.cancel()

    def _go_on(self) -> None:
        if self._turns is None or self._turns.done():
            self._turns = asyncio.get_running_loop().create_task(self._take_turns())

    async def _take_turns(self) -> None:
        try:
            await asyncio.sleep(0)  # the state follows the first write
            while self._waiting or (not self._paused and self.protocol.state in UNDER_WAY):
                if self._waiting:
                    await self._write()
                else:
                    await self._read()
        finally:
            if not self.protocol.is_open:
                await self._stream.aclose()

    async def _write(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        try:
            await self._stream.write(data)
        except httpcore.WriteError:
            return  # like a socket: what came before is still read

    async def _read(self) -> None:
        data = await self._stream.read(_AT_ONCE)
        if data:
            self.protocol.data_received(data)
        else:
            self.protocol.eof_received()


class Loop:
    """The running loop, with connections of our kind over `backend`, or real ones; it knows all that were opened."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.opened: list[UpstreamConnection] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)

    async def create_connection(
        self, factory: Any, host: str, port: int, *, ssl: ssl.SSLContext | None, server_hostname: str | None
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        if self._backend is None:
            running = asyncio.get_running_loop()
            made = await running.create_connection(factory, host, port, ssl=ssl, server_hostname=server_hostname)
            self.opened.append(made[1])
            return made
        try:
            stream = await self._backend.connect_tcp(host, port)
            stream = await stream.start_tls(ssl, host) if ssl else stream
        except httpcore.ConnectError as error:
            raise ConnectionRefusedError(str(error)) from None
        protocol = factory()
        wire = Wire(stream, protocol)
        protocol.connection_made(wire)
        self.opened.append(protocol)
        return wire, protocol


class Given:
    """A backend whose one connection is there already."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def connect_tcp(self, host: str, port: int) -> Any:
        return self._stream

    async def start_tls(self, context: Any, host: str) -> Any:
        return self._stream


class Body:
    """What their response reads. The connection that sent it counts as active until it was read or closed."""

    def __init__(self, answer: Http1Response, lent: list["Body"], connection: UpstreamConnection) -> None:
        self.connection = connection
        self._answer = answer
        self._lent = lent
        lent.append(self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _their_errors():
            while piece := await self._answer.more():
                yield piece
        self._end()

    async def aclose(self) -> None:
        self._answer.abort()
        self._end()

    def _end(self) -> None:
        if self in self._lent:
            self._lent.remove(self)


class Shown:
    """A connection as their tests look at it."""

    def __init__(self, pool: "Pool", origin: str, connection: UpstreamConnection) -> None:
        self._pool = pool
        self._origin = origin
        self._connection = connection

    def __repr__(self) -> str:
        active = self._pool.is_active(self._connection)
        count = self._connection.answers + (self._connection.state in UNDER_WAY)
        state = "ACTIVE" if active else "IDLE"
        return f"<AsyncHTTPConnection ['{self._origin}', HTTP/1.1, {state}, Request Count: {count}]>"


class Pool(AsyncRequestInterface):
    """A transport of ours an origin, behind the interface of `httpcore.AsyncConnectionPool`."""

    def __init__(
        self,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int | None = 10,
        keepalive_expiry: float | None = None,
        network_backend: Any = None,
        **_others: Any,
    ) -> None:
        self._tls = ssl_context or tls_context()
        self._limits = Limits(
            max_connections=max_connections or 1024,
            keepalive_seconds=_NEVER if keepalive_expiry is None else keepalive_expiry,
        )
        self._backend = network_backend
        self._transports: dict[str, tuple[Http1Transport, Loop]] = {}
        self._lent: list[Body] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for transport, _ in self._transports.values():
            await transport.close()
        await asyncio.sleep(0)

    def is_active(self, connection: UpstreamConnection) -> bool:
        return connection.state in UNDER_WAY or any(body.connection is connection for body in self._lent)

    @property
    def connections(self) -> list[Shown]:
        return [
            Shown(self, origin, connection)
            for origin, (_, loop) in self._transports.items()
            for connection in loop.opened
            if connection.is_open
        ]

    def __repr__(self) -> str:
        active = sum("ACTIVE" in repr(connection) for connection in self.connections)
        idle = len(self.connections) - active
        requests = f"Requests: {len(self._lent)} active, 0 queued"
        return f"<AsyncConnectionPool [{requests} | Connections: {active} active, {idle} idle]>"

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if request.url.scheme not in (b"http", b"https"):
            raise httpcore.UnsupportedProtocol(f"{request.url.scheme!r} is not spoken here")
        transport, loop = self._transport(request.url.origin)
        limits = self._times(transport, request.extensions.get("timeout", {}))
        with _their_errors():
            answer = await _sent(transport, request, limits)
        open_now = [connection for connection in loop.opened if connection.is_open]
        body = Body(answer, self._lent, (open_now or loop.opened)[-1])
        return httpcore.Response(answer.status, headers=answer.headers, content=body, extensions=_EXTENSIONS)

    def _transport(self, origin: httpcore.Origin) -> tuple[Http1Transport, Loop]:
        if str(origin) not in self._transports:
            loop: Any = Loop(self._backend)
            tls = self._tls if origin.scheme == b"https" else None
            made = Http1Transport(origin.host.decode(), origin.port, self._limits, tls=tls, loop=loop)
            self._transports[str(origin)] = made, loop
        return self._transports[str(origin)]

    def _times(self, transport: Http1Transport, asked: dict[str, float | None]) -> Limits:
        seconds = {name: _NEVER if value is None else value for name, value in asked.items()}
        transport.limits = replace(
            self._limits, connect_seconds=seconds.get("connect", _NEVER), pool_seconds=seconds.get("pool", _NEVER)
        )
        read = seconds.get("read", _NEVER)
        return replace(transport.limits, first_byte_seconds=read, idle_seconds=min(read, seconds.get("write", _NEVER)))


_EXTENSIONS = {"http_version": b"HTTP/1.1"}


class Connection(Pool):
    """The same with one connection, behind the interfaces of `httpcore`'s connections."""

    def __init__(self, origin: httpcore.Origin, stream: Any = None, network_backend: Any = None, **others: Any) -> None:
        backend = Given(stream) if stream is not None else network_backend
        super().__init__(max_connections=1, network_backend=backend, **others)
        self._origin = origin
        self._has_stream = stream is not None

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if request.url.origin != self._origin:
            raise RuntimeError("a connection leads to one origin")
        if self._is("ACTIVE"):
            raise httpcore.ConnectionNotAvailable
        return await super().handle_async_request(request)

    def is_idle(self) -> bool:
        return self._is("IDLE")

    is_available = is_idle

    def is_closed(self) -> bool:
        return bool(self._transports) and not self.connections

    def has_expired(self) -> bool:
        return False

    def __repr__(self) -> str:
        name = "AsyncHTTP11Connection" if self._has_stream else "AsyncHTTPConnection"
        if not self._transports:
            return f"<{name} [CONNECTING]>"
        if not self.connections:
            return f"<{name} ['{self._origin}', CLOSED, Request Count: 1]>"
        shown = repr(self.connections[0])
        return shown.replace("AsyncHTTPConnection", name).replace("HTTP/1.1, ", "") if self._has_stream else shown

    def _is(self, state: str) -> bool:
        return any(f" {state}," in repr(connection) for connection in self.connections)


async def _sent(transport: Http1Transport, request: httpcore.Request, limits: Limits) -> Http1Response:
    """A request of theirs and the head of its answer."""
    names = {name.lower() for name, _ in request.headers}
    lines = b"".join(b"%b: %b\r\n" % header for header in request.headers)
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, request.url.target, lines)
    pieces: Any = request.stream
    chunked = b"transfer-encoding" in names
    body = None if chunked else b"".join([piece async for piece in pieces])
    answer = await transport.request(head, body, head_only=request.method == b"HEAD", chunked=chunked, limits=limits)
    try:
        if body is None:
            async for piece in pieces:
                await answer.send(piece)
            answer.sent()
        await answer.head()
    except BaseException:
        answer.abort()
        raise
    return answer


class Decoder(ContentDecoder):
    """`encodings.unpack` on the whole of a body."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._pieces: list[bytes] = []

    def decode(self, data: bytes) -> bytes:
        self._pieces.append(data)
        return b""

    def flush(self) -> bytes:
        whole = b"".join(self._pieces)
        try:
            return unpack(whole, self._encoding, _MOST) if whole else b""
        except EncodingError as error:
            raise httpx.DecodingError(str(error)) from error


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Nursery:
    """What is used of `trio`: it is not what is tested."""

    @staticmethod
    @asynccontextmanager
    async def open_nursery() -> AsyncIterator[Any]:
        async with anyio.create_task_group() as group:
            yield group


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("trio"):
            item.add_marker(pytest.mark.anyio)


def _stand_in(name: str, **members: Any) -> None:
    """A module that their tests import and that is not what they are about."""
    module = ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module


def _take_their_places() -> None:
    places: Any = httpcore
    places.AsyncConnectionPool = Pool
    places.AsyncHTTP11Connection = places.AsyncHTTPConnection = Connection
    decoder_of = "_get_content_decoder"
    setattr(httpx.Response, decoder_of, lambda answer: Decoder(answer.headers.get("content-encoding", "")))
    _stand_in("trio", open_nursery=Nursery.open_nursery)
    _stand_in("chardet")
    _stand_in("trustme")
    members = ("BestAvailableEncryption", "Encoding", "PrivateFormat", "load_pem_private_key")
    _stand_in("cryptography.hazmat.backends", default_backend=None)
    _stand_in("cryptography.hazmat.primitives.serialization", **dict.fromkeys(members))


_take_their_places()
