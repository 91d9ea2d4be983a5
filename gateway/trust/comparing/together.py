"""Many comparisons at once, with a bound on the share of false ones among the differences shown.

An interval at 95 % is wrong in one of twenty rows by chance, and there are dozens of rows. So all rows that are looked
at together get intervals at one joint level. It is the level at which Benjamini and Hochberg's step-up procedure
(1995), applied to the intervals' p-values, rejects exactly the rows whose interval excludes "no difference". Then at
most 5 % of the differences shown are expected to be false, and the intervals shown cover as often as promised although
they were picked for their findings (Benjamini & Yekutieli, 2005: false coverage rate). Rows rest on the same samples,
so they depend on each other. The bound is proven for positive dependence; `tests/proofs/rates/comparisons.py` counts
false differences for rows like ours.
"""

import math
from collections.abc import Callable, Sequence

from gateway.trust.comparing.clusters import NONE, LabelledColumn, Means, Stretches
from gateway.trust.intervals import Interval

FALSE_DISCOVERIES = 0.05

Differs = Callable[[float], bool]  # whether a row's interval at a level excludes "no difference"


def joint_level(rows: Sequence[Differs]) -> float:
    """The common level for the intervals of all rows, between 0.95 and 1 - 0.05 / rows.

    Wider intervals exclude less. So starting with all rows and keeping those that still differ, again and again, ends
    at the procedure's largest set; p-values need not be computed.
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
    """The groups that surely show more of a column than some other group. By (column, group): at least how many times
    as much it shows, above 1. `means` has the groups' rates.

    Each pair of a group and a column is one of the rows that are looked at together. Within a row the group is compared
    with several others, one of which may be low by chance: Bonferroni's correction accounts for that. `stretches` says
    how much wider the intervals of two groups are because callers differ.
    """
    intervals = _Intervals(means)
    rows = [_Row(column, group, intervals, stretches) for group in means for column in means[group]]
    compared = [row for row in rows if row.others]
    level = joint_level([row.is_more for row in compared])
    found = {(row.column, row.group): row.times(level) for row in compared}
    return {key: times for key, times in found.items() if times > 1}


class _Intervals:
    """Intervals by column, group and level; many rows ask for the same ones."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self._known: dict[tuple[LabelledColumn, str, float], Interval] = {}

    def at(self, column: LabelledColumn, group: str, level: float) -> Interval:
        key = (column, group, level)
        if key not in self._known:
            self._known[key] = self.means[group][column].interval(level)
        return self._known[key]


class _Row:
    """One group in one column, with the other groups that have the column too."""

    def __init__(self, column: LabelledColumn, group: str, intervals: _Intervals, stretches: Stretches) -> None:
        self.column = column
        self.group = group
        self._intervals = intervals
        self._stretches = stretches
        self.others = [other for other, columns in intervals.means.items() if other != group and column in columns]

    def times(self, level: float) -> float:
        """At least how many times as much the group shows as the lowest of the others, at a one-sided level that holds
        over all of them."""
        each = 1 - 2 * (1 - level) / len(self.others)
        return max(self._than(other, each) for other in self.others)

    def _than(self, other: str, level: float) -> float:
        """At least how many times as much as one other group; 0 where there are too few callers to tell."""
        stretch = self._stretches(self.column, self.group, other)
        one, two = (stretch.around(self._intervals.at(self.column, group, level)) for group in (self.group, other))
        return at_least_times(one, two) if stretch.by else 0.0

    def is_more(self, level: float) -> bool:
        return self.times(level) > 1
