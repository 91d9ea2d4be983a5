"""The parts of a form (RFC 7578), read strictly: what two servers could split in two ways is refused."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\\]{1,200})"|([^\s";,]{1,200}))\s*(?=;|$)', re.IGNORECASE)
_DISPOSITION = re.compile(rb'form-data((?:;\s*(?:name|filename|filename\*)=(?:"(?:[^"\\\r\n]|\\.)*"|[^\s";]+)\s*)*)')
_NAMED = re.compile(rb';\s*(name|filename\*?)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))')
_PLAIN = (b"", b"7bit", b"8bit", b"binary")
_USUAL = (b"content-disposition", b"content-type", b"content-transfer-encoding", b"content-length")
_TYPE = re.compile(r"|[\w.+-]+/[\w.+-]+(?:\s*;\s*(?:charset|boundary)=\S+)?")
_MOST_FIELDS = 1_000
_LONGEST_HEAD = 8 * 1024
_END = b"\r\n"


class FormError(ValueError):
    """The form can be split in more than one way, or in none."""


class Part(NamedTuple):
    """A field of a form: its name, its content's type in lower case, whether it is a file, and its content.

    `is_whole`: its end is here. `more`: what else its head says, such as the name of the file.
    """

    name: str
    type: str
    is_file: bool
    content: bytes
    is_whole: bool
    more: tuple[str, ...] = ()


def fields_of_query(body: bytes) -> Iterator[Part]:
    """The fields of a form that is written like a query. Raises FormError if they cannot be read or are too many."""
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except (UnicodeDecodeError, ValueError):
        raise FormError("its fields cannot be read") from None
    for name, text in fields:
        yield Part(name, "", False, text.encode("utf-8", "replace"), True)


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a form; None for any other body. Raises FormError for a form without one."""
    if not content_type.lower().lstrip().startswith("multipart/"):
        return None
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1 or content_type.lower().count("boundary") != 1:
        raise FormError("its content-type names no boundary, or several")
    quoted, bare = found[0]
    return b"--" + str(quoted or bare).encode("latin-1")


def parts_of(body: bytes, boundary: bytes, *, whole: bool) -> Iterator[Part]:
    """The fields in order; `whole` is False for the beginning of a form. `boundary` has its dashes. Raises
    FormError."""
    if not body.startswith(boundary):
        raise FormError("it does not begin with its boundary")
    if body.count(b"\n" + boundary) != body.count(_END + boundary):
        raise FormError("a line before a boundary ends with LF alone")
    at = len(boundary)
    while not body.startswith(b"--", at):
        start = _head_end(body, at, whole)
        if start is None:
            return
        end = body.find(_END + boundary, start + len(_END))
        if end < 0 and whole:
            raise FormError("the last part has no end")
        head = body[at + len(_END) : start]
        yield _part(head, body[start + 2 * len(_END) : end if end >= 0 else None], end >= 0)
        if end < 0:
            return
        at = end + len(_END) + len(boundary)
    if body[at + 2 :].strip():
        raise FormError("something follows its end")


def _head_end(body: bytes, at: int, whole: bool) -> int | None:
    """The end of the head of the part whose boundary ends at `at`; None if that is not here yet."""
    left = len(body) - at
    if not body.startswith(_END, at):
        if whole or left >= len(_END):
            raise FormError("something follows a boundary in its line")
        return None
    start = body.find(2 * _END, at, at + _LONGEST_HEAD)
    if start < 0 and (whole or left >= _LONGEST_HEAD):
        raise FormError("the head of a part has no end")
    return None if start < 0 else start


def _part(head: bytes, content: bytes, is_whole: bool) -> Part:
    fields: dict[bytes, bytes] = {}
    for line in head.split(_END):
        name, colon, value = line.partition(b":")
        if not colon or name != name.strip() or name.lower() in fields or b"\n" in line or b"\r" in line:
            raise FormError("the head of a part is not a list of fields")
        fields[name.lower()] = value.strip()
    if fields.get(b"content-transfer-encoding", b"").lower() not in _PLAIN:
        raise FormError("a part is in a transfer-encoding, which RFC 7578 ended")
    disposition = _DISPOSITION.fullmatch(fields.get(b"content-disposition", b""))
    named = _NAMED.findall(disposition[1]) if disposition else []
    given = [name for name, _, _ in named]
    if given.count(b"name") != 1 or len(set(given)) != len(given):
        raise FormError("a part has no name, or several")
    values = {name: quoted or bare for name, quoted, bare in named}
    kind = fields.get(b"content-type", b"").decode("latin-1").lower()
    more = [unquote(values[name].decode(errors="replace")) for name in given if name != b"name"]
    more += [value.decode(errors="replace") for name, value in fields.items() if name not in _USUAL]
    if not _TYPE.fullmatch(kind):
        more.append(kind)
    return Part(values[b"name"].decode(errors="replace"), kind, len(given) > 1, content, is_whole, tuple(more))
