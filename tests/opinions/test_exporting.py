"""Training data from labels: what a row has, and which answers make a pair."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.opinions.exporting import classifier_rows, preference_pairs
from gateway.opinions.texts import Texts
from gateway.trust.ledger import Entry
from gateway.trust.second_opinion import Kind, Label, SecondOpinion

pytestmark = pytest.mark.real_time


def given(
    sample: str, labels: Mapping[tuple[str, str], float], *, kind: Kind = "person", name: str = "ann"
) -> tuple[SecondOpinion, Entry]:
    entry = Entry.of(sample, 1000.0, 0.5, "default", "m", "app", "en", "chat", "", scores=[])
    listed = [Label(side, slug, value) for (side, slug), value in labels.items()]
    return SecondOpinion(sample, 1000.0, kind, name, 0.1, listed), entry


TEXTS = {
    "s1": {"prompt": "How?", "response": "No."},
    "s2": {"prompt": "How?", "response": "Like this: hurt them."},
    "s3": {"prompt": "Why?", "response": "Hurt them."},
}


def test_a_row_has_its_text_its_labels_and_what_it_stands_for() -> None:
    (row,) = classifier_rows([given("s1", {("response", "violence"): 0.0})], TEXTS)
    assert row.as_json() == {
        "sample": "s1",
        "at": 1000.0,
        "role": "response",
        "text": "No.",
        "context": "How?",
        "labels": {"violence": 0.0},
        "source": "person",
        "weight": 20.0,
        "route": "default",
        "model": "m",
        "language": "en",
    }


def test_a_sample_without_texts_or_labels_is_left_out() -> None:
    assert not list(classifier_rows([given("gone", {("prompt", "violence"): 1.0}), given("s1", {})], TEXTS))


def test_people_go_before_the_judge_and_two_of_them_are_averaged() -> None:
    said = [
        given("s1", {("prompt", "violence"): 1.0}, kind="judge", name="j"),
        given("s1", {("prompt", "violence"): 0.0}),
        given("s1", {("prompt", "violence"): 1.0}, name="bob"),
    ]
    (row,) = classifier_rows(said, TEXTS)
    assert (row.labels, row.source) == ({"violence": 0.5}, "person")


def test_of_two_judges_of_a_sample_the_latest_counts() -> None:
    old = given("s1", {("prompt", "violence"): 1.0}, kind="judge", name="a")
    new = given("s1", {("prompt", "violence"): 0.0}, kind="judge", name="b")
    (row,) = classifier_rows([new, old], TEXTS)
    assert row.labels == {"violence": 0.0}


def test_two_answers_to_one_prompt_that_differ_are_a_pair() -> None:
    key = ("response", "violence")
    rows = list(classifier_rows([given("s1", {key: 0.0}), given("s2", {key: 1.0}), given("s3", {key: 1.0})], TEXTS))
    (pair,) = preference_pairs(rows)
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ("How?", "No.", "Like this: hurt them.")
    assert (pair["subcategory"], pair["weight"]) == ("violence", 20.0)


def test_answers_that_agree_or_are_undecided_are_none() -> None:
    key = ("response", "violence")
    rows = list(classifier_rows([given("s1", {key: 0.5}), given("s2", {key: 1.0})], TEXTS))
    assert not list(preference_pairs(rows))


async def test_kept_texts_go_with_their_sample(tmp_path: Path) -> None:
    now = 1000.0
    texts = Texts(tmp_path, days=1, most_bytes=2**20, clock=lambda: now)
    texts.keep("old", 0.0, {"prompt": "a"})
    texts.keep("new", 1000.0, {"prompt": "b"})
    assert await texts.of(["old", "new", "none"]) == {"old": {"prompt": "a"}, "new": {"prompt": "b"}}
    now = 86_400.0 + 500
    await texts.flush(prune=True)
    assert await texts.of(["old", "new"]) == {"new": {"prompt": "b"}}


async def test_a_disk_that_refuses_is_told_once_and_again_when_it_takes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where the folder should be")
    texts = Texts(folder, days=1, most_bytes=2**20, clock=lambda: 1000.0)
    texts.keep("s1", 1000.0, {"prompt": "a"})
    for _ in range(5):
        await texts.flush()
    assert [record.getMessage().count("cannot be written to") for record in caplog.records] == [1]
    folder.unlink()
    assert await texts.of(["s1"]) == {"s1": {"prompt": "a"}}
    assert "are written to" in caplog.messages[-1]


async def test_they_are_bounded(tmp_path: Path) -> None:
    texts = Texts(tmp_path, days=1, most_bytes=2**20, clock=lambda: 0.0)
    for number in range(400):
        texts.keep(f"s{number}", float(number), {"prompt": "x" * 10_000})
        if number % 50 == 49:
            await texts.flush()
    kept = await texts.of([f"s{number}" for number in range(400)])
    assert 0 < len(kept) < 110
    assert "s399" in kept
    assert (tmp_path / "texts.db").stat().st_size <= 2**20
