"""The work of the commands that need no server: `assay score` and `assay taxonomy`."""

import difflib
import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import IO, Any, Literal

import msgspec
from tqdm import tqdm

from detectors.base import Text, Turn
from detectors.behind import headline
from detectors.opinions import strongest
from detectors.panel import Answer, Question
from detectors.panel import load as load_panel
from detectors.taxonomy import AUXILIARIES, SLUGS
from gateway.study.panel_signals import ROLES

DIGITS = 6  # of a printed score, after the point

_NOT_WHOLLY_READ = ("truncated", "unreadable", "errored")  # the last of these that applies is reported

Row = dict[str, Any]


class _Turn(msgspec.Struct):
    channel: Literal["system", "user", "assistant", "tool", "retrieved"]
    text: str


class _Line(msgspec.Struct):
    text: str
    role: str
    context: str | None = None
    turns: list[_Turn] = []


class _BadLineError(Exception):
    """An input line without a text to judge; the message says why."""


def score(
    source: Iterable[bytes | str],
    sink: IO[str] | IO[bytes],
    *,
    only: Collection[str] | None = None,
    batch: int = 256,
    progress: bool = False,
) -> int:
    """Judge JSON lines `{"role", "text", "context"?, "turns"?}`; write one JSON line for each, in order.

    Detectors that compare an answer with earlier texts use `turns`, a list of `{"channel", "text"}`, else `context`.

    An output line has `scores` (slug to calibrated score, the highest over the detectors), `flags` (slugs flagged at
    1 % false alarms), `detectors` (slug to the `name@version` that gave its score) and, if a detector did not read the
    whole text, `state`: `truncated`, `unreadable` or `errored`. For a bad line it is `{"error": "line 7: ..."}`. Blank
    lines are skipped. Returns the number of bad lines. Raises ValueError for an unknown slug in `only` or a batch below
    1, and detectors.manifest.ModelError for a damaged model.
    """
    if batch < 1:
        raise ValueError(f"a batch must have at least one text, not {batch}")
    slugs = known_slugs(only)
    panel = load_panel(only=slugs)
    bad = 0
    lines = _parsed(tqdm(source, unit=" texts", disable=not progress))
    while chunk := list(itertools.islice(lines, batch)):
        answers = iter(panel.ask([Question(line, slugs) for line in chunk if isinstance(line, Text)]))
        for line in chunk:
            bad += not isinstance(line, Text)
            _write(sink, _row(next(answers)) if isinstance(line, Text) else {"error": line})
    return bad


def progress(total: int, unit: str, what: str) -> "tqdm[Any]":
    """A progress bar on standard error, if that is a terminal."""
    return tqdm(total=total, unit=unit, unit_scale=True, desc=what, disable=None, leave=False)


def known_slugs(only: Collection[str] | None) -> frozenset[str]:
    """The slugs to judge: all known ones, or `only`. Raises ValueError for an unknown one."""
    valid = sorted(SLUGS | AUXILIARIES.keys())
    for slug in only or ():
        if slug not in valid:
            near = difflib.get_close_matches(slug, valid, 1, 0)
            raise ValueError(f"unknown sub-category {slug!r}: did you mean {near[0]!r}?")
    return frozenset(valid if only is None else only)


def taxonomy_table(rows: Sequence[Row]) -> str:
    """The rows of taxonomy_rows as text, grouped by category: a line for each detector or the like of a
    sub-category."""
    lines = []
    wide = max((len(id_) for row in rows for id_, _ in _behind(row)), default=0)
    for category, group in itertools.groupby(rows, key=lambda row: row["category"]):
        lines.append(f"{category}")
        for row in group:
            found = _behind(row)
            names = itertools.chain([row["slug"]], itertools.repeat(""))
            lines += [
                f"  {name:<27} {id_:<{wide}} {text}".rstrip() for name, (id_, text) in zip(names, found, strict=False)
            ]
    return "\n".join(lines)


def _behind(row: Row) -> list[tuple[str, str]]:
    """What judges a sub-category, with its figures; then detectors that are turned off, and a note on how to read
    it."""
    found = [(entry["id"], headline(entry["measured"])) for entry in row["detectors"]]
    found += [(name, row[name]) for name in ("monitor", "probes") if row[name]]
    found = found or [("none yet", f"not measured: needs {row['needs']}")]
    found += [(id_, f"off: {why}") for id_, why in row["off"].items()]
    return [*found, *([("note", row["honest_line"])] if row["honest_line"] else [])]


def _row(answer: Answer) -> Row:
    """One output row: the highest score of each sub-category, and the detector that gave it."""
    best = strongest(answer.opinions)
    row: Row = {
        "scores": {slug: round(opinion.score, DIGITS) for slug, opinion in best.items()},
        "flags": [slug for slug, opinion in best.items() if opinion.flagged],
        "detectors": {slug: opinion.detector for slug, opinion in best.items()},
    }
    for state in _NOT_WHOLLY_READ:
        if state in answer.states.values():
            row["state"] = state
    return row


def _parsed(source: Iterable[bytes | str]) -> Iterator[Text | str]:
    """For each good line its text, for a bad one a message that says what is wrong."""
    for number, line in enumerate(source, start=1):
        raw = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
        if raw.strip():
            try:
                yield _text(raw)
            except _BadLineError as error:
                yield f"line {number}: {error}"


def _text(raw: bytes) -> Text:
    try:
        line = msgspec.json.decode(raw, type=_Line)
    except msgspec.ValidationError as error:
        raise _BadLineError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _BadLineError(f"not JSON: {error}") from error
    if line.role not in ROLES:
        raise _BadLineError(f'role is {line.role!r}, must be "prompt" or "response"')
    turns = [Turn(turn.channel, turn.text) for turn in line.turns]
    context = line.context
    if context and not turns:
        turns = [Turn("given", context)]
    elif context is None and line.role == "response":
        context = next((turn.text for turn in reversed(turns) if turn.channel == "user"), None)
    return Text(line.text, ROLES[line.role], context, tuple(turns))


def _write(sink: IO[str] | IO[bytes], row: Row) -> None:
    raw = msgspec.json.encode(row) + b"\n"
    if isinstance(sink, io.TextIOBase):
        sink.write(raw.decode())
    else:
        sink.write(raw)  # type: ignore[arg-type]  # a stream that takes no text takes bytes
