"""The arithmetic behind every published figure, on cases small enough to do by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.training.measure import (
    Labels,
    Scores,
    auroc,
    average_precision,
    calibration_error,
    f1,
    operating_table,
    platt,
)
from detectors.training.pair.lines import signed

SCORES: Scores = np.array([0.9, 0.8, 0.8, 0.3, 0.1])
LABELS: Labels = np.array([True, False, True, False, False])


def test_ranking_figures_by_hand() -> None:
    # pairs of (positive, negative): .9 beats all 3; .8 ties one, beats two
    assert auroc(SCORES, LABELS) == pytest.approx((3 + 2.5) / 6)
    # recall steps at .9 (precision 1) and at .8 (precision 2/3, the tie taken together)
    assert average_precision(SCORES, LABELS) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert f1(SCORES >= 0.5, LABELS) == pytest.approx(2 * 2 / (3 + 2))
    assert np.isnan(auroc(SCORES, np.ones(5, dtype=np.bool_)))


@given(st.lists(st.floats(0, 1), min_size=50, max_size=400))
def test_no_more_benign_texts_are_flagged_than_the_rate_allows(values: list[float]) -> None:
    benign = np.array(values)
    table = operating_table(benign)
    assert table
    for rate, limit in table:
        assert (benign >= limit).mean() <= rate
        assert rate * len(benign) >= 2 - 1e-6


def test_a_rule_is_tabled_at_the_scores_it_can_give() -> None:
    benign = np.array([0.0] * 96 + [0.5] * 3 + [0.9])
    assert operating_table(benign, (0.5, 0.9)) == ((0.02, 0.9), (0.05, 0.5), (0.1, 0.5))


def test_platt_recovers_the_line_that_made_the_labels() -> None:
    draws = np.random.default_rng(7)
    logits = draws.normal(0, 4, 50_000)
    labels = draws.random(50_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    slope, offset = platt(logits, labels)
    assert slope == pytest.approx(0.5, abs=0.02)
    assert offset == pytest.approx(-1, abs=0.05)
    even = 1 / (1 + np.exp(-(slope * logits + offset + np.log((~labels).sum() / labels.sum()))))
    assert calibration_error(even, labels) < 0.01


def test_calibration_error_weighs_both_classes_the_same() -> None:
    """Nine harmless rows and one harmful, all told apart at 0.5: no error, though few are harmful."""
    labels = np.array([True] + [False] * 9)
    assert calibration_error(np.full(10, 0.5), labels) == pytest.approx(0)
    assert calibration_error(np.full(10, 0.1), labels) == pytest.approx(0.4)


def test_platt_stays_finite_when_classes_are_apart() -> None:
    slope, offset = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    assert 0 < slope < 10
    assert abs(offset) < 1


def test_slopes_shrink_to_where_the_penalty_and_the_fit_pull_alike() -> None:
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(400, 2))
    labels = rng.random(400) < 1 / (1 + np.exp(-2 * columns[:, 0]))
    free, held = platt(columns, labels), platt(columns, labels, shrink=50.0)
    assert abs(held[0]) < abs(free[0])
    target = np.where(labels, (labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2))
    chance = 1 / (1 + np.exp(-(columns @ np.array(held[:-1]) + held[-1])))
    assert columns.T @ (chance - target) == pytest.approx(-50.0 * np.array(held[:-1]), abs=1e-3)
    assert (chance - target).sum() == pytest.approx(0, abs=1e-3)


def test_a_shrunken_line_does_not_depend_on_the_unit_of_a_number() -> None:
    rng = np.random.default_rng(4)
    columns = rng.normal(size=(300, 2))
    labels = rng.random(300) < 1 / (1 + np.exp(-columns.sum(axis=1)))
    even = np.ones(300)
    one = signed(columns, labels, even, (1, 1), shrink=20.0)
    other = signed(columns * np.array([1, 1000.0]), labels, even, (1, 1), shrink=20.0)
    assert other[1] * 1000 == pytest.approx(one[1], rel=1e-4)
    assert other[0] == pytest.approx(one[0], rel=1e-4)
    assert signed(-columns, labels, even, (1, 1), shrink=20.0)[:2] == (0, 0)
