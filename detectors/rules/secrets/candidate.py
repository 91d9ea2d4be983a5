"""The result of a reader of secrets: a place, what it seems to be, and the value that decides whether it is."""

from typing import NamedTuple

A_PIECE = 64  # places that are tried between two pauses


class Candidate(NamedTuple):
    """The code points [start, end) of a text; `value` is what is compared with specimens."""

    start: int
    end: int
    label: str
    confidence: float
    value: str
