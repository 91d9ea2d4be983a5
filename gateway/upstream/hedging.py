"""Hedging: a second try beside a slow first one; the first good answer wins and the other try is given up.

Dean and Barroso, The Tail at Scale (2013). A second try may cost its tokens too, so hedging is off by default.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from gateway.exchange import HedgeAfter, Route, Upstream
from gateway.upstream.transport import Response

_REMEMBERED = 256  # latest times to the first byte, for each upstream of a route
_ENOUGH = 20  # fewer say nothing of a 95th percentile
_SHARE = 0.95

Start = Callable[[Upstream], Coroutine[Any, Any, Response]]


class Delays:
    """How long to wait for a first try before a second one starts; `general` applies if a route says nothing.

    `p95` is the time within which 95 % of the last 256 first bytes came, of this upstream on this route.
    """

    def __init__(self, general: HedgeAfter) -> None:
        self._general = general
        self._seen: dict[tuple[str, str], deque[float]] = {}

    def of(self, route: Route, upstream: Upstream) -> float | None:
        """Seconds, infinite while too little is known; None for no second try."""
        after = self._general if route.hedge_after is None else route.hedge_after
        if isinstance(after, float):
            return after
        if after == "never":
            return None
        seen = self._seen.get((route.name, upstream.name), ())
        return math.inf if len(seen) < _ENOUGH else sorted(seen)[int(_SHARE * len(seen))]

    def saw(self, route: Route, upstream: Upstream, seconds: float) -> None:
        """The first byte came after so long, or we stopped waiting then."""
        key = route.name, upstream.name
        if key not in self._seen:
            self._seen[key] = deque(maxlen=_REMEMBERED)
        self._seen[key].append(seconds)


class Race:
    """A try of the first of two upstreams and, after `delay` seconds, if `may_hedge`, one of the second beside it.

    `tried` and `winner`: how many began, and whose answer it is (None if no answer was good).
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        start: Start,
        delay: float,
        wait: Callable[[float], Awaitable[None]],
        *,
        may_hedge: Callable[[], bool],
        is_good: Callable[[Response], bool],
    ) -> None:
        self.tried = 1
        self.winner: Upstream | None = None
        self._upstreams = upstreams
        self._start = start
        self._delay = delay
        self._wait = wait
        self._may_hedge = may_hedge
        self._is_good = is_good
        self._tries: list[asyncio.Task[Response]] = []

    async def run(self) -> Response:
        """The first good answer, else the result of the last try. Raises UpstreamError."""
        taken: asyncio.Task[Response] | None = None
        try:
            await self._begin()
            taken = await self._first_good() or self._tries[-1]
            return taken.result()
        finally:
            await self._give_up([each for each in self._tries if each is not taken])

    async def _begin(self) -> None:
        """Start the first try, and the second if the first takes too long."""
        loop = asyncio.get_running_loop()
        first = loop.create_task(self._start(self._upstreams[0]))
        self._tries.append(first)
        if self._delay == math.inf:
            return
        waiting = loop.create_task(self._waited())
        try:
            await asyncio.wait((first, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not first.done() and self._may_hedge():
            self.tried = 2
            self._tries.append(loop.create_task(self._start(self._upstreams[1])))

    async def _waited(self) -> None:
        await self._wait(self._delay)

    async def _first_good(self) -> asyncio.Task[Response] | None:
        under_way = set(self._tries)
        while under_way:
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for upstream, ended in zip(self._upstreams, self._tries, strict=False):
                if ended in done and ended.exception() is None and self._is_good(ended.result()):
                    self.winner = upstream
                    return ended
        return None

    async def _give_up(self, tries: Sequence[asyncio.Task[Response]]) -> None:
        for each in tries:
            each.cancel()
        for ended in await asyncio.gather(*tries, return_exceptions=True):
            if not isinstance(ended, BaseException):
                ended.abort()
