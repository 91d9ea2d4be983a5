"""Texts that are encoded inside another: base64, hexadecimal, percent and backslash escapes, entities, ROT13.

Every decoder is bounded, and gives nothing for what does not read as text: images, hashes, tokens, keys.
"""

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from detectors.hiding.tricks import Trick

MAX_RUNS = 64  # encoded runs decoded in one text
MAX_DECODED = 100_000  # code points of one decoded text
MIN_DECODED = 6  # code points that are worth a view

_BASE64 = re.compile(r"(?<![\w+/-])[A-Za-z0-9+/_-]{16,}={0,2}(?:\r?\n[A-Za-z0-9+/_-]{16,}={0,2})*(?![\w+/])")
_HEX = re.compile(r"(?<![\w-])(?:0x)?(?:[0-9a-fA-F]{2}){8,}(?![\w-])")
_HEX_PAIR = re.compile(r"[2-7][0-9a-fA-F][ :,][2-7]")
_HEX_PAIRS = re.compile(r"(?<!\w)[2-7][0-9a-fA-F](?:[ :,][0-9a-fA-F]{2}){6,}(?!\w)")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}(?:[^\s%]{0,40}%[0-9A-Fa-f]{2}){2,}[^\s%]{0,200}")
_ESCAPED = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}){4,}|(?:&#(?:\d{2,6}|[xX][0-9a-fA-F]{2,5});){4,}")
_ROT13_HINTS = ("gur ", "lbh")
_ROT13_WORDS = frozenset(
    {"gur", "naq", "lbh", "gb", "bs", "vf", "va", "gung", "sbe", "vg", "nyy", "lbhe", "jvgu", "ubj", "abg", "zr", "ner",
     "guvf", "cyrnfr", "vtaber", "flfgrz", "cebzcg", "cerivbhf"}
)  # fmt: skip
_LONG_WORD = 16


def table(classes: dict[str, str]) -> bytes:
    """A table for `bytes.translate`: each character of a key becomes its value, any other character a full stop."""
    table = bytearray(b"." * 256)
    for characters, kind in classes.items():
        for character in characters.encode():
            table[character] = ord(kind)
    return bytes(table)


_IN_WORDS = table({"".join(map(chr, range(33, 127))): "x"})
_IN_PAIRS = table({"234567": "2", "0189abcdefABCDEF": "f", " :,": " "})
_SIGNS_OF_CODE = (b"%", b"\\", b"&#", b"gur ", b"lbh")


def may_hold_any(raw: bytes) -> bool:
    """Whether an ASCII text may have encoded runs: a quick look that rules out almost all texts without any.

    Searches in `bytes` are ten times as fast as regular expressions.
    """
    if any(sign in raw for sign in _SIGNS_OF_CODE) or b"x" * _LONG_WORD in raw.translate(_IN_WORDS):
        return True
    pairs = raw.translate(_IN_PAIRS)
    return b"22 2" in pairs or b"2f 2" in pairs


def encoded(text: str) -> Iterator[tuple[Trick, str, int, int]]:
    """The texts encoded in this one, at most MAX_RUNS, each with the half-open range it was read from."""
    runs = 0
    for trick, pattern, decode in _decoders(text):
        for match in pattern.finditer(text):
            found = decode(match.group())
            if found:
                runs += 1
                yield (trick, found, *match.span())
            if runs >= MAX_RUNS:
                return
    if any(hint in text for hint in _ROT13_HINTS):
        words = set(text[:MAX_DECODED].lower().split())
        if len(words & _ROT13_WORDS) >= 3:
            yield Trick.ROT13, codecs.encode(text[:MAX_DECODED], "rot13"), 0, min(len(text), MAX_DECODED)


def _decoders(text: str) -> Iterator[tuple[Trick, re.Pattern[str], Callable[[str], str]]]:
    """The decoders that this text may need."""
    if max(map(len, text.split()), default=0) >= _LONG_WORD:
        yield Trick.BASE64, _BASE64, _from_base64
        yield Trick.HEX, _HEX, _from_hex
    if _HEX_PAIR.search(text):
        yield Trick.HEX, _HEX_PAIRS, _from_hex
    if "%" in text:
        yield Trick.PERCENT, _PERCENT, _from_percent
    if "\\x" in text or "\\u" in text or "&#" in text:
        yield Trick.ESCAPES, _ESCAPED, _from_escapes


def _from_base64(run: str) -> str:
    """Decode the standard or URL alphabet, padded or not; parts of a JSON web token and binary data give nothing."""
    compact = run.translate(_URL_ALPHABET).rstrip("=")[: 2 * MAX_DECODED]
    if compact.startswith("eyJ") or (compact.isalpha() and (compact.islower() or compact.isupper())):
        return ""
    compact = compact[: len(compact) - (len(compact) % 4 == 1)]
    try:
        return as_text(base64.b64decode(compact + "=" * (-len(compact) % 4)))
    except binascii.Error:
        return ""


_URL_ALPHABET = str.maketrans({"-": "+", "_": "/", "\r": None, "\n": None})


def _from_hex(run: str) -> str:
    digits = re.sub(r"0x|[ :,]", "", run[: 4 * MAX_DECODED])
    return as_text(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _from_percent(run: str) -> str:
    return as_text(unquote(run, errors="ignore").encode("utf-8", "replace"))


def _from_escapes(run: str) -> str:
    if run.startswith("&#"):
        return as_text(html.unescape(run).encode("utf-8", "replace"))
    codes = re.findall(r"\\[xu]([0-9a-fA-F]+)", run)
    if run.startswith("\\u"):
        return as_text("".join(chr(int(code, 16)) for code in codes).encode("utf-8", "replace"))
    return as_text(bytes(int(code[:2], 16) for code in codes))


def as_text(content: bytes) -> str:
    """The bytes as UTF-8, if that reads as text (mostly letters and spaces); else nothing."""
    try:
        found = content.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    if len(found) < MIN_DECODED or not all(character.isprintable() or character in "\n\r\t" for character in found):
        return ""
    readable = sum(character.isalpha() or character.isspace() for character in found)
    return found if 10 * readable >= 7 * len(found) else ""
