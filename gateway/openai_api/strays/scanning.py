"""Looks for text in an answer that should have none, such as a list of embeddings. It is scanned as it comes, and no
JSON values are built, so it may be large."""

import json
import re

from gateway.openai_api.strays import forms
from gateway.openai_api.strays.heads import is_text
from gateway.openai_api.strays.vocabulary import FIELDS, VALUES

_IN_A_STRING = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
_BARE = re.compile(rb"[A-Za-z\x80-\xff]{2,}")
_BARE_JSON = frozenset((b"true", b"false", b"null", b"NaN", b"Infinity"))
_LETTERS = bytes(byte for byte in range(256) if _BARE.match(bytes((byte, byte))))
_NUMBERS = re.compile(r"[\w+/=-]{64,}", re.ASCII)  # an embedding in base64
_KNOWN = FIELDS.union(*VALUES.values())
_LONGEST = 1024 * 1024  # bytes of one string; embeddings in base64 have some 5 for each dimension
_MOST_SEEN, _LONGEST_SEEN = 20_000, 256  # most strings that are remembered, and their most characters


class Scan:
    """Scans one answer in JSON. `says_something` becomes True when its strings make a text, one by one or together, or
    when what comes is not JSON."""

    def __init__(self) -> None:
        self.says_something = False
        self._rest = b""
        self._opened: bytearray | None = None  # a string whose end has not come
        self._looked_at = 0
        self._seen: set[str] = set()
        self._words = 0
        self._names: set[str] = set()
        self._small: set[str] = set()

    def feed(self, data: bytes) -> None:
        """Scan what comes next; an unfinished string waits."""
        data = self._rest + data if self._opened is None else self._closed(data)
        self._rest, end = b"", 0
        while (begins := data.find(b'"', end)) >= 0:
            self._bare(data[end:begins])
            inside = _IN_A_STRING.match(data, begins + 1)
            end = inside.end() + 1 if inside else len(data)
            if data[end - 1 : end] != b'"':
                self._opened, self._looked_at = bytearray(data[begins + 1 :]), 0
                self._closed(b"")
                return
            self._string(data[begins + 1 : end - 1])
        bare = data[end:]
        whole = bare.rstrip(_LETTERS)
        self._rest = bare[len(whole) :]
        self._bare(whole)

    def _closed(self, data: bytes) -> bytes:
        """Add to the open string; returns what follows it, if it ends here. Nothing is scanned twice."""
        assert self._opened is not None
        self._opened += data
        found = _IN_A_STRING.match(self._opened, self._looked_at)
        self._looked_at = found.end() if found else 0
        if self._opened[self._looked_at : self._looked_at + 1] != b'"':
            self.says_something = self.says_something or len(self._opened) > _LONGEST
            return b""
        self._string(bytes(self._opened[: self._looked_at]))
        rest, self._opened = bytes(self._opened[self._looked_at + 1 :]), None
        return rest

    def close(self) -> None:
        """No more comes."""
        self._bare(self._rest)
        if self._opened is not None:
            self._string(bytes(self._opened))

    def _bare(self, between: bytes) -> None:
        if any(word not in _BARE_JSON for word in _BARE.findall(between)):
            self.says_something = True

    def _string(self, written: bytes) -> None:
        text = _meant(written)
        if text in _KNOWN or text in self._seen:
            return
        if len(self._seen) < _MOST_SEEN and len(text) < _LONGEST_SEEN:
            self._seen.add(text)
        if _NUMBERS.fullmatch(text):
            self.says_something = self.says_something or forms.encodes_text(text)
            return
        words = forms.words_in(text)
        self._words += forms.is_plain(text)
        if len(self._names) < _MOST_SEEN:
            self._names.update(words)
            in_name = len(words) > 1 and not forms.has_space(text)
            self._small.update(word for word in words if forms.is_function_word(word, in_name=in_name))
        gathered = self._words >= forms.LEAST_WORDS or forms.are_a_sentence(self._names, self._small)
        self.says_something = self.says_something or gathered or is_text(text) or forms.may_be_secret(text)


def _meant(written: bytes) -> str:
    if b"\\" not in written:
        return written.decode(errors="replace")
    try:
        text: str = json.loads(b'"%b"' % written)
    except ValueError:
        text = written.decode(errors="replace")
    return text
