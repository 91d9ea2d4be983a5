"""Word pieces and their windows: nothing is lost, nothing is too long, any text is legal."""

import string
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Text
from detectors.manifest import ModelError
from detectors.trained.onnx import Tokenizer
from detectors.trained.tokens import (
    CLS,
    CONTEXT_LENGTH,
    LENGTH,
    OVERLAP,
    SEP,
    UNKNOWN,
    Pieces,
    is_readable,
    pieces,
    starts,
    window,
)
from tests.support.running.examples import examples


def small() -> Tokenizer:
    """Every Latin letter, digit and mark, and three words; the control pieces where BERT's vocabularies have them."""
    lines = [f"[unused{index}]" for index in range(104)]
    lines[UNKNOWN], lines[CLS], lines[SEP] = "[UNK]", "[CLS]", "[SEP]"
    single = string.ascii_lowercase + string.digits
    lines += [*single, *(f"##{each}" for each in single), *string.punctuation, "walk", "the", "dog"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocab.txt")
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return Tokenizer(path)


TOKENIZER = small()
lengths = st.integers(0, 3 * LENGTH)


def made(text: int, context: int, reply: bool) -> Pieces:
    return Pieces(np.arange(1_000, 1_000 + text, dtype=np.int32), np.full(context, 999, dtype=np.int32), reply)


@given(lengths, st.integers(0, CONTEXT_LENGTH), st.sampled_from((80, LENGTH)))
def test_windows_of_a_reply_cover_it_with_overlap(text: int, context: int, length: int) -> None:
    found = made(text, context, reply=True)
    windows = [window(found, start, length) for start in starts(found, length)]
    assert bool(windows) == bool(text)
    own = [each.tokens[(each.tokens >= 1_000)] for each in windows]
    assert set(np.concatenate([*own, np.empty(0)]).astype(int)) == set(range(1_000, 1_000 + text))
    for stretch, before in zip(own[1:], own, strict=False):
        assert len(np.intersect1d(stretch, before)) == OVERLAP or len(stretch) <= OVERLAP
    for each in windows:
        assert len(each.tokens) == len(each.kinds) <= length
        assert each.tokens[0] == CLS
        assert each.tokens[-1] == SEP
        assert each.kinds.tolist() == [0] * (context + 2) + [1] * (len(each.tokens) - context - 2)


def test_a_prompt_has_no_context_and_one_kind() -> None:
    (found,) = pieces(TOKENIZER, [Text("What is a good recipe for pancakes?", "prompt", "earlier turn")])
    each = window(found, 0)
    assert not each.kinds.any()
    assert each.tokens.tolist().count(SEP) == 1


def test_only_the_end_of_a_long_prompt_stands_before_a_reply() -> None:
    context = "far away " * 300 + "and the question is this"
    (found,) = pieces(TOKENIZER, [Text("No.", "response", context)])
    (end,) = TOKENIZER.ids(["and the question is this"])
    assert len(found.context) <= CONTEXT_LENGTH
    assert found.context[-len(end) :].tolist() == end


def test_disguises_are_undone_before_the_vocabulary_is_asked() -> None:
    plain, hidden, wide = pieces(
        TOKENIZER, [Text(text, "prompt") for text in ("attack plan", "at\u200btack pl\u00adan", "ａｔｔａｃｋ plan")]
    )
    assert plain.text.tolist() == hidden.text.tolist() == wide.text.tolist()


@pytest.mark.parametrize(
    ("text", "readable"), [("Guten Tag, wie geht es?", True), ("សួស្តីពិភពលោក", False), ("", True), ("👍", True)]
)
def test_a_script_that_the_vocabulary_lacks_is_known_as_such(text: str, readable: bool) -> None:
    (found,) = pieces(TOKENIZER, [Text(text, "prompt")])
    assert is_readable(found) == readable


def test_a_long_text_is_read_to_its_end() -> None:
    words = " ".join(f"walk {number}" for number in range(1_000))
    (found,) = pieces(TOKENIZER, [Text(words, "prompt")])
    assert len(found.text) == 1_000 + sum(len(str(number)) for number in range(1_000))


@pytest.mark.parametrize("repeated", ["walk", "walk the dog", "a b c d e f g h"])
def test_what_is_said_over_and_over_again_is_read_twice(repeated: str) -> None:
    frame = "x {} 1 2 3"
    often, twice = pieces(TOKENIZER, [Text(frame.format(" ".join([repeated] * count)), "prompt") for count in (40, 2)])
    assert often.text.tolist() == twice.text.tolist()


def test_no_word_is_too_long_to_be_read() -> None:
    (found,) = pieces(TOKENIZER, [Text("ab1" * 90 + "x" * 300, "prompt")])
    assert is_readable(found)
    assert UNKNOWN not in found.text


@examples(50)
@given(st.lists(st.text(max_size=100), max_size=5))
def test_any_text_is_cut(texts: list[str]) -> None:
    found = pieces(TOKENIZER, [Text(text, "response", text) for text in texts])
    assert len(found) == len(texts)
    together = [each.text.tolist() for each in found]
    assert together == [pieces(TOKENIZER, [Text(text, "response", text)])[0].text.tolist() for text in texts]


def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"vocab\.txt: cannot be read"):
        Tokenizer(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("a\nb\n[CLS]\n", "utf-8")
    with pytest.raises(ModelError, match=r"lacks \['\[SEP\]', '\[UNK\]'\]"):
        Tokenizer(tmp_path / "vocab.txt")
