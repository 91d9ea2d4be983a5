"""Calls through httpx's transport: for an upstream behind a proxy, and for one that is offered HTTP/2.

A well-kept library does here what is rare and long to get right. It costs some ten times what `http1` costs, so an
upstream that is reached directly in HTTP/1.1 never comes here. The interface is the same: `upstream.Carrier`.

A connection has one request at a time, in HTTP/2 as well. httpcore resets no stream that is given up, lets it use up
the connection's flow-control window for good, and lets one slow reader stop all others; alone on its connection a
request is given up by closing it, and time limits and back-pressure hold as they do in HTTP/1.1.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

import h2.exceptions
import httpcore
import httpx

from gateway.errors import UpstreamError
from gateway.exchange import Headers
from gateway.upstream.http1 import (
    HIGH_WATER,
    MAX_HEADERS,
    SHUTTING_DOWN,
    WHOLE_BYTES,
    Limits,
    late,
    tls_refused,
    unreachable,
)

_SWEEP_SECONDS = 0.5  # how long an idle connection may outlive its time
_PIECE_BYTES = 64 * 1024  # of a request body that is handed over at once: time limits count from piece to piece

# What a transport may raise → the reason before the answer began, and the reason in the middle of it. Time limits are
# kept here, phase by phase, and the library gets none: its own are in the table so that none goes unnamed.
REASONS: Mapping[type[Exception], tuple[str, str]] = MappingProxyType(
    {
        httpx.ConnectTimeout: ("connect_timeout", "connect_timeout"),
        httpx.ReadTimeout: ("first_byte_timeout", "idle_timeout"),
        httpx.WriteTimeout: ("write_timeout", "write_timeout"),
        httpx.PoolTimeout: ("pool_timeout", "pool_timeout"),
        httpx.TimeoutException: ("first_byte_timeout", "idle_timeout"),
        httpx.ConnectError: ("connect_failed", "connect_failed"),
        httpx.ReadError: ("reset", "truncated"),
        httpx.WriteError: ("reset", "truncated"),
        httpx.CloseError: ("reset", "truncated"),
        httpx.NetworkError: ("reset", "truncated"),
        httpx.RemoteProtocolError: ("bad_response", "truncated"),
        httpx.LocalProtocolError: ("bad_response", "bad_response"),
        httpx.ProtocolError: ("bad_response", "bad_response"),
        httpx.ProxyError: ("connect_failed", "connect_failed"),
        httpx.UnsupportedProtocol: ("connect_failed", "connect_failed"),
        httpx.InvalidURL: ("connect_failed", "connect_failed"),
        httpx.TransportError: ("reset", "truncated"),
        h2.exceptions.ProtocolError: ("bad_response", "bad_response"),  # httpcore lets it through from within a body
    }
)
_TRANSPORT_ERRORS = tuple(REASONS)

# Steps that the library reports → the time limit that runs from there.
_LIMIT_FROM = MappingProxyType(
    {
        "connect_tcp.started": "connect_timeout",
        "send_request_headers.started": "write_timeout",
        "receive_response_headers.started": "first_byte_timeout",
    }
)


def tls_context() -> ssl.SSLContext:
    """What upstreams are verified with: httpx's CA bundle, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.

    Takes some tens of milliseconds: for the start, not for a request.
    """
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class HttpxAnswer:
    """A response under way, as `http1.Answer`. A task of the pool's drives it from the request's first byte to the
    answer's last, so that whoever reads may come, go and wait without the library seeing it."""

    def __init__(self, pool: "HttpxPool", head: bytes, body: bytes | None, fresh: bool) -> None:
        self.status = 0
        self.headers: Headers = []
        self.started = False
        self.complete = False
        self.size = 0  # bytes that wait in the buffer
        self.opened: httpcore.AsyncNetworkStream | None = None  # the network connection that was made for this request
        self._pool = pool
        self._head = head
        self._body = body
        self._fresh = fresh
        self._reused = False
        self._whole = False
        self.given_up = False
        self._shielded = False  # the library is at work where an interruption would lose it a connection
        self._error: BaseException | None = None
        self._chunks: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._clock = asyncio.timeout(None)
        self._limit = ""
        # A streamed request body: one piece on its way, one that waits here.
        self._piece = b""
        self._piece_given = asyncio.Event()
        self._piece_taken = asyncio.Event()
        self._all_given = False
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(self._ended)

    # --- for the one who asked: see `http1.Answer`

    async def head(self) -> None:
        """Wait for status and headers; a small announced body is then here as well. Raises UpstreamError."""
        while not self.started or (self._whole and not self.complete):
            if self._error is not None:
                raise self._error
            await self._wait()
        if self._error is not None and not self._chunks:
            raise self._error

    def take(self) -> bytes:
        """What has arrived and was not taken yet, maybe nothing."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self.size = 0
        self._room.set()
        return data

    async def more(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end. Raises UpstreamError when it broke off."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._wait()
        return self.take()

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        """Hand to `offer` what comes until the end, `settle` when it says False. Raises UpstreamError."""
        while data := await self.more():
            if not offer(data):
                await settle()
        return b""

    def abort(self) -> None:
        """Give the answer up: an unfinished one takes its connection along, so the model server stops as well."""
        if not self.given_up:
            self.given_up = True
            if not self._shielded:
                self.task.cancel()

    async def send(self, data: bytes) -> None:
        """Send a piece of a request body that is streamed; waits while the upstream does not read."""
        if data and not self.settled:
            self._piece = data
            self._piece_taken.clear()
            self._piece_given.set()
            await self._piece_taken.wait()

    def sent(self) -> None:
        """The whole request body was handed over."""
        self._all_given = True
        self._piece_given.set()

    @property
    def settled(self) -> bool:
        """It has begun or failed: what is left of the request need not be sent any more."""
        return self.started or self._error is not None

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the task

    async def _run(self) -> None:
        try:
            await self._try(self._fresh)
        except UpstreamError as error:
            # The server closed an idle connection just as it was used: it never saw the request.
            if error.reason != "reset" or not self._reused or self._body is None or self.given_up:
                raise
            self._shielded = False
            await self._try(fresh=True)

    async def _try(self, fresh: bool) -> None:
        self._reused = True  # until a connection is opened
        self.opened = None
        try:
            async with asyncio.timeout(None) as self._clock:
                self._allow("pool_timeout")
                async with self._pool.slots:
                    await self._exchange(fresh)
        except TimeoutError:
            raise late(self._limit, self._pool.limits) from None
        except _TRANSPORT_ERRORS as error:
            raise self._failure(error) from None

    async def _exchange(self, fresh: bool) -> None:
        self.shield()  # while the library finds a connection, which it does at once, as there is a slot
        response = await self._pool.transport.handle_async_request(self._request(fresh))
        pieces = cast(AsyncGenerator[bytes, None], aiter(cast(httpx.AsyncByteStream, response.stream)))
        try:
            self._begin(response)
            async for piece in pieces:
                self._keep(piece)
                while self.size > HIGH_WATER:
                    self._clock.reschedule(None)  # the silence is ours: the client is slow
                    self._room.clear()
                    await self._room.wait()
                self._allow("idle_timeout")
        finally:
            self.shield()
            await response.aclose()
            await pieces.aclose()

    def _request(self, fresh: bool) -> httpx.Request:
        line, *lines = self._head[:-4].split(b"\r\n")
        method, target, _ = line.split(b" ")
        headers = [(name, value) for name, _, value in (each.partition(b": ") for each in lines)]
        extensions = {"target": target, "trace": self._trace, "answer": self, "fresh": fresh}
        return httpx.Request(
            method.decode("ascii"), self._pool.url(), headers=headers, stream=_RequestBody(self), extensions=extensions
        )

    async def _trace(self, step: str, info: Mapping[str, Any]) -> None:
        limit = _LIMIT_FROM.get(step.partition(".")[2])
        if limit == "connect_timeout":
            self._reused = False
        elif step == "connection.connect_tcp.complete":
            self.opened = info["return_value"]
        # Asking the proxy for a tunnel is a part of connecting.
        if limit is not None and (limit == "connect_timeout" or info["request"].method != b"CONNECT"):
            self._allow(limit)

    def _allow(self, limit: str) -> None:
        """From now on this limit runs."""
        self._limit = limit
        seconds = self._pool.seconds[limit]
        self._clock.reschedule(asyncio.get_running_loop().time() + seconds)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The request body, as the library takes it."""
        for piece in _cut(self._body or b""):
            self._allow("write_timeout")
            yield piece
        while self._body is None:
            self._clock.reschedule(None)  # the silence is the client's
            await self._piece_given.wait()
            self._piece_given.clear()
            given, self._piece = self._piece, b""
            self._piece_taken.set()
            for piece in _cut(given):
                self._allow("write_timeout")
                yield piece
            if self._all_given and not self._piece:
                self._allow("write_timeout")
                return

    def _begin(self, response: httpx.Response) -> None:
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        if response.status_code < 200:
            raise UpstreamError("bad_response", "the upstream switched to another protocol, which was not asked for")
        if response.status_code == 407 and self._pool.proxied:
            raise UpstreamError("connect_failed", "the proxy on the way to the upstream refused our credentials")
        if len(headers) > MAX_HEADERS:
            raise UpstreamError("bad_response", f"the upstream's answer has more than {MAX_HEADERS} headers")
        self.status = response.status_code
        self.headers = headers
        length = dict(headers).get(b"content-length", b"")
        self._whole = length.isdigit() and int(length) <= WHOLE_BYTES
        self.started = True
        self._piece_taken.set()  # what is left of the request goes nowhere
        self._allow("idle_timeout")
        if not self._whole:
            self._wake()

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._chunks.append(piece)
            self.size += len(piece)
            if not self._whole:
                self._wake()

    def shield(self) -> None:
        """From here on no limit runs, and giving up waits: interrupted now, the library would lose a connection."""
        self._shielded = True
        if not self._clock.expired():
            self._clock.reschedule(None)

    def go(self) -> None:
        """There is a connection: from here on the request may be interrupted."""
        self._shielded = False

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._body = b""
        if task.cancelled():
            self._error = UpstreamError("reset", SHUTTING_DOWN)
        else:
            self._error = task.exception()
        self.complete = self._error is None
        self._piece_taken.set()
        self._wake()

    def _failure(self, error: Exception) -> UpstreamError:
        reason = REASONS[next(kind for kind in type(error).__mro__ if kind in REASONS)][self.started]
        if reason == "bad_response" and _ended_by_peer(error):
            reason = "reset"
        peer = "proxy on the way to the upstream" if self._pool.proxied else "upstream"
        if reason == "connect_failed":
            return _no_connection(error, peer)
        sentences = {
            "reset": f"the {peer} closed the connection without an answer",
            "truncated": f"the {peer} closed the connection in the middle of the answer",
            "bad_response": "the upstream's answer is not the HTTP that was agreed on",
        }
        if reason in sentences:
            return UpstreamError(reason, sentences[reason])
        return late(reason, self._pool.limits)


