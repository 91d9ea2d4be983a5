"""Calls a model server: chooses it, tries again, and reports every try."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Protocol

from gateway.config.settings import FAILOVER_STATUSES
from gateway.errors import UpstreamError
from gateway.exchange import Exchange, Route, Upstream
from gateway.openai_api import SURFACES
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.health import SETS_ASIDE, Cooldown, HealthBook, RetryBudget, State
from gateway.upstream.outgoing import CHUNKED, SAFE_METHODS, Outgoing, retry_after_seconds
from gateway.upstream.redirects import MOST_REDIRECTS, redirected
from gateway.upstream.transport import Limits, Response
from gateway.upstream.transports import Transports

_BUSY = 429
# Those among them that say it was not even begun.
_NOT_BEGUN = frozenset({429, 503, 529})
_STATUS = "status"


@dataclass(frozen=True, slots=True)
class Tries:
    """What is tried again, and how often.

    `retries` further tries of the last upstream, each after a pause drawn up to `pause_seconds` times 2, 4, …; another
    upstream is tried at once. `statuses` of an answer that another upstream may better, unless it asks to wait longer
    than `longest_wait_seconds`. `budget` bounds the further tries of the last upstream, as a share of all requests.
    """

    retries: int = 1
    pause_seconds: float = 0.05
    statuses: Collection[int] = frozenset(FAILOVER_STATUSES)
    longest_wait_seconds: float = 30.0
    budget: float = 0.2


class Observer(Protocol):
    """Told of what becomes of tries: metrics."""

    def answered(self, upstream: str, seconds: float) -> None:
        """A first byte came so long after the request was sent."""
        ...

    def failed(self, upstream: str, reason: str, *, begun: bool = False) -> None:
        """A try failed, or an answer that had begun did."""
        ...

    def failed_over(self, route: str, upstream: str) -> None:
        """A request goes on to this upstream because another one failed."""
        ...


class Upstreams:
    """All model servers. `known` are those that are prepared for: see `Transports`."""

    def __init__(
        self,
        limits: Limits,
        forward: HeaderFilter,
        observer: Observer,
        *,
        known: Iterable[Upstream] = (),
        tries: Tries = Tries(),
        cooldown: Cooldown = Cooldown(),
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transports = Transports(limits, known)
        self._outgoing = Outgoing(forward, limits)
        self._health = HealthBook(cooldown, clock=clock, draw=draw)
        self._observer = observer
        self._tries = tries
        self._budgets: dict[str, RetryBudget] = {}
        self._clock = clock
        self._draw = draw
        self._sleep = sleep

    async def call(self, exchange: Exchange, body: bytes, tail: bytes) -> Response:
        """Send `body` to the exchange's route and wait for the answer's head.

        `tail` is the path after `/v1` with its query. Upstreams that are not set aside are tried as the route orders
        them, the last of them again, as `Tries` says, and only while nothing of an answer was passed on. An answer with
        a status that another upstream may better is given up only while there is another. Sets `upstream` and
        `upstream_seconds` on the exchange. Raises UpstreamError.
        """
        route = exchange.route
        assert route is not None
        budget = self._budget(route)
        budget.request()
        candidates = self._health.order(route.upstreams, route.balance)
        # What is no inference may have taken effect though it failed: then only what was not begun is sent again, and
        # never on a used connection, whose end would leave open whether the request was seen.
        repeatable = SURFACES[exchange.asked.operation].inference or exchange.asked.method in SAFE_METHODS
        last = max(self._tries.retries, len(candidates) - 1)
        for attempt in range(last + 1):
            upstream = candidates[min(attempt, len(candidates) - 1)]
            if attempt:
                await self._before_another(route, upstream, attempt - len(candidates))
            try:
                answer = await self._once(exchange, upstream, body, tail, fresh=attempt > 0 or not repeatable)
            except UpstreamError as error:
                never_left = error.reason != "reset"
                again = attempt < last and error.what.retryable and (repeatable or never_left)
                more_upstreams = attempt + 1 < len(candidates)
                if not again or not (more_upstreams or budget.take()):
                    raise
                continue
            if not self._may_be_bettered(answer, repeatable, attempt + 1 < len(candidates)):
                return answer
            answer.abort()
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def stream(self, exchange: Exchange, body: AsyncIterator[bytes], length: int | None, tail: bytes) -> Response:
        """Like `call` for a body that is passed on as it comes; tried once. `length` None sends it in chunks."""
        route = exchange.route
        assert route is not None
        upstream = self._health.order(route.upstreams, route.balance)[0]
        framing = CHUNKED if length is None else b"content-length: %d\r\n" % length
        transport, fixed = self._transports.of(upstream)
        head = self._outgoing.head(exchange.asked, upstream, fixed, tail, None, framing)
        limits = self._outgoing.limits(route, upstream)

        async def send() -> Response:
            answer = await transport.request(
                head, None, head_only=exchange.asked.method == "HEAD", fresh=True, chunked=length is None, limits=limits
            )
            try:
                async for piece in body:
                    if answer.settled:  # it answered early, most likely with a refusal, or broke off
                        break
                    await answer.send(piece)
                else:
                    answer.sent()
                await answer.head()
                redirect = redirected(answer.status, answer.headers, upstream, b"/")
            except BaseException:
                answer.abort()
                raise
            if redirect is not None:
                answer.abort()
                raise UpstreamError("bad_response", "the upstream redirects an upload, which is not sent again")
            return answer

        return await self._watched(exchange, upstream, send())

    def broke_off(self, exchange: Exchange, error: UpstreamError) -> None:
        """An answer that had begun failed."""
        if exchange.upstream is not None:
            self._observer.failed(exchange.upstream.name, error.reason, begun=True)

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Idle and busy connections by origin."""
        return self._transports.counts()

    def states(self) -> Mapping[str, State]:
        """The health of each upstream that was asked, by name."""
        return self._health.states()

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        await self._transports.close()

    # --- inside

    def _budget(self, route: Route) -> RetryBudget:
        budget = self._budgets.get(route.name)
        if budget is None:
            budget = self._budgets[route.name] = RetryBudget(self._tries.budget)
        return budget

    async def _before_another(self, route: Route, upstream: Upstream, times: int) -> None:
        """Another upstream is tried at once; the same one after a pause, so that all do not come back together."""
        if times < 0:
            self._observer.failed_over(route.name, upstream.name)
        else:
            await self._sleep(self._draw() * self._tries.pause_seconds * 2**times)

    def _may_be_bettered(self, answer: Response, repeatable: bool, more_upstreams: bool) -> bool:
        status = answer.status
        if not more_upstreams or status not in self._tries.statuses or not (repeatable or status in _NOT_BEGUN):
            return False
        return status != _BUSY or retry_after_seconds(answer.headers) <= self._tries.longest_wait_seconds

    def _once(
        self, exchange: Exchange, upstream: Upstream, body: bytes, tail: bytes, *, fresh: bool
    ) -> Coroutine[Any, Any, Response]:
        assert exchange.route is not None
        asked = exchange.asked
        transport, fixed = self._transports.of(upstream)
        limits = self._outgoing.limits(exchange.route, upstream)
        outgoing = self._outgoing.body(asked, upstream, body)
        head = self._outgoing.head(asked, upstream, fixed, tail, outgoing)
        request = partial(transport.request, body=outgoing, head_only=asked.method == "HEAD", limits=limits)
        return self._watched(exchange, upstream, _answered(request, head, upstream, fresh))

    async def _watched(
        self, exchange: Exchange, upstream: Upstream, answered: Coroutine[Any, Any, Response]
    ) -> Response:
        """One try. Its outcome is reported to the upstream's health and to the observer."""
        exchange.upstream = upstream
        health = self._health.of(upstream)
        health.chosen()
        began = self._clock()
        try:
            answer = await answered
        except UpstreamError as error:
            now = self._clock()
            self._observer.failed(upstream.name, error.reason)
            if error.reason in SETS_ASIDE:
                health.failed(began, now)
            else:
                health.left()
            raise
        except BaseException:
            health.left()
            raise
        finally:
            exchange.timing.upstream_seconds += self._clock() - began
        now = self._clock()
        self._observer.answered(upstream.name, now - began)
        if answer.status in self._tries.statuses:
            health.answered_badly(began, now, retry_after_seconds(answer.headers))
        else:
            health.answered(now, now - began)
        if answer.status >= 500 or answer.status in self._tries.statuses:
            self._observer.failed(upstream.name, _STATUS, begun=True)
        return answer


async def _answered(
    request: Callable[..., Awaitable[Response]], head: bytes, upstream: Upstream, fresh: bool
) -> Response:
    """A request and the head of its answer. Redirects that stay with the upstream are followed, and a request is sent
    again where a used connection had gone stale."""
    for _ in range(MOST_REDIRECTS):
        answer = await request(head, fresh=fresh)
        try:
            await answer.head()
        except UpstreamError as error:
            if not answer.reused or error.reason != "reset":
                raise
            # The server closed an idle connection just as it was used: it never saw the request.
            return await _answered(request, head, upstream, True)
        except asyncio.CancelledError:
            answer.abort()
            raise
        if not 300 <= answer.status < 400:
            return answer
        target = head.split(b" ", 2)[1]
        try:
            there = redirected(answer.status, answer.headers, upstream, target)
        except UpstreamError:
            answer.abort()
            raise
        if there is None:
            return answer
        answer.abort()
        head = head.replace(target, there, 1)
    raise UpstreamError("bad_response", f"the upstream redirected the request {MOST_REDIRECTS} times")
