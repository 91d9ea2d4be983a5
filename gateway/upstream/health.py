"""Passive health: which upstreams are set aside, for how long, and who tries them again.

An upstream that cannot be reached, or does not begin to answer in time, is set aside; so is one that answers several
times in a row with a failure. Its cool-down grows with every failure in a row, with jitter so that many processes do
not return at once. After it, one request is the probe, and its result decides. Nothing is sent that no client asked
for.

Until a failure is known, an upstream that has gone silent is suspected: requests wait there, and it has begun no answer
for much longer than recent answers took. Then others come first. This is worked out when there is a choice and is not a
state: it ends with an answer, or with the last request that waited.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log
from time import monotonic
from types import MappingProxyType

from gateway.exchange import Balance, Upstream

# Reasons that say that the upstream itself, and not this one request, is in trouble.
SETS_ASIDE = frozenset(
    {"connect_failed", "connect_timeout", "tls_failed", "write_timeout", "first_byte_timeout", "reset", "bad_response"}
)
_BAD_IN_A_ROW = 3  # so many failing answers set an upstream aside as well
_LATENCY_SHARE = 0.3  # weight of a new observation in the running mean
_SILENCE = 3.0  # times the slowest recent first byte: then an upstream is suspected
_LEAST_SILENCE_SECONDS = 0.25
_SLOWEST_KEPT = 0.99  # share of the slowest first byte that is kept at each answer: it halves in 69 of them
_FORGET_SECONDS = 10.0  # the expected latency of an upstream that nobody asks falls by 2.7 in this time


class UpstreamState(StrEnum):
    """What is known of an upstream. These are the values of the metric."""

    UP = "up"
    ASIDE = "aside"
    PROBED = "probed"  # aside, and one request is finding out
    SUSPECTED = "suspected"  # up, but silent: worked out, never stored


class RequestResult(StrEnum):
    """What happened to a request to an upstream."""

    CHOSEN = "chosen"
    ANSWERED = "answered"
    FAILED = "failed"
    LEFT = "left"  # given up before it came to anything


TRANSITIONS: Mapping[RequestResult, Mapping[UpstreamState, UpstreamState]] = MappingProxyType(
    {
        # An upstream is chosen while it is probed if there is no other.
        RequestResult.CHOSEN: {
            UpstreamState.UP: UpstreamState.UP,
            UpstreamState.ASIDE: UpstreamState.PROBED,
            UpstreamState.PROBED: UpstreamState.PROBED,
        },
        # A request that was under way before may be answered while the upstream is set aside.
        RequestResult.ANSWERED: {
            UpstreamState.UP: UpstreamState.UP,
            UpstreamState.ASIDE: UpstreamState.UP,
            UpstreamState.PROBED: UpstreamState.UP,
        },
        RequestResult.FAILED: {
            UpstreamState.UP: UpstreamState.ASIDE,
            UpstreamState.ASIDE: UpstreamState.ASIDE,
            UpstreamState.PROBED: UpstreamState.ASIDE,
        },
        RequestResult.LEFT: {
            UpstreamState.UP: UpstreamState.UP,
            UpstreamState.ASIDE: UpstreamState.ASIDE,
            UpstreamState.PROBED: UpstreamState.ASIDE,
        },
    }
)
# Bound here, because looking up a member of an enumeration costs more than everything else that is done with it.
_ON_CHOSEN, _ON_ANSWERED, _ON_FAILED, _ON_LEFT = (TRANSITIONS[event] for event in RequestResult)
_UP, _ASIDE, _PROBED, _SUSPECTED = UpstreamState


@dataclass(frozen=True, slots=True)
class Cooldown:
    """How many seconds an upstream is set aside: the first time, and at most."""

    first_seconds: float = 1.0
    most_seconds: float = 60.0


class Health:
    """The health of one upstream. Each call passes the time of one clock."""

    def __init__(self, cooldown: Cooldown, draw: Callable[[], float] = random.random) -> None:
        self.state = _UP
        self.under_way = 0
        self._cooldown = cooldown
        self._draw = draw
        self._pause = cooldown.first_seconds
        self._retry_at = 0.0
        self._bad_in_a_row = 0
        self._mean = 0.0
        self._measured_at = 0.0
        self._silent_since = 0.0  # while requests wait
        self._slowest = 0.0  # slowest recent first byte; 0 until the first answer

    def may_be_tried(self, now: float) -> bool:
        """Whether a request may go there while others could serve it."""
        return self.state is _UP or (self.state is _ASIDE and now >= self._retry_at)

    def is_silent(self, now: float) -> bool:
        """Whether requests wait there, and it has begun no answer for much longer than recent answers took."""
        patience = max(_SILENCE * self._slowest, _LEAST_SILENCE_SECONDS)
        return self.under_way > 0 and now - self._silent_since >= patience

    def is_suspected(self, now: float) -> bool:
        """Whether others should come first. An upstream that never answered gets one request at a time."""
        return self.is_silent(now) if self._slowest else self.under_way > 0

    def seen(self, now: float) -> UpstreamState:
        """Its state, or SUSPECTED if it is up and silent."""
        return _SUSPECTED if self.state is _UP and self.is_silent(now) else self.state

    def ready_at(self) -> float:
        """When it may be tried again."""
        return self._retry_at

    def latency(self, now: float) -> float:
        """The expected seconds to the first byte, given the requests that wait there. 0 while nothing is known."""
        faded = self._mean * exp((self._measured_at - now) / _FORGET_SECONDS)
        return faded * (1 + self.under_way)

    def chosen(self, now: float) -> None:
        """A request goes there. For an upload `now` is infinite, because the client decides how long it takes."""
        if not self.under_way:
            self._silent_since = now
        self.under_way += 1
        self.state = _ON_CHOSEN[self.state]

    def answered(self, now: float, seconds: float | None) -> None:
        """A request was answered, with its first byte after so many seconds; None if the client decided that time."""
        self.under_way -= 1
        self.state = _ON_ANSWERED[self.state]
        self._bad_in_a_row = 0
        self._pause = self._cooldown.first_seconds
        self._silent_since = now
        if seconds is not None:
            self._mean += (seconds - self._mean) * (_LATENCY_SHARE if self._mean else 1.0)
            self._measured_at = now
            slowest = self._slowest * _SLOWEST_KEPT
            self._slowest = seconds if seconds > slowest else slowest

    def answered_badly(self, began: float, now: float, wait_seconds: float) -> None:
        """A request was answered with a failing status that asks for such a wait."""
        self._bad_in_a_row += 1
        self._silent_since = now
        if self._bad_in_a_row >= _BAD_IN_A_ROW or self.state is _PROBED:
            self.failed(began, now)
            self._retry_at = max(self._retry_at, now + min(wait_seconds, self._cooldown.most_seconds))
        else:
            self.under_way -= 1
            self.state = _ON_ANSWERED[self.state]

    def failed(self, began: float, now: float) -> None:
        """A request that began then failed because of the upstream. Many that fail at once count as one failure."""
        self.under_way -= 1
        fresh = self.state is not _ASIDE or began >= self._retry_at
        self.state = _ON_FAILED[self.state]
        if fresh:
            self._retry_at = now + self._pause * (0.5 + self._draw() / 2)
            self._pause = min(2 * self._pause, self._cooldown.most_seconds)

    def left(self) -> None:
        """A request was given up by us."""
        self.under_way -= 1
        self.state = _ON_LEFT[self.state]


class HealthBook:
    """The health of all upstreams by name, and the order in which those of a route are tried."""

    def __init__(
        self,
        cooldown: Cooldown,
        *,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._cooldown = cooldown
        self._clock = clock
        self._draw = draw
        self._known: dict[str, Health] = {}

    def of(self, upstream: Upstream) -> Health:
        """What is known of it."""
        health = self._known.get(upstream.name)
        if health is None:
            health = self._known[upstream.name] = Health(self._cooldown, self._draw)
        return health

    def order(self, upstreams: Sequence[Upstream], balance: Balance) -> Sequence[Upstream]:
        """The upstreams to try, in order: at least one, none that is set aside while another is not, and suspected ones
        last."""
        if len(upstreams) == 1:
            return upstreams
        now = self._clock()
        usable = [upstream for upstream in upstreams if self.of(upstream).may_be_tried(now)]
        if not usable:
            return [min(upstreams, key=lambda upstream: self.of(upstream).ready_at())]
        if balance == "weights":
            usable.sort(key=self._lot)
        elif balance == "latency":
            usable.sort(key=lambda upstream: self.of(upstream).latency(now))
        if self.of(usable[0]).is_suspected(now):
            usable.sort(key=lambda upstream: self.of(upstream).is_suspected(now))
        return usable

    def states(self) -> Mapping[str, UpstreamState]:
        """The state of every upstream that was ever asked, by name."""
        now = self._clock()
        return {name: health.seen(now) for name, health in self._known.items()}

    def _lot(self, upstream: Upstream) -> float:
        """A sort key by which each comes first as often as its weight says (Efraimidis and Spirakis, 2006)."""
        return -log(max(self._draw(), 1e-12)) / upstream.weight


class RetryBudget:
    """Bounds further tries to a share of recent requests: if everything is down, tries must not multiply the load.

    Every request adds `share` to a bucket, and every further try takes 1 from it.
    """

    def __init__(self, share: float, most: float = 10.0) -> None:
        self._share = share
        self._most = most
        self._left = most

    def request(self) -> None:
        """A request came."""
        if self._left < self._most:
            self._left = min(self._most, self._left + self._share)

    def take(self) -> bool:
        """Whether there may be a further try; if so, it is taken from the budget."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
