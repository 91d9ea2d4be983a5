"""Verbatim copies of a corpus: found where they stand, not where they do not, and no damaged file is read."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.manifest import ModelError
from detectors.rules.fingerprint import BATCH, GRAM, GUARANTEED, MAGIC, WINDOW, Fingerprints, build, read_corpus
from tests.support.running.examples import examples

RNG = random.Random(5)
VOCABULARY = ["".join(RNG.choices("etaoinshrdlu", k=RNG.randint(2, 9))) for _ in range(4000)]
WORK = [RNG.choice(VOCABULARY) for _ in range(5000)]
STORY = (
    "At the end of the pier the old keeper counted the boats that had come home, wrote each name in his book, and "
    "left the lamp burning for the one that had not."
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Fingerprints:
    path = tmp_path_factory.mktemp("fingerprints") / "works.fp"
    build([" ".join(WORK), STORY], path)
    return Fingerprints(path)


def test_the_longest_run_is_reported_with_its_place(corpus: Fingerprints) -> None:
    text = f"As the book has it: “{STORY}” So it ends."
    (run,) = corpus.runs(text)
    words = len(STORY.split())
    assert words - 2 * (WINDOW - 1) <= run.words <= words
    assert text[run.start : run.end] in STORY
    (span,) = corpus.rule().find(text)
    assert (span.start, span.end) == (run.start, run.end)
    assert span.label == "verbatim_14" or span.label == "verbatim_20"


@given(st.integers(min_value=0, max_value=len(WORK) - 200), st.integers(min_value=GUARANTEED, max_value=120))
def test_every_guaranteed_run_is_found(corpus: Fingerprints, start: int, length: int) -> None:
    copied = WORK[start : start + length]
    text = "Nothing of this, " + " ".join(copied) + ", is mine alone."
    runs = corpus.runs(text)
    assert runs
    assert sum(run.words for run in runs) <= length
    assert all(0 <= run.start < run.end <= len(text) for run in runs)
    assert max(run.words for run in runs) >= min(length - 2 * (WINDOW - 1), GRAM)


def test_case_accents_and_punctuation_do_not_count(corpus: Fingerprints) -> None:
    changed = STORY.upper().replace(",", " —").replace("E", "É").replace(" ", "\n ")
    assert corpus.runs(changed)


def test_other_texts_share_nothing(corpus: Fingerprints) -> None:
    rng = random.Random(6)
    assert not [run for _ in range(200) for run in corpus.runs(" ".join(rng.choices(VOCABULARY, k=200)))]
    assert corpus.rule().find("At the end of the pier there was a boat.") == {}


@given(st.text(max_size=200))
def test_any_text_can_be_searched(corpus: Fingerprints, text: str) -> None:
    assert all(0 <= span.start < span.end <= len(text) for span in corpus.rule().find(text))


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", "a ", "\0", "\ud800", "\u0301", "中", "é,"])
def test_a_megabyte_of_one_thing(corpus: Fingerprints, unit: str) -> None:
    assert corpus.rule().find((unit * 1_000_000)[:1_000_000]) == {}


def test_scripts_without_spaces(tmp_path: Path) -> None:
    line = "海辺の古い灯台守は帰ってきた舟を数え一隻ごとに名前を帳面に書きつけて灯りを残した"
    build([line], tmp_path / "works.fp")
    found = Fingerprints(tmp_path / "works.fp")
    assert found.runs("本には「" + line + "」とある。")
    assert not found.runs("海辺の町で古い舟を買った人の話を聞いた")


@pytest.mark.slow
def test_a_run_over_the_seam_of_two_batches_is_found(tmp_path: Path) -> None:
    rng = random.Random(7)
    words = rng.choices(VOCABULARY, k=BATCH // 5)
    text = " ".join(words)
    assert len(text) > BATCH
    build([text], tmp_path / "works.fp")
    seam = text[BATCH - 100 : BATCH + 100].split(" ", 1)[1].rpartition(" ")[0]
    (run,) = Fingerprints(tmp_path / "works.fp").runs(seam)
    assert run.words >= len(seam.split()) - 2 * (WINDOW - 1)


@examples(20)
@given(st.lists(st.text(max_size=300), max_size=6))
def test_any_corpus_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "works.fp"
    try:
        header = build(texts, path)
    except ValueError as error:
        assert "8 words" in str(error)
        assert not path.exists()
    else:
        assert Fingerprints(path).header == header


# --- files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    build([STORY], tmp_path / "works.fp")
    return tmp_path / "works.fp"


def test_the_file_says_what_it_holds(file: Path) -> None:
    header = Fingerprints(file).header
    assert (header.texts, header.words) == (1, len(STORY.split()))
    assert file.read_bytes().startswith(MAGIC)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda content: b"", "no fingerprint file"),
        (lambda content: b"PK" + content[2:], "no fingerprint file"),
        (lambda content: content[:7] + b"9" + content[8:], "of this version"),
        (lambda content: content[:30] + b"#" + content[31:], "header is damaged"),
        (lambda content: content[:20], "header is damaged"),
        (lambda content: content[:-1], "bits are damaged"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "bits are damaged"),
        (lambda content: content + b"\0", "bits are damaged"),
    ],
)
def test_a_damaged_file_is_refused_and_named(file: Path, damage: object, why: str) -> None:
    assert callable(damage)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=why) as caught:
        Fingerprints(file)
    assert str(file) in str(caught.value)
    assert "assay fingerprint build" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Fingerprints(tmp_path / "none.fp")


def test_a_failed_build_leaves_the_old_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ValueError, match="8 words"):
        build(["too short"], file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["works.fp"]


def test_reads_folders_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("first", "utf-8")
    (tmp_path / "deep" / "b.md").write_text("second", "utf-8")
    (tmp_path / "c.bin").write_bytes(b"third")
    (tmp_path / "lines.jsonl").write_text(json.dumps({"text": "fourth"}) + "\n\n", "utf-8")
    read: list[int] = []
    assert list(read_corpus(tmp_path, read.append)) == ["first", "second"]
    assert sum(read) == len("first" + "second")
    assert list(read_corpus(tmp_path / "lines.jsonl")) == ["fourth"]


@pytest.mark.parametrize(
    ("content", "why"),
    [("{", "line 2: not JSON"), ('{"body": "x"}', "line 2: no field `text`"), ("[1]", "line 2: no field `text`")],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "fine"}\n' + content, "utf-8")
    with pytest.raises(ValueError, match=why):
        list(read_corpus(path))


def test_an_empty_or_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no \.txt or \.md file"):
        list(read_corpus(tmp_path))
    with pytest.raises(ValueError, match="no such folder"):
        list(read_corpus(tmp_path / "none"))