class _RequestBody(httpx.AsyncByteStream):
    def __init__(self, answer: HttpxAnswer) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.pieces()


def _cut(data: bytes) -> Iterator[bytes]:
    if len(data) <= _PIECE_BYTES:
        return iter((data,) if data else ())
    return (data[start : start + _PIECE_BYTES] for start in range(0, len(data), _PIECE_BYTES))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _ended_by_peer(error: Exception) -> bool:
    """Whether a protocol error only says that the other side left: then no parser's error stands behind it."""
    by_httpcore = error.__cause__
    return isinstance(by_httpcore, httpcore.RemoteProtocolError) and not any(
        isinstance(argument, Exception) for argument in by_httpcore.args
    )


def _no_connection(error: Exception, peer: str) -> UpstreamError:
    if isinstance(error, httpx.ProxyError):  # the rest of its text is the proxy's own
        return UpstreamError("connect_failed", f"the {peer} opened no tunnel: it answered {str(error)[:3]}")
    if isinstance(error, httpx.InvalidURL):
        return unreachable(UnicodeError())
    system = [cause for cause in _causes(error) if isinstance(cause, OSError)]
    for cause in system:
        if isinstance(cause, ssl.SSLError):
            return tls_refused(cause)
    if system:
        return unreachable(system[-1], peer)
    return UpstreamError("connect_failed", f"the {peer} closed the connection before it was of use")


