"""A real server on loopback that does exactly what a script says: bytes, pauses, resets, closes.

A script is an async function of one connection (`Peer`). `serve` runs it for every connection that comes; a script
that fails for another reason than that the client left fails the test.
"""

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """What the client sent; header names as they came."""

    method: bytes
    target: bytes
    headers: list[Header]
    body: bytes

    def get(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]


class Peer:
    """One connection, seen from the server. `number` counts them from 0."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.requests: list[Request] = []
        self.sent = 0  # bytes handed to the socket
        self._reader = reader
        self._writer = writer

    async def head(self) -> Request:
        """Read a request's head and leave its body where it is."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        method, target, _ = first.split(b" ")
        headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        request = Request(method, target, headers, b"")
        self.requests.append(request)
        return request

    async def request(self) -> Request:
        """Read a request with its body, as long as its framing says."""
        head = await self.head()
        self.requests[-1] = Request(head.method, head.target, head.headers, await self.body_of(head.headers))
        return self.requests[-1]

    async def body_of(self, headers: list[Header]) -> bytes:
        """Read the body that follows a head with these headers."""
        named = {name.lower(): value for name, value in headers}
        if b"transfer-encoding" in named:
            return b"".join([chunk async for chunk in self._chunks()])
        return await self._reader.readexactly(int(named.get(b"content-length", b"0")))

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int(await self._reader.readline(), 16)
            chunk = await self._reader.readexactly(size + 2)
            assert chunk[-2:] == b"\r\n"
            if not size:
                return
            yield chunk[:-2]

    async def read(self, most: int) -> bytes:
        return await self._reader.read(most)

    async def send(self, *pieces: bytes) -> None:
        """Send; between pieces the client gets its turn, so that it reads them apart."""
        for piece in pieces:
            if self._writer.is_closing():
                raise ConnectionResetError
            self._writer.write(piece)
            await self._writer.drain()
            self.sent += len(piece)
            for _ in range(3 if len(pieces) > 1 else 0):
                await asyncio.sleep(0)

    async def client_left(self) -> None:
        """Wait until the client has closed its side."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass

    def end_sending(self) -> None:
        """Close this side only."""
        self._writer.write_eof()

    def reset(self) -> None:
        """End it with a TCP reset."""
        linger_zero = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        self._writer.transport.abort()

    def abort(self) -> None:
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True)
class Server:
    port: int = 0
    peers: list[Peer] = field(default_factory=list)
    stopping: bool = False
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def requests(self) -> list[Request]:
        """Every request, in the order of connections."""
        return [request for peer in self.peers for request in peer.requests]

    async def run(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await script(peer)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def stop(self) -> None:
        self.stopping = True
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


@asynccontextmanager
async def serve(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    server = Server()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.run(script, reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await asyncio.sleep(0)  # aborted transports end in the loop's next turn


# --- TLS


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for `localhost`, signed by itself; `server` is what a server shows it with."""

    file: Path
    server: ssl.SSLContext

    def trusting(self) -> ssl.SSLContext:
        """What a client trusts it with."""
        return ssl.create_default_context(cafile=str(self.file))


def certify(folder: Path) -> Certificate:
    file, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(file)),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file, key)
    return Certificate(file, server)


# --- scripts

JSON = b"content-type: application/json"
EVENTS = b"content-type: text/event-stream"


def answer(body: bytes = b"ok", *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """The bytes of a plain answer with a content-length."""
    head = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Script:
    """A request, an answer, and so on; then it waits for the client to leave."""

    async def script(peer: Peer) -> None:
        for wire in answers:
            await peer.request()
            await peer.send(wire)
        await peer.client_left()

    return script


class Waits:
    """A script: takes one request, and answers it once it is told to `go`. `arrived` is set when the request came."""

    def __init__(self, wire: bytes) -> None:
        self.arrived, self.go = asyncio.Event(), asyncio.Event()
        self._wire = wire

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        self.arrived.set()
        await self.go.wait()
        await peer.send(self._wire)


def always(wire: bytes) -> Script:
    """The same answer to every request."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(wire)

    return script


def streaming(*events: bytes, cut: bool = False, lines: tuple[bytes, ...] = (EVENTS,)) -> Script:
    """A stream in chunks; `cut` closes the connection without the last one."""

    async def script(peer: Peer) -> None:
        await peer.request()
        head = b"\r\n".join([b"HTTP/1.1 200 OK", b"transfer-encoding: chunked", *lines])
        chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
        await peer.send(head + b"\r\n\r\n", *chunks, *([] if cut else [b"0\r\n\r\n"]))
        if not cut:
            await peer.client_left()

    return script


def in_turn(*scripts: Script) -> Script:
    """The first connection gets the first script, and so on; the last one serves all that follow."""

    async def script(peer: Peer) -> None:
        await scripts[min(peer.number, len(scripts) - 1)](peer)

    return script


async def hang(peer: Peer) -> None:
    """Accept and never read or say anything."""
    await asyncio.Event().wait()
