"""Tables in which a column's head is the name: of Markdown, and of comma-separated values."""

import re
from collections.abc import Callable, Generator, Iterator

from detectors.rules.secrets.candidate import A_PIECE, Candidate

# A value judged as if it stood behind this name: the place of the value within what is passed on, or None.
JudgeCell = Callable[[str, str], "Candidate | None"]
MOST_COLUMNS = 8  # with a name in one table
_RULER = re.compile(r"[ \t|:-]*-{2,}[ \t|:-]*")
_ROOTS = ("pass", "password", "passwd", "passphrase", "pwd", "secret", "token", "key", "credentials", "passwort")
_CELL_ENDS = re.compile(r"[ *`\"'s]{0,6}(?:[|,;\t\r\n]|$)")
_NAMES = re.compile(r"(?i)pass|pwd|secret|token|key|credential|\bpw\b")
_RECORD = re.compile(r"(?=\S)[\w .\"'-]{2,40}(?:[,;\t][\w .\"'-]{2,40}){1,40}")


def cells(text: str, lowered: str, judge: JudgeCell) -> Iterator[Candidate | None]:
    """Every cell under such a head whose value `judge(head, cell)` takes; None for a pause.

    `lowered`: the text in lower case.
    """
    done = 0
    lines: set[int] = set()
    for root in _ROOTS:
        for line in _lines_with(lowered, root):
            if line is None:
                yield None
            else:
                lines.add(line)
    for start in sorted(lines):
        if start < done:
            continue
        head = text[start : _line_end(text, start)].rstrip()
        below = _line_end(text, start)
        ruler_end = _line_end(text, below)
        if "|" in head and _RULER.fullmatch(text[below:ruler_end].rstrip()):
            done = yield from _body(text, ruler_end, head, "|", judge)
        elif _RECORD.fullmatch(head):
            separator = next(sign for sign in "\t;," if sign in head)
            done = yield from _body(text, below, head, separator, judge)


def _lines_with(lowered: str, root: str) -> Iterator[int | None]:
    """The starts of the lines in which a cell ends with this name; None for a pause."""
    at = lowered.find(root)
    tried = 0
    while at >= 0:
        tried += 1
        if not tried % A_PIECE:
            yield None
        if _CELL_ENDS.match(lowered, at + len(root)):
            yield lowered.rfind("\n", 0, at) + 1
            at = lowered.find(root, _line_end(lowered, at))
        else:
            at = lowered.find(root, at + 1)


def _line_end(text: str, start: int) -> int:
    """The start of the line after the one that contains `start`."""
    return text.find("\n", start) + 1 or len(text)


def _body(text: str, start: int, head: str, separator: str, judge: JudgeCell) -> Generator[Candidate | None, None, int]:
    """The rows from `start` on that have as many cells as the head, and the start of the first row that has not."""
    names = head.split(separator)
    columns = [column for column, name in enumerate(names) if _NAMES.search(name)][:MOST_COLUMNS]
    rows = 0
    while start < len(text):
        end = _line_end(text, start)
        parts = text[start:end].rstrip("\r\n").split(separator)
        if len(parts) != len(names):
            break
        for column in columns:
            found = judge(names[column].strip(" *`\"'\t"), parts[column])
            if found is not None:
                offset = start + sum(len(part) + 1 for part in parts[:column])
                yield found._replace(start=offset + found.start, end=offset + found.end)
        start = end
        rows += 1
        if not rows % A_PIECE:
            yield None
    return start
