"""How far rates carry over to other callers."""

import pytest

from gateway.pages.callers import callers_rows
from gateway.trust.comparing.callers import AmongCallers, among_callers
from gateway.trust.estimates import Evidence, rate
from gateway.trust.ledger import LedgerWindow
from gateway.trust.moments import NOTHING, SAID, UNASKED, Row, Sums
from gateway.trust.packed import Packed
from gateway.trust.per_caller import PerCaller
from tests.proofs.rates.clustered import column_of, together


def caller(judged: float, labels: float, harmful: float) -> Evidence:
    """All in one band; labels weigh so that they stand for what was judged."""
    weight = judged / labels
    rows = [NOTHING] * SAID
    said = (labels, judged, labels * weight**2, harmful * weight, harmful * weight**2, harmful * weight**2)
    rows[UNASKED] = Row(*said)
    return Evidence({("words@1", 4): Row(judged, judged, judged, 0, 0, 0)}, {}, {("words@1", 4): rows})


def found(callers: list[Evidence]) -> AmongCallers:
    whole = together(callers)
    mean = rate(whole, "person")
    assert mean is not None
    among = among_callers(whole, mean, list(map(column_of, callers)), "person")
    assert among is not None
    return among


def test_callers_that_do_not_differ_widen_little() -> None:
    among = found([caller(1000, 50, 10) for _ in range(40)])
    assert among.design_effect == pytest.approx(1)
    assert among.callers == pytest.approx(40)
    assert among.interval.low < 0.2 < among.interval.high < 0.24


def test_the_more_callers_differ_the_wider() -> None:
    widths = []
    for off in (0, 4, 8):
        among = found([caller(1000, 50, 10 + (off if number % 2 else -off)) for number in range(20)])
        widths.append(among.interval.high - among.interval.low)
    assert widths[0] < widths[1] < widths[2]


def test_one_caller_that_makes_most_leaves_few_to_compare() -> None:
    rest = [caller(100, 10, 1) for _ in range(9)]
    even = found([caller(100, 10, 4), *rest])
    most = found([caller(5000, 500, 200), *rest])
    assert most.busiest > 0.8
    assert most.callers < 1.5 < even.callers
    assert most.interval.high - most.interval.low > 2 * (even.interval.high - even.interval.low)
    assert most.effective_samples < even.effective_samples


def test_of_two_callers_nothing_can_be_said() -> None:
    two = [caller(100, 20, 2), caller(100, 20, 9)]
    whole = together(two)
    mean = rate(whole, "person")
    assert mean is not None
    assert among_callers(whole, mean, list(map(column_of, two)), "person") is None


def test_where_no_detector_speaks_the_labels_say_how_callers_differ() -> None:
    callers = [caller(100, 20, harmful) for harmful in (0, 0, 1, 9, 0, 8)]
    for of in callers:
        of.detector.clear()
    assert found(callers).design_effect > 2


def test_a_row_has_what_is_known_and_null_where_it_cannot_be_said() -> None:
    def window(harmful: int, times: int = 1) -> LedgerWindow:
        n, y = 50.0 * times, float(harmful * times)
        column = ("violence", "prompt", "words@1")
        sums: Sums = {(*column, "detector", 4 * SAID): [n, n, n, 0, 0, 0]}
        sums[*column, "person", 4 * SAID + UNASKED] = [n, n, n, y, y, y]
        return LedgerWindow(sums, frozenset({"words@1"}))

    def each(number: int) -> PerCaller:
        return PerCaller.of({f"caller {n}": Packed.of(window(5).sums) for n in range(number)})

    (row,) = callers_rows(window(5, times=4), each(4))
    assert row["rate"]["estimate"] == 0.1
    assert row["among_callers"]["callers"] == 4
    assert row["among_callers"]["low"] <= row["rate"]["low"]
    (row,) = callers_rows(window(5, times=2), each(2))
    assert row["among_callers"] is None
