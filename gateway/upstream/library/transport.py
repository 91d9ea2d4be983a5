"""The connections to one origin that the library holds."""

import asyncio
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from functools import cache
from urllib.parse import unquote_to_bytes, urlsplit

import httpcore2

from gateway.errors import UpstreamError
from gateway.upstream.library.network import Connection, Network
from gateway.upstream.library.response import LibraryResponse
from gateway.upstream.transport import SHUTTING_DOWN, Limits, late, unreachable

_SWEEP_SECONDS = 0.25  # how late a timeout may be noticed
_STREAMS = 100  # answers on one HTTP/2 connection at once: as many as the library opens


@cache
def _usual_tls() -> ssl.SSLContext:
    """One context for all, because reading the system's certificates takes some tens of milliseconds."""
    return ssl.create_default_context()


class _Client:
    """One of the library's pools: in HTTP/2 one connection, in HTTP/1.1 as many as there are answers.

    `answers` are those that somebody waits for; `under_way` also has those that were given up and have not ended.
    """

    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self.pool = pool
        self.answers: set[LibraryResponse] = set()
        self.under_way: set[LibraryResponse] = set()
        self.upload: LibraryResponse | None = None  # the latest
        self.retired = False  # it gets no more requests, and is closed when nobody waits for it
        self.idle_since = 0.0

    def has_room(self) -> bool:
        """Whether another request may share its connection. While an upload is sent the library reads nothing, not even
        how many streams the upstream accepts."""
        is_free = self.upload is None or self.upload.settled
        return is_free and not self.retired and len(self.answers) < _STREAMS

    def may_close(self, now: float, keepalive: float, longest_connect: float) -> bool:
        """Whether it is not needed any more, and can be closed without leaving anything half open."""
        if self.answers:
            return False
        silent = now - self.idle_since
        if not self.retired:
            return silent > keepalive and not self.under_way
        return all(answer.may_be_cut for answer in self.under_way) or silent > longest_connect


class LibraryTransport:
    """At most `limits.max_connections` answers at once: see `transport.Transport`, and the package for what is shared.

    `proxy` is the URL of an HTTP proxy, with credentials if it needs some: it forwards plain requests, and opens a
    tunnel for TLS. `http2` offers HTTP/2 in the TLS handshake; the server decides. `proxy_tls` is for a proxy that is
    itself reached by https.
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
        self.shares = http2
        self._tls = tls or _usual_tls()
        self._proxy = None if proxy is None else _proxy(proxy, proxy_tls)
        self._origin = (scheme, host, port)
        self._slots = asyncio.Semaphore(limits.max_connections)  # waiting requests are served in their order
        self._clients: list[_Client] = []
        self._of: dict[LibraryResponse, _Client] = {}  # the client of each answer that somebody waits for
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()

    async def request(
        self,
        head: bytes,
        body: bytes | None,
        *,
        head_only: bool = False,
        fresh: bool = False,
        chunked: bool = False,
        limits: Limits | None = None,
    ) -> LibraryResponse:
        """Send a request: see `transport.Transport`. What goes wrong after it was sent, the response raises.

        The head says how the body is framed and whether there is one, so `chunked` and `head_only` are not used.
        """
        try:
            async with asyncio.timeout(self.limits.pool_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise late("pool_timeout", self.limits) from None
        try:
            if self._closed:
                raise UpstreamError("reset", SHUTTING_DOWN)
            client = self._client(fresh)
            answer = LibraryResponse(self, client.pool, self._request(head), body, limits or self.limits)
        except BaseException as error:
            self._slots.release()
            if isinstance(error, UnicodeError):  # the host's name is not valid
                raise unreachable(error) from None
            raise
        client.upload = answer if body is None else client.upload
        client.answers.add(answer)
        client.under_way.add(answer)
        self._of[answer] = client
        answer.task.add_done_callback(lambda _: client.under_way.discard(answer))
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        return answer

    def counts(self) -> tuple[int, int]:
        """Idle connections, as far as is known here, and answers under way."""
        idle = sum(1 for client in self._clients if self.shares and not client.answers and not client.retired)
        return idle, len(self._of)

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for answer in list(self._of):
            answer.abort()
        under_way = [answer.task for client in self._clients for answer in client.under_way]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for client in self._clients:
            self._close(client)
        self._clients.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def let_go(self, response: LibraryResponse) -> None:
        """Nobody waits for this answer any more: it ended, or was given up."""
        client = self._of.pop(response, None)
        if client is None:
            return
        self._slots.release()
        client.answers.discard(response)
        client.idle_since = self._loop.time()
        if self.shares and not response.complete:
            client.retired = True
            self._tidy()

    def reset(self, connection: Connection, stream: int) -> None:
        """Tell the upstream that this stream of a shared connection is not wanted any more."""
        self._finish(connection.reset(stream))

    # --- inside

    def _client(self, fresh: bool) -> _Client:
        """A client that has room. In HTTP/1.1, where every request opens a connection, there is one for all."""
        for client in reversed(self._clients):
            if not self.shares or (not fresh and client.has_room()):
                return client
        for client in self._clients:
            client.retired = client.retired or not client.answers  # an idle one makes room
        self._tidy()
        client = _Client(self._open())
        self._clients.append(client)
        return client

    def _open(self) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            proxy=self._proxy,
            max_connections=None,
            http2=self.shares,
            network_backend=Network(),
        )

    def _request(self, head: bytes) -> httpcore2.Request:
        line, *lines = head[:-4].split(b"\r\n")
        method, target, _ = line.split(b" ")
        headers = [(name, value) for name, _, value in (each.partition(b": ") for each in lines)]
        headers.append((b"connection", b"close"))  # in HTTP/2 the library leaves it out
        scheme, host, port = self._origin
        url = httpcore2.URL(scheme=scheme, host=host.encode("idna"), port=port, target=target)
        return httpcore2.Request(method, url, headers=headers)

    def _tidy(self) -> None:
        """Close the connections that are not needed any more."""
        now, limits = self._loop.time(), self.limits
        for client in [*self._clients]:
            if client.may_close(now, limits.keepalive_seconds, 2 * limits.connect_seconds):
                self._clients.remove(client)
                self._close(client)

    def _close(self, client: _Client) -> None:
        self._finish(client.pool.aclose())

    def _finish(self, work: Awaitable[None]) -> None:
        async def finish() -> None:
            with suppress(*_CLOSING_ERRORS):
                await work

        task = self._loop.create_task(finish())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _sweep(self) -> None:
        """End what is late. We have one timer for all, because the library's own would end all answers on a
        connection."""
        now = self._loop.time()
        for answer in [answer for answer in self._of if answer.deadline and now >= answer.deadline]:
            answer.time_out()
        self._tidy()
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep) if self._clients else None


def _proxy(url: str, tls: ssl.SSLContext | None) -> httpcore2.Proxy:
    """The proxy at `http(s)://[user:password@]host:port`, its credentials percent-encoded."""
    parts = urlsplit(url)
    name, password = (unquote_to_bytes(part or "") for part in (parts.username, parts.password))
    address = httpcore2.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target="/")
    return httpcore2.Proxy(address, auth=(name, password) if name or password else None, ssl_context=tls)


# What ending a connection or a stream may raise if the other side was faster.
_CLOSING_ERRORS = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError)
