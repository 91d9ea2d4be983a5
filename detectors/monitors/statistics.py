"""The monitors' weighted means, tests and control of false discoveries."""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

FALSE_DISCOVERIES = 0.05
LEVEL = 0.95
_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf((1 + LEVEL) / 2)


class Mean(NamedTuple):
    """Six sums of weighted values x, which can be added and taken away: n, Σw, Σw², Σwx, Σw²x and Σw²x²."""

    n: float = 0.0
    w: float = 0.0
    ww: float = 0.0
    wx: float = 0.0
    wwx: float = 0.0
    wwxx: float = 0.0

    @classmethod
    def of(cls, value: float, weight: float) -> "Mean":
        square = weight * weight
        return cls(1.0, weight, square, weight * value, square * value, square * value * value)

    @property
    def value(self) -> float:
        """0 where nothing was added."""
        return self.wx / self.w if self.w > 0 else 0.0

    @property
    def effective(self) -> float:
        """How many equally weighted samples would tell as much (Kish 1965)."""
        return self.w * self.w / self.ww if self.ww > 0 else 0.0

    @property
    def variance(self) -> float:
        """The variance of the mean, linearised (Särndal, Swensson & Wretman 1992, section 5.7). One more observation
        half a range away is added, so that a mean of equal values does not look certain. Infinite if there are no
        samples."""
        size = self.effective
        if size <= 0:
            return math.inf
        spread = self.wwxx - 2 * self.value * self.wwx + self.value**2 * self.ww
        return max(0.0, spread) / self.w**2 + 0.25 / (size + 1) ** 2

    def spread(self, effect: float) -> "Mean":
        """The same mean with `effect` times the variance: a design effect."""
        return self._replace(ww=self.ww * effect, wwx=self.wwx * effect, wwxx=self.wwxx * effect)

    def plus(self, more: "Mean", sign: float = 1.0) -> "Mean":
        return Mean(*(a + sign * b for a, b in zip(self, more, strict=True)))


class Difference(NamedTuple):
    """An estimate with its 95 % interval, and the two-sided p-value of no difference."""

    estimate: float
    low: float
    high: float
    p: float

    @property
    def variance(self) -> float:
        """The variance of the estimate, from the width of a normal interval."""
        return ((self.high - self.low) / (2 * _Z)) ** 2

    @classmethod
    def normal(cls, estimate: float, variance: float) -> "Difference":
        deviation = math.sqrt(variance)
        if deviation == 0:
            return cls(estimate, estimate, estimate, 0.0 if estimate else 1.0)
        p = 2 * _NORMAL.cdf(-abs(estimate) / deviation)
        return cls(estimate, estimate - _Z * deviation, estimate + _Z * deviation, p)


def p_of_student(t: float, degrees: float) -> float:
    """The two-sided p-value of Student's t, by Wallace's normal approximation (1959)."""
    scale = (8 * degrees + 1) / (8 * degrees + 3)
    return 2 * _NORMAL.cdf(-scale * math.sqrt(degrees * math.log1p(t * t / degrees)))


def within_strata(pairs: Iterable[tuple[Mean, Mean]]) -> Difference | None:
    """Left less right, compared within strata and averaged with Mantel and Haenszel's weights; None if no stratum has
    both.

    The variance is the larger of two estimates. The one from each side's own spread is far too small if one side has
    no case of a rare finding. The one from both sides together is too small if the smaller side varies more.
    """
    total = top = variance = together = 0.0
    for left, right in pairs:
        sizes = left.effective, right.effective
        if min(sizes) < 2:
            continue
        share = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
        total += share
        top += share * (left.value - right.value)
        variance += share * share * (left.variance + right.variance)
        both = left.plus(right)
        together += share * share * both.variance * both.effective * (1 / sizes[0] + 1 / sizes[1])
    return Difference.normal(top / total, max(variance, together) / total**2) if total else None


def discoveries(p_values: Sequence[float], rate: float = FALSE_DISCOVERIES) -> list[bool]:
    """Which hypotheses are found, with at most this share of false ones among them (Benjamini & Hochberg 1995)."""
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    most = max((rank for rank, at in enumerate(ranked, 1) if p_values[at] <= rate * rank / len(ranked)), default=0)
    found = set(ranked[:most])
    return [at in found for at in range(len(p_values))]


def chi_square_tail(value: float, degrees: float) -> float:
    """P(X ≥ value) of a chi-square variable: the regularised upper incomplete gamma function."""
    a, x = degrees / 2, value / 2
    if x <= 0:
        return 1.0
    scale = math.exp(-x + a * math.log(x) - math.lgamma(a))
    return 1.0 - scale * _series(a, x) if x < a + 1 else scale * _fraction(a, x)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    for step in range(1, 10_000):
        term *= x / (a + step)
        total += term
        if term < total * 1e-14:
            break
    return total


def _fraction(a: float, x: float) -> float:
    """Lentz's continued fraction."""
    b = x + 1 - a
    c, d = 1e300, 1 / b
    found = d
    for step in range(1, 10_000):
        part = -step * (step - a)
        b += 2
        d = 1 / (part * d + b)
        c = b + part / c
        found *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return found


def binomial_tail(found: int, size: int, rate: float) -> float:
    """P(X ≥ found) for `size` tries that each succeed with this rate."""
    if found <= 0:
        return 1.0
    if rate <= 0:
        return 0.0
    if rate >= 1:
        return 1.0
    terms = [_log_binomial(k, size, rate) for k in range(found, size + 1)]
    largest = max(terms)
    return min(1.0, math.exp(largest) * sum(math.exp(term - largest) for term in terms))


def _log_binomial(k: int, size: int, rate: float) -> float:
    ways = math.lgamma(size + 1) - math.lgamma(k + 1) - math.lgamma(size - k + 1)
    return ways + k * math.log(rate) + (size - k) * math.log1p(-rate)
