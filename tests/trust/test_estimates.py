"""Estimates against figures from the literature, and their intervals against a simulated truth."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trust.estimates import Interval, Weights, corrected, flagged_share


def simple(flagged: int, total: int) -> Weights:
    """Samples that each stand for one exchange."""
    return Weights(total, total, flagged, flagged)


# Wilson's interval without continuity correction, 95 %. The first five are Newcombe's (Statistics in Medicine 17,
# 1998, table I and text, method 3); the last follows from the formula at 0: z² / (n + z²).
WILSON = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
    (29, 29, 0.8830, 1.0),
    (0, 1, 0.0, 0.7935),
]


@pytest.mark.parametrize(("flagged", "total", "low", "high"), WILSON)
def test_the_interval_is_wilsons(flagged: int, total: int, low: float, high: float) -> None:
    share = flagged_share(simple(flagged, total))
    assert share is not None
    assert share.estimate == flagged / total
    assert share.low == pytest.approx(low, abs=6e-5)
    assert share.high == pytest.approx(high, abs=6e-5)


def test_unequal_weights_are_worth_fewer_samples() -> None:
    """Kish (Survey Sampling, 1965): (Σw)² / Σw². Ten of weight 1 and ten of weight 9 are worth 12.2."""
    weights = Weights(10 + 90, 10 + 810, 9.0, 9.0)
    assert weights.effective_samples == pytest.approx(10_000 / 820)
    assert Weights(50.0, 250.0, 0.0, 0.0).effective_samples == 10  # ten of weight 5 are worth ten
    wide, narrow = flagged_share(weights), flagged_share(simple(2, 20))
    assert wide
    assert narrow
    assert wide.high - wide.low > narrow.high - narrow.low


def test_findings_that_weigh_more_are_worth_fewer_still() -> None:
    """The linearised variance of a ratio: Σw²(y - p)² / (Σw)². Two of weight 9 found among ten of 9 and ten of 1."""
    weights = Weights(10 + 90, 10 + 810, 18.0, 162.0)
    variance = (2 * 81 * 0.82**2 + (8 * 81 + 10) * 0.18**2) / 100**2
    assert weights.effective_samples == pytest.approx(0.18 * 0.82 / variance)
    assert weights.effective_samples < 10_000 / 820


def test_nothing_judged_gives_nothing() -> None:
    assert Weights(0.0, 0.0, 0.0, 0.0).effective_samples == 0
    assert flagged_share(Weights(0.0, 0.0, 0.0, 0.0)) is None


def test_a_share_is_corrected_as_rogan_and_gladen_do() -> None:
    """American Journal of Epidemiology 107, 1978: (p + specificity - 1) / (sensitivity + specificity - 1)."""
    estimate = corrected(Interval(0.2, 0.1, 0.3), 0.9, 0.05)
    assert estimate is not None
    assert estimate.estimate == pytest.approx((0.2 + 0.95 - 1) / (0.9 + 0.95 - 1))
    assert estimate.low == pytest.approx(0.05 / 0.85)
    assert estimate.high == pytest.approx(0.25 / 0.85)


def test_a_correction_stays_a_share() -> None:
    assert corrected(Interval(0.01, 0.0, 0.02), 0.6, 0.05) == Interval(0.0, 0.0, 0.0)
    assert corrected(Interval(0.9, 0.8, 1.0), 0.5, 0.0) == Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.2, 0.5), (0.0, 0.0)])
def test_a_detector_that_separates_nothing_corrects_nothing(rates: tuple[float, float]) -> None:
    assert corrected(Interval(0.2, 0.1, 0.3), *rates) is None


@given(st.lists(st.tuples(st.floats(1, 1e6), st.booleans()), min_size=1), st.floats(0, 2))
def test_an_interval_holds_its_estimate_and_stays_between_0_and_1(
    samples: list[tuple[float, bool]], ahead: float
) -> None:
    """Also while a sample is being counted, when the flagged sum is already ahead of the total."""
    total, squared = sum(w for w, _ in samples), sum(w * w for w, _ in samples)
    found = [w for w, flagged in samples if flagged]
    share = flagged_share(Weights(total, squared, sum(found) * ahead, sum(w * w for w in found) * ahead))
    assert share is not None
    assert 0 <= share.low <= share.estimate + 1e-12
    assert share.estimate <= share.high + 1e-12
    assert share.high <= 1
    assert not math.isnan(share.low + share.high)


# --- a simulated truth

TRUE_POSITIVES, FALSE_POSITIVES = 0.8, 0.02
DAYS, EXCHANGES = 400, 2000
# (share of traffic, rate of harm, inclusion probability) of each route.
Routes = tuple[tuple[float, float, float], ...]
EVEN: Routes = ((0.7, 0.08, 0.5), (0.3, 0.08, 0.1))
UNEVEN: Routes = ((0.7, 0.03, 0.5), (0.3, 0.15, 0.1))  # harm is commoner where fewer are sampled


def day(chance: random.Random, routes: Routes) -> Weights:
    """The weights of one day of traffic, sampled and judged with the detector's errors."""
    total = squared = flagged = flagged_squared = 0.0
    for _ in range(EXCHANGES):
        _, harm, probability = routes[0] if chance.random() < routes[0][0] else routes[1]
        if chance.random() >= probability:
            continue
        weight = 1 / probability
        is_harm = chance.random() < harm
        total += weight
        squared += weight * weight
        if chance.random() < (TRUE_POSITIVES if is_harm else FALSE_POSITIVES):
            flagged += weight
            flagged_squared += weight * weight
    return Weights(total, squared, flagged, flagged_squared)


def simulated(routes: Routes) -> tuple[float, float, list[float]]:
    """Over all days: how often the intervals held the flagged share and the true rate, and the estimates of it."""
    harm = true_rate(routes)
    flags = harm * TRUE_POSITIVES + (1 - harm) * FALSE_POSITIVES
    chance = random.Random(20231)
    shares = [share for _ in range(DAYS) if (share := flagged_share(day(chance, routes)))]
    rates = [rate for share in shares if (rate := corrected(share, TRUE_POSITIVES, FALSE_POSITIVES))]
    assert len(shares) == len(rates) == DAYS
    held = sum(share.low <= flags <= share.high for share in shares) / DAYS
    held_rate = sum(rate.low <= harm <= rate.high for rate in rates) / DAYS
    return held, held_rate, [rate.estimate for rate in rates]


def true_rate(routes: Routes) -> float:
    return sum(share * harm for share, harm, _ in routes)


def test_the_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Three standard errors of a share of 0.95 over 400 days are 0.033. They may cover it more often: of two sizes
    the smaller is taken."""
    held, held_rate, _ = simulated(EVEN)
    assert 0.95 - 0.033 < held < 0.99
    assert 0.95 - 0.033 < held_rate < 0.99


def test_weighting_finds_the_rate_that_counting_would_miss() -> None:
    """Where harm hides in what is sampled less, the estimate is right, and its interval holds what it promises."""
    held, held_rate, estimates = simulated(UNEVEN)
    assert sum(estimates) / DAYS == pytest.approx(true_rate(UNEVEN), rel=0.03)
    counted = sum(share * harm * p for share, harm, p in UNEVEN) / sum(share * p for share, _, p in UNEVEN)
    assert counted < true_rate(UNEVEN) * 0.75
    assert min(held, held_rate) > 0.95 - 0.033
