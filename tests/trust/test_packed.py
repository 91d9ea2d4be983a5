"""Sums in the form in which they are stored: the same as row by row, whatever stands where."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trust.buckets import buckets
from gateway.trust.ledger import Entry, Score
from gateway.trust.moments import ALL, BANDS, EDGES, SAID, Sums, add_judged, merge
from gateway.trust.packed import Packed
from tests.support.running.together import together
from tests.support.worlds.ledgers import NOON

scores = st.lists(
    st.builds(
        Score,
        st.sampled_from(["prompt", "response"]),
        st.sampled_from(["violence", "privacy", "hallucination"]),
        st.sampled_from([0.0, 0.001, 0.02, 0.5, 0.95, 1.0]),
        st.booleans(),
        st.sampled_from(["words@1", "words@2", "pii@1"]),
    ),
    max_size=6,
)
entries = st.lists(
    st.builds(
        Entry.of,
        st.uuids().map(str),
        st.sampled_from([NOON, NOON + 61, NOON + 4000]),
        st.sampled_from([1.0, 0.5, 0.01]),
        st.sampled_from(["chat", "code"]),
        st.sampled_from(["large", "small"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(["en", "de"]),
        st.just("chat"),
        st.just(""),
        scores=scores,
    ),
    max_size=8,
)
rows = st.dictionaries(
    st.one_of(
        st.tuples(
            st.sampled_from(["violence", "privacy"]),
            st.just("prompt"),
            st.sampled_from(["words@1", ""]),
            st.just("detector"),
            st.integers(0, BANDS - 1).map(lambda band: band * SAID),
        ),
        st.tuples(
            st.sampled_from(["violence", "privacy"]),
            st.just("response"),
            st.just("words@1"),
            st.sampled_from(["judge", "person"]),
            st.integers(0, BANDS * SAID - 1),
        ),
    ),
    st.lists(st.integers(-8, 8).map(float), min_size=6, max_size=6).filter(any),
    max_size=12,
)


def by_row(of: list[Entry]) -> Sums:
    sums: Sums = {}
    for entry in of:
        add_judged(sums, entry)
    return sums


@given(entries)
def test_all_that_was_judged_is_in_the_buckets(of: list[Entry]) -> None:
    found: Sums = {}
    for (width, _, cell), packed in buckets(of).items():
        if width == 3600 and cell == ALL:
            merge(found, packed.sums())
    expected = by_row(of)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == pytest.approx(row)


@together("score", [*EDGES, 0.0, 1.0, 1.5, -0.0, math.inf, *(math.nextafter(edge, 0) for edge in EDGES)])
def test_a_score_lies_in_the_same_band_whoever_looks(score: float) -> None:
    scores = [Score("prompt", "hate", score, True, "words@1")]
    entry = Entry.of("s", NOON, 1.0, "r", "m", "c", "en", "chat", "", scores=scores)
    assert buckets([entry])[60, int(NOON), ALL].sums() == by_row([entry])


@given(rows, rows)
def test_two_of_any_layout_are_added_row_by_row(one: Sums, other: Sums) -> None:
    expected = {key: [*row] for key, row in one.items()}
    merge(expected, other)
    both = Packed.of(one).plus(Packed.of(other))
    assert both.sums() == {key: row for key, row in expected.items() if any(row)}


@given(rows, st.booleans())
def test_what_is_stored_is_read(sums: Sums, small: bool) -> None:
    assert Packed.read(Packed.of(sums).blob(small=small)).sums() == sums


@pytest.mark.parametrize("damage", [b"", b"\xff" * 9, b"\x00\xc1", b"\x01no zlib", Packed().blob()[:-1]])
def test_what_is_damaged_is_said_to_be(damage: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Packed.read(damage)


def test_an_hour_of_every_day_is_small() -> None:
    """Most numbers are zero."""
    names = [(way, f"sub_category_{n}") for way in ("prompt", "response") for n in range(16)]
    of = [
        Entry.of(f"s{n}", NOON, 0.1, "r", "m", "c", "en", "chat", "", scores=[
            Score(way, slug, (7 * n + at) % 97 / 97, (7 * n + at) % 97 > 90, "encoder@5")
            for at, (way, slug) in enumerate(names)
        ])
        for n in range(20)
    ]  # fmt: skip
    packed = buckets(of)[3600, int(NOON // 3600) * 3600, ALL]
    assert len(packed.blob(small=True)) < len(packed.blob()) / 4
