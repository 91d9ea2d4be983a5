"""Model servers for the tests of carriers: one script, served over HTTP/1.1 or over HTTP/2. And a proxy before them.

A script is an async function of one request (`Turn`); what it fails with fails the test.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.support.servers.scripted_server import Header, Peer, serve


class Turn(Protocol):
    """One request, seen from the server."""

    connection: int  # which connection it came on, counted from 0
    method: bytes
    target: bytes
    headers: list[Header]

    async def body(self) -> bytes:
        """Read all of the request's body; until then nothing of it is read."""
        ...

    async def start(self, status: int, *headers: Header, length: int | None = None) -> None:
        """Send the head of an answer, with its length or in chunks."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer's body; waits while the client does not read."""
        ...

    async def end(self) -> None: ...

    async def left(self) -> None:
        """Wait until the client has given up."""
        ...

    def break_off(self) -> None:
        """End the connection, whatever is still to be said."""
        ...


Script = Callable[[Turn], Awaitable[None]]


@dataclass(slots=True)
class Origin:
    """`turns` is every request so far, `sent` the bytes of bodies that the sockets took."""

    port: int = 0
    turns: list[Turn] = field(default_factory=list)
    sent: int = 0


# --- HTTP/1.1


class _Http1Turn:
    def __init__(self, origin: Origin, peer: Peer, method: bytes, target: bytes, headers: list[Header]) -> None:
        self.connection = peer.number
        self.method, self.target, self.headers = method, target, headers
        self.read = not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
        self._origin = origin
        self._peer = peer
        self._chunked = False

    async def body(self) -> bytes:
        if self.read:
            return b""
        self.read = True
        return await self._peer.body_of(self.headers)

    async def start(self, status: int, *headers: Header, length: int | None = None) -> None:
        self._chunked = length is None
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        lines = [b"HTTP/1.1 %d Status" % status, framing, *[b"%b: %b" % header for header in headers]]
        await self._peer.send(b"\r\n".join(lines) + b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        await self._peer.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self._origin.sent += len(data)

    async def end(self) -> None:
        if self._chunked:
            await self._peer.send(b"0\r\n\r\n")

    async def left(self) -> None:
        await self._peer.client_left()

    def break_off(self) -> None:
        self._peer.abort()


@asynccontextmanager
async def http1_origin(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    origin = Origin()

    async def of_connection(peer: Peer) -> None:
        while True:
            head = await peer.head()
            turn = _Http1Turn(origin, peer, head.method, head.target, head.headers)
            origin.turns.append(turn)
            await script(turn)
            if not turn.read:
                return

    async with serve(of_connection, tls=tls) as server:
        origin.port = server.port
        yield origin


# --- HTTP/2


class _Http2Line:
    """One connection."""

    def __init__(
        self, origin: Origin, script: Script, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.origin, self.number, self.reader, self.writer = origin, number, reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.turns: dict[int, _Http2Turn] = {}
        self.moved = asyncio.Event()  # something came: data, room, the end
        self.gone = False
        self._script = script

    async def run(self) -> None:
        self.h2.initiate_connection()
        self.flush()
        try:
            async with asyncio.TaskGroup() as group:
                scripts = await self._read(group)
                self.gone = True
                self.moved.set()
                await asyncio.sleep(0.01)  # those that wait for the client to leave
                for task in scripts:
                    task.cancel()
        except* (ConnectionError, h2.exceptions.ProtocolError):
            pass  # the client left
        finally:
            self.writer.transport.abort()

    async def _read(self, group: asyncio.TaskGroup) -> "list[asyncio.Task[None]]":
        scripts = []
        while data := await self.reader.read(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    turn = _Http2Turn(self, event)
                    self.origin.turns.append(turn)
                    scripts.append(group.create_task(self._play(turn)))
                elif isinstance(event, h2.events.DataReceived):
                    self.turns[event.stream_id].came.append((event.data or b"", event.flow_controlled_length or 0))
                elif isinstance(event, h2.events.StreamEnded):
                    self.turns[event.stream_id].ended = True
                elif isinstance(event, h2.events.StreamReset):
                    self.turns[event.stream_id or 0].was_reset = True
            self.flush()
            self.moved.set()
        return scripts

    async def _play(self, turn: "_Http2Turn") -> None:
        try:
            await self._script(turn)
        except (ConnectionResetError, h2.exceptions.ProtocolError):
            if not turn.was_reset:
                raise

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)

    async def move(self) -> None:
        self.moved.clear()
        await self.moved.wait()
        if self.gone:
            raise ConnectionResetError


class _Http2Turn:
    def __init__(self, line: _Http2Line, event: h2.events.RequestReceived) -> None:
        named = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
        self.connection = line.number
        self.method, self.target = dict(named)[b":method"], dict(named)[b":path"]
        self.headers = [(b"host" if name == b":authority" else name, value) for name, value in named]
        self.came: list[tuple[bytes, int]] = []
        self.ended = False
        self.was_reset = False  # by the client
        self._line = line
        self._stream = event.stream_id or 0
        line.turns[self._stream] = self

    async def body(self) -> bytes:
        found = []
        while self.came or not self.ended:
            while self.came:
                data, size = self.came.pop(0)
                found.append(data)
                if size:
                    self._line.h2.acknowledge_received_data(size, self._stream)
            self._line.flush()
            if self.was_reset:
                raise ConnectionResetError
            if not self.ended:
                await self._line.move()
        return b"".join(found)

    async def start(self, status: int, *headers: Header, length: int | None = None) -> None:
        framing = [] if length is None else [(b"content-length", b"%d" % length)]
        self._line.h2.send_headers(self._stream, [(b":status", b"%d" % status), *framing, *headers])
        self._line.flush()

    async def send(self, data: bytes) -> None:
        line = self._line
        while data:
            room = min(line.h2.local_flow_control_window(self._stream), line.h2.max_outbound_frame_size)
            if room <= 0:
                await line.move()
                continue
            line.h2.send_data(self._stream, data[:room])
            line.flush()
            await line.writer.drain()
            line.origin.sent += len(data[:room])
            data = data[room:]

    async def end(self) -> None:
        self._line.h2.end_stream(self._stream)
        self._line.flush()

    async def left(self) -> None:
        while not self._line.gone and not self.was_reset:
            self._line.moved.clear()
            await self._line.moved.wait()

    def break_off(self) -> None:
        self._line.writer.transport.abort()

    def reset(self) -> None:
        """End the stream alone."""
        self._line.h2.reset_stream(self._stream, 2)
        self._line.flush()

    def garbage(self) -> None:
        """Send what is no frame."""
        self._line.writer.write(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00" * 3)

    def go_away(self) -> None:
        self._line.h2.close_connection()
        self._line.flush()


@asynccontextmanager
async def http2_origin(script: Script, tls: ssl.SSLContext) -> AsyncIterator[Origin]:
    """`tls` must offer h2."""
    origin = Origin()
    lines: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        lines.append(task)
        with suppress(asyncio.CancelledError):  # the test is over
            await _Http2Line(origin, script, len(lines) - 1, reader, writer).run()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    origin.port = listener.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        listener.close()
        for task in lines:
            task.cancel()
        for ended in await asyncio.gather(*lines, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        await asyncio.sleep(0)


# --- a proxy


@dataclass(slots=True)
class Proxy:
    """Forwards plain requests and opens tunnels, to 127.0.0.1 whatever the name. `asked` is each request's first line.

    With `credentials` ("user:password") it wants them; `answers` in place of all that is what it says to everyone.
    """

    credentials: str = ""
    answers: bytes = b""
    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    open: int = 0
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        try:
            await self._connection(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side left, or the test is over
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        self.asked.append(line)
        method, target, _ = line.split(b" ")
        wanted = b"Proxy-Authorization: Basic " + base64.b64encode(self.credentials.encode())
        if self.answers or (self.credentials and wanted not in lines):
            writer.write(self.answers or b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await reader.read()
            return
        if method == b"CONNECT":
            there = await asyncio.open_connection("127.0.0.1", int(target.rpartition(b":")[2]))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            scheme, _, host, path = target.split(b"/", 3)
            assert scheme == b"http:", target
            there = await asyncio.open_connection("127.0.0.1", int(host.rpartition(b":")[2]))
            kept = [each for each in lines if not each.lower().startswith(b"proxy-")]
            there[1].write(b"\r\n".join([b"%b /%b HTTP/1.1" % (method, path), *kept]) + b"\r\n\r\n")
        # A later request on a forwarding connection would need its head rewritten as well: one each is enough here.
        both = [_pipe(reader, there[1]), _pipe(there[0], writer)]
        try:
            async with asyncio.TaskGroup() as group:
                for pipe in both:
                    group.create_task(pipe)
        except* ConnectionError:
            pass
        finally:
            there[1].transport.abort()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while (data := await reader.read(65536)) and not writer.is_closing():
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError  # so that the other direction ends too


@asynccontextmanager
async def proxy(credentials: str = "", answers: bytes = b"", tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    running = Proxy(credentials, answers)
    listener = await asyncio.start_server(running.accept, "127.0.0.1", 0, ssl=tls)
    running.port = listener.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        listener.close()
        await running.stop()
        await asyncio.sleep(0)
