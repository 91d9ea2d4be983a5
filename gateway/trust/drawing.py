"""Which judged samples get a second opinion: phase two of the two-phase sample.

How much a label of each sample would tell is learned from earlier labels (`gateway.opinions.allocation`). What was
learned may be wrong, so a part of the budget is spent with equal probability on every sample. Then samples that the
detector never flags are labelled often enough to bound the harm in them, and no label stands for much more traffic than
it would if all samples were drawn alike.
"""

from collections.abc import Callable
from hashlib import blake2b

BLIND = 0.2  # the share of the budget that is spent whatever the scores are
_BURST_SECONDS = 600.0
_LEAST_SAVED = 20.0  # draws: with fewer in hand, samples of unlike need would be drawn alike
_HOUR = 3600.0


def draw_of(sample: str) -> float:
    """A number in [0, 1) made from the sample's id: every process finds the same one, at any time."""
    digest = blake2b(sample.encode("utf-8", "surrogatepass"), digest_size=6, person=b"second opinion").digest()
    return int.from_bytes(digest) / 2**48


def is_drawn(sample: str, probability: float) -> bool:
    """Whether the sample is drawn. One that is drawn with a small probability is also drawn with any larger one: so the
    samples for people are among those for the judge wherever their probability is the smaller."""
    return draw_of(sample) < probability


class DrawBudget:
    """Turns needs into probabilities so that about `per_hour` samples are drawn an hour, however many come.

    The probability of a sample follows from what came before it and from its own scores alone, so it is known exactly
    and the weights stay right while the budget adapts. `clock` is in seconds and may stand still or jump; a jump back
    adds nothing to the budget.
    """

    def __init__(self, per_hour: float, *, clock: Callable[[], float]) -> None:
        self._blind = _Purse(per_hour * BLIND)
        self._looking = _Purse(per_hour * (1 - BLIND))
        self._clock = clock
        self._looked_at = clock()

    def probability(self, need: float = 1.0) -> float:
        """The probability with which to draw this sample; 0 when there is no budget. The budget is charged with it."""
        now = self._clock()
        passed, self._looked_at = max(0.0, now - self._looked_at), now
        blind = self._blind.share(1.0, passed)
        looking = self._looking.share(need, passed)
        return 1 - (1 - blind) * (1 - looking)


class _Purse:
    """An hourly budget of which some can be saved up. It starts half full, so that on a gateway with little traffic the
    first sample is certain to be drawn."""

    def __init__(self, per_hour: float) -> None:
        self._per_second = per_hour / _HOUR
        self._most = max(_LEAST_SAVED, self._per_second * _BURST_SECONDS)
        self._left = self._most / 2 if per_hour > 0 else 0.0

    def share(self, need: float, passed: float) -> float:
        """The probability for a sample, in proportion to its need and to what is left; near 1 while little is spent. So
        needs matter when the budget is short, and everything is drawn when it is not."""
        self._left = min(self._most, self._left + passed * self._per_second)
        if self._left <= 0:
            return 0.0
        spent = self._most - self._left
        share = min(1.0, self._left, need * self._left / spent if spent > 0 else 1.0)
        self._left -= share
        return share
