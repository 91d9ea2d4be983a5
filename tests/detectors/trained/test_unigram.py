"""Pieces of a unigram model: how a text is cut, and how a reply is framed."""

import tempfile
import tracemalloc
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace

from detectors.base import Text
from detectors.manifest import ModelError
from detectors.trained.scripts import LATIN, MANY
from detectors.trained.tokens import has_known, is_readable, pieces, window
from detectors.trained.unigram import UnigramTokenizer

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
PIECES = {"▁": -3.0, "▁ja": -4.0, "▁Brot": -5.0, "B": -9.0, "r": -9.0, "o": -9.0, "t": -9.0, "好": -6.0, "\u2028": -9.0}


@pytest.fixture
def tokenizer(tmp_path: Path) -> UnigramTokenizer:
    path = tmp_path / "pieces.tsv"
    lines = [f"{piece}\t0\n" for piece in SPECIAL] + [f"{piece}\t{score}\n" for piece, score in PIECES.items()]
    path.write_text("".join(lines), "utf-8")
    return UnigramTokenizer(path)


def names(tokenizer: UnigramTokenizer, text: str) -> list[str]:
    known = [*SPECIAL, *PIECES]
    return [known[piece] for piece in tokenizer.ids([text])[0]]


def test_the_likeliest_pieces_are_taken_and_upper_case_stays(tokenizer: UnigramTokenizer) -> None:
    assert names(tokenizer, "ja Brot") == ["▁ja", "▁Brot"]
    assert names(tokenizer, "好") == ["▁", "好"]
    (found,) = pieces(tokenizer, [Text("Brot", "prompt")])
    assert found.text.tolist() == tokenizer.ids(["Brot"])[0]


MANY_PIECES = {
    **PIECES,
    "▁B": -4.5,
    "Bro": -6.0,
    "ot": -5.0,
    "rot": -7.0,
    "oto": -6.5,
    "▁Brotot": -16.0,
    "ja": -4.0,
    "aa": -9.0,
    "好好好": -20.0,
    "▁▁": -3.0,
}


@given(st.lists(st.text("▁ jaBrot好x\u2028\u0301é") | st.text(), max_size=5))
def test_a_text_is_cut_as_the_library_does(texts: list[str]) -> None:
    vocabulary = [*((piece, 0.0) for piece in SPECIAL), *MANY_PIECES.items()]
    library = tokenizers.Tokenizer(Unigram(vocabulary, unk_id=3))
    library.pre_tokenizer = Metaspace()
    expected = [found.ids for found in library.encode_batch_fast(texts, add_special_tokens=False)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pieces.tsv")
        path.write_text("".join(f"{piece}\t{score}\n" for piece, score in vocabulary), "utf-8", newline="")
        own = UnigramTokenizer(path)
    assert own.ids(texts) == expected
    assert own.ids(texts) == expected  # from what is remembered


def test_texts_without_spaces_are_not_kept(tokenizer: UnigramTokenizer) -> None:
    """They do not come again, and thousands of them would fill the memory."""
    tracemalloc.start()
    try:
        for text in range(300):
            tokenizer.ids([f"{text}" + "Brot" * 10])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 30_000


def test_what_the_vocabulary_lacks_is_unknown(tokenizer: UnigramTokenizer) -> None:
    known, unknown = pieces(tokenizer, [Text("ja Brot", "prompt"), Text("xyz", "prompt")])
    assert (has_known(known), is_readable(known)) == (True, True)
    assert (known.unknown, unknown.unknown) == (0.0, 1.0)
    assert not is_readable(unknown)


def test_a_reply_stands_behind_the_end_of_its_prompt(tokenizer: UnigramTokenizer) -> None:
    (found,) = pieces(tokenizer, [Text("ja", "response", "Brot")])
    shown = window(found, 0)
    _, first, last = tokenizer.marks
    assert shown.tokens.tolist() == [first, *tokenizer.ids(["Brot"])[0], last, *tokenizer.ids(["ja"])[0], last]
    assert shown.kinds.tolist() == [0] * (len(found.context) + 2) + [1] * (len(found.text) + 1)


@pytest.mark.parametrize("text", ["", "a\n", "a\tb\n", "<s>\t0\nx\t0\ny\t0\nz\t0\n"])
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pieces.tsv").write_text(text, "utf-8")
    with pytest.raises(ModelError, match=r"pieces\.tsv: .*make train"):
        UnigramTokenizer(tmp_path / "pieces.tsv")


def test_scripts_that_a_network_knows_are_its_own_matter() -> None:
    assert LATIN.readable_part("Как дела, дорогой друг?") == ""
    assert MANY.readable_part("Как дела, дорогой друг?") is None
    assert MANY.readable_part("გამარჯობა, როგორ ხართ დღეს?") == ""
    mixed = "Say good morning, გამარჯობა როგორ ხართ დღეს"
    assert (MANY.readable_part(mixed) or "").split() == ["Say", "good", "morning,"]
