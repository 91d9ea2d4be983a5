"""Many comparisons at once, of which only a bounded share of the differences shown may be false.

One interval at 95 % is wrong in a twentieth of all rows by chance, and there are dozens of rows. So all rows that are
looked at together get intervals at one joint level: that at which Benjamini and Hochberg's step-up procedure (1995) on
the intervals' p-values rejects exactly the rows whose interval leaves out "no difference". Of the differences shown
then at most 5 % are expected to be false, and the intervals beside them hold as often as promised although they were
picked for their findings (Benjamini & Yekutieli, 2005: false coverage rate). Rows rest on the same samples and so are
dependent; the bound is proven for positive dependence, and `tests/proofs/rates/comparisons.py` counts for rows like
ours.
"""

import math
from collections.abc import Callable, Sequence

from gateway.trust.comparing.clusters import NONE, LabelledColumn, Means, Stretches
from gateway.trust.intervals import Interval

FALSE_DISCOVERIES = 0.05

Differs = Callable[[float], bool]  # whether a row's interval at a level leaves out "no difference"


def joint_level(rows: Sequence[Differs]) -> float:
    """The level of the intervals of all rows together, between 0.95 and 1 - 0.05 / rows.

    Wider intervals leave out less, so stepping down from the rows that differ alone ends at the procedure's largest
    set; a p-value is never computed.
    """
    if not rows:
        return 1 - FALSE_DISCOVERIES
    left = list(rows)
    while True:
        level = 1 - FALSE_DISCOVERIES * max(1, len(left)) / len(rows)
        kept = [differs for differs in left if differs(level)]
        if len(kept) == len(left) or not kept:
            return 1 - FALSE_DISCOVERIES * max(1, len(kept)) / len(rows)
        left = kept


def at_least_times(one: Interval, other: Interval) -> float:
    """The lower limit of the ratio of two independent rates, from their own limits (Donner & Zou, 2012)."""
    both = one.estimate * other.estimate
    below = one.low * (2 * one.estimate - one.low)
    above = other.high * (2 * other.estimate - other.high)
    whole = both + math.sqrt(max(0.0, both * both - below * above))
    return below / whole if whole > 0 else 0.0


def surely_more(means: Means, stretches: Stretches = lambda *_: NONE) -> dict[tuple[LabelledColumn, str], float]:
    """Of groups with their rates by column: by column and group, at least how many times as much the group shows as
    some other one, where that is surely more than once.

    What is looked at together is each group in each column; that a group is compared with several others, of which one
    may be low by chance, is made up for by Bonferroni's correction. `stretches` say how much wider the intervals of two
    groups are because callers differ.
    """
    intervals = _Intervals(means)
    rows = [_Row(column, group, intervals, stretches) for group in means for column in means[group]]
    compared = [row for row in rows if row.others]
    level = joint_level([row.is_more for row in compared])
    found = {(row.column, row.group): row.times(level) for row in compared}
    return {key: times for key, times in found.items() if times > 1}


class _Intervals:
    """Each is asked for by many rows."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self._known: dict[tuple[LabelledColumn, str, float], Interval] = {}

    def at(self, column: LabelledColumn, group: str, level: float) -> Interval:
        key = (column, group, level)
        if key not in self._known:
            self._known[key] = self.means[group][column].interval(level)
        return self._known[key]


class _Row:
    """One group in one column, and the others that have the column too."""

    def __init__(self, column: LabelledColumn, group: str, intervals: _Intervals, stretches: Stretches) -> None:
        self.column = column
        self.group = group
        self._intervals = intervals
        self._stretches = stretches
        self.others = [other for other, columns in intervals.means.items() if other != group and column in columns]

    def times(self, level: float) -> float:
        """At least how many times as much as the lowest of the others, at a one-sided level over all of them."""
        each = 1 - 2 * (1 - level) / len(self.others)
        return max(self._than(other, each) for other in self.others)

    def _than(self, other: str, level: float) -> float:
        """0 where there are too few callers to tell."""
        stretch = self._stretches(self.column, self.group, other)
        one, two = (stretch.around(self._intervals.at(self.column, group, level)) for group in (self.group, other))
        return at_least_times(one, two) if stretch.by else 0.0

    def is_more(self, level: float) -> bool:
        return self.times(level) > 1
