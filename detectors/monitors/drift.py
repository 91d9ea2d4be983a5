"""Has the traffic moved away from a reference?

There are two tests, each with a p-value. Histograms (language, length, refusal, scores) are compared by the population
stability index, PSI (Siddiqi 2006), with a two-sample chi-square test on effective sizes. Topics, the words of the
prompts, are compared by a two-sample test for means in many dimensions (Chen & Qin 2010, scaled as by Srivastava & Du
2008) on hashed words. That is a kernel test (Gretton and others 2012) with a linear kernel, for which sums suffice.

The p-values of the topic test, one an hour, become bets (Vovk & Wang 2021), which add up in an e-detector (Shin, Ramdas
& Rinaldo, arXiv 2203.03532). However often one looks, the mean time to a false alarm is at least RUN_LENGTH_HOURS.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.monitors.shape import BUCKETS, HEAD, PAIRED, PAIRS, TRIPLED, TRIPLES, WW, W
from detectors.monitors.statistics import chi_square_tail, discoveries

LEAST = 100  # effective samples on each side
RUN_LENGTH_HOURS = 8760.0
NOTEWORTHY_PSI = 0.1  # below it a shift is small, however sure it is (Siddiqi's rule of thumb)
_Array = npt.NDArray[np.float64]


class Shift(NamedTuple):
    """How far one feature moved, and the p-value of no move. `distance` is the PSI; for `topics` it is the length of
    the difference of the mean vectors, from 0 to √2."""

    feature: str
    distance: float
    p: float
    before: float
    now: float  # effective samples
    found: bool


def topics_test(before: Sequence[float], now: Sequence[float]) -> tuple[float, float, float, float] | None:
    """(distance, p-value, effective samples before and now) of two shapes; None with fewer than LEAST on a side."""
    sides = np.asarray(before, dtype=np.float64), np.asarray(now, dtype=np.float64)
    sizes = [float(shape[W] ** 2 / shape[WW]) if shape[WW] > 0 else 0.0 for shape in sides]
    if min(sizes) < LEAST or any(shape[TRIPLES] == 0 for shape in sides):
        return None
    means = [shape[HEAD : HEAD + BUCKETS] / shape[W] for shape in sides]
    spreads = [shape[HEAD + BUCKETS :] / shape[W] - mean**2 for shape, mean in zip(sides, means, strict=True)]
    chance = spreads[0] / (sizes[0] - 1) + spreads[1] / (sizes[1] - 1)
    gaps = (means[1] - means[0]) ** 2 - chance  # unbiased
    both = (sizes[0] * spreads[0] + sizes[1] * spreads[1]) / sum(sizes)
    seen = means[0] + means[1] > 0
    scales = 1 / np.maximum(both, 0.1 / sum(sizes))
    alike = max(_alike(*side) for side in zip(sides, means, spreads, strict=True))
    deviation = math.sqrt(2 * float(seen.sum()) * alike) * (1 / sizes[0] + 1 / sizes[1])
    z = float((scales * gaps)[seen].sum()) / deviation
    return math.sqrt(max(0.0, float(gaps.sum()))), NormalDist().cdf(-z), sizes[0], sizes[1]


def _alike(shape: _Array, mean: _Array, spread: _Array) -> float:
    """How many times larger the variance is than if words came independently: tr Σ² over the sum of squared variances,
    at least 1. tr Σ² is estimated from products of neighbouring texts."""
    trace = shape[PAIRED] / shape[PAIRS] - 2 * shape[TRIPLED] / shape[TRIPLES] + float(mean @ mean) ** 2
    return max(1.0, float(trace) / max(float((spread**2).sum()), 1e-12))


Histogram = Mapping[str, Sequence[float]]  # bin → n, Σw, Σw²


def histogram_test(before: Histogram, now: Histogram) -> tuple[float, float, float, float] | None:
    """(PSI, p-value, effective samples before and now); None with fewer than 50 on a side or a single bin."""
    names = sorted(before.keys() | now.keys())
    tables = [np.array([tuple(side.get(name, (0.0, 0.0, 0.0))) for name in names]) for side in (before, now)]
    if len(names) < 2 or any(not len(table) or table[:, 2].sum() <= 0 for table in tables):
        return None
    sizes = [float(table[:, 1].sum() ** 2 / table[:, 2].sum()) for table in tables]
    if min(sizes) < 50:
        return None
    shares = [table[:, 1] / table[:, 1].sum() for table in tables]
    counts = [share * size for share, size in zip(shares, sizes, strict=True)]
    kept = counts[0] + counts[1] >= 5  # below this the chi-square distribution does not hold
    merged = [np.append(count[kept], count[~kept].sum()) for count in counts]
    merged = [count[merged[0] + merged[1] > 0] for count in merged]
    if len(merged[0]) < 2:
        return None
    ratio = math.sqrt(sizes[1] / sizes[0])
    statistic = float((((merged[0] * ratio - merged[1] / ratio) ** 2) / (merged[0] + merged[1])).sum())
    smooth = [(count + 0.5) / (count.sum() + 0.5 * len(count)) for count in merged]
    psi = float(((smooth[1] - smooth[0]) * np.log(smooth[1] / smooth[0])).sum())
    return psi, chi_square_tail(statistic, len(merged[0]) - 1), sizes[0], sizes[1]


def shifts(
    histograms: Mapping[str, tuple[Histogram, Histogram]], topics: tuple[Sequence[float], Sequence[float]] | None
) -> list[Shift]:
    """The shift of every feature from before to now, the clearest first. Those that are both significant and noteworthy
    are marked as found."""
    tested = {feature: test for feature, (before, now) in histograms.items() if (test := histogram_test(before, now))}
    if topics is not None and (test := topics_test(*topics)):
        tested["topics"] = test
    sure = discoveries([test[1] for test in tested.values()])
    rows = [
        Shift(feature, *test, is_sure and (feature == "topics" or test[0] >= NOTEWORTHY_PSI))
        for (feature, test), is_sure in zip(tested.items(), sure, strict=True)
    ]
    return sorted(rows, key=lambda row: (not row.found, row.p))


def bet(p_value: float) -> float:
    """An e-value: at most 1 on average while nothing has moved."""
    return 0.5 / math.sqrt(max(p_value, 1e-300))


def detector(p_values: Sequence[float]) -> float:
    """The value of the Shiryaev-Roberts e-detector after these hours. From RUN_LENGTH_HOURS on it is an alarm."""
    value = 0.0
    for p_value in p_values:
        value = min(1e300, (value + 1) * bet(p_value))
    return value
