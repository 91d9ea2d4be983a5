"""Calls a model server: builds the request's head, tries upstreams in order, maps every failure to a reason.

Two carriers stand behind it: `http1`'s own connections for upstreams reached directly, and httpx's transport for those
behind a proxy or spoken to in HTTP/2.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import Protocol

from gateway.errors import UpstreamError
from gateway.exchange import Exchange, Headers, Upstream
from gateway.openai_api import SURFACES
from gateway.upstream.carrier import HttpxPool, tls_context
from gateway.upstream.http1 import Limits, Pool

# Gateways of the upstream's side saying "not me, not now": another upstream may answer.
_TRY_ANOTHER = frozenset({429, 502, 503, 504})
# Those among them that say it was not even begun.
_NOT_BEGUN = frozenset({429, 503})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# What a client may send and the gateway answers for: connection handling, keys, cookies and where it came from.
_NEVER_FORWARDED = frozenset(
    b"accept-encoding authorization api-key x-api-key connection content-length cookie forwarded host keep-alive "
    b"origin proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade "
    b"x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip".split()
)
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close"})  # these name no header
_NOT_AS_IT_IS = _HOP_BY_HOP | frozenset(
    b"set-cookie x-assay-decision x-assay-policy x-assay-guard-ms x-request-id".split()
)
_CHUNKED = b"transfer-encoding: chunked\r\n"
_HTTPS = "https"
_READABLE_ENCODINGS = ("gzip", "deflate", "identity")
_REMEMBERED = 4096


class Answer(Protocol):
    """A response under way: `http1.Answer` and `carrier.HttpxAnswer`.

    `status` and `headers` (names lower-cased, values as they came) hold once `head` returned; `complete` says that the
    last byte is here. The body is what the upstream sent, content-encoding untouched.
    """

    status: int
    headers: Headers
    complete: bool

    @property
    def settled(self) -> bool:
        """It has begun or failed: what is left of the request need not be sent any more."""
        ...

    async def head(self) -> None:
        """Wait for status and headers; a small announced body is then here as well. Raises UpstreamError."""
        ...

    def take(self) -> bytes:
        """What has arrived and was not taken yet, maybe nothing."""
        ...

    async def more(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end. Raises UpstreamError when it broke off."""
        ...

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        """Hand to `offer` what comes, as soon as it comes; the last bytes are returned.

        When `offer` says False, `settle` is awaited before it gets more. Raises UpstreamError when the answer broke
        off, after all that came before.
        """
        ...

    def abort(self) -> None:
        """Give it up: an unfinished one takes its connection along."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a piece of a request body that is streamed; waits while the upstream does not read."""
        ...

    def sent(self) -> None:
        """The whole request body was handed over."""
        ...


class Carrier(Protocol):
    """Connections to one origin: `http1.Pool` and `carrier.HttpxPool`."""

    async def request(
        self, head: bytes, body: bytes | None, *, head_only: bool = False, fresh: bool = False, chunked: bool = False
    ) -> tuple[Answer, bool]:
        """Send a request; the answer under way, and whether a used connection may be to blame if it is reset.

        `head` is an HTTP/1.1 head with its empty line. `body` None means that it follows through `Answer.send`, in
        pieces that the carrier puts into chunks when `chunked`, as the head says. `fresh` asks for a new connection.
        """
        ...

    def counts(self) -> tuple[int, int]:
        """Idle and busy connections."""
        ...

    async def close(self) -> None: ...


class HeaderFilter:
    """Which request headers go upstream: an allow-list of names and prefixes, remembered by name."""

    def __init__(self, allowed: Iterable[str]) -> None:
        names = [name.encode("latin-1") for name in allowed]
        self._exact = frozenset(name for name in names if not name.endswith(b"*"))
        self._prefixes = tuple(name[:-1] for name in names if name.endswith(b"*"))
        self._known: dict[bytes, bool] = {}
        self._encodings: dict[bytes, bytes] = {}

    def upstream(self, headers: Headers) -> bytes:
        """The header lines for the upstream, each with its CRLF."""
        known = self._known
        lines = []
        for name, value in headers:
            allowed = known.get(name)
            if allowed is None:
                allowed = self._learn(name)
            if allowed:
                lines.append(b"%b: %b\r\n" % (name, value))
            elif name == b"accept-encoding":
                lines.append(self._accept_encoding(value))
            elif name == b"connection" and value.lower() not in _PLAIN_CONNECTION:
                return self.upstream(_without_named(headers))
        return b"".join(lines)

    def _learn(self, name: bytes) -> bool:
        allowed = name not in _NEVER_FORWARDED and (name in self._exact or name.startswith(self._prefixes))
        if len(self._known) < _REMEMBERED:  # names come from clients: bounded
            self._known[name] = allowed
        return allowed

    def _accept_encoding(self, value: bytes) -> bytes:
        """Only encodings that the detectors' side can read, of those the client takes."""
        line = self._encodings.get(value)
        if line is None:
            offered = [part.strip() for part in value.decode("latin-1").lower().split(",")]
            kept = [part for part in offered if part.split(";")[0].strip() in _READABLE_ENCODINGS]
            line = f"accept-encoding: {', '.join(kept) or 'identity'}\r\n".encode("latin-1")
            if len(self._encodings) < _REMEMBERED:
                self._encodings[value] = line
        return line


