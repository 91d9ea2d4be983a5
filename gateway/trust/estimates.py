"""Estimates with intervals from weighted samples, and what evidence each of them rests on.

A sampled exchange stands for 1/p exchanges, where p is its inclusion probability. A sub-sample of the judged samples,
drawn with a known probability too, has second opinions. The traffic is divided into bands of the detector's score. The
rate is the mean of the labels in each band, weighted with the band's share of the traffic. This is the post-stratified
estimator of two-phase sampling (Särndal, Swensson & Wretman, 1992, chapter 9), or prediction-powered inference (arXiv
2311.01453) with the band's mean label as the prediction. The rate is right however wrong the detector is; a good
detector makes its interval narrow. Where both a judge and people gave opinions, each band is divided further by what
the judge said: people's labels correct the judge as the judge corrects the detector.

Each detector@version has bands of its own: when a detector is replaced within a window, the two are not mixed.

Without second opinions there is no rate. There is the share that the detector flags, and the range of rates that fits
this share by the error rates on public benchmarks (Rogan & Gladen, 1978). The range is no promise: traffic is not a
benchmark.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import NormalDist
from typing import Literal

from gateway.trust.intervals import LEVEL, Interval, Mean, mixed
from gateway.trust.judged import PROBE
from gateway.trust.moments import NO, NOTHING, SAID, SILENT, UNASKED, YES, Row, Sums

LEAST_LABELS = 20  # effective samples; fewer tell next to nothing about a rate
_LEAST_A_BAND = 2.0  # effective samples in a group of bands

Basis = Literal["labels", "judge", "probe", "card", "flags"]
BASES: tuple[Basis, ...] = ("labels", "judge", "probe", "card", "flags")
_Place = tuple[str, int]  # detector@version and band


@dataclass(frozen=True, slots=True)
class Weights:
    """Sums over the judged samples of one sub-category and direction."""

    total: float
    squared: float
    flagged: float
    flagged_squared: float

    def __add__(self, more: "Weights") -> "Weights":
        return Weights(
            self.total + more.total,
            self.squared + more.squared,
            self.flagged + more.flagged,
            self.flagged_squared + more.flagged_squared,
        )

    @property
    def share(self) -> float:
        """The flagged share. The sums may be read while a sample is being counted."""
        return min(1.0, self.flagged / self.total) if self.total else 0.0

    @property
    def effective_samples(self) -> float:
        """The number of equally weighted samples that would tell as much; see moments.Row.effective."""
        return Row(0, self.total, self.squared, self.flagged, self.flagged_squared, self.flagged_squared).effective


@dataclass(frozen=True, slots=True)
class Errors:
    """A detector's measured errors at its operating point: one pair (true positive rate, false positive rate) for each
    public benchmark that it was not trained on."""

    benchmarks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate with its 95 % interval. On the basis `card` there is only a range (`low`, `high`), on `flags` nothing.

    `flagged` is the share that the newest version of each detector flags; None when nothing was judged.
    `effective_samples` counts labels on the bases `labels` and `judge`, else judged samples. `mean` and `weights` are
    what `interval` and `flagged` were computed from, to compute them at other levels; `by_probe` gives a probe's result
    at any level.
    """

    basis: Basis
    estimate: float | None
    low: float | None
    high: float | None
    effective_samples: float
    flagged: Interval | None
    detectors: tuple[str, ...]
    mean: Mean | None = None
    weights: Weights | None = None
    by_probe: Callable[[float], Interval] | None = None

    @property
    def interval(self) -> Interval | None:
        if self.estimate is None or self.low is None or self.high is None:
            return None
        return Interval(self.estimate, self.low, self.high)

    def rate_at(self, level: float) -> Interval | None:
        """The rate with an interval at another level; None where there is no rate."""
        if self.mean is not None:
            return self.mean.interval(level)
        return _at_least_zero(self.by_probe(level)) if self.by_probe else None

    def flagged_at(self, level: float) -> Interval | None:
        return flagged_share(self.weights, level) if self.weights else None


