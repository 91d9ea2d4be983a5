"""The benign set: large and varied enough, its halves apart, and its files' errors named."""

import re
from collections import Counter
from pathlib import Path

import pytest

from detectors.training.benign import HALVES, Benign, texts
from detectors.training.benign.grammar import topic_texts

FAMILY = "families: [{kind: greetings, each: %s, texts: %s}]\n"
LONG = "this phrase is longer than forty code points, number"


@pytest.fixture(scope="module")
def found() -> list[Benign]:
    return texts()


def written(folder: Path, text: str) -> Path:
    path = folder / "topic.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.slow
def test_the_set_is_large_and_both_halves_have_every_kind(found: list[Benign]) -> None:
    halves = Counter(item.half for item in found)
    assert min(halves[half] for half in HALVES) >= 1_000
    kinds = Counter((item.kind, item.half) for item in found)
    assert len({kind for kind, _ in kinds}) >= 30
    assert min(kinds[item.kind, half] for item in found for half in HALVES) >= 5


@pytest.mark.slow
def test_every_length_and_every_channel_is_there(found: list[Benign]) -> None:
    lengths = [len(item.text.split()) for item in found]
    assert min(sum(low <= length < high for length in lengths) for low, high in ((0, 5), (5, 16), (16, 61))) >= 700
    assert sum(length > 60 for length in lengths) >= 400
    assert {item.channel for item in found} == {"system", "user", "tool", "assistant", "arguments", "reasoning"}


@pytest.mark.slow
def test_no_text_stands_twice_and_no_sentence_in_both_halves(found: list[Benign]) -> None:
    keys = Counter((item.text, item.role) for item in found)
    assert max(keys.values()) == 1
    sentences = {half: {s for item in found if item.half == half for s in _sentences(item.text)} for half in HALVES}
    both = set.intersection(*sentences.values())
    assert len(both) <= len(set.union(*sentences.values())) / 100, sorted(both)[:10]


def _sentences(text: str) -> set[str]:
    return {part for part in re.split(r"(?<=[.!?])\s|\n", text) if len(part.split()) > 8}


@pytest.mark.slow
def test_the_set_is_the_same_at_every_call(found: list[Benign]) -> None:
    assert texts() == found
    assert texts("dev") == [item for item in found if item.half == "dev"]


def test_frames_are_repeated_as_often_as_asked(tmp_path: Path) -> None:
    file = written(tmp_path, 'families: [{kind: repeated, times: [2, 400], texts: ["word "]}]')
    assert [item.text for item in topic_texts(file)] == ["word word", "word " * 399 + "word"]


def test_sentences_in_slots_are_divided_between_the_halves(tmp_path: Path) -> None:
    phrases = [f"{LONG} {number}" for number in range(20)]
    file = written(tmp_path, f"slots: {{text: {phrases}}}\n" + FAMILY % (20, '["{text}"]'))
    found = {half: {item.text for item in topic_texts(file) if item.half == half} for half in HALVES}
    assert found["dev"] | found["held-out"] == set(phrases)
    assert not found["dev"] & found["held-out"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FAMILY % (1, '["{nowhere}"]'), "'{nowhere}' names no slot"),
        ((FAMILY % (1, "[one]")).replace("each", "many"), "unknown field `many`"),
        (f"slots: {{a: ['{LONG} 1']}}\n" + FAMILY % (1, '["{a}"]'), "'a' fall into one half"),
        ("families: [", "topic.yaml"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        list(topic_texts(written(tmp_path, text)))
    assert "topic.yaml" in str(error.value)
