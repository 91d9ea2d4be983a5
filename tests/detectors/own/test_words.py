"""Word lists: every phrase between word boundaries and no other, where it stands, in one pass."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Text
from detectors.manifest import ModelError
from detectors.own.building import build
from detectors.own.specs import WordList, info_of, versioned
from detectors.own.words import Automaton, read_phrases, symbols_of
from detectors.panel import Panel, Question
from tests.support.running.together import together


def found(phrases: list[str], text: str) -> list[str]:
    places = Automaton(map(symbols_of, phrases)).search(text)
    return [text[place[0] : place[1]] for place in places if place is not None]


@together(
    ("phrase", "text", "finds"),
    [
        ("Acme", "We left ACME for acme's rival Acmeville.", ["ACME", "acme"]),
        ("Project Falcon", "on project\n   falcon, not project. Falcon", ["project\n   falcon"]),
        ("AT&T", "at&t, AT & T", ["at&t"]),
        (".NET", "ASP.NET and .net", [".NET", ".net"]),
        ("C++", "C++17? No: c+, c++.", ["C++", "c++"]),
        ("falcon", "x_falcon_v2 falcon-9 falcons", ["falcon", "falcon"]),
        ("Straße", "STRASSE und straße", ["STRASSE", "straße"]),
        ("café", "cafe\u0301 CAF\u00c9 cafe", ["cafe\u0301", "CAF\u00c9"]),
        ("cafe", "cafe\u0301", []),
        ("東京", "私は東京に住む", ["東京"]),
        ("हिन्दी", "यह हिन्दी है", ["हिन्दी"]),
        ("हि", "हिन्दी", []),
        ("Ωmega", "ωMEGA", ["ωMEGA"]),
    ],
)
def test_word_boundaries_case_and_spelling(phrase: str, text: str, finds: list[str]) -> None:
    assert found([phrase], text) == finds


def test_phrases_that_overlap_and_that_lie_in_others_are_all_found() -> None:
    phrases = ["a b", "b c d", "c", "a b c"]
    assert sorted(found(phrases, "a b c d")) == ["a b", "a b c", "b c d", "c"]


LETTERS = st.text(alphabet="ab ,", max_size=6)


@given(st.lists(LETTERS.filter(lambda phrase: any(map(str.isalnum, phrase))), max_size=5), st.text(alphabet="ab ,"))
def test_it_finds_what_a_search_phrase_by_phrase_finds(phrases: list[str], text: str) -> None:
    text_symbols = _split(text)
    expected = sorted(
        (start, start + len(wanted))
        for wanted in {symbols_of(phrase) for phrase in phrases}
        for start in range(len(text_symbols))
        if tuple(text_symbols[start : start + len(wanted)]) == wanted
    )
    assert len(found(phrases, text)) == len(expected)


def _split(text: str) -> list[str]:
    """The symbols of a text, one at a time."""
    out: list[str] = []
    for letter in text:
        kind = "word" if letter.isalnum() else "space" if letter == " " else "mark"
        last = "" if not out else "word" if out[-1].isalnum() else "space" if out[-1] == " " else "mark"
        if kind == last == "word":
            out[-1] += letter
        elif not kind == last == "space":
            out.append(letter)
    return out


def described(path: Path) -> WordList:
    made = versioned(
        WordList(
            name="rivals", roles=("prompt", "response"), flag_score=1.0, file=str(path), subcategory="preference_bias",
            label="rivals",
        )
    )  # fmt: skip
    assert isinstance(made, WordList)
    return made


def test_what_is_hidden_is_found_and_its_place_is_that_of_the_text_as_given(tmp_path: Path) -> None:
    path = tmp_path / "rivals.txt"
    path.write_text("# those we do not name\n\nAcme\nGlobex Corporation\n")
    panel = Panel([build(described(path))])
    for text, place in (
        ("Ask Acme.", (4, 8)),
        ("Ask A\u200bc\u200bm\u200be.", (4, 11)),
        ("Ask \uff21\uff43\uff4d\uff45.", (4, 8)),
        ("Ask \u0410cme.", (4, 8)),  # a Cyrillic letter
    ):
        (answer,) = panel.ask([Question(Text(text, "response"))])
        (opinion,) = answer.opinions
        assert (opinion.score, [span[:2] for span in opinion.spans]) == (1.0, [place]), text
    (answer,) = panel.ask([Question(Text("Nobody is named.", "response"))])
    assert [(opinion.score, opinion.spans) for opinion in answer.opinions] == [(0.0, [])]
    assert info_of(described(path)).labels == {"rivals"}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "there is no word in it"),
        (b"# only this\n\n", "there is no word in it"),
        (b"Acme\n---\n", "rivals.txt:2: has no letter and no digit"),
        (b"x" * 501, "rivals.txt:1: has 501 characters"),
        (b"Acme\n\xff\xfe", "is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "rivals.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=what):
        read_phrases(path)


def test_a_long_text_is_searched_in_pieces() -> None:
    places = list(Automaton([("acme",)]).search("acme, " * 10_000))
    assert sum(place is not None for place in places) == 10_000
    assert sum(place is None for place in places) >= 6
