"""Hashing is the same alone and in a batch, and sees through disguises."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Text
from detectors.trained.bounds import LIMIT, MAX_WINDOWS, STRIDE, WINDOW
from detectors.trained.features import (
    BUCKETS,
    arrays,
    gram_indices,
    normalise,
    windows,
    word_indices,
)

texts = st.lists(st.text(max_size=60).map(normalise), min_size=1, max_size=6)


def counted(row: np.ndarray) -> Counter[int]:
    return Counter(row[row > 0].tolist())


@given(texts)
def test_a_text_hashes_alike_in_any_batch(batch: list[bytes]) -> None:
    for extract in (gram_indices, word_indices):
        together = extract(batch)
        for position, text in enumerate(batch):
            assert counted(together[position]) == counted(extract([text])[0])


@given(texts)
def test_indices_are_rows_of_the_table(batch: list[bytes]) -> None:
    for extract in (gram_indices, word_indices):
        found = extract(batch)
        assert found.min(initial=0) >= 0
        assert found.max(initial=0) < BUCKETS


def test_counts_of_grams_and_words() -> None:
    text = b"to be or not to be"
    padded = len(text) + 2
    assert sum(counted(gram_indices([text])[0]).values()) == 3 * padded - 2 - 3 - 4
    words = counted(word_indices([text])[0])
    assert sum(words.values()) == 6 + 5
    assert sorted(words.values()) == [1, 1, 1, 1, 1, 2, 2, 2]  # to, be and the pair "to be" stand twice


def test_normalise_undoes_disguises() -> None:
    assert normalise("Ｂ\u200bｏ\u00admb\u2060S\n\t now") == b"bombs now"
    assert normalise("a\0b") == b"a b"
    assert normalise("\ud800x") == b"?x"
    assert normalise(" \u200b\ufeff ") == b""


def test_windows_cover_a_text_up_to_the_limit() -> None:
    alphabet = "".join(chr(0x4E00 + position) for position in range(WINDOW + STRIDE + 1))
    found = [window.text.decode() for window in windows(Text(alphabet, "prompt"))]
    assert set("".join(found)) == set(alphabet)
    assert len(windows(Text("a" * WINDOW, "prompt"))) == 1
    assert len(windows(Text("a" * (WINDOW + 1), "prompt"))) == 2
    assert len(windows(Text("a" * LIMIT, "prompt"))) == len(windows(Text("a" * 10 * LIMIT, "prompt"))) == MAX_WINDOWS


def test_only_a_reply_shows_its_context() -> None:
    assert windows(Text("yes", "prompt", "how?"))[0].context == b""
    assert windows(Text("yes", "response", "how?"))[0].context == b"how?"
    assert arrays(windows(Text("yes", "response", "how?")))["role"].tolist() == [[1.0]]
