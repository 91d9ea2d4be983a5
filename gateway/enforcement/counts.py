"""What a policy remembers about callers: how often a rule's condition held, and who is throttled for how long.

In memory, so each gateway process counts for itself: with N processes a caller may get up to N times as far. Callers
are the configured keys, so there are only so many of them; times are seconds of the clock that is passed in.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from policies.engine import Throttle

_MINUTE = 60.0
_REMEMBERED = 10_000  # of one caller and rule: the largest `at_least`


class Counts:
    """How often each rule's condition held for each caller."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: dict[tuple[str, str], deque[float]] = {}

    def earlier(self, caller: str, windows: Mapping[str, float]) -> dict[str, int]:
        """By rule, how often within its window (seconds); rules that never did are left out."""
        found: dict[str, int] = {}
        now = self._clock()
        for rule, seconds in windows.items():
            times = self._times.get((caller, rule))
            if times is None:
                continue
            while times and times[0] <= now - seconds:
                times.popleft()
            if times:
                found[rule] = len(times)
            else:
                del self._times[caller, rule]
        return found

    def add(self, caller: str, rules: Iterable[str]) -> None:
        """Once more, now."""
        for rule in rules:
            self._times.setdefault((caller, rule), deque(maxlen=_REMEMBERED)).append(self._clock())


class _Limit:
    """One caller's: at most `per_minute` in any minute, until a moment."""

    __slots__ = ("per_minute", "rule", "times", "until")

    def __init__(self, rule: str, per_minute: int, until: float) -> None:
        self.rule = rule
        self.per_minute = per_minute
        self.until = until
        self.times: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Seconds until the next request may come; 0 when this one may, which then counts."""
        while self.times and self.times[0] <= now - _MINUTE:
            self.times.popleft()
        if len(self.times) < self.per_minute:
            self.times.append(now)
            return 0.0
        free = self.times[0] + _MINUTE if self.times else math.inf
        return min(free, self.until) - now


class Throttles:
    """Callers that a policy slowed down."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits: dict[str, _Limit] = {}

    def start(self, caller: str, throttle: Throttle) -> None:
        """Slow the caller down from now on. A limit in force stays if it is stricter, and lasts as long as either."""
        now = self._clock()
        until = now + throttle.for_seconds
        limit = self._limits.get(caller)
        if limit is None or limit.until <= now:
            self._limits[caller] = _Limit(throttle.rule, throttle.per_minute, until)
            return
        limit.until = max(limit.until, until)
        if throttle.per_minute < limit.per_minute:
            limit.per_minute, limit.rule = throttle.per_minute, throttle.rule

    def refusal(self, caller: str) -> tuple[str, int] | None:
        """The rule and the seconds to wait (1 or more) when the caller may not send now; else the request counts."""
        if not self._limits:
            return None
        limit = self._limits.get(caller)
        now = self._clock()
        if limit is None or limit.until <= now:
            self._limits.pop(caller, None)
            return None
        seconds = limit.wait(now)
        return (limit.rule, max(1, math.ceil(seconds))) if seconds > 0 else None
