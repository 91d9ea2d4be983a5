"""What a judge model or probes may spend in an hour: calls, tokens and money, spread evenly."""

import math
from collections.abc import Callable
from dataclasses import dataclass

_HOUR = 3600.0
_SHORTEST_SECONDS = 0.001
_AT_ONCE = 1 / 60  # share of the hour's amount that may be spent at once
_MILLIONTHS = 1e6  # money is counted in millionths, because a bucket waits for one unit


class _Bucket:
    """Fills with the hour's amount in an hour; its content may become negative, and is then owed."""

    def __init__(self, an_hour: float, now: float) -> None:
        self._a_second = an_hour / _HOUR
        self._most = max(1.0, an_hour * _AT_ONCE)
        self._content = self._most if an_hour > 0 else 0.0
        self._at = now

    def spend(self, amount: float, now: float) -> None:
        self._fill(now)
        self._content -= amount

    def wait_seconds(self, now: float) -> float:
        """Seconds until something may be spent."""
        self._fill(now)
        missing = 1.0 - self._content
        if missing <= 0:
            return 0.0
        return max(_SHORTEST_SECONDS, missing / self._a_second) if self._a_second > 0 else math.inf

    def _fill(self, now: float) -> None:
        self._content = min(self._most, self._content + max(0.0, now - self._at) * self._a_second)
        self._at = now


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Prices of a million tokens, in the operator's currency."""

    input: float = 0.0
    output: float = 0.0

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


class CallBudget:
    """Calls, tokens and money of an hour; money in the currency of the prices. `clock` is monotonic seconds."""

    def __init__(
        self,
        calls_per_hour: float,
        tokens_per_hour: float,
        *,
        cost_per_hour: float = math.inf,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        now = clock()
        self._calls, self._tokens = _Bucket(calls_per_hour, now), _Bucket(tokens_per_hour, now)
        self._cost = _Bucket(cost_per_hour * _MILLIONTHS, now) if math.isfinite(cost_per_hour) else None

    def call(self) -> None:
        """Note that a call is made."""
        self._calls.spend(1, self._clock())

    def used(self, tokens: int, cost: float = 0.0) -> None:
        """Note what a call cost. That is known only afterwards, so after an expensive one the next has to wait."""
        now = self._clock()
        self._tokens.spend(tokens, now)
        if self._cost is not None:
            self._cost.spend(cost * _MILLIONTHS, now)

    def exhausted(self) -> tuple[str, float]:
        """Which amount is used up, and for how many seconds; 0 if a call may be made now."""
        now = self._clock()
        waits = {"calls": self._calls.wait_seconds(now), "tokens": self._tokens.wait_seconds(now)}
        if self._cost is not None:
            waits["cost"] = self._cost.wait_seconds(now)
        name = max(waits, key=lambda each: waits[each])
        return name, waits[name]