# --- connections


class _Connection(httpcore.AsyncConnectionInterface):
    """One of httpcore's connections, with one request at a time. A request that did not end well ends it."""

    def __init__(self, inner: httpcore.AsyncConnectionInterface) -> None:
        self._inner = inner
        self._busy = False
        self._used = False
        self._ended = False  # the library does not always know: one that was never begun stays open for ever

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        answer: HttpxAnswer = request.extensions["answer"]
        if self._busy or self._ended:
            raise httpcore.ConnectionNotAvailable
        if answer.given_up:
            self._ended = not self._used
            raise asyncio.CancelledError
        if self._used and request.extensions["fresh"]:
            await self.aclose()
            raise httpcore.ConnectionNotAvailable  # the pool drops it and finds another, at last a new one
        self._busy = self._used = True
        request.extensions.pop("target", None)  # it is in the URL by now; left here, a proxy would be sent it bare
        answer.go()
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException:
            answer.shield()
            if answer.opened is not None:  # cancelled in a handshake, the library leaves it open
                await answer.opened.aclose()
            await self.release(reusable=False)
            raise
        body = _ResponseBody(cast(AsyncIterator[bytes], response.stream), self, answer)
        return httpcore.Response(
            response.status, headers=response.headers, content=body, extensions=response.extensions
        )

    async def release(self, *, reusable: bool) -> None:
        if not reusable:
            await self.aclose()
        self._busy = False

    async def aclose(self) -> None:
        self._ended = True
        await self._inner.aclose()

    def info(self) -> str:
        return self._inner.info()

    def can_handle_request(self, origin: httpcore.Origin) -> bool:
        return self._inner.can_handle_request(origin)

    def is_available(self) -> bool:
        return self.is_idle() and self._inner.is_available()

    def is_idle(self) -> bool:
        return not self._busy and not self._ended and self._inner.is_idle()

    def has_expired(self) -> bool:
        return not self._busy and self._inner.has_expired()

    def is_closed(self) -> bool:
        return not self._busy and (self._ended or self._inner.is_closed())


