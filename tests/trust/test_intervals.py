"""The arithmetic of intervals against figures from elsewhere, and its limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trust.estimates import Evidence, difference, rate
from gateway.trust.intervals import Interval, Mean, beta_below, beta_quantile, mixed
from gateway.trust.moments import BANDS, NO, NOTHING, SAID, SILENT, UNASKED, YES, Row


@pytest.mark.parametrize(
    ("x", "a", "b", "below"),
    [
        (0.3, 1.0, 1.0, 0.3),  # the uniform
        (0.25, 0.5, 0.5, 1 / 3),  # the arcsine: (2/π)·asin(√x)
        (0.5, 2.0, 3.0, 11 / 16),  # by the binomial: P(at least 2 of 4)
        (0.2, 3.0, 1.0, 0.008),  # x³
        (0.9, 1.0, 4.0, 1 - 0.1**4),
    ],
)
def test_the_beta_distribution(x: float, a: float, b: float, below: float) -> None:
    assert beta_below(x, a, b) == pytest.approx(below, abs=1e-10)
    assert beta_quantile(below, a, b) == pytest.approx(x, abs=1e-6)


@pytest.mark.parametrize("a", [0.5, 1.0, 30.0])
def test_the_beta_distribution_begins_at_0_and_ends_at_1(a: float) -> None:
    assert [beta_below(x, a, 2.0) for x in (-0.1, 0.0, 1.0, 1.1)] == [0, 0, 1, 1]


@given(st.floats(1e-4, 1 - 1e-4), st.floats(0.05, 5e4), st.floats(0.05, 5e4))
def test_a_quantile_is_where_the_distribution_reaches_it(probability: float, a: float, b: float) -> None:
    x = beta_quantile(probability, a, b)
    assert 0 <= x <= 1
    assert beta_below(max(0, x - 2e-9), a, b) - 1e-6 <= probability <= beta_below(min(1, x + 2e-9), a, b) + 1e-6


@pytest.mark.parametrize(("found", "of"), [(5, 20), (1, 100), (150, 300)])
def test_one_cell_gives_jeffreys_interval(found: int, of: int) -> None:
    share = found / of
    interval = Mean(share, share * (1 - share) / of, 1 / of).interval()
    assert interval.low == pytest.approx(beta_quantile(0.025, found + 0.5, of - found + 0.5), rel=1e-4)
    assert interval.high == pytest.approx(beta_quantile(0.975, found + 0.5, of - found + 0.5), rel=1e-4)
    assert Mean(share, share * (1 - share) / of, 1 / of).effective_samples == pytest.approx(of)


def test_nothing_found_is_not_nothing_there() -> None:
    nothing, everything = Mean(0.0, 0.0, 0.01).interval(), Mean(1.0, 0.0, 0.01).interval()
    assert (nothing.low, everything.high) == (0, 1)
    assert nothing.high == pytest.approx(0.025, abs=0.002)
    assert everything.low == pytest.approx(1 - nothing.high)


def test_a_label_that_stands_for_much_makes_it_wide() -> None:
    seldom = mixed([(0.9, Mean(0.0, 0.0, 1 / 5)), (0.1, Mean(0.5, 0.25 / 100, 1 / 100))], 10_000).interval()
    often = mixed([(0.9, Mean(0.0, 0.0, 1 / 200)), (0.1, Mean(0.5, 0.25 / 100, 1 / 100))], 10_000).interval()
    assert seldom.estimate == often.estimate == pytest.approx(0.05)
    assert seldom.high - seldom.low > 5 * (often.high - often.low)


def test_shares_that_were_found_in_few_samples_add_their_own_variance() -> None:
    """Two halves of 0.2 and 0.4: the mean is 0.3, and between them the variance is 0.1² over the samples."""
    halves = [(0.5, Mean(0.2, 0.004, 0.01)), (0.5, Mean(0.4, 0.008, 0.02))]
    found = mixed(halves, 50)
    assert found.share == pytest.approx(0.3)
    assert found.variance == pytest.approx(0.25 * 0.004 + 0.25 * 0.008 + 0.01 / 50)
    assert found.unit == 0.01
    assert mixed(halves, 0).variance == pytest.approx(0.25 * 0.004 + 0.25 * 0.008)


Place = tuple[str, int]
rows = st.tuples(st.integers(1, 200), st.floats(1, 500), st.floats(0, 1)).map(
    lambda row: Row(row[0], row[0] * row[1], row[0] * row[1] ** 2, *(row[2] * row[0] * row[1] ** k for k in (1, 2, 2)))
)
places = st.tuples(st.sampled_from(["a@1", "a@2"]), st.integers(0, BANDS - 1))
labels = st.dictionaries(places, st.lists(st.one_of(st.just(NOTHING), rows), min_size=SAID, max_size=SAID), max_size=8)


@pytest.mark.slow
@given(st.dictionaries(places, rows, max_size=8), labels, labels)
def test_whatever_the_sums_a_rate_is_a_share_within_its_interval(
    detector: dict[tuple[str, int], Row],
    judge: dict[tuple[str, int], list[Row]],
    person: dict[tuple[str, int], list[Row]],
) -> None:
    for source in ("judge", "person"):
        mean = rate(Evidence(detector, judge, person), source)
        if mean is not None:
            found = mean.interval()
            assert 0 <= found.low <= found.estimate + 1e-9
            assert found.estimate <= found.high + 1e-9
            assert found.high <= 1
            assert mean.effective_samples >= 0


def row(n: int, found: int, weight: float = 1.0) -> Row:
    return Row(n, n * weight, n * weight**2, found * weight, found * weight**2, found * weight**2)


def test_labels_are_weighted_by_the_bands_share_of_the_traffic() -> None:
    """A hundredth of the traffic scores high; half of it is harm, of the rest one in a hundred."""
    of = Evidence(
        {("a@1", 0): row(9900, 0), ("a@1", 8): row(100, 100)},
        {},
        {("a@1", 0): [row(100, 1, 50), *[NOTHING] * 3], ("a@1", 8): [row(50, 25, 2), *[NOTHING] * 3]},
    )
    mean = rate(of, "person")
    assert mean is not None
    assert mean.share == pytest.approx(0.99 * 0.01 + 0.01 * 0.5)


def test_people_correct_a_judge_that_always_says_yes() -> None:
    judge = {("a@1", 0): [NOTHING, NOTHING, NOTHING, row(1000, 1000)]}
    of = Evidence({("a@1", 0): row(10_000, 0)}, judge, {("a@1", 0): [NOTHING, NOTHING, NOTHING, row(100, 10)]})
    by_judge, by_people = rate(of, "judge"), rate(of, "person")
    assert by_judge is not None
    assert by_people is not None
    assert by_judge.share == 1
    assert by_people.share == pytest.approx(0.1)


def test_people_correct_a_judge_by_what_it_said_and_where_it_was_silent() -> None:
    said = {UNASKED: NOTHING, SILENT: row(100, 0), NO: row(800, 0), YES: row(100, 100)}
    people = {UNASKED: NOTHING, SILENT: row(20, 10), NO: row(40, 2), YES: row(40, 36)}
    of = Evidence(
        {("a@1", 0): row(10_000, 0)},
        {("a@1", 0): [said[way] for way in range(SAID)]},
        {("a@1", 0): [people[way] for way in range(SAID)]},
    )
    mean = rate(of, "person")
    assert mean is not None
    assert mean.share == pytest.approx(0.1 * 0.5 + 0.8 * 0.05 + 0.1 * 0.9)


def test_a_difference_keeps_the_asymmetry_of_its_rates() -> None:
    """Newcombe's example (Statistics in Medicine 17, 1998): 56/70 and 48/80, method 10, 0.0524 to 0.3339 by Wilson's
    limits."""
    one, other = Interval(0.8, 0.6918, 0.8770), Interval(0.6, 0.4904, 0.7005)
    found = difference(one, other)
    assert found.estimate == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0524, abs=2e-3)
    assert found.high == pytest.approx(0.3339, abs=2e-3)
    assert found.words == "higher"
    assert difference(other, one).words == "lower"
    assert difference(one, one).words == "no difference shown"
