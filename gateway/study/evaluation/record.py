"""The record of an evaluation: every answer and judgement as a JSON line, so that a stopped study can continue."""

import fcntl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal, NamedTuple

import msgspec

from gateway.study.evaluation.prompts import Item


class Answered(msgspec.Struct, frozen=True, tag_field="kind", tag="answer", omit_defaults=True):
    """The answer to a request, or why there is none. `asked` is the digest of the request's path and body.

    `filtered` says that a filter of the provider or of a gateway kept back all or part of the answer.
    """

    model: str
    item: str
    ask: int
    asked: str
    prompt: str
    text: str = ""
    error: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    filtered: bool = False


class AnswerScore(NamedTuple):
    """The detectors' score of an answer for one sub-category."""

    slug: str
    score: float
    flagged: bool
    detector: str


class JudgedItem(msgspec.Struct, frozen=True, tag_field="kind", tag="judged", omit_defaults=True):
    """The judgement on the answers to an item: `text` answers `prompt`, `further` are the answers to its later prompts.

    `failed` is null if it cannot be told, or if only `scores`, `label` and `people` tell it. `label` is the judge
    model's label for `subcategory`, from 0 to 1; `people` has the labels of people by their names. `expected` is an
    answer that would not have failed, if one is known.
    """

    model: str
    item: str
    study: str
    subcategory: str
    prompt: str
    text: str
    reading: Literal["read", "refused", "unclear", "empty", "failed"]
    failed: bool | None = None
    detail: str = ""
    confidence: float | None = None
    scores: list[AnswerScore] = []
    judge: str = ""
    label: float | None = None
    people: dict[str, bool] = {}
    expected: str = ""
    further: list[str] = []


Line = Answered | JudgedItem
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class RecordError(ValueError):
    """The file is not a record, or is damaged in another way than by a stop; the message says where."""


class Record:
    """The lines of one file, also kept in memory. Only one process may write it at a time; its lock ends with it."""

    def __init__(self, path: Path) -> None:
        """Reads the file; an incomplete last line, left by a stop, is removed. Raises RecordError, OSError."""
        self.path = path
        self._answers: dict[tuple[str, str], Answered] = {}
        self._judged: dict[tuple[str, str], JudgedItem] = {}
        self._file: IO[bytes] = path.open("r+b" if path.exists() else "w+b")
        try:
            _lock(self._file, path)
            whole = _whole_lines(path)
            for line in read(path, whole):
                self._know(line)
        except RecordError:
            self._file.close()
            raise
        self._file.truncate(whole)
        self._file.seek(whole)

    def answer(self, model: str, asked: str) -> Answered | None:
        """The answer to this request; None if there is none."""
        found = self._answers.get((model, asked))
        return None if found is None or found.error else found

    def failure(self, model: str, asked: str) -> str:
        """Why the last try of this request failed; empty if it did not."""
        found = self._answers.get((model, asked))
        return found.error if found else ""

    def judged(self, model: str, item: Item) -> JudgedItem | None:
        return self._judged.get((model, item.id))

    def all_judged(self) -> list[JudgedItem]:
        """The last judgement of each item and model."""
        return list(self._judged.values())

    def add(self, line: Line) -> None:
        """Write a line at once; a judgement that is recorded already is not written again. Raises OSError."""
        if isinstance(line, JudgedItem) and self._judged.get((line.model, line.item)) == line:
            return
        self._file.write(_encode(line) + b"\n")
        self._file.flush()
        self._know(line)

    def close(self) -> None:
        self._file.close()

    def _know(self, line: Line) -> None:
        if isinstance(line, JudgedItem):
            self._judged[line.model, line.item] = line
        else:
            self._answers[line.model, line.asked] = line


def _lock(file: IO[bytes], path: Path) -> None:
    """Keeps a second process from writing the file: it would mix up the lines, and ask everything twice."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RecordError(
            f"{path}: another `assay evaluate` or `assay review` is writing it; wait until it ends, "
            "or name another with --record"
        ) from error


def _whole_lines(path: Path) -> int:
    """The number of bytes up to the end of the last complete line."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def read(path: Path, most_bytes: int | None = None) -> Iterator[Line]:
    """The lines of a file. Raises RecordError, OSError."""
    if not path.exists() and most_bytes == 0:
        return
    for number, raw in enumerate(path.read_bytes()[:most_bytes].splitlines(), start=1):
        try:
            yield _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(
                f"{path}, line {number}: not a line of `assay evaluate`: {error}; name another file with --record"
            ) from error


def latest(path: Path) -> Mapping[tuple[str, str], JudgedItem]:
    """The last judgement in a file for each model and item. Raises RecordError, OSError."""
    return {(line.model, line.item): line for line in read(path) if isinstance(line, JudgedItem)}