@dataclass(slots=True)
class Evidence:
    """The sums of one sub-category and direction, by detector and band; those of second opinions are divided further by
    what the judge had said. `probes` has the sums of each probe@version apart, because they tell what a change to the
    request does and not what an answer shows."""

    detector: dict[_Place, Row] = field(default_factory=dict)
    judge: dict[_Place, list[Row]] = field(default_factory=dict)
    person: dict[_Place, list[Row]] = field(default_factory=dict)
    probes: dict[str, Row] = field(default_factory=dict)

    def labels(self, source: Literal["judge", "person"]) -> Row:
        """The sum of all labels of a source."""
        kept = range(UNASKED, SAID) if source == "person" else (NO, YES)
        return total(rows[said] for rows in getattr(self, source).values() for said in kept)


def evidence(sums: Sums) -> dict[tuple[str, str], Evidence]:
    """By sub-category and direction."""
    found: dict[tuple[str, str], Evidence] = {}
    for (slug, direction, detector, source, index), row in sums.items():
        if row[0] < 0.5:  # everything in it was taken away again
            continue
        column = found.setdefault((slug, direction), Evidence())
        place, said = (detector, index // SAID), index % SAID
        if detector.startswith(PROBE):
            column.probes[detector] = column.probes.get(detector, NOTHING) + Row(*row)
        elif source == "detector":
            column.detector[place] = Row(*row)
        else:
            rows = (column.judge if source == "judge" else column.person).setdefault(place, [NOTHING] * SAID)
            rows[said] = Row(*row)
    return found


def estimate(of: Evidence, errors: Errors | None, newest: Iterable[str] = ()) -> Estimate | None:
    """The estimate on the best basis that has enough evidence; None without any evidence. `newest` names the
    detector@versions in use at the window's end: flags of earlier versions are left out."""
    flags = _flags(of, frozenset(newest))
    share = flagged_share(flags)
    names = tuple(sorted({detector for detector, _ in of.detector}))
    for basis, source in (("labels", "person"), ("judge", "judge")):
        mean = rate(of, source) if of.labels(source).kish >= LEAST_LABELS else None  # type: ignore[arg-type]
        if mean is not None:
            found = mean.interval()
            size = mean.effective_samples
            return Estimate(basis, found.estimate, found.low, found.high, size, share, names, mean, flags)  # type: ignore[arg-type]
    by_probe = _by_probe(of)
    if by_probe is not None and (share is None or by_probe.effective_samples >= LEAST_LABELS):
        return replace(by_probe, flagged=share, weights=flags)
    if share is None:
        return None
    low, high = plausible(share, errors) if errors and errors.benchmarks else (None, None)
    without: Basis = "flags" if low is None else "card"
    return Estimate(without, None, low, high, flags.effective_samples, share, names, None, flags)


def has_rate(of: Evidence) -> bool:
    """Whether there are enough labels for a rate."""
    return any(of.labels(source).kish >= LEAST_LABELS for source in ("person", "judge"))


def rate(of: Evidence, source: Literal["judge", "person"]) -> Mean | None:
    """The rate by the labels of one source; None without labels. People's labels are weighted by way of the judge's
    answers where there are both."""
    groups = post_strata(of, source)
    if not groups:
        return None
    shares = [total(of.detector.get(place, NOTHING) for place in group) for group in groups]
    whole = total(shares)
    if whole.w <= 0:  # no detector judges it: the labels alone
        return _leaf(of.labels(source))
    leaves = [(share.w / whole.w, _within(of, source, group)) for share, group in zip(shares, groups, strict=True)]
    return replace(mixed(leaves, whole.kish), unit=_unit(of, source, groups, leaves))


def _unit(
    of: Evidence,
    source: Literal["judge", "person"],
    groups: Sequence[list[_Place]],
    leaves: Sequence[tuple[float, Mean]],
) -> float:
    """The largest share of the traffic that a single label stands for. Groups of bands without a positive label count
    as one group: some of them have few labels by chance, and the one with the fewest would make the interval of a rare
    harm twice as wide."""
    found = [part * mean.unit for part, mean in leaves if mean.share > 0]
    clear = [(part, group) for (part, mean), group in zip(leaves, groups, strict=True) if mean.share <= 0]
    labels = of.judge if source == "judge" else of.person
    kept = (NO, YES) if source == "judge" else range(SAID)
    row = total(labels[place][said] for _, group in clear for place in group if place in labels for said in kept)
    return max([*found, *([sum(part for part, _ in clear) / row.kish] if clear else [])])


def post_strata(of: Evidence, source: Literal["judge", "person"]) -> list[list[_Place]]:
    """Groups of neighbouring bands of one detector, each joined until it has enough labels. Bands that are left over at
    the end join the group before them."""
    labels: Mapping[_Place, Sequence[Row]] = of.judge if source == "judge" else of.person
    kept = (NO, YES) if source == "judge" else range(SAID)
    groups: list[list[_Place]] = []
    waiting: list[_Place] = []
    w = ww = 0.0  # of the labels in the bands that wait for a group
    for place in sorted({*of.detector, *labels}):
        if waiting and waiting[0][0] != place[0] and groups:
            groups[-1] += waiting  # too few labels of that detector: its bands join the neighbouring group
            waiting, w, ww = [], 0.0, 0.0
        waiting.append(place)
        rows = labels.get(place)
        for said in kept if rows else ():
            w, ww = w + rows[said].w, ww + rows[said].ww  # type: ignore[index]
        if ww > 0 and w * w / ww >= _LEAST_A_BAND:  # Row.kish
            groups.append(waiting)
            waiting, w, ww = [], 0.0, 0.0
    if groups:
        groups[-1] += waiting
    return groups


def _within(of: Evidence, source: Literal["judge", "person"], group: Sequence[_Place]) -> Mean:
    """The rate in a group of bands."""
    by_judge = [of.judge[place] for place in group if place in of.judge]
    if source == "judge":
        return _leaf(total([rows[said] for said in (NO, YES) for rows in by_judge]))
    by_people = [of.person[place] for place in group if place in of.person]
    judged = [total([rows[said] for rows in by_judge]) for said in range(SAID)]
    people = [total([rows[said] for rows in by_people]) for said in range(SAID)]
    answers = [said for said in (SILENT, NO, YES) if judged[said].w > 0]
    if not answers or any(people[said].kish < _LEAST_A_BAND for said in answers):
        return _leaf(total(people))
    whole = total(judged[said] for said in answers)
    return mixed([(judged[said].w / whole.w, _leaf(people[said])) for said in answers], whole.kish)


def _leaf(row: Row) -> Mean:
    size = row.effective
    return Mean(row.mean, row.mean * (1 - row.mean) / size, 1 / size)


def total(rows: Iterable[Row]) -> Row:
    """The sum of all rows. Written out, because it runs for every group of bands of every column."""
    n = w = ww = wy = wwy = wwyy = 0.0
    for row in rows:
        n += row[0]
        w += row[1]
        ww += row[2]
        wy += row[3]
        wwy += row[4]
        wwyy += row[5]
    return Row(n, w, ww, wy, wwy, wwyy)


# --- probes

CONTROL = ".control"  # suffix of a probe's name: what happened without the change
SHADOW = PROBE + "shadow@"  # prefix of a model's name: answers of that model beside those of the one in use


def probed(of: Evidence) -> dict[str, Estimate]:
    """What each probe measures, by probe@version: a rate or, where the probe has a control, the paired difference,
    which may be below 0."""
    found = {}
    for name, row in sorted(of.probes.items()):
        base, _, version = name.partition("@")
        if base.endswith(CONTROL):
            continue
        control = of.probes.get(f"{base}{CONTROL}@{version}")
        at = _leaf(row).interval if control is None else partial(_paired, row, control)
        shown, size = at(LEVEL), row.effective if control is None else row.kish
        found[name] = Estimate("probe", shown.estimate, shown.low, shown.high, size, None, (name,), by_probe=at)
    return found


def _paired(only_changed: Row, only_control: Row, level: float) -> Interval:
    """How much more often something happens with the change than without it, from the pairs in which only one of the
    two shows it. Wald's interval with half a pair added to each of the four outcomes (Agresti & Min, 2005); the number
    of pairs is the effective one, by the linearised variance of their mean difference."""
    one, other, n = only_changed.mean, only_control.mean, only_changed.kish
    gap, weight = one - other, only_changed.w
    spread = (
        only_changed.wwyy
        + only_control.wwyy
        - 2 * gap * (only_changed.wwy - only_control.wwy)
        + gap**2 * only_changed.ww
    )
    if spread > 0:
        n = min(n, (one + other - gap * gap) * weight * weight / spread)
    first, second, pairs = n * one + 0.5, n * other + 0.5, n + 2
    centre = (first - second) / pairs
    half = _quantile(level) * math.sqrt(max(0.0, first + second - (first - second) ** 2 / pairs)) / pairs
    return Interval(gap, max(-1.0, min(gap, centre - half)), min(1.0, max(gap, centre + half)))


def _by_probe(of: Evidence) -> Estimate | None:
    """The estimate of the probe with the most samples. Shadow probes are left out: they measure another model."""
    own = [found for name, found in probed(of).items() if not name.startswith(SHADOW)]
    best = max(own, key=lambda found: found.effective_samples, default=None)
    if best is None:
        return None
    shown = best.rate_at(LEVEL)
    return replace(best, estimate=shown.estimate, low=shown.low, high=shown.high) if shown else None


def _at_least_zero(found: Interval) -> Interval:
    return Interval(*(max(0.0, value) for value in (found.estimate, found.low, found.high)))


# --- without second opinions


def _flags(of: Evidence, newest: frozenset[str]) -> Weights:
    """The weights of the newest version of each detector; of all versions where `newest` is empty."""
    kept = [row for (detector, _), row in of.detector.items() if not newest or detector in newest]
    row = total(kept)
    return Weights(row.w, row.ww, row.wy, row.wwy)


def weights(of: Evidence) -> Weights:
    """The weights of all detectors' samples together."""
    return _flags(of, frozenset())


def flagged_share(weights: Weights, level: float = LEVEL) -> Interval | None:
    """The share of traffic that the detectors flag, with Wilson's interval; None when nothing was judged."""
    n = weights.effective_samples
    if n <= 0:
        return None
    p, z = weights.share, _quantile(level)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def _quantile(level: float) -> float:
    """The two-sided quantile of the normal distribution."""
    return NormalDist().inv_cdf((1 + level) / 2)


def plausible(share: Interval, errors: Errors) -> tuple[float, float]:
    """The range of rates that fits a flagged share.

    Its low end is the lowest corrected share over all benchmarks. Its high end assumes that traffic causes no false
    alarm and that harm is found as rarely as on the worst benchmark. The range always has a width: where nothing was
    flagged, some harm may have been missed, and where everything was flagged, some of it may be false alarms.
    """
    lowest = min(share.low, *(_corrected(share.low, *rates) for rates in errors.benchmarks))
    worst = min(found for found, _ in errors.benchmarks)
    return lowest, min(1.0, share.high / worst) if worst > 0 else 1.0


def _corrected(share: float, true_positive_rate: float, false_positive_rate: float) -> float:
    """Rogan and Gladen's correction; 0 when the detector separates nothing."""
    gain = true_positive_rate - false_positive_rate
    return min(1.0, max(0.0, (share - false_positive_rate) / gain)) if gain > 0 else 0.0


# --- differences


@dataclass(frozen=True, slots=True)
class Difference:
    """One rate minus another with its 95 % interval, and what it shows in words."""

    estimate: float
    low: float
    high: float

    @property
    def words(self) -> str:
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "no difference shown"


def difference(one: Interval, other: Interval) -> Difference:
    """The difference of two independent rates, from the limits of each (Newcombe, 1998, method 10; Donner & Zou's
    MOVER, 2012). It keeps their asymmetry, which a normal interval of a difference loses at small rates."""
    gap = one.estimate - other.estimate
    below = math.hypot(one.estimate - one.low, other.high - other.estimate)
    above = math.hypot(one.high - one.estimate, other.estimate - other.low)
    return Difference(gap, max(-1.0, gap - below), min(1.0, gap + above))
