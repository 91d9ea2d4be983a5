"""A text that repeats itself is judged as said once, and any other text as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.trained.repeats import MOST_WORDS, said_once
from tests.support.running.examples import examples


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("word " * 400, "word"),
        ("tick tock tick tock tick", None),
        ("tick tock tick tock tick tock tick", "tick tock"),
        ("I will be good.\n" * 3, "I will be good."),
        ("a b a c a b a c a b a c", "a b a c"),
        ("no no no, not that one", None),
        ("again and again and again it rains", None),
        ("hello", None),
        ("", None),
        (" ".join(map(str, range(MOST_WORDS + 1))) * 3, None),
    ],
)
def test_what_is_repeated_is_said_once(text: str, once: str | None) -> None:
    assert said_once(text) == (text if once is None else once)
    assert (said_once(text) is text) is (once is None)


words = st.lists(st.sampled_from("ab"), min_size=1, max_size=8)


@examples(100)
@given(words, st.integers(3, 6), st.integers(0, 7))
def test_saying_more_of_the_same_changes_nothing(said: list[str], times: int, more: int) -> None:
    text = " ".join(said * times + said[: more % len(said)])
    assert len(said_once(text).split()) <= len(said)
    assert said_once(" ".join(said * (times + 1))) == said_once(" ".join(said * times))
