"""Tells by its form what a value is: a text, a name, an identifier, tokens, or a file."""

import binascii
import re
from base64 import b64decode
from typing import Any

from gateway.openai_api.bodies.document import Path

PDF = b"%PDF-"  # the beginning of a file that may be all ASCII although its text is not plain
LONG = 16  # characters; a longer name may say something
_TOKENS = 8  # so many whole numbers in a list may be the tokens of a text
# How a picture, a sound, a PDF, an archive or a film begins in base64, and any file as a URL.
FILE_BEGINS = re.compile(r"data:\w+/|iVBORw0KGgo|/9j/|R0lGOD|UklGR|JVBERi0|UEsDB|SUQz|T2dnUw|AAAA[A-Za-z0-9+/]GZ0eXA")
_VISIBLE_RUN = re.compile(r"[!-~]*")
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")
_NAMES_ONE = re.compile(r"(?:\w*_)?(?:ids?|signatures?|fingerprint)|object|sha256|digest|etag")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_]{0,23}[-_.][A-Za-z0-9_-]{4,128}|[0-9a-f-]{32,128}")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
_OF_TOKENS = re.compile(r"(?:\w+_)?(?:tokens?|token_ids?|input_ids|output_ids)")
_OF_SETTINGS = re.compile(r"stop|bad|allowed|banned|suppress|eos|bos|pad")  # lists of tokens that are not a text
_MOMENT = re.compile(r"[\dTZ:.,+-]+")  # a date, a time, a number


def carries_text(value: Any, *, or_files: bool = False) -> bool:
    """Whether a string below says something: more than one run of visible ASCII characters, which is a name or a key.

    With `or_files`, a string that is clearly a file in base64 counts too.
    """
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            if (or_files and FILE_BEGINS.match(value)) or (
                not _VISIBLE_RUN.fullmatch(value.strip()) and _LETTER.search(value)
            ):
                return True
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
    return False


def says_little(name: str) -> bool:
    """Whether a name is short and nothing but a name."""
    return len(name) <= LONG and not carries_text(name)


def names_something(path: Path, text: str) -> bool:
    """Whether this is clearly an identifier, a signature or a time, which detectors may take for anything."""
    key = next((key for key in reversed(path) if isinstance(key, str)), "")
    if _NAMES_ONE.fullmatch(key) and (_IDENTIFIER.fullmatch(text) or _SIGNATURE.fullmatch(text)):
        return True
    return bool(_MOMENT.fullmatch(text))


def holds_tokens(key: str, value: list[Any] | dict[str, Any]) -> bool:
    """Whether it contains a list of whole numbers that may be the tokens of a text: by its field's name or its
    length."""
    todo: list[tuple[str, Any]] = [(key, value)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict):
            todo += value.items()
        elif isinstance(value, list) and value:
            if all(type(entry) is int for entry in value):
                if not _OF_SETTINGS.match(key) and (len(value) >= _TOKENS or _OF_TOKENS.fullmatch(key)):
                    return True
            else:
                todo += [(key, entry) for entry in value]
    return False


def says_something(key: str) -> bool:
    """Whether a key is more than the name of a field: a sentence, or long with digits, as secrets are."""
    return carries_text(key) or (len(key) > LONG and _DIGIT.search(key) is not None)


def file_text(data: str) -> str | None:
    """The text of a file in base64; None if the file is not text."""
    head, marked, encoded = data.partition(";base64,") if data.startswith("data:") else ("", "base64", data)
    if not marked or "," in head:
        return None
    try:
        content = b64decode(encoded, validate=True)
        text = content.decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return None if "\0" in text or content.startswith(PDF) else text
