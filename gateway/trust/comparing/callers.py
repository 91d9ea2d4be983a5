"""How far a rate carries over to other traffic: an interval that widens where few callers make most of it.

The interval of a rate is about the traffic that passed. Exchanges are sampled one by one, so it holds even if one
caller makes most of them. A guess at future traffic is another matter: callers differ, and the next ones may be others.
For that guess the callers count as the random sample. The variance is that of the linearised estimator over callers
(Särndal, Swensson & Wretman, 1992, section 5.5). A caller that makes much of the traffic pulls the rate towards its
own, so its deviation looks too small and is scaled up; this is exact where callers' rates vary alike (Bell &
McCaffrey's CR2, 2002, for a mean). The interval is Korn and Graubard's (1998): a beta interval with the effective
number of labels. That number is reduced by Student's t, with the effective number of callers (Carter, Schnepel &
Steigerwald, 2017) less one as its degrees of freedom.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Literal

from gateway.trust.estimates import Evidence, post_strata, total
from gateway.trust.intervals import LEVEL, Interval, Mean, beta_quantile
from gateway.trust.moments import BANDS, NO, NOTHING, SAID, YES, Row
from gateway.trust.per_caller import CallerColumn, rows_of

LEAST_CALLERS = 3
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class AmongCallers:
    """`interval` is for the rate of traffic by callers like these. `callers` is the number of equally busy callers that
    would tell as much; `busiest` is the share of the traffic that the busiest one makes. `design_effect` is the
    variance over callers divided by that of the rate. `effective_samples` is the number of labels, each of another
    caller, that would tell as much."""

    interval: Interval
    callers: float
    busiest: float
    design_effect: float
    effective_samples: float


def among_callers(
    whole: Evidence, mean: Mean, callers: Sequence[CallerColumn], source: Literal["judge", "person"]
) -> AmongCallers | None:
    """`mean` is the rate of all traffic, `callers` has the sums of each caller in this column. None where there are too
    few callers to compare."""
    strata = _Strata(whole, mean.share, source)
    known = [strata.caller(of) for of in callers]
    known = [(weight, pull) for weight, pull in known if weight > 0]
    everything = sum(weight for weight, _ in known)
    if len(known) < LEAST_CALLERS:
        return None
    parts = [(weight / everything, pull / everything) for weight, pull in known]
    squares = sum(part**2 for part, _ in parts)
    between = sum(pull**2 / (1 - 2 * part + squares) for part, pull in parts if part < 1)
    variance = max(mean.variance, between)
    spread = max(mean.share * (1 - mean.share), 1e-12)
    if variance <= 0:
        return None
    fewer = (_Z / student(max(1.0, 1 / squares - 1))) ** 2
    size = min(mean.effective_samples, spread / variance * fewer)
    if size <= 0:
        return None
    widened = Mean(mean.share, spread / size, max(mean.unit, 1 / size))
    effect = variance / mean.variance if mean.variance > 0 else 1.0
    return AmongCallers(widened.interval(), 1 / squares, max(part for part, _ in parts), effect, size)


class _Strata:
    """The rate's post-strata with their own rates. From these `caller` tells how far a caller's exchanges pull the rate
    of all traffic away from its value, times the weight of all traffic."""

    def __init__(self, whole: Evidence, rate: float, source: Literal["judge", "person"]) -> None:
        self._source = source
        self._kept = (NO, YES) if source == "judge" else range(SAID)
        self._is_judged = any(row.w > 0 for row in whole.detector.values())
        self._by: dict[str, _Pulls] = defaultdict(_Pulls)
        for group in post_strata(whole, source):
            labels, share = self._labelled(whole, group), self._all(whole, group)
            for detector, band in group:
                each = share.w / labels.w if labels.w > 0 else 0.0
                self._by[detector].put(band, labels.mean - rate, each, each * labels.mean)

    def caller(self, of: CallerColumn) -> tuple[float, float]:
        """The weight of a caller's exchanges and their pull."""
        labels = of.labels.get(self._source, {})
        judged = of.judged if self._is_judged else {detector: _by_band(rows) for detector, rows in labels.items()}
        weight = pull = 0.0
        for detector, weights in judged.items():
            pulls = self._by[detector]
            weight += sum(map(mul, weights, pulls.inside))
            pull += sum(map(mul, weights, pulls.judged))
        for detector, rows in labels.items():
            pulls = self._by[detector]
            for band, w, wy in rows_of(rows):
                pull += pulls.harmful[int(band)] * wy - pulls.expected[int(band)] * w
        return weight, pull

    def _all(self, of: Evidence, group: Sequence[tuple[str, int]]) -> Row:
        if not self._is_judged:  # no detector judges it: the labels alone
            return self._labelled(of, group)
        return total(of.detector.get(place, NOTHING) for place in group)

    def _labelled(self, of: Evidence, group: Sequence[tuple[str, int]]) -> Row:
        rows = of.judge if self._source == "judge" else of.person
        return total(rows[place][said] for place in group if place in rows for said in self._kept)


class _Pulls:
    """Of one detector@version, for each band: whether it is in a stratum (1 or 0), how far a judged weight of 1 in it
    pulls, how far a positive label pulls, and what a label is expected to be."""

    __slots__ = ("expected", "harmful", "inside", "judged")

    def __init__(self) -> None:
        self.inside, self.judged, self.harmful, self.expected = ([0.0] * BANDS for _ in range(4))

    def put(self, band: int, judged: float, harmful: float, expected: float) -> None:
        self.inside[band] = 1.0
        self.judged[band], self.harmful[band], self.expected[band] = judged, harmful, expected


def _by_band(rows: list[float]) -> list[float]:
    found = [0.0] * BANDS
    for band, w, _ in rows_of(rows):
        found[int(band)] += w
    return found


def student(freedom: float) -> float:
    """The two-sided 95 % quantile of Student's t, by the incomplete beta function."""
    x = beta_quantile(1 - LEVEL, freedom / 2, 0.5)
    return math.sqrt(freedom * (1 - x) / max(x, 1e-12))
