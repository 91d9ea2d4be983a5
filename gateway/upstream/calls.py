"""Calls a model server: chooses one, tries again, and reports every try."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, Literal, Protocol

from gateway.config.settings import FAILOVER_STATUSES
from gateway.errors import UpstreamError
from gateway.exchange import Asked, Exchange, HedgeAfter, Route, Upstream
from gateway.openai_api import SURFACES
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.health import SETS_ASIDE, Cooldown, HealthBook, RetryBudget, UpstreamState
from gateway.upstream.hedging import Delays, Race
from gateway.upstream.outgoing import CHUNKED, SAFE_METHODS, Target, retry_after_seconds
from gateway.upstream.sending import ask, followed, uploaded
from gateway.upstream.traced import TracedResponse, Tracing, reason_of
from gateway.upstream.transport import FAILURES, Limits, Response
from gateway.upstream.transports import Transports

_BUSY = 429
# Statuses of failure that say that the request was not begun.
_NOT_BEGUN = frozenset({429, 503, 529})
# After these reasons another upstream may do better, but the same one would fail again after the same time.
_ONLY_ELSEWHERE = frozenset({"first_byte_timeout", "write_timeout", "bad_response"})
_STATUS = "status"
_INFERENCE = frozenset(surface.operation for surface in SURFACES.values() if surface.inference)


Hedged = Literal["won", "lost", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Tries:
    """What is tried again, and how often.

    `retries` is how often the last upstream is tried again, each time after a random pause of at most `pause_seconds`
    times 1, 2, 4, …; another upstream is tried at once. For an answer with one of `statuses` another upstream is tried,
    unless the answer asks for a wait of more than `longest_wait_seconds`. `budget` bounds further tries of the last
    upstream, and second tries beside a slow first one, as a share of all requests. `hedge_after` is when the latter
    start.
    """

    retries: int = 1
    pause_seconds: float = 0.05
    statuses: Collection[int] = frozenset(FAILOVER_STATUSES)
    longest_wait_seconds: float = 30.0
    budget: float = 0.2
    hedge_after: HedgeAfter = "never"


class Observer(Protocol):
    """Gets the results of tries, for metrics."""

    def answered(self, upstream: str, seconds: float) -> None:
        """The first byte came this long after the request was sent."""
        ...

    def failed(self, upstream: str, reason: str, *, begun: bool = False) -> None:
        """A try failed, or (`begun`) an answer failed after it had begun."""
        ...

    def failed_over(self, route: str, upstream: str) -> None:
        """A request goes on to this upstream because another one failed."""
        ...

    def hedged(self, route: str, result: Hedged) -> None:
        """A first try was slow, and this was the result of a second one beside it."""
        ...


class Upstreams:
    """All model servers. `known` are those that are prepared at the start: see `Transports`."""

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
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._once = self._tried if tracing is None else self._traced
        self._transports = Transports(limits, known)
        self._limits = limits
        self._forward = forward
        self._targets: dict[tuple[str, str], Target] = {}  # by route and upstream
        self._health = HealthBook(cooldown, clock=clock, draw=draw)
        self._observer = observer
        self._tries = tries
        self._budgets: dict[str, RetryBudget] = {}
        self._delays = Delays(tries.hedge_after)
        self._clock = clock
        self._draw = draw
        self._sleep = sleep

    def call(self, exchange: Exchange, body: bytes, tail: bytes) -> Coroutine[Any, Any, Response]:
        """Send `body` to the exchange's route and wait for the answer's head; to be awaited at once.

        `tail` is the path after `/v1` with its query. Upstreams that are not set aside are tried in the route's order,
        the last of them again, as `Tries` says, and only while nothing of an answer was passed on. An answer with one
        of the statuses of `Tries` is given up only while there is another upstream. Sets `upstream` and
        `upstream_seconds` on the exchange. Raises UpstreamError.
        """
        route = exchange.route
        assert route is not None
        budget = self._budgets.get(route.name) or self._budget(route)
        budget.request()
        candidates: Sequence[Upstream] = route.upstreams
        if len(candidates) > 1:
            candidates = self._health.order(candidates, route.balance)
        # A request other than inference may have taken effect although it failed. It is sent again only if it was not
        # begun, and never on a used connection: if that ends, nobody knows whether the request was seen.
        repeatable = exchange.asked.operation in _INFERENCE or exchange.asked.method in SAFE_METHODS
        hedged = len(candidates) > 1 and repeatable
        delay = self._hedge_delay(exchange, route, candidates[0]) if hedged else None
        return self._in_turn(exchange, route, candidates, body, tail, budget, repeatable, delay)

    async def _in_turn(
        self, exchange: Exchange, route: Route, candidates: Sequence[Upstream], body: bytes, tail: bytes,
        budget: RetryBudget, repeatable: bool, delay: float | None,
    ) -> Response:  # fmt: skip
        """Try one upstream after the other. With `delay` the first two run a race."""
        known = len(candidates)
        last = max(self._tries.retries, known - 1)
        attempt = 0
        while True:
            upstream = candidates[attempt if attempt < known else -1]
            if attempt:
                await self._before_another(route, upstream, attempt - known)
            try:
                if attempt or delay is None:
                    fresh = attempt > 0 or not repeatable
                    answer = await self._once(exchange, exchange.asked, route, upstream, body, tail, fresh)
                else:
                    race = self._race(exchange, route, candidates, body, tail, delay, budget)
                    try:
                        answer = await self._hedged(exchange, route, upstream, race)
                    finally:
                        attempt = race.tried - 1
            except UpstreamError as error:
                elsewhere = attempt + 1 < known
                if attempt >= last or not _may_be_repeated(error, repeatable, elsewhere):
                    raise
                if not elsewhere and not budget.take():
                    raise
            else:
                if attempt + 1 >= known or not self._may_be_bettered(answer, repeatable):
                    return answer
                answer.abort()
            attempt += 1

    async def stream(self, exchange: Exchange, body: AsyncIterator[bytes], length: int | None, tail: bytes) -> Response:
        """Like `call` for a body that is passed on as it comes; tried once. `length` None sends it in chunks."""
        route = exchange.route
        assert route is not None
        target = self._target(route, self._health.order(route.upstreams, route.balance)[0])
        if self._tracing is None:
            return await self._streamed(exchange, exchange.asked, target, body, length, tail)
        attempt = self._tracing.attempt(exchange.asked, target.upstream)
        try:
            answer = await self._streamed(exchange, attempt.asked, target, body, length, tail)
        except BaseException as error:
            attempt.failed(reason_of(error))
            raise
        return TracedResponse(answer, attempt)

    def broke_off(self, exchange: Exchange, error: UpstreamError, status: int) -> None:
        """An answer with this status failed after it had begun. If it is an error, the message tells its status."""
        if status >= FAILURES:
            error.message += f"; its status was {status}"
        if exchange.upstream is not None:
            self._observer.failed(exchange.upstream.name, error.reason, begun=True)

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Idle and busy connections by origin."""
        return self._transports.counts()

    def states(self) -> Mapping[str, UpstreamState]:
        """The health of each upstream that was asked, by name."""
        return self._health.states()

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        await self._transports.close()

    # --- inside

    def _budget(self, route: Route) -> RetryBudget:
        budget = self._budgets[route.name] = RetryBudget(self._tries.budget)
        return budget

    def _target(self, route: Route, upstream: Upstream) -> Target:
        found = self._targets.get((route.name, upstream.name))
        if found is None:
            transport, health = self._transports.of(upstream), self._health.of(upstream)
            found = Target(route, upstream, transport, health, self._forward, self._limits)
            self._targets[route.name, upstream.name] = found
        return found

    async def _before_another(self, route: Route, upstream: Upstream, times: int) -> None:
        """Another upstream is tried at once, the same one after a pause, so that not all requests return together."""
        if times < 0:
            self._observer.failed_over(route.name, upstream.name)
        else:
            await self._sleep(self._draw() * self._tries.pause_seconds * 2**times)

    def _may_be_bettered(self, answer: Response, repeatable: bool) -> bool:
        """Whether another upstream should be asked, because this answer's status is a failure."""
        status = answer.status
        if status < FAILURES or status not in self._tries.statuses:
            return False
        if not repeatable and status not in _NOT_BEGUN:
            return False
        return status != _BUSY or retry_after_seconds(answer.headers) <= self._tries.longest_wait_seconds

    def _hedge_delay(self, exchange: Exchange, route: Route, first: Upstream) -> float | None:
        """How long to wait before a second try; None for no second try. Streams begin soon or are slow throughout, so a
        second one would seldom help."""
        return None if exchange.asked.stream else self._delays.of(route, first)

    def _race(
        self,
        exchange: Exchange,
        route: Route,
        candidates: Sequence[Upstream],
        body: bytes,
        tail: bytes,
        delay: float,
        budget: RetryBudget,
    ) -> Race:
        def may_hedge() -> bool:
            if budget.take():
                return True
            self._observer.hedged(route.name, "refused")
            return False

        return Race(
            candidates[:2],
            lambda upstream: self._once(exchange, exchange.asked, route, upstream, body, tail, False),
            delay,
            self._sleep,
            may_hedge=may_hedge,
            is_good=lambda answer: not self._may_be_bettered(answer, True),
        )

    async def _hedged(self, exchange: Exchange, route: Route, first: Upstream, race: Race) -> Response:
        """The race's answer. Both tries ran at the same time, so their times are not added up."""
        before, began = exchange.timing.upstream_seconds, self._clock()
        try:
            return await race.run()
        finally:
            seconds = self._clock() - began
            exchange.timing.upstream_seconds = before + seconds
            exchange.upstream = race.winner or exchange.upstream
            if race.tried > 1:
                result: Hedged = "failed" if race.winner is None else "lost" if race.winner is first else "won"
                self._observer.hedged(route.name, result)
            if race.winner is not None:
                # If the second try won, the first would have taken even longer. Leaving it out would lower the
                # percentile, and so cause ever more second tries.
                self._delays.saw(route, first, seconds)

    async def _traced(
        self, exchange: Exchange, asked: Asked, route: Route, upstream: Upstream, body: bytes, tail: bytes, fresh: bool
    ) -> Response:
        """One try, in the trace of the exchange."""
        assert self._tracing is not None
        attempt = self._tracing.attempt(asked, upstream)
        try:
            answer = await self._tried(exchange, attempt.asked, route, upstream, body, tail, fresh)
        except BaseException as error:
            attempt.failed(reason_of(error))
            raise
        return TracedResponse(answer, attempt)

    async def _tried(
        self, exchange: Exchange, asked: Asked, route: Route, upstream: Upstream, body: bytes, tail: bytes, fresh: bool
    ) -> Response:
        """One try. `asked` has the headers to send."""
        target = self._target(route, upstream)
        outgoing = target.body(asked, body) if asked.packed or upstream.model is not None else body
        head = target.head(asked, tail, outgoing)
        began = self._begin(exchange, target)
        try:
            answer = await ask(target, head, outgoing, asked.method == "HEAD", fresh)
            if 300 <= answer.status < 400:
                answer = await followed(answer, target, head, outgoing, asked.method == "HEAD")
        except BaseException as error:
            self._failed(exchange, target, began, error)
            raise
        self._answered(exchange, target, began, answer)
        return answer

    async def _streamed(
        self,
        exchange: Exchange,
        asked: Asked,
        target: Target,
        body: AsyncIterator[bytes],
        length: int | None,
        tail: bytes,
    ) -> Response:
        framing = CHUNKED if length is None else b"content-length: %d\r\n" % length
        head = target.head(asked, tail, None, framing)
        began = self._begin(exchange, target, uploads=True)
        try:
            answer = await uploaded(target, head, body, asked.method == "HEAD", length is None)
        except BaseException as error:
            self._failed(exchange, target, began, error)
            raise
        self._answered(exchange, target, began, answer, uploaded=True)
        return answer

    # The result of a try is reported to the upstream's health and to the observer.

    def _begin(self, exchange: Exchange, target: Target, *, uploads: bool = False) -> float:
        exchange.upstream = target.upstream
        began = self._clock()
        target.health.chosen(inf if uploads else began)
        return began

    def _failed(self, exchange: Exchange, target: Target, began: float, error: BaseException) -> None:
        now = self._clock()
        exchange.timing.upstream_seconds += now - began
        if isinstance(error, UpstreamError):
            self._observer.failed(target.upstream.name, error.reason)
        if isinstance(error, UpstreamError) and error.reason in SETS_ASIDE:
            target.health.failed(began, now)
        else:
            target.health.left()

    def _answered(
        self, exchange: Exchange, target: Target, began: float, answer: Response, *, uploaded: bool = False
    ) -> None:
        now = self._clock()
        seconds = now - began
        exchange.timing.upstream_seconds += seconds
        self._observer.answered(target.upstream.name, seconds)
        if answer.status < FAILURES or answer.status not in self._tries.statuses:
            target.health.answered(now, None if uploaded else seconds)
        else:
            target.health.answered_badly(began, now, retry_after_seconds(answer.headers))
        if answer.status >= FAILURES and (answer.status >= 500 or answer.status in self._tries.statuses):
            self._observer.failed(target.upstream.name, _STATUS, begun=True)


def _may_be_repeated(error: UpstreamError, repeatable: bool, elsewhere: bool) -> bool:
    """Whether a request that failed like this may be sent again, to another upstream (`elsewhere`) or to the same."""
    if not repeatable:
        return error.what.retryable and error.reason != "reset"
    return error.what.retryable or (elsewhere and error.reason in _ONLY_ELSEWHERE)
