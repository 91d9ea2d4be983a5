"""Which judged samples get a second opinion: phase two of the two-phase sample.

What a label of each sample would tell is learned from the labels that there are (`allocation`). A part of the budget is
spent on everything alike, because what was learned may be wrong: what the detector never flags is seen often enough to
bound the harm in it, and a label never stands for much more traffic than if all were drawn alike.
"""

from collections.abc import Callable
from hashlib import blake2b

BLIND = 0.2  # the share of the budget that is spent without a look at the scores
_BURST_SECONDS = 600.0
_LEAST_SAVED = 20.0  # draws: with fewer in hand, samples of unlike need would be drawn alike
_HOUR = 3600.0


def draw_of(sample: str) -> float:
    """The sample's number from 0, below 1: the same in every process and for good."""
    digest = blake2b(sample.encode("utf-8", "surrogatepass"), digest_size=6, person=b"second opinion").digest()
    return int.from_bytes(digest) / 2**48


def is_drawn(sample: str, probability: float) -> bool:
    """What is drawn with a smaller probability is also drawn with a larger one: so the samples for people are among
    those for the judge, as far as their budget is the smaller."""
    return draw_of(sample) < probability


class DrawBudget:
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

    def probability(self, need: float = 1.0) -> float:
        """With which this sample is to be drawn, 0 when there is no budget; it counts as spent."""
        now = self._clock()
        passed, self._looked_at = max(0.0, now - self._looked_at), now
        blind = self._blind.share(1.0, passed)
        looking = self._looking.share(need, passed)
        return 1 - (1 - blind) * (1 - looking)


class _Purse:
    """So much an hour, of which some can be saved. It starts with half of that, so that the first sample of a gateway
    that gets few is drawn for certain."""

    def __init__(self, per_hour: float) -> None:
        self._per_second = per_hour / _HOUR
        self._most = max(_LEAST_SAVED, self._per_second * _BURST_SECONDS)
        self._left = self._most / 2 if per_hour > 0 else 0.0

    def share(self, need: float, passed: float) -> float:
        """In proportion to the need and to what is left, and all while next to nothing is spent: so samples of unlike
        need are told apart when the budget is short, and everything is drawn when it is not."""
        self._left = min(self._most, self._left + passed * self._per_second)
        if self._left <= 0:
            return 0.0
        spent = self._most - self._left
        share = min(1.0, self._left, need * self._left / spent if spent > 0 else 1.0)
        self._left -= share
        return share
