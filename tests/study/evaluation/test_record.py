"""The file that a study goes on from."""

from pathlib import Path

import pytest

from gateway.study.evaluation.record import Answered, JudgedItem, Record, RecordError, latest

ANSWER = Answered("m", "s/f/1", 0, "d1", "Why?", "Because.")
FAILED = Answered("m", "s/f/2", 0, "d2", "Why?", error="timeout: no answer within 1 s")
JUDGED = JudgedItem("m", "s/f/1", "s", "hallucination", "Why?", "Because.", "read", False)


def test_what_was_written_is_known_again(tmp_path: Path) -> None:
    record = Record(tmp_path / "r.jsonl")
    for line in (ANSWER, FAILED, JUDGED, JUDGED):
        record.add(line)
    record.close()
    again = Record(tmp_path / "r.jsonl")
    assert again.answer("m", "d1") == ANSWER
    assert (again.answer("m", "d2"), again.failure("m", "d2")) == (None, FAILED.error)
    assert again.answer("other", "d1") is None
    again.close()
    assert (tmp_path / "r.jsonl").read_bytes().count(b"\n") == 3
    assert latest(tmp_path / "r.jsonl") == {("m", "s/f/1"): JUDGED}


def test_a_last_line_that_a_stop_tore_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    record = Record(file)
    record.add(ANSWER)
    record.close()
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:-20])
    again = Record(file)
    again.add(JUDGED)
    again.close()
    assert file.read_bytes().startswith(whole)
    assert len(latest(file)) == 1


@pytest.mark.parametrize("line", [b"{}\n", b"not JSON\n", b'{"kind":"other"}\n', b"\xff\xfe\n"])
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(line)
    with pytest.raises(RecordError, match="line 1: not a line of `assay evaluate`"):
        Record(file)
    assert file.read_bytes() == line


def test_two_do_not_write_the_same_file_and_the_second_is_told(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    first = Record(file)
    first.add(ANSWER)
    with pytest.raises(RecordError, match="another `assay evaluate` or `assay review` is writing it"):
        Record(file)
    first.close()
    second = Record(file)
    assert second.answer("m", "d1") == ANSWER
    second.close()
