"""Does stated confidence fit the share of answers that are right?

The confidence is what the answer says of itself (`confidence`). Whether it was right comes from the best source there
is. Both are added up in bins. The expected calibration error (Naeini and others 2015), Brier's score and AUROC are
computed from the bins; AUROC has the percentile interval of a seeded bootstrap over them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.monitors.confidence import BINS

LEAST = 50.0  # effective answers
_REPLICATES = 400
_Array = npt.NDArray[np.float64]
_Draws = Sequence[tuple[_Array, _Array]]  # per replicate: each bin's share of the answers, and its share right


class Figures(NamedTuple):
    """Estimates with 95 % intervals, and the effective number of answers behind them."""

    effective: float
    accuracy: float
    confidence: float
    ece: tuple[float, float, float]
    brier: tuple[float, float, float]
    auroc: tuple[float, float, float] | None  # None where all were right, or none
    deviation: float  # the standard deviation of the calibration error


def figures(bins: Mapping[int, Sequence[float]], seed: int = 0) -> Figures | None:
    """None with fewer than LEAST effective answers. `bins` are sums of `confidence.row_of` by `bin_of`."""
    table = np.zeros((BINS, 6))
    for at, row in bins.items():
        table[at] = row
    weight = float(table[:, 1].sum())
    effective = float(weight**2 / table[:, 2].sum()) if weight else 0.0
    if effective < LEAST:
        return None
    share, confidence, right, squares = _shares(table)
    draws = _replicates(share, right, effective, np.random.default_rng(seed))
    brier = float(table[:, 5].sum() / weight)
    half = 1.96 * math.sqrt(float(share @ (squares - brier) ** 2) / effective) + 0.25 / effective
    ece, deviation = _ece(share, confidence, right, effective)
    return Figures(
        effective,
        float(share @ right),
        float(share @ confidence),
        ece,
        (brier, max(0.0, brier - half), min(1.0, brier + half)),
        _auroc_interval(share, right, draws),
        deviation,
    )


def _shares(table: _Array) -> tuple[_Array, _Array, _Array, _Array]:
    """For each bin: its share of the answers, mean confidence, share right and mean squared error."""
    weights = table[:, 1]
    safe = np.where(weights > 0, weights, 1.0)
    return weights / weights.sum(), table[:, 3] / safe, table[:, 4] / safe, table[:, 5] / safe


_WithDeviation = tuple[tuple[float, float, float], float]


def _ece(share: _Array, confidence: _Array, right: _Array, effective: float) -> _WithDeviation:
    """The estimate with its interval, and its standard deviation.

    Chance opens a gap in every bin, so the plain estimate is too high: the gap that chance gives is subtracted (Kumar,
    Liang & Ma 2019). The interval reaches 1.96 standard deviations down from the corrected estimate and up from the
    plain one. Where the error is near zero it is too wide rather than too narrow."""
    sizes = share * effective
    smooth = (right * sizes + 1) / (sizes + 2)
    noise = smooth * (1 - smooth) / (sizes + 2)
    gaps = np.abs(confidence - right)
    plain, estimate = float(share @ gaps), float(share @ np.sqrt(np.maximum(0.0, gaps**2 - noise)))
    deviation = math.sqrt(float(share**2 @ noise))
    reach = 1.96 * deviation
    return (estimate, max(0.0, estimate - reach), min(1.0, plain + reach)), deviation


def _replicates(
    share: _Array, right: _Array, effective: float, rng: np.random.Generator
) -> list[tuple[_Array, _Array]]:
    size = max(1, round(effective))
    counts = rng.multinomial(size, share, _REPLICATES)
    hits = rng.binomial(counts, np.clip(right, 0.0, 1.0))
    return [(count / size, hit / np.maximum(1, count)) for count, hit in zip(counts, hits, strict=True)]


def _auroc(share: _Array, right: _Array) -> float | None:
    """The AUROC of confidence as a predictor of being right. Pairs within one bin count half."""
    good, bad = share * right, share * (1 - right)
    if good.sum() <= 0 or bad.sum() <= 0:
        return None
    below = np.concatenate([[0.0], np.cumsum(bad)[:-1]])
    return float(good @ (below + bad / 2) / (good.sum() * bad.sum()))


def _auroc_interval(share: _Array, right: _Array, draws: _Draws) -> tuple[float, float, float] | None:
    estimate = _auroc(share, right)
    found = [value for count, hit in draws if (value := _auroc(count, hit)) is not None]
    if estimate is None or not found:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return estimate, float(low), float(high)
