"""The rows we wrote ourselves: the format's errors, and that they are varied, labelled and even in length."""

import itertools
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

import pytest

from detectors.training.data import HARMS, HEADS, Row
from detectors.training.synthetic import SET, SETS, rows, topics
from detectors.training.synthetic.grammar import KNOWN, topic_rows

FAMILY = "families: [{name: walks, role: response, labels: {refusal: 0}, count: %s, context: [how?], text: %s}]\n"


@pytest.fixture(scope="module")
def found() -> list[Row]:
    return rows()


def written(folder: Path, text: str) -> Path:
    path = folder / "topic.yaml"
    path.write_text(text, "utf-8")
    return path


def test_slots_are_filled_inside_slots_and_kept_where_asked(tmp_path: Path) -> None:
    text = """
slots: {city: [Lisbon, Ghent], place: ["the library of {city!}"]}
families:
  - {name: walks, role: response, harmless: true, count: 2, context: ["{City!}?"], text: ["{Place}, {city!}: {{x}}"]}
"""
    found = topic_rows(written(tmp_path, text))
    assert {(row.context, row.text) for row in found} == {
        ("Lisbon?", "The library of Lisbon, Lisbon: {x}"),
        ("Ghent?", "The library of Ghent, Ghent: {x}"),
    }
    assert found[0].labels == dict.fromkeys(("unsafe", "prompt_attacks", *HARMS), 0)
    assert (found[0].set, found[0].roles, found[0].dev) == (SET, ("response",), False)


def test_a_frame_takes_different_texts_of_one_exchange(tmp_path: Path) -> None:
    text = """
families:
  - {name: help, role: response, labels: {violence: 1}, count: 4, frame: ["{text} {text}"]}
exchanges:
  - {context: [a?], help: [a1, a2]}
  - {context: [b?], help: [b1, b2]}
"""
    found = topic_rows(written(tmp_path, text))
    assert {(row.context, row.text) for row in found} == {
        ("a?", "a1 a2"), ("a?", "a2 a1"), ("b?", "b1 b2"), ("b?", "b2 b1"),
    }  # fmt: skip
    assert all(row.labels == {"unsafe": 1, "violence": 1} for row in found)


def test_code_keeps_its_indentation_and_empty_phrases_leave_no_gap(tmp_path: Path) -> None:
    text = r"""
slots: {none: [""]}
families:
  - {name: c, role: prompt, count: 1, labels: {unsafe: 0}, text: ["{none} for x in y:\n    go(x) {none} now {none}"]}
"""
    assert topic_rows(written(tmp_path, text))[0].text == "for x in y:\n    go(x) now"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FAMILY % (1, '["{nowhere}"]'), "'walks': '{nowhere}' names no slot"),
        (FAMILY % (1, '["a { b"]'), "'walks': '{' names no slot"),
        (FAMILY % (3, "[one, two]"), "'walks': gives 2 different rows, not 3"),
        (FAMILY % (1, "[]"), "'walks': needs texts"),
        ((FAMILY % (1, "[one]")).replace("refusal: 0", "kindness: 0"), "'walks': labels .*kindness"),
        ((FAMILY % (1, "[one]")).replace("refusal: 0", "refusal: 2"), "'walks': labels .*refusal"),
        ((FAMILY % (1, "[one]")).replace("response", "prompt"), "'walks': .*only a response has a context"),
        ((FAMILY % (1, "[one]")).replace("response", "reply"), "Invalid enum value 'reply'"),
        ((FAMILY % (1, "[one]")).replace("count", "counts"), "unknown field `counts`"),
        (FAMILY % (1, "[one]") + "exchanges: [{context: [a], wlaks: [b]}]", "defined once.*wlaks"),
        (FAMILY % (1, '["{a}"]') + 'slots: {a: ["{a}"]}', "'walks': slots nested deeper"),
        ("families: [", "topic.yaml"),
    ],
)
def test_a_wrong_file_is_named_with_its_family(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"topic.yaml.*{message}|{message}") as error:
        topic_rows(written(tmp_path, text))
    assert "topic.yaml" in str(error.value)


@pytest.mark.slow
def test_rows_are_the_same_at_every_call(found: list[Row]) -> None:
    assert rows() == found


@pytest.mark.slow
def test_labels_are_known_and_agree_with_each_other(found: list[Row]) -> None:
    for row in found:
        assert row.set in SETS
        assert not row.dev
        assert set(row.labels) <= KNOWN
        if any(row.labels.get(slug) == 1 for slug in HARMS):
            assert row.labels["unsafe"] == 1
        if row.labels.get("unsafe") == 0:
            assert all(row.labels[slug] == 0 for slug in HARMS)


@pytest.mark.slow
def test_no_row_stands_twice_and_none_is_empty(found: list[Row]) -> None:
    keys = [(row.text.lower(), (row.context or "").lower(), row.roles) for row in found]
    assert [key for key, count in Counter(keys).items() if count > 1] == []
    assert all(row.text.strip() for row in found)


@pytest.mark.slow
def test_every_topic_is_varied() -> None:
    for topic, found in topics().items():
        words = {word for row in found for word in row.text.lower().split()}
        assert len(found) >= 200, topic
        assert len(words) >= 300, topic


@pytest.mark.slow
def test_length_gives_no_head_away() -> None:
    """In the topics that show both sides of a head: elsewhere a row's opposite stands in the public sets."""
    lengths: defaultdict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for found in topics().values():
        shown = {(slug, value) for row in found for slug, value in row.labels.items()}
        for row in found:
            for role, (slug, value) in itertools.product(row.roles, row.labels.items()):
                if slug in HEADS and role in HEADS[slug] and (slug, 1 - value) in shown:
                    lengths[slug, role][value].append(len(row.text))
    both = {key: sides for key, sides in lengths.items() if min(map(len, sides)) >= 50}
    assert len(both) >= 20
    for key, (zeros, ones) in both.items():
        assert 1 / 1.5 <= median(ones) / median(zeros) <= 1.5, key
