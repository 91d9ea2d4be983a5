"""The names of the ways to hide text that we undo."""

from enum import StrEnum


class Trick(StrEnum):
    """What was undone; a closed set."""

    INVISIBLE = "invisible"
    BIDI = "bidi"
    TAGS = "tags"
    HOMOGLYPHS = "homoglyphs"
    STYLED = "styled"
    MARKS = "marks"
    SPACED = "spaced"
    LEETSPEAK = "leetspeak"
    BASE64 = "base64"
    HEX = "hex"
    PERCENT = "percent"
    ESCAPES = "escapes"
    ROT13 = "rot13"
