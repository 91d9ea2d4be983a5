"""Where a label tells most, learned from the labels so far.

For a given number of labels, an estimated rate has the smallest variance if a sample is drawn with a probability
proportional to √(p(1 - p)), where p is the probability that it is harmful (Neyman's allocation; arXiv 2403.03208,
active inference, has it for labels on top of a model). For each sub-category and direction, p in a band of the
detector's score is learned from the labels in the ledger; all scores of a sample count together. Samples are drawn
before anyone has seen their label, and the probability is recorded. So if p is learned badly, intervals are wider but
still right (sequentially, as in arXiv 2403.03208, section 5).

A band with few labels does not count as harmless. Its p mixes its own labels with the detector's calibrated score,
which counts as _PRIOR labels; the odds of that score are shifted so that all bands together have the rate found so far.
While little harm was found, the width of an interval comes from what was not looked at; therefore each band gets the
same addition of half a label over all labels. So samples are drawn almost evenly while there are few labels, or almost
no harm was found.
"""

import asyncio
import contextlib
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from detectors.opinions import Opinion
from gateway.trust.estimates import Evidence, evidence, total
from gateway.trust.ledger import Ledger, LedgerError
from gateway.trust.moments import BANDS, EDGES, NO, NOTHING, SAID, YES, Row, Sums
from gateway.trust.second_opinion import Kind, Reason

WINDOW = "7d"
_SECONDS = 300.0
_PRIOR = 10.0  # a calibrated score counts as this many labels
_UNSEEN = 0.5  # as in intervals.Mean: half an observation that may have been missed
_CENTRES = tuple((low + high) / 2 for low, high in zip((0.0, *EDGES), (*EDGES, 1.0), strict=True))

Column = tuple[str, str]  # (sub-category, direction)
Worth = tuple[float, ...]  # by band


class Need(NamedTuple):
    """How much a second opinion on a sample would tell, about 1 on average; and the reason, with the score that weighs
    most in it."""

    value: float
    reason: Reason
    direction: str
    slug: str


def spreads(judged: Sequence[Row], labels: Sequence[Row]) -> list[float]:
    """√(p(1 - p)) by band, as estimated from these labels."""
    whole, weight = total(labels), sum(row.w for row in judged)
    size = whole.effective
    usual = (size * whole.mean + 0.5) / (size + 1)
    by_card = (
        sum(row.w * centre for row, centre in zip(judged, _CENTRES, strict=True)) / weight if weight > 0 else usual
    )
    shift = _odds(usual) / _odds(by_card)
    unseen = _UNSEEN / (size + 1)
    return [math.sqrt(_variance(row, centre, shift) + unseen) for row, centre in zip(labels, _CENTRES, strict=True)]


def _variance(row: Row, centre: float, shift: float) -> float:
    size, odds = row.effective, _odds(centre) * shift
    expected = odds / (1 + odds)
    yes, no = _PRIOR * expected + size * row.mean, _PRIOR * (1 - expected) + size * (1 - row.mean)
    return yes * no / ((yes + no) * (yes + no + 1))


def _odds(share: float) -> float:
    return share / (1 - share)


def worth(judged: Sequence[Row], labels: Sequence[Row]) -> Worth:
    """By band, p(1 - p) divided by the variance that the best allocation for this column alone would reach. So among
    several columns each counts by how far it is from its own best."""
    found = spreads(judged, labels)
    whole = sum(row.w for row in judged)
    mean = sum(row.w * spread for row, spread in zip(judged, found, strict=True)) / whole if whole > 0 else 0.0
    mean = mean or sum(found) / BANDS
    return tuple((spread / mean) ** 2 for spread in found)


_UNLABELLED = worth([NOTHING] * BANDS, [NOTHING] * BANDS)


class Allocation:
    """`worths` by column; other columns do not count. If there are none, every column in `about` (all when None) counts
    like a column without labels."""

    def __init__(self, worths: Mapping[Column, Worth] | None = None, about: Collection[Column] | None = None) -> None:
        self.worths = worths or {}
        self._about = about

    def need(self, scores: Iterable[tuple[str, Opinion]]) -> Need:
        """The square root of the mean worth of these scores (as in `Judged.scores`), and the score that is worth
        most."""
        most = total_worth = 0.0
        count, best, its_direction = 0, None, ""
        for direction, opinion in scores:
            known = self._known((opinion.slug, direction))
            if known is None:
                continue
            value = known[bisect_right(EDGES, opinion.score)]
            total_worth += value
            count += 1
            if value > most:
                most, best, its_direction = value, opinion, direction
        if best is None:
            return Need(0.0, "floor", "", "")
        reason: Reason = "flagged" if best.flagged else "doubt" if most > 1 else "floor"
        return Need(math.sqrt(total_worth / count), reason, its_direction, best.slug)

    def _known(self, column: Column) -> Worth | None:
        if self.worths:
            return self.worths.get(column)
        return _UNLABELLED if self._about is None or column in self._about else None


Needed = Callable[[Iterable[tuple[str, Opinion]]], Need]


def learned(found: Mapping[Column, Evidence], kind: Kind, about: Collection[Column] | None = None) -> Allocation:
    """The allocation learned from the labels of a judge or of people. The versions of a detector share their bands."""
    worths = {}
    for column, of in found.items():
        labels = _labelled(of, kind)
        if any(row.n for row in labels) and (about is None or column in about):
            worths[column] = worth(_judged(of), labels)
    return Allocation(worths, about)


def _labelled(of: Evidence, kind: Kind) -> list[Row]:
    places = of.judge if kind == "judge" else of.person
    kept = (NO, YES) if kind == "judge" else range(SAID)
    found = [NOTHING] * BANDS
    for (detector, band), rows in places.items():
        if detector:  # else no detector judges it, and it has no band
            found[band] = total([found[band], *(rows[said] for said in kept)])
    return found


def _judged(of: Evidence) -> list[Row]:
    found = [NOTHING] * BANDS
    for (_, band), row in of.detector.items():
        found[band] = found[band] + row
    return found


class LearnedAllocations:
    """Allocations that a background task learns again every few minutes from all labels of a week. All processes that
    share a ledger learn the same."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._about: dict[Kind, Collection[Column] | None] = {}
        self._known: dict[Kind, Allocation] = {}

    def needed(self, kind: Kind, about: Collection[Column] | None = None) -> Needed:
        """A function that says how much a label of this kind would tell of a sample, by what is known when it is
        called. `about` are the columns that the source is asked about, all when None."""
        self._about[kind] = about
        self._known[kind] = Allocation(about=about)
        return lambda scores: self._known[kind].need(scores)

    async def run(self) -> None:
        """Learn until cancelled. While the ledger cannot be read, what was learned stays."""
        while True:
            with contextlib.suppress(LedgerError):  # the ledger logs it
                await self.learn()
            await asyncio.sleep(_SECONDS)

    async def learn(self) -> None:
        """Learn now. Raises LedgerError."""
        window = await self._ledger.window(WINDOW)
        self._known = await asyncio.to_thread(self._learned, window.sums)

    def _learned(self, sums: Sums) -> dict[Kind, Allocation]:
        found = evidence(sums)
        return {kind: learned(found, kind, about) for kind, about in self._about.items()}
