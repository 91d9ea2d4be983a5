"""Tells whether the head of a request or an answer says something: path, query and headers should hold no text."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from gateway.openai_api.strays import forms

_TIMES_ESCAPED = 3
_WORDS, _LETTERS = 4, 8  # so many are a text; letters count in scripts without spaces
_REMEMBERED = 160  # most characters of a header with its name, or of a path with its query; 1,024 of each are kept
# Characters that are looked at: each costs a microsecond of the event loop, and no API needs so many.
_LONGEST = 8 * 1024
# Headers that are lists of words by their nature, so only the small words of a sentence count in them.
_LISTS = frozenset(
    b"accept accept-encoding accept-language access-control-allow-headers access-control-allow-methods "
    b"access-control-expose-headers allow cache-control cdn-cache-control clear-site-data connection "
    b"content-security-policy content-security-policy-report-only feature-policy permissions-policy pragma server "
    b"server-timing strict-transport-security surrogate-control te trailer upgrade user-agent vary via "
    b"x-robots-tag".split()
)
# Names and versions of programs, and what stands beside them in brackets: `Mozilla/5.0 (X11; Linux x86_64)`.
# A name is matched from its beginning only: matching from each character would be quadratic, and clients choose it.
_PROGRAM = re.compile(r"\([^()]*\)|(?<![\w!#$%&'*+.^`|~-])[\w!#$%&'*+.^`|~-]++/[\w.+:@-]*")
_OF_PROGRAMS = frozenset({b"user-agent", b"server"})


def target_says_something(path: str, query: bytes) -> bool:
    """Whether a part of a path or a key or value of a query is a text, or several of them make one word by word.

    `path` is percent-encoded, as it came. What is too long to be looked at counts as a text.
    """
    size = len(path) + len(query)
    if size > _LONGEST:
        return True
    return _target_and_short(path, query) if size <= _REMEMBERED else _target(path, query)


def _target(path: str, query: bytes) -> bool:
    parts = [_unescaped(part) for part in path.split("/")]
    if query:
        parts += map(_unescaped, query.decode("latin-1").replace("+", " ").replace("=", "&").split("&"))
    words = [_words_of(part) for part in parts]
    if forms.are_a_sentence([word for every, _ in words for word in every], [word for _, few in words for word in few]):
        return True
    return any(is_text(part) for part in parts)


_target_and_short = lru_cache(1024)(_target)  # most targets are the API's own


def _unescaped(text: str) -> str:
    """The text with its escapes undone, several times, because some servers do that."""
    for _ in range(_TIMES_ESCAPED):
        if "%" not in text:
            break
        text = unquote(text, errors="replace")
    return text


def headers_with_text(headers: Iterable[tuple[bytes, bytes]], *, answered: bool = False) -> frozenset[bytes]:
    """The names of the headers that say something, each by itself or several of them word by word.

    `answered`: they are an answer's, so a secret counts too; in a request, the operator may let a key go upstream."""
    found, among = set[bytes](), set[bytes]()
    every, small = set[str](), set[str]()
    for name, value in headers:
        is_short = len(name) + len(value) <= _REMEMBERED  # a client may choose both
        seen = _seen_and_short(name, value) if is_short else _seen(name, value)
        if seen.is_text or (answered and seen.is_secret):
            found.add(name)
        elif seen.small or (len(seen.words) == 1 and forms.is_word(value.decode("latin-1"))):
            among.add(name)
        every.update(seen.words)
        small.update(seen.small)
    return frozenset(found | among) if forms.are_a_sentence(every, small) else frozenset(found)


class _Seen(NamedTuple):
    """Whether a value is a text. If not: its words, which may belong to a text in several headers, and the small ones.

    `is_secret`: the value or the name holds a well-known kind of secret."""

    is_text: bool
    words: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    is_secret: bool = False


def _seen(name: bytes, value: bytes) -> _Seen:
    said = _said(name, value)
    if said.is_text:
        return said
    # Names come in lower case, and some secrets are written in capitals.
    is_secret = any(map(forms.may_be_secret, (_unescaped(value.decode("latin-1")), name.decode("latin-1").upper())))
    return said._replace(is_secret=is_secret)


def _said(name: bytes, value: bytes) -> _Seen:
    if len(value) > _LONGEST or forms.is_joined_sentence(name.decode("latin-1")):
        return _Seen(True)
    text = _unescaped(value.decode(errors="replace"))
    if name not in _LISTS:
        return _Seen(True) if is_text(text) else _Seen(False, *_words_of(text))
    rest = _PROGRAM.sub(" ", text) if name in _OF_PROGRAMS else ""
    return _Seen(forms.are_a_sentence(*_words_of(text)) or is_text(rest) or _is_unspaced(text))


_seen_and_short = lru_cache(1024)(_seen)  # most headers are the same in every request


def is_text(text: str) -> bool:
    """Whether this is a text: four words, enough letters of a script without spaces, or words in base64."""
    words = sum(map(forms.is_word, text.split()))
    return words >= _WORDS or _is_unspaced(text) or any(map(_says_in_one, text.split()))


def _says_in_one(part: str) -> bool:
    return forms.encodes_text(part) or forms.is_joined_sentence(part)


def _is_unspaced(text: str) -> bool:
    """Whether there are enough letters for a text in a script that may have no spaces."""
    return not text.isascii() and sum(letter.isalpha() and not letter.isascii() for letter in text) >= _LETTERS


def _words_of(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words, which may be names, and the small ones among them."""
    parts = [forms.words_in(part) for part in text.split()]
    small = (word for words in parts for word in words if forms.is_function_word(word, in_name=len(words) > 1))
    return tuple(word for words in parts for word in words), tuple(small)
