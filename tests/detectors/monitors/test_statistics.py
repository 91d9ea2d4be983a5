"""Means, tests and the control of false discoveries."""

import math

import numpy as np
import pytest

from detectors.monitors.statistics import Mean, binomial_tail, chi_square_tail, discoveries, within_strata


@pytest.mark.parametrize(
    ("value", "degrees", "tail"),
    [(3.841, 1, 0.05), (18.307, 10, 0.05), (67.505, 50, 0.05), (0.0, 3, 1.0), (2.0, 2, math.exp(-1))],
)
def test_the_tail_of_chi_square(value: float, degrees: int, tail: float) -> None:
    assert chi_square_tail(value, degrees) == pytest.approx(tail, abs=2e-4)


def test_the_tail_of_the_binomial() -> None:
    assert binomial_tail(0, 9, 0.3) == 1.0
    assert binomial_tail(2, 3, 0.5) == pytest.approx(0.5)
    assert binomial_tail(10, 10, 0.1) == pytest.approx(1e-10)
    assert binomial_tail(1, 5, 0.0) == 0.0


def test_what_is_added_and_taken_away_is_as_if_it_never_was() -> None:
    one, other = Mean.of(0.3, 2.0), Mean.of(0.9, 5.0)
    assert one.plus(other).plus(other, -1) == pytest.approx(one)
    assert Mean().value == 0.0
    assert Mean().variance == math.inf


def test_a_mean_of_equal_values_is_not_certain() -> None:
    mean = Mean()
    for _ in range(20):
        mean = mean.plus(Mean.of(0.0, 1.0))
    assert mean.variance > 0


def test_false_discoveries_are_bounded() -> None:
    rng = np.random.default_rng(4)
    false = [sum(discoveries(list(rng.random(40)))) > 0 for _ in range(400)]
    assert np.mean(false) < 0.08
    assert discoveries([0.001, 0.2, 0.9]) == [True, False, False]
    assert discoveries([]) == []


def test_a_difference_is_taken_within_strata() -> None:
    """Simpson: the cohort mostly uses the worse stratum, and within each it is no worse."""
    good, bad = Mean(100, 100, 100, 10, 10, 10), Mean(100, 100, 100, 60, 60, 60)
    few_good, many_bad = Mean(10, 10, 10, 1, 1, 1), Mean(500, 500, 500, 300, 300, 300)
    found = within_strata([(few_good, good), (many_bad, bad)])
    assert found is not None
    assert found.low < 0 < found.high
    assert within_strata([(Mean(), good)]) is None
