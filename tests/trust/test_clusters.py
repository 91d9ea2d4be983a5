"""A difference that is one caller's doing is not called one of models."""

from collections.abc import Sequence

import pytest

from gateway.pages.rates import are_of, compared
from gateway.trust.buckets import HOUR, changes
from gateway.trust.comparing.clusters import (
    NOBODY,
    Callers,
    LabelledColumn,
    Widening,
    flagged_by_caller,
    labels_by_caller,
    stretch,
)
from gateway.trust.estimates import Difference, evidence
from gateway.trust.intervals import Interval, Mean
from gateway.trust.ledger import Entry, LedgerWindow, Score
from gateway.trust.moments import ALL, Cell, Row, Sums, add_judged, merge, opined
from gateway.trust.per_caller import OF_CALLERS
from gateway.trust.second_opinion import Label, SecondOpinion


def callers(of: dict[str, tuple[int, int]]) -> Callers:
    """By name: how many labels, and how many of them are harm."""
    return Callers.of({name: Row(n, n, n, y, y, y) for name, (n, y) in of.items()})


def mean(of: dict[str, tuple[int, int]]) -> Mean:
    n, y = (sum(pair[at] for pair in of.values()) for at in (0, 1))
    return Mean(y / n, y / n * (1 - y / n) / n, 1 / n)


def stretched(one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]) -> Widening:
    return stretch(callers(one), callers(other), (mean(one), mean(other)))


def test_callers_alike_stretch_next_to_nothing() -> None:
    one = {f"a{number}": (20, 2) for number in range(20)}
    other = {f"b{number}": (20, 5) for number in range(20)}
    assert stretched(one, other).by == pytest.approx(1)


def test_one_caller_with_all_of_the_harm_stretches_much() -> None:
    one = {f"a{number}": (20, 0) for number in range(10)} | {"busy": (200, 100)}
    other = {f"b{number}": (40, 0) for number in range(10)}
    found = stretched(one, other)
    assert found.by is not None
    assert found.by > 4
    assert 3 < found.callers < 4


def test_a_caller_who_does_the_same_with_both_models_cancels() -> None:
    one = {f"a{number}": (40, 40 * (number % 2)) for number in range(10)}
    other = {f"a{number}": (40, 40 * (number % 2)) for number in range(10)}
    elsewhere = {f"b{number}": (40, 40 * (number % 2)) for number in range(10)}
    both, apart = stretched(one, other), stretched(one, elsewhere)
    assert both.by == pytest.approx(1)
    assert apart.by is not None
    assert apart.by > 4


def test_with_a_single_caller_there_is_nothing_to_tell_apart_and_with_next_to_one_too_little() -> None:
    assert stretched({"a": (100, 5)}, {"a": (100, 20)}).by == 1
    assert stretched({"a": (100, 5)}, {"b": (100, 20)}).by is None
    assert stretched({"a": (1000, 5), "b": (10, 0)}, {"c": (100, 20), "d": (100, 20)}).by is None
    assert stretch(NOBODY, callers({"a": (10, 1)}), (Mean(0.1, 0.01, 0.1), Mean(0.1, 0.01, 0.1))).by == 1


def test_a_stretch_keeps_the_estimate_and_what_is_possible() -> None:
    assert Widening(2.0, 5.0).of(Difference(0.2, 0.1, 0.4)) == Difference(0.2, 0.0, pytest.approx(0.6))  # type: ignore[arg-type]
    assert Widening(9.0, 5.0).of(Difference(0.2, 0.0, 0.4)) == Difference(0.2, -1.0, 1.0)
    assert Widening(9.0, 5.0).around(Interval(0.2, 0.1, 0.4)) == Interval(0.2, 0.0, 1.0)
    assert Widening(None, 1.2).around(Interval(0.2, 0.1, 0.4)) == Interval(0.2, 0.1, 0.4)


def entry(id: str, model: str, caller: str, flagged: bool = False) -> Entry:
    score = Score("prompt", "violence", 0.9 if flagged else 0.1, flagged, "words@1")
    return Entry.of(id, 0.0, 0.5, "chat", model, caller, "en", "chat", "", scores=[score])


def given(sample: Entry, harm: bool) -> tuple[SecondOpinion, Entry]:
    return SecondOpinion(sample.id, 0.0, "judge", "guard", 0.5, [Label("prompt", "violence", float(harm))]), sample


def test_flags_are_counted_by_caller_with_their_weights() -> None:
    samples = [entry("1", "a", "x", flagged=True), entry("2", "a", "x"), entry("3", "a", "y"), entry("4", "b", "x")]
    flagged = flagged_by_caller(samples, are_of({"model": "a"}))
    assert flagged == {("violence", "prompt", "flags"): Callers({"x": (4, 2), "y": (2, 0)}, Row(3, 6, 12, 2, 4, 4))}


def labels_of(samples: Sequence[tuple[SecondOpinion, Entry]], group: Cell = ALL) -> dict[LabelledColumn, Callers]:
    """As the ledger adds them up."""
    more, each = changes([(sample, [], [opinion]) for opinion, sample in samples])
    sums = more[HOUR, 0, group].sums()
    return labels_by_caller(each[HOUR, 0, OF_CALLERS + group], evidence(sums))


def test_labels_are_counted_by_caller_with_their_weights() -> None:
    samples = [entry("1", "a", "x"), entry("2", "a", "x"), entry("3", "a", "y"), entry("4", "b", "x")]
    judged = labels_of([given(sample, sample.id == "1") for sample in samples], ("model", "a"))
    both = Row(3, 12, 48, 4, 16, 16)
    assert judged == {("violence", "prompt", "judge"): Callers({"x": (8, 4), "y": (4, 0)}, both)}


def test_an_opinion_without_an_answer_counts_for_nobody() -> None:
    silent = SecondOpinion("1", 0.0, "judge", "guard", 0.5, [])
    assert labels_of([(silent, entry("1", "a", "x"))]) == {}


def window_of(samples: Sequence[tuple[SecondOpinion, Entry]]) -> LedgerWindow:
    sums: Sums = {}
    for opinion, sample in samples:
        add_judged(sums, sample)
        merge(sums, opined(sample, [opinion]))
    return LedgerWindow(sums, frozenset({"words@1"}))


def test_the_page_shows_no_difference_where_one_caller_makes_it() -> None:
    """Of the busy caller's 60 texts half are harm, of the other models' and callers' none are."""
    one = [given(entry(f"busy{number}", "a", "busy"), number % 2 == 0) for number in range(60)]
    one += [given(entry(f"a{number}", "a", f"app{number % 6}"), False) for number in range(60)]
    other = [given(entry(f"b{number}", "b", f"app{number % 6}"), False) for number in range(120)]
    first, second = window_of(one), window_of(other)
    (before,) = compared(first, second)
    (now,) = compared(first, second, (labels_of(one), labels_of(other)))
    assert before["words"] == "higher"
    assert now["words"] == "no difference shown"
    assert now["stretch"] > 2
    assert now["callers"] == pytest.approx(3.4, abs=0.1)
    (alone,) = compared(first, second, (labels_of(one[:60]), labels_of(other)))
    assert alone["words"] == "too few callers to tell"
