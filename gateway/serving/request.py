"""One request and its response on a connection: ASGI to the application, bytes to the wire."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol

from gateway.openai_api import error_body
from gateway.serving.client import CLIENT, RESPOND
from gateway.serving.head import GOOD_NAMES, STATUS_LINES, check_name, written_head

log = logging.getLogger("assay")

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_NO_BODY = frozenset({204, 304})
_FRAMING = frozenset({b"content-length", b"connection", b"transfer-encoding"})


class RequestConnection(Protocol):
    """The connection as far as a request needs it: see `connection.ServerConnection`."""

    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[None]]
    lost: bool
    closing: bool

    @property
    def is_full(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_last(self) -> bool: ...

    def answered(self, request: "ServerRequest") -> None: ...

    def break_off(self, *, framed: bool) -> None: ...


class ServerRequest:
    """One request and its response; to the application its `Client`."""

    def __init__(
        self,
        connection: RequestConnection,
        scope: dict[str, Any],
        keep_alive: bool,
        expects_continue: bool,
        notes: dict[Any, Any],
    ) -> None:
        self.scope = scope
        self.notes = notes
        self.watched = self.gone = False
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
        self._task: asyncio.Task[None]
        self._head = b""
        self._bodiless = scope["method"] == "HEAD"
        self._chunked = False
        self._left: int | None = None  # bytes of the response body still due by its content-length

    def start(self, app: Application) -> None:
        """Run the application on this request, in a task of its own."""
        connection = self._connection
        self._task = connection.loop.create_task(self._run(app))
        connection.tasks.add(self._task)

    async def _run(self, app: Application) -> None:
        """Run the application. An exception from it is a bug: it is logged and answered with 500."""
        scope = self.scope
        scope["extensions"] = {CLIENT: self, RESPOND: self.respond}
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            log.exception("the application failed on %s %.200r", scope["method"], scope["raw_path"])
            await self._apologise()
        else:
            if not self.started and not self._connection.lost and not self.complete:
                log.error("the application gave no answer to %s %.200r", scope["method"], scope["raw_path"])
                await self._apologise()
        finally:
            self._connection.tasks.discard(self._task)
            del scope["extensions"]  # it refers to this request: a cycle that only the garbage collector would free
            if not self.complete:
                self._flush()
                framed = self._chunked or self._left is not None or self._bodiless or not self.started
                self._connection.break_off(framed=framed)

    async def _apologise(self) -> None:
        """Answer with 500, unless something of another answer has left."""
        if self.complete or self._connection.lost or (self.started and not self._head):
            return
        garbled = self.started
        self.started, self._head = False, b""
        body = error_body("the gateway failed on this request; its log says how", "server_error", code="bug")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if garbled:
            headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def receive(self) -> Message:
        """The next part of the body; after all of it was read, waits for the client to leave."""
        connection = self._connection
        while True:
            if connection.lost or self.complete:
                return {"type": "http.disconnect"}
            if self._body or (self.has_whole_body and not self._delivered):
                break
            if self._expects_continue:
                self._expects_continue = False
                connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.resume_reading()
            waiter = self._waiter = connection.loop.create_future()
            await waiter
        return {"type": "http.request", "body": self._received(), "more_body": not self.has_whole_body}

    def take(self) -> bytes | None:
        """The rest of the body, if all of it is here; else None."""
        if not self.has_whole_body or self._delivered or self._connection.lost:
            return None
        return self._received()

    def _received(self) -> bytes:
        """What has come of the body and was not handed over yet."""
        self._expects_continue = False
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._size = 0
        self._delivered = self.has_whole_body
        self._connection.resume_reading()  # for more of the body, or to hear that the client leaves
        return body

    async def send(self, message: Message) -> None:
        """Write the head with the first of the body, and the rest as it comes. Waits while the client does not read.

        Raises RuntimeError for messages out of order, and for a body that differs from its content-length: then the
        connection is closed, so that the client cannot take one answer for another.
        """
        connection = self._connection
        if connection.lost or self.complete:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.started:
            self._head = self._render(message["status"], message.get("headers", ()))
            self.started = True
            self._expects_continue = False
            connection.loop.call_soon(self._flush)  # the head does not wait for a body that comes later
            return
        if kind != "http.response.body" or not self.started:
            raise RuntimeError(f"{kind} was sent {'after' if self.started else 'before'} http.response.start")
        more: bool = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        if self._bodiless:
            data = b""
        elif self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more:
                data += b"0\r\n\r\n"
        elif self._left is not None:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError(f"the body and its content-length differ by {abs(self._left)} bytes")
        if self._head:
            data = self._head + data
            self._head = b""
        if data:
            connection.write(data)
        if more:
            await connection.drain()
        else:
            self._complete()

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Write a whole answer at once, like two messages to `send`. Raises RuntimeError as `send` does; then nothing
        of the answer has left."""
        connection = self._connection
        if connection.lost or self.complete:
            return
        if self.started:
            raise RuntimeError("an answer has begun")
        head = self._render(status, headers)
        if self._bodiless:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif self._left is not None and self._left != len(body):
            raise RuntimeError(f"the body and its content-length differ by {abs(self._left - len(body))} bytes")
        self.started = self.complete = True
        self._expects_continue = False
        connection.write(head + body)
        if self._waiter is not None:
            self.wake()
        connection.answered(self)

    def _complete(self) -> None:
        """The last of the answer was written."""
        self.complete = True
        if self._waiter is not None:
            self.wake()
        self._connection.answered(self)

    def write(self, data: bytes) -> bool:
        """Write a piece of a body at once. If it returns False, nothing was written and `send` must do it."""
        connection = self._connection
        if not self._chunked or self.complete or connection.lost or connection.is_full or not data:
            return False
        head, self._head = self._head, b""
        connection.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))
        return True

    def add(self, body: bytes) -> int:
        """A part of the body has come; returns the bytes that wait."""
        self._body.append(body)
        self._size += len(body)
        if self._waiter is not None:
            self.wake()
        return self._size

    def whole(self, body: bytes) -> None:
        """All of the body came along with the head."""
        self._body.append(body)
        self.has_whole_body = True

    def body_complete(self) -> None:
        self.has_whole_body = True
        if self._waiter is not None:
            self.wake()

    def wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def drop(self) -> bool:
        """Give up a request whose body cannot be read to its end: for the application, the client is gone. Returns
        whether the head of an answer has left."""
        left = self.started and not self._head
        self._head = b""
        self.complete = True
        self.leave()
        return left

    def watch(self) -> None:
        """From now on, the task is cancelled when the client leaves."""
        self.watched = True
        if self._connection.lost or self.complete:
            self.leave()

    def leave(self) -> None:
        """The client is gone: wake whoever waits for its body, and cancel the task if it is watched."""
        if self.watched:
            self.watched, self.gone = False, True
            self._task.cancel()
        self.wake()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._connection.write(head)

    def _render(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The head. Only this function decides how the body is framed and whether the connection stays open."""
        keep_alive = self.keep_alive and self.has_whole_body  # the client must not wait for us to read the rest
        bodiless = self._bodiless or status in _NO_BODY
        length: int | None = None
        if status not in STATUS_LINES:
            raise RuntimeError(f"{status} is not the status of a final response")
        lines = [STATUS_LINES[status]]
        for header in headers:
            name, value = header
            if name not in GOOD_NAMES:  # names in `_FRAMING` never are
                if name not in _FRAMING:
                    check_name(name)
                elif name != b"content-length" or status == 204:
                    keep_alive = keep_alive and not (name == b"connection" and _says_close(value))
                    continue
                elif length is not None or not value.isdigit():
                    raise RuntimeError("a response has one content-length, and it is a number")
                else:
                    length = int(value)
            lines.append(b": ".join(header))
        is_old = self.scope["http_version"] == "1.0"
        unframed = length is None and not bodiless
        if unframed and is_old:
            keep_alive = False
        elif unframed:
            lines.append(b"transfer-encoding: chunked")
        if not keep_alive or (self._connection.closing and self._connection.is_last()):
            lines.append(b"connection: close")
        elif is_old:
            lines.append(b"connection: keep-alive")
        head = written_head(lines)
        self.keep_alive, self._bodiless, self._left = keep_alive, bodiless, length
        self._chunked = unframed and not is_old
        return head


def _says_close(value: bytes) -> bool:
    return b"close" in [token.strip() for token in value.lower().split(b",")]


async def answer_server_options(_scope: Message, _receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
    """The answer to `OPTIONS *`, which asks about the server as a whole (RFC 9110, 9.3.7)."""
    headers = [(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body"})
