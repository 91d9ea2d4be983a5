"""The server side of a connection: HTTP/1.1 in, ASGI to the application, run by uvicorn's server.

uvicorn brings sockets, signals, workers and graceful stop; the protocol is ours, because half of what a small
request costs is spent here: a response head and its body leave in one write, keep-alive needs one timer for a
connection instead of one for a request, and a request that asks for an upgrade we do not offer keeps its body.

What cannot be read in exactly one way (RFC 9112) is refused with 400 in OpenAI's error shape, and the connection
closed: llhttp reads strictly, and no byte after an error is taken for a request.
"""

import asyncio
from collections import deque
from math import inf
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools

from gateway.heads import TAB, untabbed
from gateway.openai_api import error_body
from gateway.serving import draining
from gateway.serving.head import STATUS_LINES, BadRequest, check_host, check_version, origin_form, without_upgrade
from gateway.serving.known_head import KnownHead, known_head
from gateway.serving.request import Application, ServerRequest, answer_server_options

_HIGH_WATER = 256 * 1024  # bytes of a request body that wait for the application before reading pauses
_HEAD_BYTES = 64 * 1024  # of a request line with its headers; as much again may come between two parts of a body
_LARGE_HEAD = "the request line and headers are larger than 64 KiB"
_PIPELINED = 64  # requests that wait for their turn; what comes after them is not read, and the client asks again
_LINGER_SECONDS = 2.0
_MOST_LEARNT = 8  # heads in a row that were remembered and did not come again: this client's are all different
_SCOPE_VERSION = {"version": "3.0", "spec_version": "2.3"}
_FRAGMENT = ord("#")
_WHITE = b" \t"
_LOOKED_AT = frozenset({b"expect", b"transfer-encoding", b"host"})


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
        self.tasks = server_state.tasks
        self.closing = False  # no more requests are taken; those that were are still answered
        self.lost = False
        self._keep_alive_seconds = config.timeout_keep_alive
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._scheme = "http"
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._host: bytes | None = None
        self._received = b""  # of a head that is not complete
        self._in_head = False
        self._known: KnownHead | None = None  # the last one that was read
        self._learnt = 0  # heads since one came again
        self._due = 0  # bytes of the body that follow a head which came again
        self._unused = 0  # bytes received since the parser last got somewhere
        self._expects_continue = False
        self._active: ServerRequest | None = None  # the request that is being answered
        self._filling: ServerRequest | None = None  # the request whose body is being read: it, or a later one
        self._queued: deque[ServerRequest] = deque()
        self._refusal: BadRequest | None = None  # said when those before it have their answers
        self._idle_since = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._lingering = False  # our side is closed, and what still comes is thrown away
        self._writable: asyncio.Future[None] | None = None
        self._unsent: tuple[object, int] = (None, 0)  # what the client had still to take when the timer last looked

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.state.connections.add(self)
        peer, ours = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._client = (peer[0], peer[1]) if isinstance(peer, tuple) else None
        self._server = (ours[0], ours[1]) if isinstance(ours, tuple) else None
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._timer = self.loop.call_later(self._keep_alive_seconds, self._look_after)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        known = self._known
        if known is not None and self._active is None and not self._in_head and not self.closing:
            found = known.read(data)
            if found is not None and self._take_known(known, data, *found):
                return
        elif self._due:
            data = self._fill(data)
            if not data:
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        is_first = self._active is None and not self._in_head
        self._unused += len(data)
        if TAB in data and self._filling is None:
            data = untabbed(data)
        while True:
            self._received = self._received + data if self._received else data
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
                continue
            except httptools.HttpParserCallbackError as error:
                self._callback_failed(error)
            except httptools.HttpParserError as error:
                self._refuse(BadRequest(400, f"this is not HTTP/1.1: {error}"))
            break
        if self._unused > _HEAD_BYTES:
            self._refuse(BadRequest(431, _LARGE_HEAD))
        if not self._in_head:
            self._received = b""
            if is_first and self._learnt < _MOST_LEARNT:
                self._learn(data)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        self.lost = True
        self.state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._queued.clear()
        for request in (self._active, self._filling):
            if request is not None:
                request.leave()
        self.resume_writing()
        del self._parser  # it holds our methods: without this every connection would be left to the garbage collector

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # --- called by uvicorn

    def retire(self) -> None:
        """The next answer is the last here; an idle connection stays open for a request that is on its way."""
        self.closing = self._active is not None

    def shutdown(self) -> None:
        """Close as soon as the requests that have come are answered."""
        self.closing = True
        if self._active is None:
            self._transport.close()

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._host = None
        self._in_head = True
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.strip(_WHITE)
        if name in _LOOKED_AT and self._in_head:  # trailers do no harm
            self._look_at(name, value)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.closing:
            return
        parser = self._parser
        version, method = parser.get_http_version(), parser.get_method()
        check_version(version, method, self._url, self._received)
        if self._unused > _HEAD_BYTES:
            self._check_size()
        self._unused = 0
        if parser.should_upgrade():
            return  # `_without_upgrade` has it read again
        url = self._url
        headers, self._headers = self._headers, []  # trailers will come to the new one, where they do no harm
        if url[:1] != b"/" or _FRAGMENT in url:
            url = self._place(url, headers)
        if self._host is None and version == "1.1":
            raise BadRequest(400, "the request has no Host header")
        expects_continue = self._expects_continue and version == "1.1"
        scope = self._scope(version, method, url, headers)
        self._take(ServerRequest(self, scope, parser.should_keep_alive(), expects_continue, {}))

    def _scope(self, version: str, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        """ASGI's description of the request."""
        path, _, query = url.partition(b"?")
        raw = path.decode("ascii")
        return {
            "type": "http",
            "asgi": _SCOPE_VERSION,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "root_path": "",
            "method": method.decode("ascii"),
            "path": unquote(raw) if "%" in raw else raw,
            "raw_path": path,
            "query_string": query,
            "headers": headers,
            "state": self.app_state.copy(),
        }

    def _take(self, request: ServerRequest) -> None:
        """Start it, or let it wait for the answers of those before it."""
        self.state.total_requests += 1
        self._filling = request
        self.closing = draining.has_begun()
        if self._active is None:
            self._start(request)
        else:
            self._queued.append(request)
            self.closing = self.closing or len(self._queued) >= _PIPELINED
            self.pause_reading()

    def _take_known(self, known: KnownHead, data: bytes, digits: bytes, start: int) -> bool:
        """Begin a request whose head came again; False where more than its body came with it."""
        due = int(digits) - len(data) + start
        if due < 0:
            return False
        scope, headers = known.scope.copy(), known.headers.copy()
        headers[known.place] = (b"content-length", digits)
        scope["headers"] = headers
        scope["state"] = self.app_state.copy()
        request = ServerRequest(self, scope, True, False, known.notes)
        self._learnt = 0
        self._take(request)
        self._due = due
        if due:
            request.add(data[start:])
        else:
            request.whole(data[start:])
            self._filling = None
        return True

    def _fill(self, data: bytes) -> bytes:
        """Add what is due to the body of a request whose head came again; what is left of the data."""
        due = self._due
        self._due = max(0, due - len(data))
        self.on_body(data[:due])
        if not self._due:
            self.on_message_complete()
        return data[due:]

    def _learn(self, data: bytes) -> None:
        """Remember the head that these bytes begin with, where one request alone began in them."""
        request = self._active
        if request is None or self._queued or self.closing or not request.keep_alive:
            return
        if data.startswith(request.scope["method"].encode("ascii")):
            self._known = known_head(data, request.scope)
            self._learnt += 1

    def on_body(self, body: bytes) -> None:
        self._unused = 0
        request = self._filling
        if request is not None and request.add(body) > _HIGH_WATER:
            self.pause_reading()

    def on_message_complete(self) -> None:
        request, self._filling = self._filling, None
        if request is not None:
            request.body_complete()

    # --- used by requests

    def write(self, data: bytes) -> None:
        if not self.lost:
            self._transport.write(data)

    @property
    def is_full(self) -> bool:
        """The client does not take what was written."""
        return self._writable is not None

    async def drain(self) -> None:
        if self._writable is not None:
            await asyncio.shield(self._writable)  # a cancelled request leaves it whole for the next look at it

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
        return not self._queued and self._refusal is None

    def answered(self, request: ServerRequest) -> None:
        """The response of the active request has been written whole."""
        self._active = None
        self._idle_since = self.loop.time()
        if not request.has_whole_body:
            self._linger()  # a body that nobody read may be of any size: closing is cheaper than reading it
        elif not request.keep_alive:
            self._transport.close()
        elif self._queued:
            self._start(self._queued.popleft())
            self.resume_reading()
        elif self._refusal is not None:
            self._write_refusal(self._refusal)
        elif self.closing:
            self._transport.close()
        elif self._reading_paused:
            self.resume_reading()

    def break_off(self, *, framed: bool) -> None:
        """Close in the middle of an answer, so that the client sees that it broke off."""
        self._active = None
        if framed:
            self._transport.close()
        elif not self.lost:
            self._transport.abort()  # this answer ends where the connection ends: only a reset tells the difference

    # --- inside

    def _start(self, request: ServerRequest) -> None:
        self._active = request
        asks_the_server = request.scope["raw_path"] == b"*"  # only OPTIONS does: see `_place`
        request.start(answer_server_options if asks_the_server else self.app)

    def _check_coding(self, coding: bytes) -> None:
        if self._parser.get_http_version() == "1.0":
            raise BadRequest(400, "HTTP/1.0 has no transfer-encoding")  # RFC 9112, 6.1: its framing is faulty
        if coding.lower() != b"chunked":
            raise BadRequest(501, "the only transfer-encoding taken is chunked")

    def _look_at(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self._expects_continue |= b"100-continue" in [part.strip(_WHITE) for part in value.lower().split(b",")]
        elif name == b"transfer-encoding":
            self._check_coding(value)
        elif self._host is not None:
            raise BadRequest(400, "the request has more than one Host header")
        else:
            self._host = check_host(value)

    def _place(self, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Path and query of a target that is no plain path; a host in it replaces that of the header."""
        url, host = origin_form(target, self._parser.get_method())
        if url == b"*" and self._parser.get_method() != b"OPTIONS":
            raise BadRequest(400, "the request target * is for OPTIONS alone")
        if host:
            headers[:] = [header for header in headers if header[0] != b"host"]
            headers.append((b"host", host))
            self._host = host
        return url

    def _check_size(self) -> None:
        size = len(self._url) + sum(len(name) + len(value) for name, value in self._headers)
        if size > _HEAD_BYTES:  # what was received with it may be body
            raise BadRequest(431, _LARGE_HEAD)

    def _without_upgrade(self) -> bytes:
        """The head just read, without its wish for another protocol; some clients send it with every request."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._refuse(BadRequest(405, "CONNECT is for proxies; this is a gateway"))
            return b""
        head = without_upgrade(method, self._url, self._parser.get_http_version(), self._headers)
        self._parser = httptools.HttpRequestParser(self)
        self._received = b""
        return head

    def _callback_failed(self, error: httptools.HttpParserCallbackError) -> None:
        """One of ours, by what it raised; after a refusal nothing that follows matters."""
        if isinstance(error.__context__, BadRequest):
            self._refuse(error.__context__)
        elif self._refusal is None:
            raise error

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer what cannot become a request once those before it have their answers, and close."""
        if self._refusal is not None or self._transport.is_closing():
            return  # the parser complains of every further piece
        self._refusal = refusal
        self.closing = True
        broken, self._filling = self._filling, None
        if broken is not None and broken is not self._active:
            self._queued.pop()
        elif broken is not None:
            self._active = None
            if broken.drop():
                self._transport.close()
                return
        if self._active is None:
            self._write_refusal(refusal)

    def _write_refusal(self, refusal: BadRequest) -> None:
        body = error_body(str(refusal), "invalid_request_error", code="bad_http")
        head = b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._transport.write(STATUS_LINES[refusal.status] + head + body)
        self._linger()

    def _linger(self) -> None:
        """Close our side only, and throw away what still comes, until the client closes or the time is over.

        Closing while unread bytes lie there would reset the connection, and the client could lose the answer.
        """
        self.closing = True
        self._lingering = True
        self._filling = None
        self._queued.clear()
        if self._timer is not None and not self._transport.is_closing():
            self._transport.write_eof()
            self.resume_reading()
            self._timer.cancel()
            self._idle_since = -inf
            self._timer = self.loop.call_later(_LINGER_SECONDS, self._look_after)

    def _look_after(self) -> None:
        """Close when idle for long enough, abort when the client takes nothing; else look again later."""
        now = self.loop.time()
        due = self._keep_alive_seconds + (now if self._active is not None else self._idle_since)
        before, self._unsent = self._unsent, (self._writable, self._transport.get_write_buffer_size())
        closing = self._transport.is_closing()
        if self._unsent[1] and self._unsent == before and (closing or self._writable is not None):
            self._transport.abort()
            return
        if due <= now:
            self._transport.close()
            due = now + self._keep_alive_seconds
        self._timer = self.loop.call_at(due, self._look_after)
