"""Pairs that train: what is made from a text is true of it, licences are checked, long sources become premises."""

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from detectors.manifest import MODELS
from detectors.trained.onnx import Tokenizer
from detectors.trained.pair import LENGTH, window_of
from detectors.trained.tokens import CLS, SEP
from detectors.training.pair import edits, measured, rows

TEXT = (
    "The bridge was opened in 1932 by the premier, John Lang, after nine years of work. "
    "It carries eight lanes of road and two lines of railway, which were laid in the same year. "
    "The steel came from Middlesbrough in England and from a mill in Newcastle. "
    "Its arch can rise by 18 centimetres on hot days because the steel grows. "
    "Painters are always busy on it, and they use 30000 litres of grey paint for one coat."
)


def test_a_claim_that_is_made_holds_or_differs_from_every_sentence() -> None:
    seen = set()
    for seed in range(60):
        for made in edits.edited(TEXT, random.Random(seed)):
            seen.add(made.grounded)
            if made.grounded:
                assert made.nli == 0
                assert set(re.findall(r"\d{2,}|(?<=[a-z] )[A-Z]\w+", made.claim)) <= set(
                    re.findall(r"\w+", made.source)
                )
            else:
                assert made.nli in (1, 2, None)
                assert made.claim not in made.source
    assert seen == {0, 1}


def test_what_does_not_hold_may_have_the_very_words_of_its_source() -> None:
    words = {
        tuple(sorted(made.claim.lower().replace(".", "").split()))
        for seed in range(200)
        for made in edits.edited(TEXT, random.Random(seed))
        if not made.grounded
    }
    own = {tuple(sorted(sentence.lower().rstrip(".").split())) for sentence in TEXT.split(". ")}
    assert words & own


@pytest.mark.parametrize("seed", range(8))
def test_rewording_keeps_numbers_names_and_negation(seed: int) -> None:
    said = "The 12 ships of Captain Cook did not often reach London in 1770, but many people really helped."
    again = edits.reworded(said, random.Random(seed)).lower()
    for word in ("12", "1770", "cook", "london", "not"):
        assert word in again


def test_a_conclusion_stands_beside_what_was_said_before_it() -> None:
    text = TEXT + " In conclusion, the bridge needs much care because of the heat. It is grey."
    made = list(edits.concluded(text, random.Random(2)))
    assert made[0].grounded == 1
    assert "much care" in made[0].claim
    assert "much care" not in made[0].source
    assert [each.grounded for each in made] == [1, 0]


def test_premises_are_hidden_among_those_of_other_rows_and_none_is_lost() -> None:
    found = [rows.pair_of(f"Fact {n} is so.", f"Fact {n}.", 0, 1, "q2_wow", n % 4 == 0) for n in range(40)]
    mixed = rows.hidden(found, random.Random(1))
    assert [each.claim for each in mixed] == [each.claim for each in found]
    assert all(own.premise in each.premise for own, each in zip(found, mixed, strict=True))
    assert any(own.premise != each.premise for own, each in zip(found, mixed, strict=True))
    held_out = {each.premise for each in found if each.dev}
    assert not any(premise in each.premise for each in mixed if not each.dev for premise in held_out)


@pytest.mark.parametrize("text", ["", "One sentence is not enough for anything.", "? " * 500, "x" * 5_000])
def test_a_text_with_too_little_in_it_makes_no_claims(text: str) -> None:
    assert list(edits.edited(text, random.Random(1))) == []


def test_a_set_that_must_not_ship_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    raw = {"text": "It is blue now.", "context": "It is blue.", "labels": {"grounded": 1}, "meta": {"id": "1"}}
    (tmp_path / "train" / "s.jsonl.gz").write_bytes(gzip.compress(json.dumps(raw).encode() + b"\n"))
    for kind, raises in (("permissive", False), ("restricted", True), ("unclear", True)):
        (tmp_path / "MANIFEST.json").write_text(json.dumps({"s": {"licence_class": kind, "licence": "x"}}), "utf-8")
        if raises:
            with pytest.raises(ValueError, match="must not train"):
                rows.of_set(tmp_path, "s", 5, random.Random(1))
        else:
            assert len(rows.of_set(tmp_path, "s", 5, random.Random(1))) == 1


def test_what_is_left_out_does_not_train() -> None:
    assert rows.LEFT_OUT.keys().isdisjoint({*rows.TRAIN, *rows.EDITED})
    assert rows.DRAWN.keys() == rows.TRAIN.keys() | {edits.SET, edits.CONCLUSIONS}


def test_of_a_long_source_the_nearest_passages_are_shown() -> None:
    filler = "Nothing of interest happened on that day in the town. " * 60
    premise = rows.premise_of(filler + TEXT + filler, "The bridge carries nine lanes of road.", 60)
    assert "eight lanes of road" in premise
    assert len(premise.split()) <= 60


def test_the_knowledge_of_a_dialogue_row_stands_alone() -> None:
    assert rows.knowledge_of("Knowledge: Pigs are clever.\nUser: Are they?") == "Pigs are clever."
    assert rows.knowledge_of("No heading: here.") == "No heading: here."


@pytest.mark.parametrize(
    ("premise", "claim"), [("a b c", "d e"), ("word " * 5_000, "claim " * 900), ("", ""), ("\0", "𝔘")]
)
def test_a_pair_fits_the_window_and_marks_the_claim(premise: str, claim: str) -> None:
    window = window_of(Tokenizer(MODELS / "vocab.txt"), premise, claim)
    tokens, kinds = window.tokens.tolist(), window.kinds.tolist()
    assert len(tokens) == len(kinds) <= LENGTH
    assert tokens[0] == CLS
    assert tokens.count(SEP) == 2
    assert kinds[tokens.index(SEP)] == 0
    assert kinds[-1] == 1
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(
    ("words", "seen"),
    [(1, "It"), (4, "It was  built\nin"), (5, "It was  built\nin 1932.\n"), (9, "It was  built\nin 1932.\n")],
)
def test_an_answer_that_grows_keeps_its_lines(words: int, seen: str) -> None:
    assert measured.first_words("It was  built\nin 1932.\n", words) == seen
