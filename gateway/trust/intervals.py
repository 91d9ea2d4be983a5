"""Intervals of shares from a mixture of small binomial samples, in pure arithmetic.

A rate is a mean over cells (bands of the detector's score), each with its known share of the traffic and a few labels.
Its variance is that of a post-stratified mean under two-phase sampling (Särndal, Swensson & Wretman, 1992, chapter 9).
A normal interval made from it covers the truth far too rarely where positives are few: with none found its width is 0.
So one half-positive observation is added, with the weight of the label that stands for most traffic; the limits are
those of the beta distribution with the resulting mean and variance. With a single cell this is exactly Jeffreys'
interval (Brown, Cai & DasGupta, 2001). Fay & Feuer (1997) use the heaviest weight in the same way for weighted sums of
counts. `tests/proofs` measures how often the intervals hold the truth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95
_NORMAL = NormalDist()
_TINY = 1e-300  # for what must not be zero


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval, all shares 0 to 1."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """An estimated share with its variance. `unit` is the largest share of the whole that a single label stands for."""

    share: float
    variance: float
    unit: float

    @property
    def effective_samples(self) -> float:
        """The number of simple random labels that would tell as much: that of the beta distribution in `interval`,
        without the added observation."""
        centre, spread = self._moments()
        return max(0.0, centre * (1 - centre) / spread - 2)

    def interval(self, level: float = LEVEL) -> Interval:
        centre, spread = self._moments()
        size = centre * (1 - centre) / spread - 1
        a, b = centre * size, (1 - centre) * size
        low, high = beta_quantile((1 - level) / 2, a, b), beta_quantile((1 + level) / 2, a, b)
        # Where no label was positive the rate may be zero; where all were, it may be one.
        low, high = (0.0 if self.share <= 0 else low), (1.0 if self.share >= 1 else high)
        return Interval(self.share, min(low, self.share), max(high, self.share))

    def _moments(self) -> tuple[float, float]:
        """Mean and variance with the half-positive observation; for one cell those of Beta(k + ½, n - k + ½)."""
        u = self.unit
        centre = (self.share + u / 2) / (1 + u)
        spread = (self.variance + u * u / 2 + u**3 / 4) / ((1 + u) ** 2 * (1 + 2 * u))
        return centre, min(spread, centre * (1 - centre) * 0.75)  # no wider than the beta of an empty sample


def mixed(parts: Sequence[tuple[float, Mean]], samples: float) -> Mean:
    """The mean over cells, each a (share, mean). The shares add up to 1 and were estimated from this many `samples`."""
    share = min(1.0, max(0.0, sum(part * mean.share for part, mean in parts)))
    within = sum(part * part * mean.variance for part, mean in parts)
    between = sum(part * (mean.share - share) ** 2 for part, mean in parts) / samples if samples else 0.0
    return Mean(share, within + between, max(part * mean.unit for part, mean in parts))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x at which the distribution function of Beta(a, b) reaches the probability, to 1e-9. Halley's steps from a
    first guess; where a step would leave the known bounds, the bounds are halved instead."""
    low, high, x = 0.0, 1.0, _first_guess(probability, a, b)
    for _ in range(100):
        off = beta_below(x, a, b) - probability
        low, high = (x, high) if off < 0 else (low, x)
        if high - low < 1e-9 or abs(off) < 1e-9:
            break
        slope = math.exp(min(700.0, _log_beta_density(x, a, b)))
        bend = (a - 1) / x - (b - 1) / (1 - x)  # of the slope, relative to it
        newton = off / slope if slope else 2.0
        step = x - newton / max(0.5, 1 - newton * bend / 2)
        x = step if low < step < high else (low + high) / 2
    return x


def _first_guess(probability: float, a: float, b: float) -> float:
    """By the normal approximation (Abramowitz & Stegun, 26.5.22); the mean where that does not apply."""
    mean = a / (a + b)
    if min(a, b) <= 1 or not 0 < probability < 1:
        return mean
    z = -_NORMAL.inv_cdf(probability)
    of_a, of_b = 1 / (2 * a - 1), 1 / (2 * b - 1)
    h, third = 2 / (of_a + of_b), (z * z - 3) / 6
    w = z * math.sqrt(max(0.0, h + third)) / h - (of_b - of_a) * (third + 5 / 6 - 2 / (3 * h))
    guess = a / (a + b * math.exp(min(700.0, 2 * w)))
    return guess if 0 < guess < 1 else mean


def beta_below(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function (Abramowitz & Stegun, 26.5.8), by its continued fraction."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(_log_beta_density(x, a, b)) * x * (1 - x)
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _log_beta_density(x: float, a: float, b: float) -> float:
    size = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return size + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's method; 500 steps are enough for a + b of some hundred thousand. Written out, because it runs some dozen
    times for every interval."""
    whole = a + b
    c, d = 1.0, 1 / (1 - whole * x / (a + 1) or _TINY)
    found = d
    for m in range(1, 500):
        at = a + 2 * m
        even = m * (b - m) * x / ((at - 1) * at)
        odd = -(a + m) * (whole + m) * x / (at * (at + 1))
        d, c = 1 / (1 + even * d or _TINY), 1 + even / c or _TINY
        found *= c * d
        d, c = 1 / (1 + odd * d or _TINY), 1 + odd / c or _TINY
        found *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return found
