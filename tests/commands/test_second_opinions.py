"""`assay calibrate`, `assay export` and `assay review` on a ledger that a gateway has left."""

import asyncio
import json
import random
import time
from pathlib import Path

import pytest

from detectors import manifest
from gateway.__main__ import main
from gateway.enforcement.local_tables import FILE
from gateway.opinions.texts import Texts
from gateway.trust.ledger import Entry, Ledger, Score
from gateway.trust.second_opinion import Label, SecondOpinion, Waiting
from gateway.trust.stores.sqlite_ledger import SqliteStore

ENCODER = manifest.load(weights=False)["encoder"].id
SAMPLES = 600


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with 600 samples that a judge has seen, every tenth of them violent, and one that waits for a person."""
    monkeypatch.setenv("ASSAY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ASSAY_REVIEW_TEXT", "true")
    asyncio.run(_fill(tmp_path))
    return tmp_path


async def _fill(folder: Path) -> None:
    now, draw = time.time(), random.Random(5).random  # noqa: TID251 - the commands look at the last seven days
    store = SqliteStore(folder / "ledger.db", days=30, most_bytes=2**26)
    ledger, texts = Ledger(store, clock=lambda: now), Texts(folder, days=30, most_bytes=2**24, clock=lambda: now)
    entries, opinions = [], []
    for number in range(SAMPLES):
        violent = number % 10 == 0
        score = 0.95 if violent else draw() * 0.9
        scores = [Score("response", "violence", score, score > 0.8, ENCODER)]
        about = "default", "m", "app", "en", "chat", ""
        entries.append(Entry.of(f"s{number}", now - 60, 1.0, *about, scores=scores))
        labels = [Label("response", "violence", float(violent))]
        opinions.append(SecondOpinion(f"s{number}", now, "judge", "guard@llama_guard", 1.0, labels))
        texts.keep(f"s{number}", now - 60, {"prompt": f"question {number // 20}", "response": f"answer {number}"})
        if number % 100 == 99:
            await texts.flush()
    await store.add(entries)
    await ledger.opine(opinions)
    ledger.put(Waiting("s1", now - 60, "person", 0.5, "doubt", "response", "violence", [("response", "answer 1")]))
    await ledger.flush()
    await store.close()


@pytest.mark.slow
def test_calibrate_shows_adopts_and_reverts(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate"]) == 0
    shown = capsys.readouterr().out
    assert f"violence      response  {ENCODER}  judge     600" in shown
    assert "100.0 % /" in shown
    assert not (state / FILE).exists()
    assert main(["calibrate", "--adopt"]) == 0
    assert "Adopted the tables of 1 heads" in capsys.readouterr().out
    (table,) = json.loads((state / FILE).read_text())["tables"]
    assert dict(table["rows"])[0.01] == pytest.approx(0.9 * 0.99, abs=0.02)
    assert main(["calibrate", "--revert"]) == 0
    assert not (state / FILE).exists()


def test_too_few_labels_adopt_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_STATE_DIR", str(tmp_path))
    assert main(["calibrate", "--adopt"]) == 1
    assert "500 for 1 %" in capsys.readouterr().out
    assert not (tmp_path / FILE).exists()


@pytest.mark.slow
def test_export_writes_rows_and_pairs(state: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["export"]) == 0
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert len(rows) == SAMPLES
    assert {row["role"] for row in rows} == {"response"}
    assert sum(row["labels"]["violence"] for row in rows) == SAMPLES / 10
    assert main(["export", "pairs"]) == 0
    pairs = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert len(pairs) == SAMPLES / 10
    assert {pair["subcategory"] for pair in pairs} == {"violence"}


@pytest.mark.parametrize(("kind", "said"), [("rows", "assay review"), ("pairs", "labels that differ")])
def test_export_of_nothing_says_what_is_missing(
    kind: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ASSAY_REVIEW_TEXT", "true")
    assert main(["export", kind]) == 1
    said_now = capsys.readouterr()
    assert said_now.out == ""
    assert said in said_now.err


def test_export_needs_texts_that_may_be_kept(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_REVIEW_TEXT", "false")
    assert main(["export"]) == 2
    assert "review_text" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["calibrate", "review", "export"])
def test_without_a_lasting_ledger_they_say_what_to_set(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    assert "ASSAY_STATE_DIR" in capsys.readouterr().err


def test_a_review_of_an_unknown_subcategory_is_refused(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "--only", "violense"]) == 2
    assert "violense" in capsys.readouterr().err
