"""Intervals of shares from a mixture of small binomial samples, in pure arithmetic.

A rate is a mean over cells (bands of the detector's score), each with its known share of the traffic and a few labels.
Its variance is that of a post-stratified mean under two-phase sampling (Särndal, Swensson & Wretman, 1992, chapter 9).
A normal interval from it covers far too little where positives are few: with none found its width is 0. So one
observation, half positive, is added where one label stands for most traffic, and a beta distribution with the same mean
and variance gives the limits. With a single cell that is Jeffreys' interval exactly (Brown, Cai & DasGupta, 2001); the
idea of the heaviest weight is Fay & Feuer's (1997) for weighted sums of counts. `tests/proofs` measures how often the
intervals hold the truth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval, all shares 0 to 1."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """An estimated share with its variance. `unit` is the share of the whole that one label stands for, at most."""

    share: float
    variance: float
    unit: float

    @property
    def effective_samples(self) -> float:
        """As many simple random labels would tell as much: those of the beta distribution below, less the added."""
        centre, spread = self._moments()
        return max(0.0, centre * (1 - centre) / spread - 2)

    def interval(self, level: float = LEVEL) -> Interval:
        centre, spread = self._moments()
        size = centre * (1 - centre) / spread - 1
        a, b = centre * size, (1 - centre) * size
        low, high = beta_quantile((1 - level) / 2, a, b), beta_quantile((1 + level) / 2, a, b)
        # A rate of which nothing was found may be zero, one of which nothing else was found may be one.
        low, high = (0.0 if self.share <= 0 else low), (1.0 if self.share >= 1 else high)
        return Interval(self.share, min(low, self.share), max(high, self.share))

    def _moments(self) -> tuple[float, float]:
        """Mean and variance with the half positive observation; for one cell those of Beta(k + ½, n - k + ½)."""
        u = self.unit
        centre = (self.share + u / 2) / (1 + u)
        spread = (self.variance + u * u / 2 + u**3 / 4) / ((1 + u) ** 2 * (1 + 2 * u))
        return centre, min(spread, centre * (1 - centre) * 0.75)  # no wider than the beta of an empty sample


def mixed(parts: Sequence[tuple[float, Mean]], samples: float) -> Mean:
    """The mean over cells, by (share, mean); the shares, which add up to 1, were found in so many samples."""
    share = min(1.0, max(0.0, sum(part * mean.share for part, mean in parts)))
    within = sum(part * part * mean.variance for part, mean in parts)
    between = sum(part * (mean.share - share) ** 2 for part, mean in parts) / samples if samples else 0.0
    return Mean(share, within + between, max(part * mean.unit for part, mean in parts))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x at which the distribution function of Beta(a, b) reaches the probability, to 1e-9: Newton's steps, halving
    where one would leave what is known."""
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(100):
        off = beta_below(x, a, b) - probability
        low, high = (x, high) if off < 0 else (low, x)
        if high - low < 1e-9 or abs(off) < 1e-9:
            break
        slope = math.exp(min(700.0, _log_beta_density(x, a, b)))
        step = x - off / slope if slope else -1.0
        x = step if low < step < high else (low + high) / 2
    return x


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
    """Lentz's method; 500 steps are enough for a + b of some hundred thousand."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / _away_from_zero(1 + term * d), _away_from_zero(1 + term / c)
            found *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return found


def _away_from_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
