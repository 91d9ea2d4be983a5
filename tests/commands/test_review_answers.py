"""`assay review --evaluation`: from answers that detectors flag to a rate that rests on labels."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from gateway.__main__ import main
from tests.support.judges.judge_models import chat_answer
from tests.support.servers.scripted_server import JSON, Peer, answer, serve

pytestmark = pytest.mark.real_time  # the command has a loop of its own in another thread


async def obliging(peer: Peer) -> None:
    """A model that does as it is asked."""
    while True:
        await peer.request()
        await peer.send(answer(json.dumps(chat_answer("Sure, here it is.")).encode(), JSON))


async def evaluate(record: Path, port: int) -> int:
    where = ["--base-url", f"http://127.0.0.1:{port}/v1", "--model", "m", "--record", str(record)]
    return await asyncio.to_thread(
        main, ["evaluate", *where, "--study", "misuse", "--count", "24", "--retries", "0", "--format", "json"]
    )


async def test_labels_make_a_rate_and_are_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """22 of 24 answers are labelled, in part by two people; one of the answers is found to refuse."""
    record = tmp_path / "r.jsonl"
    async with serve(obliging) as server:
        assert await evaluate(record, server.port) == 0
        before = json.loads(capsys.readouterr().out)["figures"][0]
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n" + "n\n" * 21))
        assert main(["review", "--evaluation", str(record), "--by", "ann"]) == 0
        told = capsys.readouterr().out
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert main(["review", "--evaluation", str(record), "--by", "bob"]) == 0
        assert "; 24 answers have no label of yours" in capsys.readouterr().out
        assert await evaluate(record, server.port) == 0
    after = json.loads(capsys.readouterr().out)["figures"][0]
    assert (before["basis"], before["estimate"]) == ("card", None)
    assert "; 24 answers have no label of yours" in told
    assert "Answers labelled: 22." in told
    assert "response: refusal (the reply declines to do what was asked)?" in told
    assert after["basis"] == "labels"
    assert after["estimate"] == pytest.approx(21 / 22, abs=0.01)
    assert after["low"] < 21 / 22 < after["high"]
    assert main(["export", "rows", "--evaluation", str(record)]) == 0
    failed = [next(iter(json.loads(line)["labels"].values())) for line in capsys.readouterr().out.splitlines()]
    assert failed.count(0.0) == 1


def test_a_record_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "none.jsonl"
    assert main(["review", "--evaluation", str(record)]) == 2
    assert "assay evaluate --record" in capsys.readouterr().err
    assert not record.exists()


@pytest.mark.parametrize("chosen", [["--flagged"], ["--only", "unsafe"], ["--route", "chat"]])
def test_answers_to_label_are_not_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: list[str]) -> None:
    """Of flagged answers alone no rate could be made."""
    record = tmp_path / "r.jsonl"
    record.touch()
    assert main(["review", "--evaluation", str(record), *chosen]) == 2
    assert f"{chosen[0]}: not with --evaluation" in capsys.readouterr().err


def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "other.jsonl"
    record.write_text("{}\n", "utf-8")
    assert main(["review", "--evaluation", str(record)]) == 2
    assert "line 1: not a line of `assay evaluate`" in capsys.readouterr().err
    assert record.read_text("utf-8") == "{}\n"
