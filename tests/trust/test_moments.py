"""The sums that rates are read from, against the same sums written out over the samples they came from."""

import math
import struct
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trust.ledger import Entry, Score
from gateway.trust.moments import (
    BANDS,
    EDGES,
    NO,
    NOTHING,
    SAID,
    SILENT,
    UNASKED,
    YES,
    Key,
    Row,
    Sums,
    add_judged,
    bands_of,
    cell_named,
    merge,
    opined,
    parts_of,
    wider_than,
)
from gateway.trust.packed import Packed
from gateway.trust.second_opinion import Kind, Label, SecondOpinion

VIOLENCE = ("violence", "response")


def entry(*scores: Score, probability: float = 1.0) -> Entry:
    return Entry.of("s1", 0.0, probability, "chat", "large", "app", "en", "chat", "", scores=scores)


def score(value: float, flagged: bool = False, slug: str = "violence") -> Score:
    return Score("response", slug, value, flagged, "words@1")


def opinion(
    kind: Kind,
    value: float | None,
    *,
    name: str = "a",
    at: float = 0.0,
    probability: float = 0.5,
    slug: str = "violence",
) -> SecondOpinion:
    labels = [] if value is None else [Label("response", slug, value)]
    return SecondOpinion("s1", at, kind, name, probability, labels)


def key(source: str, band: int, said: int = UNASKED, detector: str = "words@1") -> Key:
    return (*VIOLENCE, detector, source, band * SAID + said)


def row(*samples: tuple[float, float]) -> list[float]:
    """The six sums of samples with these weights and labels, as the module's text defines them."""
    weights = [w for w, _ in samples]
    return [
        float(len(samples)),
        sum(weights),
        sum(w**2 for w in weights),
        sum(w * y for w, y in samples),
        sum(w**2 * y for w, y in samples),
        sum(w**2 * y**2 for w, y in samples),
    ]


weighted = st.lists(st.tuples(st.floats(1, 100), st.floats(0, 1)), min_size=1, max_size=20)


@given(weighted)
def test_a_row_tells_what_its_samples_tell(samples: Sequence[tuple[float, float]]) -> None:
    """The linearised variance of a ratio is Σw²(y - mean)² / (Σw)²; Kish's size is (Σw)² / Σw²."""
    found = Row(*row(*samples))
    whole = sum(w for w, _ in samples)
    mean = sum(w * y for w, y in samples) / whole
    assert found.mean == pytest.approx(mean)
    assert found.kish == pytest.approx(whole**2 / sum(w**2 for w, _ in samples))
    spread = sum(w**2 * (y - mean) ** 2 for w, y in samples)
    if spread > 1e-3:
        assert found.effective == pytest.approx(min(found.kish, mean * (1 - mean) * whole**2 / spread), rel=1e-6)
    else:
        assert found.effective <= found.kish * (1 + 1e-9)


def test_a_row_of_nothing_tells_nothing() -> None:
    assert (NOTHING.mean, NOTHING.kish, NOTHING.effective) == (0, 0, 0)
    assert Row(1, 2, 4, 1, 2, 1) + Row(2, 3, 5, 0, 0, 0) == Row(3, 5, 9, 1, 2, 1)


@pytest.mark.parametrize(("value", "band"), [(0.0, 0), (0.0009, 0), (0.001, 1), (0.5, 6), (0.9, 8), (1.0, BANDS - 1)])
def test_each_score_has_a_band(value: float, band: int) -> None:
    sums: Sums = {}
    add_judged(sums, entry(score(value)))
    assert list(sums) == [key("detector", band)]
    assert len(EDGES) + 1 == BANDS


NEAR_EDGES = [math.nextafter(edge, to) for edge in EDGES for to in (-math.inf, edge, math.inf)]


@given(st.lists(st.one_of(st.sampled_from([*NEAR_EDGES, 2**-15, 2.0, -0.0]), st.floats(0, 1), st.floats())))
def test_the_bands_of_many_are_those_of_each(scores: list[float]) -> None:
    assert list(bands_of(struct.pack(f"<{len(scores)}d", *scores))) == [bisect_right(EDGES, one) for one in scores]


