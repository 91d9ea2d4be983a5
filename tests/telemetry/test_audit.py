"""The audit file: appended off the loop, bounded, honest about what it dropped."""

import asyncio
import json
import resource
import signal
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest

from gateway.telemetry.audit import Audit
from tests.support.fakes import Counts
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.worlds.audits import running

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EVERY = frozenset({"flag", "decision", "verdict"})


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_a_line_says_when_what_and_the_fields_in_their_order(tmp_path: Path) -> None:
    class Color(StrEnum):
        RED = "red"

    audit = Audit(tmp_path / "a.jsonl", clock=lambda: NOON)
    async with running(audit):
        audit.append("flag", {"sample": "s1", "color": Color.RED})
    assert (tmp_path / "a.jsonl").read_bytes() == (
        b'{"at":"2026-03-01T12:00:00.123+00:00","kind":"flag","sample":"s1","color":"red"}\n'
    )


async def test_lines_are_appended_to_what_is_there_and_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"kind":"flag","n":-1}\n')
    audit = Audit(path)
    async with running(audit):
        for number in range(100):
            audit.append("flag", {"n": number})
    assert [line["n"] for line in written(path)] == list(range(-1, 100))


async def test_a_flush_under_way_is_waited_for_at_the_end(tmp_path: Path) -> None:
    begun, allowed = threading.Event(), threading.Event()

    class SlowDisk(Audit):
        def _write(self, lines: list[bytes]) -> None:
            begun.set()
            assert allowed.wait(PATIENCE_SECONDS)
            super()._write(lines)

    audit = SlowDisk(tmp_path / "a.jsonl")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(audit.run())
        audit.append("flag", {"n": 0})
        while not begun.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.01)
        audit.append("flag", {"n": 1})
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        allowed.set()
    assert task.cancelled()
    assert [line["n"] for line in written(tmp_path / "a.jsonl")] == [0, 1]


async def test_the_writer_flushes_while_it_runs_and_follows_a_rotated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    audit = Audit(path)
    async with running(audit):
        audit.append("flag", {"n": 0})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not path.exists():  # noqa: ASYNC110 - a file tells nobody that it appeared
                await asyncio.sleep(0.01)
        path.rename(tmp_path / "a.1.jsonl")
        audit.append("flag", {"n": 1})
    assert [line["n"] for line in written(tmp_path / "a.1.jsonl")] == [0]
    assert [line["n"] for line in written(path)] == [1]


async def test_two_writers_of_one_file_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first, second = Audit(path), Audit(path)
    async with running(first), running(second):
        for number in range(500):
            first.append("flag", {"who": "first", "n": number, "pad": "x" * number})
            second.append("flag", {"who": "second", "n": number, "pad": "y" * number})
    lines = written(path)
    assert len(lines) == 1000
    for who in ("first", "second"):
        assert [line["n"] for line in lines if line["who"] == who] == list(range(500))


async def test_without_a_path_nothing_is_kept(tmp_path: Path) -> None:
    counts = Counts("assay_audit_lines_total")
    audit = Audit(None)
    async with running(audit):
        audit.append("flag", {"n": 1})
    assert counts.added() == {}
    assert audit.recent(9, EVERY) == []


async def test_a_disk_that_refuses_costs_lines_and_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "missing"
    counts = Counts("assay_audit_lines_total")
    audit = Audit(folder / "a.jsonl")
    for _ in range(3):
        async with running(audit):
            audit.append("flag", {"n": 1})
            audit.append("flag", {"n": 2})
    assert counts.added() == {("dropped",): 6}
    assert [record.message for record in caplog.records] == [
        f"audit lines are dropped: {folder / 'a.jsonl'} cannot be written: No such file or directory. "
        "Free space in its folder, or repair it; traffic goes on"
    ]
    folder.mkdir()
    async with running(audit):
        audit.append("flag", {"n": 3})
    assert [line["n"] for line in written(folder / "a.jsonl")] == [3]
    assert counts.added() == {("dropped",): 6, ("written",): 1}


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    counts = Counts("assay_audit_lines_total")
    audit = Audit(tmp_path / "a.jsonl")
    for _ in range(20):
        audit.append("flag", {"pad": "x" * 2**20})
    async with running(audit):
        pass
    added = counts.added()
    assert added[("written",)] == 7  # 8 MiB less what is around the padding
    assert added[("dropped",)] == 13
    assert (tmp_path / "a.jsonl").stat().st_size < 8 * 2**20


async def test_half_a_surrogate_pair_is_no_reason_to_fail(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "a.jsonl")
    async with running(audit):
        audit.append("flag", {"text": "a\ud800b\u00fc"})
    (line,) = audit.recent(9, EVERY)
    assert line["text"] == "a?b\u00fc"


async def test_the_latest_lines_come_first_and_only_the_kinds_asked_for(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "a.jsonl")
    assert audit.recent(9, EVERY) == []
    async with running(audit):
        for number in range(10):
            audit.append("flag" if number % 2 else "verdict", {"n": number})
    assert [line["n"] for line in audit.recent(3, EVERY)] == [9, 8, 7]
    assert [line["n"] for line in audit.recent(3, frozenset({"verdict"}))] == [8, 6, 4]
    assert audit.recent(0, EVERY) == []


async def test_the_end_of_a_large_file_is_read_and_torn_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"kind": "flag", "n": number, "pad": "x" * 1000}) for number in range(2000)]
    path.write_text("\n".join(lines) + '\n{"kind": "flag", "n": 20\n[1]\n{"n": 1}\n{"kind":"flag","n":-1}\n')
    found = Audit(path).recent(5000, EVERY)
    assert [line["n"] for line in found[:2]] == [-1, 1999]
    assert 400 < len(found) < 600  # half a megabyte of them


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "a.jsonl")
    async with running(audit):
        audit.append("flag", {"n": 1})
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o600


LINE = len('{"at":"2026-03-01T12:00:00.123+00:00","kind":"flag","n":10}\n')


@pytest.mark.parametrize("room", [0, 1, LINE - 1, LINE, LINE + 1, 3 * LINE - 1, 3 * LINE])
async def test_what_a_full_disk_takes_of_a_line_is_taken_back(tmp_path: Path, room: int) -> None:
    """A file may grow to a limit only; a write that would pass it is cut short, as on a full disk."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"kind":"flag","n":9}\n')
    counts = Counts("assay_audit_lines_total")
    audit = Audit(path, clock=lambda: NOON)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with running(audit):
        for number in range(10, 14):
            audit.append("flag", {"n": number})
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    whole = room // LINE
    assert [line["n"] for line in written(path)] == [9, *range(10, 10 + whole)]
    assert counts.added() == {("dropped",): 4 - whole} | ({("written",): whole} if whole else {})
    async with running(audit):
        audit.append("flag", {"n": 20})
    assert [line["n"] for line in written(path)] == [9, *range(10, 10 + whole), 20]
