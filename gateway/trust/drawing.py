"""Which judged samples get a second opinion: phase two of the two-phase sample.

A label tells most where the detector is in doubt: for a given number of labels the variance of the estimated rate is
smallest when a sample is drawn with a probability proportional to √(p(1 - p)), p the probability that it is harmful
(Neyman's allocation; arXiv 2403.03208 for labels on top of a model). Two things differ here. Above one half the need
stays at its highest, because what a detector is sure of on its benchmark may be a false alarm on other traffic. And
half of the budget is spent on everything alike, because the detector may be blind: what it never flags is seen often
enough to bound the harm in it, so that the rate is right however wrong the detector is. (With a small floor instead of
half, a label without a flag would stand for so much traffic that the interval were wider than without a detector.)
"""

import math
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple, Protocol

from gateway.trust.second_opinion import Reason

BLIND = 0.5  # the share of the budget that is spent without a look at the scores
_GAIN = 10.0  # with all its budget left the other half draws from a need of a tenth on everything
_BURST_SECONDS = 600.0
_HOUR = 3600.0


class Scored(Protocol):
    """A score of one sub-category and direction, as `ledger.Score` has it."""

    @property
    def direction(self) -> str: ...
    @property
    def slug(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def flagged(self) -> bool: ...


class Need(NamedTuple):
    """How much a second opinion on a sample would tell, from 0 to 1, and of which score that is due."""

    value: float
    reason: Reason
    direction: str
    slug: str


def doubt(score: float) -> float:
    """2·√(s(1 - s)) up to one half, 1 above it; 0 for what is no score."""
    if not 0 < score < 1:
        return 1.0 if score >= 1 else 0.0
    return 1.0 if score >= 0.5 else 2 * math.sqrt(score * (1 - score))


def need(scores: Iterable[Scored]) -> Need:
    """The largest over a sample's scores. A flag counts as a full need."""
    best = Need(0.0, "floor", "", "")
    for score in scores:
        value = 1.0 if score.flagged else doubt(score.score)
        if value > best.value:
            best = Need(value, "flagged" if score.flagged else "doubt", score.direction, score.slug)
    return best


def draw_of(sample: str) -> float:
    """The sample's number from 0, below 1: the same in every process and for good."""
    digest = blake2b(sample.encode("utf-8", "surrogatepass"), digest_size=6, person=b"second opinion").digest()
    return int.from_bytes(digest) / 2**48


def is_drawn(sample: str, probability: float) -> bool:
    """What is drawn with a smaller probability is also drawn with a larger one: so the samples for people are among
    those for the judge, as far as their budget is the smaller."""
    return draw_of(sample) < probability


class Budget:
    """Turns needs into probabilities so that about `per_hour` samples are drawn an hour, however many come.

    The probability of a sample follows from what came before it and from its own scores alone, so it is known exactly
    and the weights stay right while the budget adapts. `clock` is in seconds and may stand still or jump; a jump back
    gives nothing.
    """

    def __init__(self, per_hour: float, *, clock: Callable[[], float]) -> None:
        self._blind = _Purse(per_hour * BLIND)
        self._looking = _Purse(per_hour * (1 - BLIND))
        self._clock = clock
        self._looked_at = clock()

    def probability(self, need: float) -> float:
        """With which this sample is to be drawn, 0 when there is no budget; it counts as spent."""
        now = self._clock()
        passed, self._looked_at = max(0.0, now - self._looked_at), now
        blind = self._blind.share(1.0, passed)
        looking = self._looking.share(need * _GAIN, passed)
        return 1 - (1 - blind) * (1 - looking)


class _Purse:
    """So much an hour, of which some minutes' worth can be saved."""

    def __init__(self, per_hour: float) -> None:
        self._per_second = per_hour / _HOUR
        self._most = max(1.0, self._per_second * _BURST_SECONDS)
        self._left = self._most if per_hour > 0 else 0.0

    def share(self, wish: float, passed: float) -> float:
        """All of the wish while nothing is spent; the less is left, the less of it, in proportion."""
        self._left = min(self._most, self._left + passed * self._per_second)
        share = min(1.0, wish * self._left / self._most, self._left)
        self._left -= share
        return share
