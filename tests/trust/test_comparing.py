"""Many comparisons at once: at which level, and what is found."""

from collections.abc import Callable
from functools import partial

import pytest

from gateway.trust.comparing.clusters import LabelledColumn
from gateway.trust.comparing.together import at_least_times, joint_level, surely_more
from gateway.trust.intervals import Interval, Mean


def differs_up_to(p_value: float) -> Callable[[float], bool]:
    """A row whose interval leaves out "no difference" at every level up to 1 - p."""
    return partial(lambda level, p: level <= 1 - p, p=p_value)


def by_p_values(p_values: list[float]) -> int:
    """Benjamini and Hochberg's procedure as it is written."""
    ranked = sorted(p_values)
    return max((n for n, p in enumerate(ranked, start=1) if p <= 0.05 * n / len(ranked)), default=0)


@pytest.mark.parametrize(
    "p_values",
    [
        [0.04],
        [0.06],
        [0.001, 0.02, 0.03, 0.9],
        [0.04, 0.04, 0.04],
        [0.012, 0.02, 0.03, 0.039, 0.5, 0.6, 0.7, 0.8],
        [0.9] * 5,
        [1e-9, 0.2, 0.3],
        [],
    ],
)
def test_the_level_is_that_of_benjamini_and_hochberg(p_values: list[float]) -> None:
    level = joint_level([differs_up_to(p) for p in p_values])
    found = by_p_values(p_values)
    assert sum(p <= 1 - level + 1e-12 for p in p_values) == found
    assert level == pytest.approx(1 - 0.05 * max(1, found) / max(1, len(p_values)))


def test_one_row_alone_has_its_usual_interval() -> None:
    assert joint_level([differs_up_to(0.5)]) == pytest.approx(0.95)


def test_a_ratio_lies_above_what_the_limits_of_both_allow() -> None:
    one, other = Interval(0.2, 0.15, 0.26), Interval(0.05, 0.03, 0.08)
    assert 0.15 / 0.08 < at_least_times(one, other) < 0.2 / 0.05
    assert at_least_times(other, one) < 1


def test_a_ratio_to_what_was_never_found_is_known_from_below() -> None:
    assert at_least_times(Interval(0.2, 0.15, 0.26), Interval(0.0, 0.0, 0.01)) > 10
    assert at_least_times(Interval(0.0, 0.0, 0.01), Interval(0.0, 0.0, 0.01)) == 0.0


def mean(share: float, labels: int = 400) -> Mean:
    return Mean(share, share * (1 - share) / labels, 1 / labels)


def test_a_worse_model_is_found_where_it_is_worse() -> None:
    columns: list[LabelledColumn] = [(f"row {n}",) for n in range(20)]
    good = {column: mean(0.05) for column in columns}
    bad = {**good, columns[3]: mean(0.3)}
    found = surely_more({"good": good, "bad": bad, "fair": good})
    assert set(found) == {(columns[3], "bad")}
    assert 2 < found[columns[3], "bad"] < 6


@pytest.mark.slow
def test_what_one_row_alone_would_show_is_not_shown_among_many() -> None:
    one, other = mean(0.09), mean(0.05)
    assert surely_more({"a": {("row",): one}, "b": {("row",): other}}) != {}
    rows: dict[LabelledColumn, Mean] = {(f"row {n}",): mean(0.05) for n in range(57)}
    assert surely_more({"a": {**rows, ("row",): one}, "b": {**rows, ("row",): other}}) == {}


def test_groups_without_a_common_row_are_not_compared() -> None:
    assert surely_more({"a": {("x",): mean(0.9)}, "b": {("y",): mean(0.1)}}) == {}
    assert surely_more({}) == {}
