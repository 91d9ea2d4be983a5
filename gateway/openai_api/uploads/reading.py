"""Reads the texts of an upload: the fields of a form, and the lines of the files in it if they are text."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gateway.openai_api.bodies.document import has_repeated_keys, has_too_many_values, parse
from gateway.openai_api.passages import (
    EVERYTHING,
    NAME,
    PDF,
    SAID,
    Found,
    Passage,
    Reason,
    Schema,
    Turn,
    Unread,
    aside,
    carries_text,
    find,
    passages_of,
    quiet,
)
from gateway.openai_api.reading import strays_of_request
from gateway.openai_api.surface import Operation
from gateway.openai_api.surfaces import SURFACES, operation_of
from gateway.openai_api.uploads.forms import FormError, Part, boundary_of, fields_of_query, parts_of

_BLOCK_CHARACTERS = 4_000  # of plain text that are judged together
_SHORT = 16  # characters; a longer field says something
_LONGEST_CHARACTER = 3  # most bytes that a cut may leave of a character
_WITHIN = bytes(range(0x80, 0xC0))  # bytes within a character of UTF-8, with which none begins
_LONGEST_END = 64 * 1024  # most bytes that are kept of a line at the end of a piece
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)")
_QUERY = "application/x-www-form-urlencoded"
_BOM = b"\xef\xbb\xbf"
_BATCH_LINE = Schema(custom_id=NAME) | quiet("method url") | aside("body")
_BLIND: tuple[tuple[str, Reason], ...] = (("image/", "image"), ("video/", "image"), ("audio/", "audio"))


class Line(NamedTuple):
    """What one line of a file says, or a block of lines of plain text. `number` is that of its first line, from 1; 0
    for a field of the form."""

    number: int
    passages: list[Passage]
    unread: list[Unread]


class Ends(NamedTuple):
    """The first and the last line of a piece of a file; `last` is None if the piece is only one line."""

    first: bytes
    last: bytes | None


class Upload(NamedTuple):
    """The texts of an upload by line, and what could not be read in it. `ends` are those of each file in it."""

    lines: list[Line]
    unread: list[Unread]
    ends: list[Ends]


def read_upload(body: bytes, content_type: str, *, whole: bool, is_piece: bool) -> Upload:
    """The texts of an upload, and what in it is not text.

    `whole` False: this is only its beginning, and the rest is reported as `too_long`. `is_piece`: it is a piece of a
    file that was cut anywhere, so the lines at its ends may go on in other pieces and are read when all are joined (see
    `seams`); a line at an end that is too long to be kept is reported as `file`.
    """
    upload = Upload([], [] if whole else [Unread("user", "too_long")], [])
    try:
        boundary = boundary_of(content_type)
        parts: Iterable[Part] = [Part("", content_type.lower(), True, body, whole)]
        if boundary is not None:
            parts = parts_of(body, boundary, whole=whole)
        elif content_type.lower().startswith(_QUERY):
            parts = fields_of_query(body)
        said = [_read_part(upload, part, is_piece) for part in parts]
        if strays := list(strays_of_request(said, [])):
            upload.lines.append(Line(0, strays, []))
    except FormError:
        upload.unread.append(Unread("user", "ambiguous"))
    return upload


def _read_part(upload: Upload, part: Part, is_piece: bool) -> dict[str, Any]:
    """Read a part; returns what is too short to be judged alone: its name, what its head says, and a short field."""
    text = _text_of(part, is_piece)
    said: dict[str, Any] = {part.name: "", "filename": list(part.more)}
    if text is None:
        reason: Reason = next((reason for kind, reason in _BLIND if part.type.startswith(kind)), "file")
        upload.unread.append(Unread("user", "encoding" if _is_in_other_letters(part) else reason))
    elif not part.is_file:
        if len(text) > _SHORT or carries_text(text):
            upload.lines.append(_plain(0, text))
        else:
            said[part.name] = text
    else:
        lines = list(_lines(text))
        upload.lines.extend(lines)
        if is_piece:
            _note_ends(upload, part.content)
    return said


def _note_ends(upload: Upload, content: bytes) -> None:
    first, ended, more = content.partition(b"\n")
    ends = Ends(first, more.rpartition(b"\n")[2] if ended else None)
    upload.ends.append(ends)
    if len(upload.ends) > 1 or max(len(first), len(ends.last or b"")) > _LONGEST_END:
        upload.unread.append(Unread("user", "file"))


def seams(pieces: Iterable[Ends]) -> Iterator[bytes]:
    """The lines of a file that were cut at the ends of its pieces, joined."""
    line = b""
    for piece in pieces:
        line += piece.first
        if piece.last is not None:
            yield line
            line = piece.last
    yield line


def read_seams(pieces: Iterable[Ends]) -> Upload:
    """The texts of those lines."""
    upload = Upload([], [], [])
    for line in seams(pieces):
        text = _text_of(Part("", "", True, line, True), is_piece=False)
        if text is None:
            upload.unread.append(Unread("user", "file"))
        else:
            upload.lines.extend(_lines(text))
    return upload


def _is_in_other_letters(part: Part) -> bool:
    """Whether its head names a character encoding other than UTF-8."""
    charset = _CHARSET.search(part.type)
    return charset is not None and charset[1] not in ("utf-8", "utf8", "us-ascii", "ascii")


def _text_of(part: Part, is_piece: bool) -> str | None:
    """The content as text; None if it is not text. A piece may begin and end within a character."""
    content = part.content.removeprefix(_BOM)
    if content.startswith(PDF) or _is_in_other_letters(part):
        return None
    if is_piece:
        begun = content[:_LONGEST_CHARACTER]
        content = content[len(begun) - len(begun.lstrip(_WITHIN)) :]
    for cut in range(1 if part.is_whole and not is_piece else _LONGEST_CHARACTER + 1):
        try:
            text = content[: len(content) - cut].decode()
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None


def _lines(text: str) -> Iterator[Line]:
    """Each line of JSON by itself, other lines in blocks; a text that is one JSON document is one line."""
    if text.lstrip().startswith(("{", "[")) and "\n" in text.strip():
        whole = _json_line(1, text)
        if whole is not None:
            yield whole
            return
    block: list[str] = []
    begin = size = 0
    for number, line in enumerate(text.split("\n"), 1):
        found = _json_line(number, line) if line.lstrip().startswith(("{", "[")) else None
        if block and (found is not None or size + len(line) > _BLOCK_CHARACTERS):
            yield _plain(begin, "\n".join(block))
            block, size = [], 0
        if found is not None:
            yield found
        elif line.strip():
            begin = begin if block else number
            block.append(line)
            size += len(line)
    if block:
        yield _plain(begin, "\n".join(block))


def _parsed(text: str) -> Any:
    try:
        return parse(text.encode())
    except (ValueError, RecursionError):
        return None


def _json_line(number: int, line: str) -> Line | None:
    """What a line of JSON says; None if it is not JSON."""
    written = line.encode()
    if has_too_many_values(written):
        return Line(number, [], [Unread("user", "too_long")])
    value = _parsed(line)
    if not isinstance(value, dict | list):
        return None
    reading = Line(number, [], [Unread("user", "ambiguous")] if has_repeated_keys(written) else [])
    turns = _turns(value)
    if isinstance(value, dict) and _is_request(value):
        pieces = [piece for turn in turns for piece in turn.found.pieces]
        reading.passages.extend(strays_of_request(value["body"], pieces))
    for turn in turns:
        reading.passages.extend(passages_of(turn.found.pieces, "prompt"))
        reading.unread.extend(turn.found.unread)
    return reading


def _turns(value: Any) -> list[Turn]:
    """A request of a batch is read like a request of its operation. Of any other line, such as a training example, all
    texts are read as what the user says."""
    if not isinstance(value, dict) or not _is_request(value):
        return [Turn(find(value, EVERYTHING, (), "user"), False)]
    request, url = value["body"], value["url"]
    about = Turn(find(value, _BATCH_LINE, (), "user"), False)
    surface = SURFACES[operation_of("POST", url.partition("?")[0])]
    if surface.operation is Operation.MODERATIONS or surface.turns is None:
        return [about]  # it asks for a judgement
    return [about, *surface.turns(request)]


def _is_request(line: dict[str, Any]) -> bool:
    """Whether a line is a request of a batch."""
    return isinstance(line.get("body"), dict) and isinstance(line.get("url"), str)


def _plain(number: int, text: str) -> Line:
    found: Found = find(text, SAID, (), "user")
    return Line(number, passages_of(found.pieces, "prompt"), found.unread)
