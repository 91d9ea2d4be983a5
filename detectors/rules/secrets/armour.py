"""Blocks that hold a private key: PEM, PGP, SSH2, PuTTY, OpenVPN, quoted, numbered, escaped or cut off.

A block is cut from its first line to its last, however long: in lines of a mail, a listing, a diff, in strings of a
program or in one line of JSON. One without a body is a mention of a key and no key.
"""

import re
from collections.abc import Iterator

from detectors.rules.secrets.candidate import Candidate

_TITLE = r"(?:(?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?|OpenVPN Static key V\d|[A-Z]+ NKEY SEED)"
_MARK = re.compile(
    rf"-{{4,5}} ?(?:BEGIN {_TITLE}|(?P<end>END {_TITLE})) ?-{{4,5}}"
    r"|PuTTY-User-Key-File-\d|(?P<mac>Private-MAC:[ \t]*[0-9a-fA-F]{40,64})"
)
_HINTS = ("PRIVATE KEY-", "PRIVATE KEY ", "Static key", "NKEY SEED", "PuTTY-User-Key-File")
MIN_BODY = 40  # characters of base64 that a key has at least
_DATA = re.compile(r"[A-Za-z0-9+/=]{16,}+")
_LINE_BREAK = re.compile(r"\\r\\n|\\n|\r?\n|<br ?/?>|&#10;")
# A line beside those of data: nothing but a margin (quote signs, numbers, quotes of a string), or a header.
_MARGIN = r"[\s>#|+*\"'\d:.,;()\\/-]{0,24}+"
_BESIDE = re.compile(rf"{_MARGIN}(?:[A-Z][A-Za-z-]{{2,24}}: [^\n]{{0,80}})?{_MARGIN}")
_TAIL = re.compile(rf"{_MARGIN}(?=[A-Za-z+/]{{0,15}}[\d+/=])([A-Za-z0-9+/=]{{1,15}}){_MARGIN}")
_MENTIONS = ("...", "…", "<your", "<YOUR", "your", "YOUR")
_SHARE = 0.5  # of what is no white space, at least, is data


def blocks(text: str) -> Iterator[Candidate]:
    """Every block with a body, in order, none within another."""
    if not any(hint in text for hint in _HINTS):
        return
    marks = list(_MARK.finditer(text))
    for number, mark in enumerate(marks):
        if mark["end"] or mark["mac"]:
            continue
        following = marks[number + 1] if number + 1 < len(marks) else None
        if following is not None and (following["end"] or following["mac"]):
            end = following.end()
        else:
            end = _last_data(text, mark.end(), following.start() if following else len(text))
        if _has_body(text[mark.end() : end]):
            yield Candidate(mark.start(), end, "private_key", 0.99, "")


def _last_data(text: str, start: int, limit: int) -> int:
    """The end of a block that is cut off: of the last line in a row with data."""
    position = last = start
    while position < limit:
        line_break = _LINE_BREAK.search(text, position, limit)
        line_end, following = line_break.span() if line_break else (limit, limit)
        data = [match.end() for match in _DATA.finditer(text, position, line_end)]
        tail = _TAIL.fullmatch(text, position, line_end) if last > start else None
        if data or tail:
            last = data[-1] if data else line_end
        elif not _BESIDE.fullmatch(text, position, line_end):
            break
        position = following
    return last


def _has_body(block: str) -> bool:
    """Whether there is enough data for a key: a few words and dots between the two lines are only a mention."""
    data = sum(map(len, _DATA.findall(block)))
    return (
        data >= MIN_BODY
        and data >= _SHARE * len("".join(block.split()))
        and not any(mark in block[:80] for mark in _MENTIONS)
    )
