"""The connections to one origin that httpx holds."""

import asyncio
import ssl
from contextlib import suppress
from functools import cache

import httpx2

from gateway.errors import UpstreamError
from gateway.upstream.library.response import HttpxResponse
from gateway.upstream.transport import SHUTTING_DOWN, Limits, late

_SWEEP_SECONDS = 0.25  # how late a timeout may be noticed
_STREAMS = 100  # answers on one HTTP/2 connection at once: as many as the library opens


@cache
def _usual_tls() -> ssl.SSLContext:
    """One for all: reading the system's certificates takes some tens of milliseconds."""
    return ssl.create_default_context()


class _Client:
    """One of the library's transports: in HTTP/2 one connection, in HTTP/1.1 as many as there are answers.

    `answers` are those that somebody waits for, `under_way` also those that were given up and have not ended.
    """

    def __init__(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.answers: set[HttpxResponse] = set()
        self.under_way: set[HttpxResponse] = set()
        self.retired = False  # no more requests go to it, and it is closed when nobody waits for it
        self.idle_since = 0.0

    def may_close(self, now: float, keepalive: float, longest_connect: float) -> bool:
        """Whether it is of no use any more, and what is closed now leaves nothing half open behind."""
        if self.answers:
            return False
        silent = now - self.idle_since
        if not self.retired:
            return silent > keepalive and not self.under_way
        return all(answer.may_be_cut for answer in self.under_way) or silent > longest_connect


class HttpxTransport:
    """At most `limits.max_connections` answers at once: see `transport.Transport`, and the package for what is shared.

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
        self.shares = http2
        self._tls = tls or _usual_tls()
        self._proxy = None if proxy is None else httpx2.Proxy(proxy, ssl_context=proxy_tls)
        self._origin = (scheme, host, port)
        self._slots = asyncio.Semaphore(limits.max_connections)  # those that wait here are served in their order
        self._clients: list[_Client] = []
        self._of: dict[HttpxResponse, _Client] = {}  # of each answer that somebody waits for
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
    ) -> HttpxResponse:
        """Send a request: see `transport.Transport`. What goes wrong once it is sent is raised by the response.

        The head says how the body is framed and whether there is one, so `chunked` and `head_only` need no telling.
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
            answer = HttpxResponse(self, client.transport, self._request(head), body, limits or self.limits)
        except BaseException as error:
            self._slots.release()
            if isinstance(error, httpx2.InvalidURL):
                raise UpstreamError("connect_failed", "the upstream's host name is not valid") from None
            raise
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

    def let_go(self, response: HttpxResponse) -> None:
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

    # --- inside

    def _client(self, fresh: bool) -> _Client:
        """One that has room; in HTTP/1.1, where every request opens a connection, there is one for all."""
        for client in reversed(self._clients):
            if not self.shares or (not fresh and not client.retired and len(client.answers) < _STREAMS):
                return client
        for client in self._clients:
            client.retired = client.retired or not client.answers  # an idle one makes room
        self._tidy()
        client = _Client(self._open())
        self._clients.append(client)
        return client

    def _open(self) -> httpx2.AsyncHTTPTransport:
        none = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
        return httpx2.AsyncHTTPTransport(
            verify=self._tls, http2=self.shares, limits=none, trust_env=False, proxy=self._proxy
        )

    def _request(self, head: bytes) -> httpx2.Request:
        line, *lines = head[:-4].split(b"\r\n")
        method, target, _ = line.split(b" ")
        headers = [(name, value) for name, _, value in (each.partition(b": ") for each in lines)]
        headers.append((b"connection", b"close"))  # in HTTP/2 the library leaves it out
        scheme, host, port = self._origin
        url = httpx2.URL(scheme=scheme, host=host, port=port, path="/")
        return httpx2.Request(
            method.decode("ascii"), url, headers=headers, stream=_NOTHING, extensions={"target": target}
        )

    def _tidy(self) -> None:
        """Close what is of no use any more."""
        now, limits = self._loop.time(), self.limits
        for client in [*self._clients]:
            if client.may_close(now, limits.keepalive_seconds, 2 * limits.connect_seconds):
                self._clients.remove(client)
                self._close(client)

    def _close(self, client: _Client) -> None:
        async def close() -> None:
            with suppress(*_CLOSING_ERRORS):
                await client.transport.aclose()

        task = self._loop.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _sweep(self) -> None:
        """End what is late. One timer for all: the library's own would end every answer that shares a connection."""
        now = self._loop.time()
        for answer in [answer for answer in self._of if answer.deadline and now >= answer.deadline]:
            answer.time_out()
        self._tidy()
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep) if self._clients else None


_CLOSING_ERRORS = (httpx2.TransportError, OSError)
_NOTHING = httpx2.ByteStream(b"")
