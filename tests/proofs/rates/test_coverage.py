"""The proof that intervals cover, on fewer replays: `python -m tests.proofs.rates.coverage` prints all of it.

Three standard errors of a share of 0.95 over 300 replays are 0.038.
"""

from collections.abc import Callable

import numpy as np
import pytest

from tests.proofs.rates.coverage import (
    Row,
    at_best,
    callers,
    drifting,
    evenly,
    finer,
    plot,
    routes,
    rows,
    table,
    three_phases,
)
from tests.proofs.rates.two_phase import Result, Traffic, labels_alone, simulated, with_detector

TIMES = 300
LEAST = 0.95 - 0.038


@pytest.mark.parametrize(
    ("prevalence", "auroc", "labels"), [(0.0005, 0.9, 300), (0.01, 0.5, 1000), (0.07, 0.97, 100), (0.3, 0.75, 300)]
)
def test_an_interval_holds_the_truth_however_good_the_detector(prevalence: float, auroc: float, labels: int) -> None:
    found = with_detector(simulated(prevalence, auroc), exchanges=20_000, labels=labels, times=TIMES, seed=1)
    assert found.covered >= LEAST


def test_a_detector_that_errs_wildly_costs_width_and_not_the_truth() -> None:
    """Its scores are off by a factor of e³ in odds, either way."""
    for shift in (-3.0, 3.0):
        found = with_detector(simulated(0.05, 0.8, shift=shift), exchanges=20_000, labels=300, times=TIMES, seed=2)
        assert found.covered >= LEAST


@pytest.mark.parametrize("traffic", [drifting, routes, callers, three_phases])
def test_an_interval_holds_the_truth_in_harder_traffic(traffic: Callable[[int, int], Result]) -> None:
    assert traffic(TIMES, 300).covered >= LEAST


def test_a_good_detector_saves_labels_and_a_judge_between_saves_more() -> None:
    traffic = simulated(0.07, 0.97)
    many = {"exchanges": 20_000, "labels": 300, "times": 100}
    alone, ours = labels_alone(traffic, seed=3, **many), with_detector(traffic, seed=4, **many)
    judged = with_detector(traffic, seed=5, judged_by_model=3000, **many)
    assert ours.fewer_labels(alone) > 2
    assert judged.fewer_labels(alone) > ours.fewer_labels(alone)


def test_no_design_beats_what_is_best_for_a_detector() -> None:
    """A blind one saves nothing at best, one that errs never saves all but a few."""
    assert at_best(simulated(0.07, 0.5)) == pytest.approx(1, abs=0.05)
    good, better = at_best(simulated(0.07, 0.9)), at_best(simulated(0.07, 0.97))
    assert 1.5 < good < better
    half, even = (at_best(simulated(0.07, 0.9), blind) for blind in (0.5, 1.0))
    assert even < half < good
    assert even == pytest.approx(evenly(simulated(0.07, 0.9)))


def test_a_blind_detector_costs_next_to_nothing() -> None:
    (found,) = rows("blind", simulated(0.07, 0.5), 0.5, 100, (300,))
    assert found.ours.fewer_labels(found.alone) > 0.9


def test_the_table_and_the_plot_show_each_line() -> None:
    results = Result(0.95, 0.2, 0.05), Result(0.96, 0.1, 0.02), Result(0.94, 0.08, 0.02)
    line = "| some traffic | 10.00% | 0.90 | 300 | 0.950 | 0.2000 | 0.960 | 0.1000 | 4.0 × | 0.940 | 0.0800 | 6.2 ×"
    found = [Row("some traffic", 0.1, 0.9, 300, *results, 5.0)]
    assert line in table(found)
    assert "some traffic" in plot(found)


def test_no_design_saves_more_than_the_score_tells() -> None:
    blind, good = simulated(0.07, 0.5), simulated(0.07, 0.95)
    assert evenly(blind) == pytest.approx(1, abs=0.01)
    assert 1 < evenly(good) < at_best(good)
    chance = np.random.default_rng(1)
    score = chance.random(3000)
    ones = np.ones(len(score))
    told = Traffic(ones / len(score), (chance.random(len(score)) < score).astype(float), score, ones, ones)
    assert finer(told) == pytest.approx(1.5, abs=0.1)  # the variance of the labels is 1/4, of what is left 1/6