def downstream_headers(answer: Answer) -> Headers:
    """The answer's headers for the client: all but hop-by-hop ones, cookies and the names that are ours."""
    return _passed_on(answer.headers)


def _passed_on(headers: Headers) -> Headers:
    kept: Headers = []
    for header in headers:
        name = header[0]
        if name not in _NOT_AS_IT_IS:
            kept.append(header)
        elif name == b"connection" and header[1].lower() not in _PLAIN_CONNECTION:
            return _passed_on(_without_named(headers))
        elif name == b"x-request-id":
            kept.append((b"x-upstream-request-id", header[1]))
    return kept


def _without_named(headers: Headers) -> Headers:
    """Without `Connection` and the headers it names: they are meant for the next hop only (RFC 9110, 7.6.1)."""
    named = {b"connection"}
    for name, value in headers:
        if name == b"connection":
            named.update(part.strip() for part in value.lower().split(b","))
    return [(name, value) for name, value in headers if name not in named]


class Upstreams:
    """All model servers, one connection pool an origin and way to it.

    What those in `known` need for TLS is made here, because it takes tens of milliseconds; another upstream's first
    call makes it when it comes.
    """

    def __init__(
        self,
        limits: Limits,
        forward: HeaderFilter,
        *,
        known: Iterable[Upstream] = (),
        retries: int = 1,
        on_failure: Callable[[str, str], None] = lambda upstream, reason: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limits = limits
        self._forward = forward
        self._retries = retries
        self._on_failure = on_failure
        self._clock = clock
        self._tls: dict[bool, ssl.SSLContext] = {}  # without HTTP/2, and with
        self._ways: dict[str, tuple[Carrier, bytes]] = {}  # by upstream, with the lines of a head that never change
        self._carriers: dict[tuple[str, str | None, bool], Carrier] = {}
        for upstream in known:
            self._contexts(upstream)

    async def call(self, exchange: Exchange, body: bytes, tail: bytes) -> Answer:
        """Send `body` to the exchange's route and wait for the answer's head.

        `tail` is the path after `/v1` with its query. The route's upstreams are tried in order, the last of them
        again until there were `retries` further tries, and only while nothing of an answer was passed on. An answer
        with a status that another upstream may better is given up only while there is another. Sets `upstream` and
        `upstream_seconds` on the exchange. Raises UpstreamError.
        """
        assert exchange.route is not None
        candidates = exchange.route.upstreams
        # What is no inference may have taken effect though it failed: then only what was not begun is sent again, and
        # never on a used connection, whose end would leave open whether the request was seen.
        repeatable = SURFACES[exchange.asked.operation].inference or exchange.asked.method in _SAFE_METHODS
        elsewhere = _TRY_ANOTHER if repeatable else _NOT_BEGUN
        last = max(self._retries, len(candidates) - 1)
        for attempt in range(last + 1):
            upstream = exchange.upstream = candidates[min(attempt, len(candidates) - 1)]
            more_upstreams = attempt + 1 < len(candidates)
            try:
                answer = await self._once(exchange, upstream, body, tail, fresh=attempt > 0 or not repeatable)
            except UpstreamError as error:
                self._on_failure(upstream.name, error.reason)
                never_left = error.reason != "reset"
                if attempt == last or not error.what.retryable or not (repeatable or never_left):
                    raise
                continue
            try_next = more_upstreams and answer.status in elsewhere
            if try_next or answer.status >= 500:
                self._on_failure(upstream.name, "status")
            if not try_next:
                return answer
            answer.abort()
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def stream(self, exchange: Exchange, body: AsyncIterator[bytes], length: int | None, tail: bytes) -> Answer:
        """Like `call` for a body that is passed on as it comes; tried once. `length` None sends it in chunks."""
        assert exchange.route is not None
        upstream = exchange.upstream = exchange.route.upstreams[0]
        framing = _CHUNKED if length is None else b"content-length: %d\r\n" % length
        carrier, prefix = self._way(upstream)
        head = self._head(exchange, upstream, prefix, tail, framing)
        head_only = exchange.asked.method == "HEAD"
        began = self._clock()
        try:
            answer, _ = await carrier.request(head, None, head_only=head_only, fresh=True, chunked=length is None)
            try:
                async for piece in body:
                    if answer.settled:  # it answered early, most likely with a refusal, or broke off
                        break
                    await answer.send(piece)
                else:
                    answer.sent()
                await answer.head()
            except BaseException:
                answer.abort()
                raise
        except UpstreamError as error:
            self._on_failure(upstream.name, error.reason)
            raise
        finally:
            exchange.timing.upstream_seconds += self._clock() - began
        if answer.status >= 500:
            self._on_failure(upstream.name, "status")
        return answer

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Idle and busy connections by origin."""
        found: dict[str, tuple[int, int]] = {}
        for (origin, _, _), carrier in self._carriers.items():
            idle, busy = carrier.counts()
            others_idle, others_busy = found.get(origin, (0, 0))
            found[origin] = (idle + others_idle, busy + others_busy)
        return found

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        for carrier in self._carriers.values():
            await carrier.close()

    async def _once(self, exchange: Exchange, upstream: Upstream, body: bytes, tail: bytes, *, fresh: bool) -> Answer:
        framing = b"content-length: %d\r\n" % len(body) if body or exchange.asked.method not in _SAFE_METHODS else b""
        carrier, prefix = self._way(upstream)
        head = self._head(exchange, upstream, prefix, tail, framing)
        head_only = exchange.asked.method == "HEAD"
        began = self._clock()
        try:
            while True:
                answer, reused = await carrier.request(head, body, head_only=head_only, fresh=fresh)
                try:
                    await answer.head()
                    return answer
                except UpstreamError as error:
                    if not reused or error.reason != "reset":
                        raise
                    fresh = True  # the server closed an idle connection just as it was used: it never saw the request
                except asyncio.CancelledError:
                    answer.abort()
                    raise
        finally:
            exchange.timing.upstream_seconds += self._clock() - began

    def _head(self, exchange: Exchange, upstream: Upstream, prefix: bytes, tail: bytes, framing: bytes) -> bytes:
        return b"%b %b%b HTTP/1.1\r\n%b%b%b\r\n" % (
            exchange.asked.method.encode("ascii"),
            upstream.base_path.encode("ascii"),
            tail,
            prefix,
            framing,
            self._forward.upstream(exchange.asked.headers),
        )

    def _way(self, upstream: Upstream) -> tuple[Carrier, bytes]:
        way = self._ways.get(upstream.name)
        if way is None:
            key = (upstream.origin, upstream.proxy, upstream.http2)
            carrier = self._carriers.get(key)
            if carrier is None:
                carrier = self._carriers[key] = self._carrier(upstream)
            way = self._ways[upstream.name] = (carrier, _fixed_lines(upstream))
        return way

    def _carrier(self, upstream: Upstream) -> Carrier:
        tls, proxy_tls = self._contexts(upstream)
        if upstream.proxy is None and not upstream.http2:
            return Pool(upstream.host, upstream.port, self._limits, tls=tls)
        return HttpxPool(
            upstream.scheme,
            upstream.host,
            upstream.port,
            self._limits,
            tls=tls,
            http2=upstream.http2,
            proxy=upstream.proxy,
            proxy_tls=proxy_tls,
        )

    def _contexts(self, upstream: Upstream) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        """For the upstream and for its proxy, as far as they need one. The offer of HTTP/2 is written into them."""
        own = self._context(upstream.http2) if upstream.scheme == _HTTPS else None
        to_proxy = upstream.proxy is not None and upstream.proxy.startswith(_HTTPS)
        return own, self._context(False) if to_proxy else None

    def _context(self, http2: bool) -> ssl.SSLContext:
        if http2 not in self._tls:
            self._tls[http2] = tls_context()
        return self._tls[http2]


def _fixed_lines(upstream: Upstream) -> bytes:
    """Host and key: the same for every request to this upstream."""
    default_port = 443 if upstream.scheme == "https" else 80
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    lines = f"host: {host}" + (f":{upstream.port}" if upstream.port != default_port else "") + "\r\n"
    if upstream.key:
        lines += f"authorization: Bearer {upstream.key}\r\n"
    return lines.encode("latin-1")
