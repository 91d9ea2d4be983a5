"""The server side of a connection: HTTP/1.1 in, ASGI to the application, run by uvicorn's server.

uvicorn brings sockets, signals, workers and graceful stop; the protocol is ours, because half of what a small
request costs is spent here: a response head and its body leave in one write, keep-alive needs one timer for a
connection instead of one for a request, and a request that asks for an upgrade we do not offer keeps its body.

`reading` makes requests of bytes; here they are answered in their order, one after the other. What cannot be read is
refused with an error in OpenAI's shape, and the connection closed.
"""

import asyncio
from collections import deque
from math import inf
from typing import Any, Protocol, cast

from gateway.openai_api import error_body
from gateway.serving import draining
from gateway.serving.head import STATUS_LINES, BadRequest
from gateway.serving.reading import RequestReader
from gateway.serving.request import Application, ServerRequest, answer_server_options

_PIPELINED = 64  # requests that may wait for their turn; later ones are not read, and the client sends them again
_LINGER_SECONDS = 2.0


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
    """One client connection. `active` is the request that is being answered, `refusal` what is said after the last."""

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
        self.tasks = server_state.tasks
        self.closing = False  # no more requests are accepted; those that were accepted are still answered
        self.lost = False
        self._keep_alive_seconds = config.timeout_keep_alive
        self._reader: RequestReader
        self._transport: asyncio.Transport
        self.active: ServerRequest | None = None
        self._queued: deque[ServerRequest] = deque()
        self.refusal: BadRequest | None = None
        self._idle_since = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._lingering = False  # our side is closed, and what still comes is discarded
        self._writable: asyncio.Future[None] | None = None
        self._unsent: tuple[object, int] = (None, 0)  # what was still unsent when the timer last looked

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.state.connections.add(self)
        peer, ours = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        client = (peer[0], peer[1]) if isinstance(peer, tuple) else None
        server = (ours[0], ours[1]) if isinstance(ours, tuple) else None
        scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._reader = RequestReader(self, client, server, scheme)
        self._timer = self.loop.call_later(self._keep_alive_seconds, self._look_after)

    def data_received(self, data: bytes) -> None:
        if not self._lingering:
            self._reader.feed(data)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        self.lost = True
        self.state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._queued.clear()
        for request in (self.active, self._reader.filling):
            if request is not None:
                request.leave()
        self.resume_writing()
        self._reader.close()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # --- called by uvicorn

    def retire(self) -> None:
        """The next answer is the last. An idle connection stays open for a request that may be on its way."""
        self.closing = self.active is not None

    def shutdown(self) -> None:
        """Close as soon as the requests that have come are answered."""
        self.closing = True
        if self.active is None:
            self._transport.close()

    # --- used by the reader

    def take(self, request: ServerRequest) -> None:
        """Start a request, or let it wait for the answers to those before it."""
        self.state.total_requests += 1
        self.closing = draining.has_begun()
        if self.active is None:
            self._start(request)
        else:
            self._queued.append(request)
            self.closing = self.closing or len(self._queued) >= _PIPELINED
            self.pause_reading()

    def refuse(self, refusal: BadRequest) -> None:
        """Refuse what is not a request and close, once the requests before it have their answers."""
        if self.refusal is not None or self._transport.is_closing():
            return  # the parser complains about every further piece
        self.refusal = refusal
        self.closing = True
        broken, self._reader.filling = self._reader.filling, None
        if broken is not None and broken is not self.active:
            self._queued.pop()
        elif broken is not None:
            self.active = None
            if broken.drop():
                self._transport.close()
                return
        if self.active is None:
            self._write_refusal(refusal)

    def only_request(self) -> ServerRequest | None:
        """The request that is being answered, if another may come after it and none has."""
        request = self.active
        return None if request is None or self._queued or self.closing or not request.keep_alive else request

    # --- used by requests

    def write(self, data: bytes) -> None:
        if not self.lost:
            self._transport.write(data)

    @property
    def is_full(self) -> bool:
        """Whether the client does not take what was written."""
        return self._writable is not None

    async def drain(self) -> None:
        if self._writable is not None:
            await asyncio.shield(self._writable)  # others may wait for it too, so a cancelled request must not end it

    def pause_reading(self) -> None:
        if not self._reading_paused and not self.lost:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self.lost and not self._queued:
            self._reading_paused = False
            self._transport.resume_reading()

    def is_last(self) -> bool:
        """Whether nothing is written after the answer to the active request."""
        return not self._queued and self.refusal is None

    def answered(self, request: ServerRequest) -> None:
        """The response of the active request has been written whole."""
        self.active = None
        self._idle_since = self.loop.time()
        if not request.has_whole_body:
            self._linger()  # an unread body may be of any size, and closing is cheaper than reading it
        elif not request.keep_alive:
            self._transport.close()
        elif self._queued:
            self._start(self._queued.popleft())
            self.resume_reading()
        elif self.refusal is not None:
            self._write_refusal(self.refusal)
        elif self.closing:
            self._transport.close()
        elif self._reading_paused:
            self.resume_reading()

    def break_off(self, *, framed: bool) -> None:
        """Close in the middle of an answer, so that the client sees that it broke off."""
        self.active = None
        if framed:
            self._transport.close()
        elif not self.lost:
            self._transport.abort()  # the end of the connection would end this answer; only a reset shows the break

    # --- inside

    def _start(self, request: ServerRequest) -> None:
        self.active = request
        asks_the_server = request.scope["raw_path"] == b"*"  # only OPTIONS does: see `_place`
        request.start(answer_server_options if asks_the_server else self.app)

    def _write_refusal(self, refusal: BadRequest) -> None:
        body = error_body(str(refusal), "invalid_request_error", code="bad_http")
        head = b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._transport.write(STATUS_LINES[refusal.status] + head + body)
        self._linger()

    def _linger(self) -> None:
        """Close only our side, and discard what still comes, until the client closes or time is up.

        If we closed while there are unread bytes, the connection would be reset, and the client could lose the answer.
        """
        self.closing = True
        self._lingering = True
        self._reader.filling = None
        self._queued.clear()
        if self._timer is not None and not self._transport.is_closing():
            self._transport.write_eof()
            self.resume_reading()
            self._timer.cancel()
            self._idle_since = -inf
            self._timer = self.loop.call_later(_LINGER_SECONDS, self._look_after)

    def _look_after(self) -> None:
        """Close if idle for too long, abort if the client takes nothing; otherwise look again later."""
        now = self.loop.time()
        due = self._keep_alive_seconds + (now if self.active is not None else self._idle_since)
        before, self._unsent = self._unsent, (self._writable, self._transport.get_write_buffer_size())
        closing = self._transport.is_closing()
        if self._unsent[1] and self._unsent == before and (closing or self._writable is not None):
            self._transport.abort()
            return
        if due <= now:
            self._transport.close()
            due = now + self._keep_alive_seconds
        self._timer = self.loop.call_at(due, self._look_after)