def test_what_detectors_say_is_added_up_with_its_weight() -> None:
    """Two samples of one band, of weight 2 (flagged) and 4 (not), and one of another sub-category."""
    sums: Sums = {}
    add_judged(sums, entry(score(0.5, flagged=True), probability=0.5))
    add_judged(sums, entry(score(0.4), score(0.4, slug="hate"), probability=0.25))
    assert sums[key("detector", 6)] == row((2, 1), (4, 0))
    assert sums["hate", "response", "words@1", "detector", 6 * SAID] == row((4, 0))
    assert len(sums) == 2


class Said(NamedTuple):
    opinions: list[SecondOpinion]
    found: dict[tuple[str, int], float]  # (source, what the judge said) → the label


@pytest.mark.parametrize(
    ("opinions", "found"),
    [
        Said([], {}),
        Said([opinion("judge", 0.5)], {("judge", YES): 0.5}),
        Said([opinion("judge", 0.4)], {("judge", NO): 0.4}),
        Said([opinion("judge", None)], {("judge", SILENT): 0.0}),
        Said([opinion("judge", 0.1, at=1), opinion("judge", 0.9, at=2, name="b")], {("judge", YES): 0.9}),
        Said([opinion("person", 1.0)], {("person", UNASKED): 1.0}),
        Said([opinion("person", 1.0), opinion("person", 0.0, name="b")], {("person", UNASKED): 0.5}),
        Said([opinion("judge", None), opinion("person", 1.0)], {("judge", SILENT): 0.0, ("person", SILENT): 1.0}),
        Said([opinion("judge", 0.2), opinion("person", 1.0)], {("judge", NO): 0.2, ("person", NO): 1.0}),
    ],
)
def test_what_opinions_add_up_to(opinions: list[SecondOpinion], found: dict[tuple[str, int], float]) -> None:
    """The judge's latest counts, and the mean of what people say; both phases make the weight: 1 / (0.25 · 0.5) = 8."""
    sums = opined(entry(score(0.5), probability=0.25), opinions)
    assert sums == {key(source, 6, said): row((8, label)) for (source, said), label in found.items()}


def test_an_opinion_on_what_no_detector_judged_stands_in_the_lowest_band() -> None:
    assert opined(entry(), [opinion("person", 1.0)]) == {key("person", 0, detector=""): row((2, 1))}


def test_a_judge_who_spoke_of_something_else_was_not_asked_of_this() -> None:
    """People's labels stand beside what the judge said of the same sub-category, and of no other."""
    sums = opined(entry(score(0.5)), [opinion("judge", 0.9, slug="hate"), opinion("person", 1.0)])
    assert sums[key("person", 6, UNASKED)] == row((2, 1))


def test_sums_are_added_and_taken_away() -> None:
    one, other = key("detector", 1), key("detector", 2)
    sums: Sums = {one: row((2, 1))}
    merge(sums, {one: row((4, 0)), other: row((1, 1))})
    assert sums == {one: row((2, 1), (4, 0)), other: row((1, 1))}
    merge(sums, {one: row((2, 1)), key("detector", 3): row((3, 1))}, -1)
    assert sums[one] == row((4, 0))
    assert sums[key("detector", 3)] == [-value for value in row((3, 1))]


def test_stored_sums_are_added_to_those_that_are_there_and_empty_ones_are_not_stored() -> None:
    one, other, empty = key("detector", 1), key("judge", 2, YES), key("judge", 2, NO)
    stored = Packed.read(Packed.of({one: row((2, 1)), other: row((1, 0.5)), empty: [0.0] * 6}).blob())
    sums = Packed.of({one: row((4, 0))}).plus(stored)
    assert sums.sums() == {one: row((2, 1), (4, 0)), other: row((1, 0.5))}


def test_cells() -> None:
    assert parts_of(entry()) == (("route_model", "chat", "large"), ("language", "en"), ("caller", "app"))
    assert wider_than(("route_model", "chat", "large")) == (("route", "chat"), ("model", "large"))
    assert wider_than(("language", "en")) == ()
    assert cell_named(route=None, model=None) == ("all",)
    assert cell_named(caller="app", route=None) == ("caller", "app")
    assert cell_named(model="large", route="chat") == ("route_model", "chat", "large")
    with pytest.raises(ValueError, match="not by route and language"):
        cell_named(route="chat", language="en")
