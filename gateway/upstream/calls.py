"""Calls a model server: builds the request's head, tries upstreams in order, and tells of every failure."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from time import monotonic

from gateway.errors import UpstreamError
from gateway.exchange import Exchange, Upstream
from gateway.openai_api import SURFACES
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.transport import Limits, Response
from gateway.upstream.transports import Transports

# Gateways of the upstream's side saying "not me, not now": another upstream may answer.
_TRY_ANOTHER = frozenset({429, 502, 503, 504})
# Those among them that say it was not even begun.
_NOT_BEGUN = frozenset({429, 503})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHUNKED = b"transfer-encoding: chunked\r\n"


class Upstreams:
    """All model servers. `known` are those that are prepared for: see `Transports`."""

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
        self._transports = Transports(limits, known)
        self._forward = forward
        self._retries = retries
        self._on_failure = on_failure
        self._clock = clock

    async def call(self, exchange: Exchange, body: bytes, tail: bytes) -> Response:
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

    async def stream(self, exchange: Exchange, body: AsyncIterator[bytes], length: int | None, tail: bytes) -> Response:
        """Like `call` for a body that is passed on as it comes; tried once. `length` None sends it in chunks."""
        assert exchange.route is not None
        upstream = exchange.upstream = exchange.route.upstreams[0]
        framing = _CHUNKED if length is None else b"content-length: %d\r\n" % length
        transport, prefix = self._transports.of(upstream)
        head = self._head(exchange, upstream, prefix, tail, framing)
        head_only = exchange.asked.method == "HEAD"
        began = self._clock()
        try:
            answer = await transport.request(head, None, head_only=head_only, fresh=True, chunked=length is None)
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
        return self._transports.counts()

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        await self._transports.close()

    async def _once(self, exchange: Exchange, upstream: Upstream, body: bytes, tail: bytes, *, fresh: bool) -> Response:
        framing = b"content-length: %d\r\n" % len(body) if body or exchange.asked.method not in _SAFE_METHODS else b""
        transport, prefix = self._transports.of(upstream)
        head = self._head(exchange, upstream, prefix, tail, framing)
        head_only = exchange.asked.method == "HEAD"
        began = self._clock()
        try:
            while True:
                answer = await transport.request(head, body, head_only=head_only, fresh=fresh)
                try:
                    await answer.head()
                    return answer
                except UpstreamError as error:
                    if not answer.reused or error.reason != "reset":
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
