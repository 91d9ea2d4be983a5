"""Whether a difference is one of models, or one of the callers who happen to use them.

The difference of two rates is about the traffic that passed. Where one caller makes much of it, that may be the
caller's doing. So a difference is said to be shown only if it stands out from how callers differ: its interval is
stretched by the root of the design effect, the variance over callers by that of single labels (Cameron & Miller, 2015,
section II; callers are the clusters), and by Student's t for how few callers there are. A caller who uses both models
takes part on both sides, and what it brings to both cancels. The variance over callers is that of their summed
residuals, with each label's own taken off, and scaled up for callers who pull the rate after them (Bell & McCaffrey's
CR2, 2002, for a mean).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

from gateway.trust.comparing.callers import student
from gateway.trust.estimates import Difference
from gateway.trust.intervals import Interval, Mean
from gateway.trust.ledger import Entry
from gateway.trust.moments import Row, labelled
from gateway.trust.second_opinion import SecondOpinion

MOST = 3_000  # the latest opinions or samples of a window, from which is seen how callers differ
_LEAST_CALLERS = 2.0  # equally busy ones that would tell as much
_Z = 1.959964

Callers = Mapping[str, Row]  # what was labelled of each
LabelledColumn = tuple[str, ...]  # (sub-category, direction, basis)
Means = Mapping[str, Mapping[LabelledColumn, Mean]]  # by group


class Stretch(NamedTuple):
    """By how much the interval of a difference grows, and the number of equally busy callers on the side that has
    fewer. `by` is None where there are too few to tell."""

    by: float | None
    callers: float

    def of(self, found: Difference) -> Difference:
        return Difference(found.estimate, *self._limits(found, -1.0))

    def around(self, found: Interval) -> Interval:
        return Interval(found.estimate, *self._limits(found, 0.0))

    def _limits(self, found: Interval | Difference, least: float) -> tuple[float, float]:
        by, middle = self.by or 1.0, found.estimate
        return max(least, middle - by * (middle - found.low)), min(1.0, middle + by * (found.high - middle))


NONE = Stretch(1.0, 1.0)
Stretches = Callable[[LabelledColumn, str, str], Stretch]  # for a column, between two groups by name


def by_caller(
    given: Iterable[tuple[SecondOpinion, Entry]], counts: Callable[[Entry], bool]
) -> dict[LabelledColumn, dict[str, Row]]:
    """What was labelled of each caller among the samples that count."""
    samples: dict[str, tuple[Entry, list[SecondOpinion]]] = {}
    for opinion, entry in given:
        if counts(entry):
            samples.setdefault(entry.id, (entry, []))[1].append(opinion)
    rows = _Rows()
    for entry, opinions in samples.values():
        for kind, w, labels in labelled(entry, opinions):
            rows.add("labels" if kind == "person" else kind, entry.caller, w, labels.items())
    return rows.found()


def flagged_by_caller(
    entries: Iterable[Entry], counts: Callable[[Entry], bool]
) -> dict[LabelledColumn, dict[str, Row]]:
    """What was flagged of each caller among the samples that count."""
    rows = _Rows()
    for entry in filter(counts, entries):
        flags = [((score.slug, score.direction), score.flagged) for score in entry.scores]
        rows.add("flags", entry.caller, 1 / entry.probability, flags)
    return rows.found()


class _Rows:
    """Sums by column and caller, of a hundred thousand labels in some hundredths of a second."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = {}  # by basis and caller

    def add(self, basis: str, caller: str, w: float, labels: Iterable[tuple[tuple[str, str], float]]) -> None:
        """What one sample says of columns."""
        rows = self._known.setdefault((basis, caller), {})
        square = w * w
        for column, y in labels:
            row = rows.get(column)
            if row is None:
                row = rows[column] = [0.0] * 6
            row[0] += 1
            row[1] += w
            row[2] += square
            if y:
                row[3] += w * y
                row[4] += square * y
                row[5] += square * y * y

    def found(self) -> dict[LabelledColumn, dict[str, Row]]:
        columns: dict[LabelledColumn, dict[str, Row]] = {}
        for (basis, caller), rows in self._known.items():
            for column, row in rows.items():
                columns.setdefault((*column, basis), {})[caller] = Row(*row)
        return columns


def stretch(one: Callers, other: Callers, means: tuple[Mean, Mean]) -> Stretch:
    """For the difference of two groups' rates, `means`. With one caller in all there is nothing to tell apart; nor
    where nothing is known of the callers of a side."""
    if not one or not other or len(one.keys() | other.keys()) == 1:
        return NONE
    first, second = _Group(one), _Group(other)
    callers = min(first.callers, second.callers)
    if callers < _LEAST_CALLERS:
        return Stretch(None, callers)
    between = sum((first.pull(name) - second.pull(name)) ** 2 for name in one.keys() | other.keys())
    excess = between - first.noise - second.noise
    variance = sum(mean.variance for mean in means) or 1e-12
    effect = 1 + max(0.0, excess) / variance
    # As far as callers decide, their number is what the quantile is for; as far as labels do, it is that of labels.
    fewer = (1 - 1 / effect) * (student(callers - 1) / _Z - 1)
    return Stretch(math.sqrt(effect) * (1 + fewer), callers)


def stretches(groups: Mapping[str, Mapping[LabelledColumn, Callers]], means: Means) -> Stretches:
    """Between each two groups."""

    def between(column: LabelledColumn, one: str, other: str) -> Stretch:
        both = (groups[one].get(column, {}), groups[other].get(column, {}))
        return stretch(*both, (means[one][column], means[other][column]))

    return cache(between)


class _Group:
    """One group's callers: how far each pulls its rate, and the part of that which its labels' noise explains."""

    def __init__(self, callers: Callers) -> None:
        self._weight = sum(row.w for row in callers.values()) or 1.0
        self._rate = sum(row.wy for row in callers.values()) / self._weight
        self._parts = {name: row.w / self._weight for name, row in callers.items()}
        self._squares = sum(part**2 for part in self._parts.values())
        self._rows = callers
        self.callers = 1 / self._squares if self._squares else 0.0
        self.noise = sum(
            (row.wwyy - 2 * self._rate * row.wwy + self._rate**2 * row.ww) / self._weight**2 for row in callers.values()
        )

    def pull(self, name: str) -> float:
        row = self._rows.get(name)
        if row is None:
            return 0.0
        left = 1 - 2 * self._parts[name] + self._squares
        return (row.wy - self._rate * row.w) / self._weight / math.sqrt(max(left, 1e-9))
