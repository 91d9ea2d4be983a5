"""Whether a difference is one of models, or only one of the callers who happen to use them.

The difference of two rates is about the traffic that passed. Where one caller makes much of that, the difference may be
the caller's doing. So a difference counts as shown only if it stands out from how callers differ. Its interval is
stretched by the root of the design effect, which is the variance over callers divided by that of single labels (Cameron
& Miller, 2015, section II; callers are the clusters), and by Student's t where callers are few. A caller who uses both
models is on both sides, and what it adds to both cancels. The variance over callers is that of their summed residuals,
less the variance of the labels themselves, and scaled up for callers who pull the rate towards their own (Bell &
McCaffrey's CR2, 2002, for a mean).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

from gateway.trust.comparing.callers import student
from gateway.trust.estimates import Difference, Evidence, total
from gateway.trust.intervals import Interval, Mean
from gateway.trust.ledger import Entry
from gateway.trust.moments import NOTHING, Row
from gateway.trust.packed import ScoreColumns
from gateway.trust.per_caller import LabelColumn, PerCaller

MOST = 3_000  # how callers differ in what is flagged is seen from this many of the latest samples
_LEAST_CALLERS = 2.0  # effective number of callers
_Z = 1.959964
_NOTHING = 1e-9  # a smaller weight is a rounding error, left where everything was taken away

Pair = tuple[float, float]  # Σw and Σwy
LabelledColumn = tuple[str, ...]  # (sub-category, direction, basis)
Means = Mapping[str, Mapping[LabelledColumn, Mean]]  # by group


class Callers(NamedTuple):
    """What was labelled of each caller, and of all together."""

    each: Mapping[str, Pair]
    whole: Row

    @classmethod
    def of(cls, rows: Mapping[str, Row]) -> "Callers":
        return cls({name: (row.w, row.wy) for name, row in rows.items()}, total(rows.values()))


class Widening(NamedTuple):
    """The factor `by` which the interval of a difference grows, and the effective number of `callers` on the side that
    has fewer. `by` is None where there are too few callers to tell."""

    by: float | None
    callers: float

    def of(self, found: Difference) -> Difference:
        return Difference(found.estimate, *self._limits(found, -1.0))

    def around(self, found: Interval) -> Interval:
        return Interval(found.estimate, *self._limits(found, 0.0))

    def _limits(self, found: Interval | Difference, least: float) -> tuple[float, float]:
        by, middle = self.by or 1.0, found.estimate
        return max(least, middle - by * (middle - found.low)), min(1.0, middle + by * (found.high - middle))


NONE = Widening(1.0, 1.0)
NOBODY = Callers({}, NOTHING)
Stretches = Callable[[LabelledColumn, str, str], Widening]  # of a column, between two named groups


def labels_by_caller(each: PerCaller, known: Mapping[tuple[str, str], Evidence]) -> dict[LabelledColumn, Callers]:
    """What was labelled of each caller of a group, by column; `known` has the group's own sums."""
    found: dict[LabelledColumn, dict[str, Pair]] = {}
    known_as: dict[LabelColumn, dict[str, Pair]] = {}  # the same, by the columns of the sums
    for caller, of in each.callers.items():
        for name, rows in of.labels.items():
            column = known_as.get(name)
            if column is None:
                slug, direction, _, source = name
                of_basis = (slug, direction, "labels" if source == "person" else source)
                column = known_as[name] = found.setdefault(of_basis, {})
            w, wy = column.get(caller, (0.0, 0.0))
            column[caller] = (w + sum(rows[1::3]), wy + sum(rows[2::3]))
    return {
        column: Callers({caller: row for caller, row in callers.items() if row[0] > _NOTHING}, whole)
        for column, callers in found.items()
        if (whole := _labelled(known, column)) is not None
    }


def _labelled(known: Mapping[tuple[str, str], Evidence], column: LabelledColumn) -> Row | None:
    slug, direction, basis = column
    of = known.get((slug, direction))
    return None if of is None else of.labels("person" if basis == "labels" else "judge")


def flagged_by_caller(entries: Iterable[Entry], counts: Callable[[Entry], bool]) -> dict[LabelledColumn, Callers]:
    """What was flagged of each caller, by column, among the samples for which `counts` is true."""
    alike: dict[tuple[str, float, ScoreColumns], list[bytes]] = {}  # the flags of samples that are otherwise alike
    for entry in filter(counts, entries):
        alike.setdefault((entry.caller, entry.probability, entry.schema), []).append(entry.flags)
    rows: dict[LabelledColumn, dict[str, Row]] = {}
    for (caller, probability, schema), some in alike.items():
        n, w, joined = len(some), 1 / probability, b"".join(some)
        for number, (slug, direction, _) in enumerate(schema.columns):
            column = rows.setdefault((slug, direction, "flags"), {})
            flagged = joined[number :: len(schema.columns)].count(1)
            square, found = w * w, flagged * w * w
            column[caller] = column.get(caller, NOTHING) + Row(n, n * w, n * square, flagged * w, found, found)
    return {column: Callers.of(callers) for column, callers in rows.items()}


def stretch(one: Callers, other: Callers, means: tuple[Mean, Mean]) -> Widening:
    """For the difference of two groups' rates, `means`. NONE where both have the same single caller, or where nothing
    is known of the callers on one side: then there is nothing to tell apart."""
    if not one.each or not other.each or len(one.each.keys() | other.each.keys()) == 1:
        return NONE
    first, second = _Group(one), _Group(other)
    callers = min(first.callers, second.callers)
    if callers < _LEAST_CALLERS:
        return Widening(None, callers)
    between = sum((first.pull(name) - second.pull(name)) ** 2 for name in one.each.keys() | other.each.keys())
    excess = between - first.noise - second.noise
    variance = sum(mean.variance for mean in means) or 1e-12
    effect = 1 + max(0.0, excess) / variance
    # The part of the variance that comes from callers gets Student's quantile for their number; the rest is normal.
    fewer = (1 - 1 / effect) * (student(callers - 1) / _Z - 1)
    return Widening(math.sqrt(effect) * (1 + fewer), callers)


def stretches(groups: Mapping[str, Mapping[LabelledColumn, Callers]], means: Means) -> Stretches:
    """A function that gives the stretch of a column between two groups, each computed once."""

    def between(column: LabelledColumn, one: str, other: str) -> Widening:
        both = (groups[one].get(column, NOBODY), groups[other].get(column, NOBODY))
        return stretch(*both, (means[one][column], means[other][column]))

    return cache(between)


class _Group:
    """One group's callers: how far each pulls the group's rate, and how much of that the noise of labels explains."""

    def __init__(self, callers: Callers) -> None:
        self._rows = callers.each
        self._weight = sum(w for w, _ in self._rows.values()) or 1.0
        self._rate = sum(wy for _, wy in self._rows.values()) / self._weight
        self._parts = {name: w / self._weight for name, (w, _) in self._rows.items()}
        self._squares = sum(part**2 for part in self._parts.values())
        self.callers = 1 / self._squares if self._squares else 0.0
        whole = callers.whole
        self.noise = (whole.wwyy - 2 * self._rate * whole.wwy + self._rate**2 * whole.ww) / self._weight**2

    def pull(self, name: str) -> float:
        w, wy = self._rows.get(name, (0.0, 0.0))
        if not w:
            return 0.0
        left = 1 - 2 * self._parts[name] + self._squares
        return (wy - self._rate * w) / self._weight / math.sqrt(max(left, 1e-9))
