"""JSON inside a string: read without its escapes, and cut in the escaped text.

Tool arguments, JSON-mode content and tool results are JSON in a string, and may again hold JSON in a string. Detectors
see the text with the escapes of every level undone. Their spans are then mapped back to the escaped text, so that valid
JSON stays valid and every other character stays as it was.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Cut = tuple[int, int, str]  # start, end, and what was found there
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([^u]))", re.DOTALL
)
_NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_TOKEN = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)(?:"|\Z)|(?P<scalar>[^\s"{}\[\],:]+)', re.DOTALL)
_FENCE = re.compile(r"^[ \t]*+```[ \t]*+\w*+[ \t]*+\n([{\[].*?)^[ \t]*+```", re.DOTALL | re.MULTILINE)
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*+"?')  # its end is optional, so that no text is searched twice
_ESCAPED_LETTER = re.compile(r"\\u00[2-7][0-9a-fA-F]")
_LEVELS = 4  # of JSON in JSON
_UNFINISHED = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")


class Written(NamedTuple):
    """A text, and where its characters stand in the text it was read from: from `at[i]` on, they begin at
    `places[i]`."""

    text: str
    at: list[int]
    places: list[int]

    def place(self, offset: int) -> int:
        """Where the character at this offset of the text stands."""
        found = bisect_right(self.at, offset) - 1
        return self.places[found] + offset - self.at[found]

    def put_back(self, cuts: Iterable[Cut]) -> list[Cut]:
        """The same cuts over what the text was read from."""
        return [(self.place(start), self.place(end), label) for start, end, label in cuts]


def is_json(text: str) -> bool:
    """Whether this looks like an object or a list, complete or not."""
    return text.lstrip()[:1] in ("{", "[")


def read(text: str) -> Written | None:
    """The text without the escapes of the JSON that it is or contains; None if there are none."""
    if "\\" not in text:
        return None
    spans = _json_in(text)
    return _unescaped(text, spans, _LEVELS) if spans else None


def _json_in(text: str) -> list[tuple[int, int]]:
    """Where JSON stands: the whole text, its code fences, or else quoted strings in which letters are escaped."""
    if is_json(text) or (text.startswith('"') and is_valid(text)):
        return [(0, len(text))]
    fenced = [found.span(1) for found in _FENCE.finditer(text)]
    if fenced or "\\u00" not in text:
        return fenced
    return [found.span() for found in _QUOTED.finditer(text) if _ESCAPED_LETTER.search(text, *found.span())]


def read_part(text: str) -> Written | None:
    """As `read`, for a part of a JSON text that may begin and end anywhere."""
    if "\\" not in text:
        return None
    written = _without_escapes(text, 0, len(text))
    return (
        _composed(written, _without_escapes(written.text, 0, len(written.text))) if '\\"' in written.text else written
    )


def unfinished(text: str) -> int:
    """How many characters at the end of a part of a JSON text are the beginning of an escape."""
    found = _UNFINISHED.search(text)
    if found is None:
        return 0
    behind = text[: found.start()]
    return 0 if (len(behind) - len(behind.rstrip("\\"))) % 2 else len(text) - found.start()


def _unescaped(text: str, spans: Sequence[tuple[int, int]], levels: int) -> Written:
    """The text with the strings inside these spans unescaped, and JSON in those in the same way."""
    pieces, at, places = list[str](), list[int](), list[int]()
    length = last = 0

    def add(piece: str, place: int) -> None:
        nonlocal length
        at.append(length)
        places.append(place)
        pieces.append(piece)
        length += len(piece)

    for start, end in spans:
        for token in _TOKEN.finditer(text, start, end):
            inner = token["text"]
            if inner is None or "\\" not in inner:
                continue
            begin = token.start("text")
            add(text[last:begin], last)
            written = _without_escapes(text, begin, token.end("text"))
            if levels > 1 and "\\" in written.text and (inside := _json_in(written.text)):
                written = _composed(written, _unescaped(written.text, inside, levels - 1))
            at += [length + offset for offset in written.at[:-1]]
            places += written.places[:-1]
            pieces.append(written.text)
            length += len(written.text)
            last = token.end("text")
    add(text[last:], last)
    at.append(length)
    places.append(len(text))
    return Written("".join(pieces), at, places)


def _without_escapes(text: str, start: int, end: int) -> Written:
    pieces, at, places = list[str](), [0], [start]
    length, last = 0, start
    for found in _ESCAPE.finditer(text, start, end):
        plain = text[last : found.start()]
        meant = _meant(found)
        pieces += [plain, meant]
        at += [length + len(plain), length + len(plain) + len(meant)]
        places += [found.start(), found.end()]
        length, last = at[-1], found.end()
    pieces.append(text[last:end])
    at.append(length + end - last)
    places.append(end)
    return Written("".join(pieces), at, places)


def _meant(escape: re.Match[str]) -> str:
    """The character that an escape means."""
    high, low, unit, named = escape.groups()
    if named is not None:
        return _NAMED.get(named, named)
    if unit is not None:
        return chr(int(unit, 16))
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))


def _composed(outer: Written, inner: Written) -> Written:
    """The text of `inner`, which was read from that of `outer`, with the places in what `outer` was read from."""
    breaks = dict(zip(inner.at, inner.places, strict=True))
    for offset, middle in zip(inner.at, inner.places, strict=True):
        following = inner.at[bisect_right(inner.at, offset)] if offset < inner.at[-1] else offset
        first = bisect_right(outer.at, middle)
        for mark in outer.at[first : bisect_right(outer.at, middle + following - offset)]:
            breaks.setdefault(offset + mark - middle, mark)
    at = sorted(breaks)
    return Written(inner.text, at, [outer.place(breaks[offset]) for offset in at])


# --- cut


def cut_out(text: str, cuts: Iterable[Cut]) -> str:
    """The text with each cut replaced by its label. Cuts are sorted and disjoint, as `decide` gives them."""
    pieces: list[str] = []
    last = 0
    for start, end, label in cuts:
        if last <= start < len(text):
            pieces += [text[last:start], _mark(label)]
            last = end
    return "".join([*pieces, text[last:]])


def _mark(label: str) -> str:
    return f'"[REDACTED:{label[1:]}]"' if label.startswith('"') else f"[REDACTED:{label}]"


def within_json(text: str, cuts: Iterable[Cut]) -> list[Cut]:
    """The cuts changed so that the JSON stays valid: inside each string that a cut touches, and over whole numbers and
    words. The label of the latter begins with a quote, because it needs quotes of its own."""
    given = list(cuts)
    ends = [end for _, end, _ in given]
    found: list[Cut] = []
    for token in _TOKEN.finditer(text) if given else ():
        name = "text" if token["text"] is not None else "scalar"
        start, end = token.span(name)
        for number in range(bisect_right(ends, start), len(given)):
            cut = given[number]
            inside = max(cut[0], start), min(cut[1], end)
            if inside[0] >= inside[1]:
                break
            if name == "scalar":
                found.append((start, end, '"' + cut[2]))
                break
            found.append((*inside, cut[2]))
    return found


def is_valid(text: str) -> bool:
    """Whether this is JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
