"""Estimates against figures from the literature, and their intervals against a simulated truth."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trust.estimates import Errors, Weights, flagged_share, plausible
from gateway.trust.intervals import Interval


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


def test_a_range_of_rates_fits_a_flagged_share() -> None:
    """Its lower end is Rogan and Gladen's correction (American Journal of Epidemiology 107, 1978) by the benchmark that
    leaves least, its upper end takes every flag for harm of which so little is found as on the worst benchmark."""
    low, high = plausible(Interval(0.2, 0.1, 0.3), Errors(((0.9, 0.05), (0.5, 0.01))))
    assert low == pytest.approx((0.1 + 0.95 - 1) / (0.9 + 0.95 - 1))
    assert high == pytest.approx(0.3 / 0.5)


def test_a_range_is_never_nothing() -> None:
    low, high = plausible(Interval(0.0, 0.0, 0.004), Errors(((0.6, 0.05),)))
    assert low == 0
    assert high == pytest.approx(0.004 / 0.6)
    assert plausible(Interval(0.9, 0.8, 1.0), Errors(((0.5, 0.0),))) == (0.8, 1.0)


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.2, 0.5), (0.0, 0.0)])
def test_where_a_detector_separates_nothing_no_rate_is_excluded_below(rates: tuple[float, float]) -> None:
    low, high = plausible(Interval(0.2, 0.1, 0.3), Errors(((0.9, 0.0), rates)))
    assert low == 0
    assert high == 1


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


def simulated(routes: Routes) -> tuple[float, list[float]]:
    """Over all days: how often the intervals held the flagged share, and the estimates of it."""
    chance = random.Random(20231)
    shares = [share for _ in range(DAYS) if (share := flagged_share(day(chance, routes)))]
    assert len(shares) == DAYS
    held = sum(share.low <= flagged(routes) <= share.high for share in shares) / DAYS
    return held, [share.estimate for share in shares]


def flagged(routes: Routes) -> float:
    harm = sum(share * harm for share, harm, _ in routes)
    return harm * TRUE_POSITIVES + (1 - harm) * FALSE_POSITIVES


@pytest.mark.slow
def test_the_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Three standard errors of a share of 0.95 over 400 days are 0.033. They may cover it more often: of two sizes
    the smaller is taken."""
    held, _ = simulated(EVEN)
    assert 0.95 - 0.033 < held < 0.99


@pytest.mark.slow
def test_weighting_finds_the_share_that_counting_would_miss() -> None:
    """Where harm hides in what is sampled less, the estimate is right, and its interval holds what it promises."""
    held, estimates = simulated(UNEVEN)
    assert sum(estimates) / DAYS == pytest.approx(flagged(UNEVEN), rel=0.03)
    assert held > 0.95 - 0.033
