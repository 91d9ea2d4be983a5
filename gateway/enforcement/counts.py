"""What a policy remembers about callers and their end users: how often a rule's condition held, and who is throttled
for how long.

It is kept in memory, so each gateway process counts for itself: with N processes a caller may get N times as far.
Times are seconds of the clock that is passed in.
"""

import math
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping

from gateway.enforcement.subjects import MOST_MOMENTS, Remembered, Subject
from policies.engine import Throttle

_MINUTE = 60.0
_REMEMBERED = 10_000  # moments of one subject and rule: the largest `at_least`


class _Matches:
    """When a rule's condition held for one subject."""

    __slots__ = ("times",)

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=_REMEMBERED)


class Counts:
    """How often each rule's condition held for each caller, or for each end user where the rule is in `by_end_user`."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_MOMENTS) -> None:
        self._clock = clock
        self._matches: Remembered[_Matches] = Remembered(most)

    def earlier(
        self, subject: Subject, windows: Mapping[str, float], by_end_user: Container[str] = ()
    ) -> dict[str, int]:
        """For each rule, how often its condition held within its window (seconds); rules without any are left out."""
        found: dict[str, int] = {}
        now = self._clock()
        for rule, seconds in windows.items():
            of = _counted(subject, rule, by_end_user)
            matches = self._matches.get(of, rule)
            if matches is None:
                continue
            times = matches.times
            while times and times[0] <= now - seconds:
                times.popleft()
            if times:
                found[rule] = len(times)
                self._matches.put(of, matches, rule)
            else:
                self._matches.drop(of, rule)
        return found

    def add(self, subject: Subject, rules: Iterable[str], by_end_user: Container[str] = ()) -> None:
        """Count these rules once more, now."""
        for rule in rules:
            of = _counted(subject, rule, by_end_user)
            matches = self._matches.get(of, rule) or _Matches()
            matches.times.append(self._clock())
            self._matches.put(of, matches, rule)


def _counted(subject: Subject, rule: str, by_end_user: Container[str]) -> Subject:
    return subject if rule in by_end_user else Subject(subject.caller)


class _Limit:
    """The limit of one subject: at most `per_minute` requests in any minute, until a moment."""

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
    """Callers and end users that a policy slowed down."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_MOMENTS) -> None:
        self._clock = clock
        self._limits: Remembered[_Limit] = Remembered(most)
        self.is_used = False  # somebody was slowed down once

    @property
    def has_end_users(self) -> bool:
        """Whether an end user may be slowed down now."""
        return self._limits.has_end_users

    def start(self, subject: Subject, throttle: Throttle) -> None:
        """Slow down the caller, or the end user if the rule says so, from now on.

        The stricter of this limit and one in force holds, as long as the longer of the two.
        """
        of = subject if throttle.by == "end_user" else Subject(subject.caller)
        self.is_used = True
        now = self._clock()
        until = now + throttle.for_seconds
        limit = self._limits.get(of)
        if limit is None or limit.until <= now:
            limit = _Limit(throttle.rule, throttle.per_minute, until)
        limit.until = max(limit.until, until)
        if throttle.per_minute < limit.per_minute:
            limit.per_minute, limit.rule = throttle.per_minute, throttle.rule
        self._limits.put(of, limit)

    def refusal(self, subject: Subject) -> tuple[str, int] | None:
        """If this very subject may not send now, the rule and the seconds to wait (1 or more). Otherwise None, and the
        request is counted."""
        limit = self._limits.get(subject)
        if limit is None:
            return None
        now = self._clock()
        if limit.until <= now:
            self._limits.drop(subject)
            return None
        seconds = limit.wait(now)
        self._limits.put(subject, limit)
        return (limit.rule, max(1, math.ceil(seconds))) if seconds > 0 else None