class _ResponseBody:
    def __init__(self, inner: AsyncIterator[bytes], connection: _Connection, answer: HttpxAnswer) -> None:
        self._inner = inner
        self._connection = connection
        self._answer = answer
        self._whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                yield piece
        except BaseException:
            self._answer.shield()
            raise
        self._whole = True

    async def aclose(self) -> None:
        if self._whole:
            await cast(Any, self._inner).aclose()
        await self._connection.release(reusable=self._whole)


class _Connections(httpcore.AsyncConnectionPool):
    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        return _Connection(super().create_connection(origin))


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's own, with these connections in place of those that it would make."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool


class HttpxPool:
    """Connections to one origin, at most `limits.max_connections`, each with one request at a time.

    `proxy` is the URL of an HTTP proxy, with its credentials if it wants some: plain requests are forwarded by it, TLS
    goes through a tunnel. `http2` offers HTTP/2 in the TLS handshake; the server decides. `proxy_tls` is for a proxy
    that is itself reached by https.
    """

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int,
        limits: Limits,
        *,
        tls: ssl.SSLContext | None = None,
        http2: bool = False,
        proxy: str | None = None,
        proxy_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits
        self.proxied = proxy is not None
        self.seconds = {
            "pool_timeout": limits.pool_seconds,
            "connect_timeout": limits.connect_seconds,
            "write_timeout": limits.idle_seconds,
            "first_byte_timeout": limits.first_byte_seconds,
            "idle_timeout": limits.idle_seconds,
        }
        self._origin = (scheme, host, port)
        self._connections = _Connections(
            ssl_context=tls,
            proxy=None if proxy is None else _proxy(proxy, proxy_tls),
            max_connections=limits.max_connections,
            keepalive_expiry=limits.keepalive_seconds,
            http2=http2,
        )
        self.transport = _Transport(self._connections)
        self.slots = asyncio.Semaphore(limits.max_connections)  # those that wait here are served in their order
        self._under_way: set[HttpxAnswer] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    async def request(
        self, head: bytes, body: bytes | None, *, head_only: bool = False, fresh: bool = False, chunked: bool = False
    ) -> tuple[HttpxAnswer, bool]:
        """Send a request as `http1.Pool.request` does. Whatever goes wrong is raised by the answer.

        A connection that had gone stale is replaced here, so the answer never counts as one of a used connection.
        The head says how the body is framed and whether there is one, so `chunked` and `head_only` need no telling.
        """
        if self._closed:
            raise UpstreamError("reset", SHUTTING_DOWN)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())
        answer = HttpxAnswer(self, head, body, fresh)
        self._under_way.add(answer)
        answer.task.add_done_callback(lambda _: self._under_way.discard(answer))
        return answer, False

    def url(self) -> httpx.URL:
        scheme, host, port = self._origin
        return httpx.URL(scheme=scheme, host=host, port=port, path="/")

    def counts(self) -> tuple[int, int]:
        """Idle and busy connections."""
        open_ones = [connection for connection in self._connections.connections if not connection.is_closed()]
        idle = sum(connection.is_idle() for connection in open_ones)
        return idle, len(open_ones) - idle

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        self._closed = True
        tasks = [answer.task for answer in self._under_way]
        for answer in list(self._under_way):
            answer.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            tasks.append(self._sweeper)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.transport.aclose()

    async def _sweep(self) -> None:
        """Close what has been idle for too long; the library itself would only look when the next request comes."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for connection in self._connections.connections:
                if connection.has_expired():
                    await connection.aclose()


def _proxy(url: str, tls: ssl.SSLContext | None) -> httpcore.Proxy:
    given = httpx.Proxy(url)
    address = httpcore.URL(
        scheme=given.url.raw_scheme, host=given.url.raw_host, port=given.url.port, target=given.url.raw_path
    )
    return httpcore.Proxy(address, auth=given.raw_auth, ssl_context=tls if given.url.scheme == "https" else None)
