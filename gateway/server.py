"""The server side of a connection: HTTP/1.1 in, ASGI to the application, run by uvicorn's server.

uvicorn brings sockets, signals, workers and graceful stop; the protocol is ours, because half of what a small
request costs is spent here: a response head and its body leave in one write, keep-alive needs one timer for a
connection instead of one for a request, and a request that asks for an upgrade we do not offer keeps its body.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol, cast

import httptools

log = logging.getLogger("assay")

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_HIGH_WATER = 256 * 1024  # bytes of a request body that wait for the application before reading pauses
_HEAD_BYTES = 64 * 1024
_STATUS = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode() if status in list(HTTPStatus) else b"")
    for status in range(100, 600)
}
_NO_BODY = frozenset({204, 304})
_SCOPE_VERSION = {"version": "3.0", "spec_version": "2.3"}
_UPGRADE = frozenset({b"upgrade", b"http2-settings"})


class ServerConfig(Protocol):
    """What is used of `uvicorn.Config`."""

    loaded_app: Any
    loaded: bool
    timeout_keep_alive: int

    def load(self) -> None: ...


class ServerState(Protocol):
    """What is used of uvicorn's state over all connections."""

    connections: set[Any]
    tasks: set[asyncio.Task[None]]
    total_requests: int


class ServerConnection(asyncio.Protocol):
    """One client connection; requests that are pipelined are answered one after the other, in their order."""

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.app: Application = config.loaded_app
        self.app_state = app_state
        self.loop = _loop or asyncio.get_running_loop()
        self.state = server_state
        self.closing = False
        self.lost = False
        self._keep_alive_seconds = config.timeout_keep_alive
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._scheme = "http"
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._expects_continue = False
        self._active: Cycle | None = None  # the request that is being answered
        self._filling: Cycle | None = None  # the request whose body is being read: it, or a later one
        self._queued: deque[Cycle] = deque()
        self._idle_since = self.loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._writable: asyncio.Future[None] | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.state.connections.add(self)
        peer, ours = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._client = (peer[0], peer[1]) if isinstance(peer, tuple) else None
        self._server = (ours[0], ours[1]) if isinstance(ours, tuple) else None
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._idle_timer = self.loop.call_later(self._keep_alive_seconds, self._close_when_idle)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, b"the request is not HTTP/1.1")

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.state.connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._queued.clear()
        for cycle in (self._active, self._filling):
            if cycle is not None:
                cycle.wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # --- called by uvicorn

    def shutdown(self) -> None:
        """Close as soon as what is being answered has been answered."""
        self.closing = True
        if self._active is None:
            self._transport.close()

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._head_size = 0
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        if self.closing:
            return
        parser = self._parser
        if parser.should_upgrade():
            return  # `_go_on_without_upgrade` reads it again
        path, _, query = self._url.partition(b"?")
        if b"://" in path[:8]:  # absolute form, as sent to proxies
            path = b"/" + path.split(b"://", 1)[1].partition(b"/")[2]
        version = parser.get_http_version()
        raw = path.decode("latin-1")
        scope = {
            "type": "http",
            "asgi": _SCOPE_VERSION,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "root_path": "",
            "method": parser.get_method().decode("latin-1"),
            "path": raw,
            "raw_path": path,
            "query_string": query,
            "headers": self._headers,
            "state": self.app_state,
        }
        cycle = Cycle(self, scope, parser.should_keep_alive(), self._expects_continue)
        self.state.total_requests += 1
        self._filling = cycle
        if self._active is None:
            self._start(cycle)
        else:
            self._queued.append(cycle)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        cycle = self._filling
        if cycle is not None and cycle.add(body) > _HIGH_WATER:
            self.pause_reading()

    def on_message_complete(self) -> None:
        cycle, self._filling = self._filling, None
        if cycle is not None:
            cycle.body_complete()

    # --- used by cycles

    def write(self, data: bytes) -> None:
        if not self.lost:
            self._transport.write(data)

    async def drain(self) -> None:
        if self._writable is not None and not self.lost:
            await asyncio.shield(self._writable)

    def pause_reading(self) -> None:
        if not self._reading_paused and not self.lost:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self.lost and not self._queued:
            self._reading_paused = False
            self._transport.resume_reading()

    def answered(self, cycle: "Cycle") -> None:
        """The response of the active request has been written whole."""
        self._active = None
        self._idle_since = self.loop.time()
        if self.lost:
            return
        if not cycle.keep_alive or self.closing or not cycle.has_whole_body:
            # A body that nobody read may be of any size: closing is cheaper than reading it.
            self._transport.close()
        elif self._queued:
            self._start(self._queued.popleft())
            self.resume_reading()
        else:
            self.resume_reading()

    def abort(self) -> None:
        """Close in the middle of an answer, so that the client sees that it broke off."""
        self._active = None
        if not self.lost:
            self._transport.close()

    # --- inside

    def _start(self, cycle: "Cycle") -> None:
        self._active = cycle
        task = self.loop.create_task(cycle.run(self.app))
        self.state.tasks.add(task)
        task.add_done_callback(self.state.tasks.discard)

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > _HEAD_BYTES:
            self._refuse(431, b"the request line and headers are larger than 64 KiB")

    def _refuse(self, status: int, why: bytes) -> None:
        """Answer what cannot become a request, and close."""
        self.closing = True
        if self._active is None and not self.lost:
            body = b'{"error":{"message":"%b","type":"invalid_request_error","param":null,"code":"bad_http"}}' % why
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self._transport.write(_STATUS[status] + head + body)
        if not self.lost:
            self._transport.close()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the request again without its wish for another protocol; some clients send it with every request."""
        method = self._parser.get_method()
        version = self._parser.get_http_version().encode("ascii")
        lines = [b"%b %b HTTP/%b" % (method, self._url, version)]
        lines += [b"%b: %b" % header for header in self._headers if header[0] not in _UPGRADE | {b"connection"}]
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _close_when_idle(self) -> None:
        now = self.loop.time()
        if self._active is None and now - self._idle_since >= self._keep_alive_seconds:
            self._transport.close()
            return
        since = now if self._active is not None else self._idle_since
        self._idle_timer = self.loop.call_at(since + self._keep_alive_seconds, self._close_when_idle)


class Cycle:
    """One request and its response."""

    __slots__ = (
        "_body",
        "_chunked",
        "_connection",
        "_delivered",
        "_expects_continue",
        "_head",
        "_head_only",
        "_size",
        "_waiter",
        "complete",
        "has_whole_body",
        "keep_alive",
        "scope",
        "started",
    )

    def __init__(
        self, connection: ServerConnection, scope: dict[str, Any], keep_alive: bool, expects_continue: bool
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.has_whole_body = False
        self.started = False
        self.complete = False
        self._connection = connection
        self._expects_continue = expects_continue
        self._body: list[bytes] = []
        self._size = 0
        self._delivered = False  # the last part of the body was handed to the application
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""
        self._head_only = scope["method"] == "HEAD"
        self._chunked = False

    async def run(self, app: Application) -> None:
        """Run the application on this request. What it raises was not foreseen: it is logged, and answered with 500."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            log.exception("the application failed on %s %s", self.scope["method"], self.scope["path"])
            if not self.started:
                await self.send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
                await self.send({"type": "http.response.body"})
        finally:
            if not self.complete:
                self._flush()
                self._connection.abort()

    async def receive(self) -> Message:
        """The next part of the body; once it is all read, waits for the client to leave."""
        while not self._body:
            if self._connection.lost or self.complete:
                return {"type": "http.disconnect"}
            if self.has_whole_body and not self._delivered:
                break
            if self._expects_continue:
                self._expects_continue = False
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._connection.resume_reading()
            waiter = self._waiter = self._connection.loop.create_future()
            await waiter
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._size = 0
        self._delivered = self.has_whole_body
        return {"type": "http.request", "body": body, "more_body": not self.has_whole_body}

    async def send(self, message: Message) -> None:
        """Write the head with the first of the body, the rest as it comes; waits while the client does not read."""
        connection = self._connection
        if connection.lost or self.complete:
            return
        if message["type"] == "http.response.start":
            self._head = self._render(message)
            self.started = True
            connection.loop.call_soon(self._flush)  # a body that is not there at once does not hold it back
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self._head_only:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        if self._head:
            body = self._head + body
            self._head = b""
        if body:
            connection.write(body)
        if more:
            await connection.drain()
        else:
            self.complete = True
            self.wake()
            connection.answered(self)

    def add(self, body: bytes) -> int:
        """A part of the body has come; returns the bytes that wait."""
        self._body.append(body)
        self._size += len(body)
        self.wake()
        return self._size

    def body_complete(self) -> None:
        self.has_whole_body = True
        self.wake()

    def wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._connection.write(head)

    def _render(self, message: Message) -> bytes:
        status: int = message["status"]
        lines = [_STATUS[status]]
        framed = self._head_only or status in _NO_BODY
        for name, value in message["headers"]:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                framed = True
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
        if not framed:
            if self.scope["http_version"] == "1.0":
                self.keep_alive = False
            else:
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive or self._connection.closing:
            lines.append(b"connection: close\r\n")
        elif self.scope["http_version"] == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)
