"""Known misconceptions, each with its correction and its source, in our own words."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

FILE = "misconceptions.tsv"


class Misconception(NamedTuple):
    """What many people believe, what is the case, and the article or body that says so."""

    claim: str
    correction: str
    source: str


@cache
def known() -> tuple[Misconception, ...]:
    """Every row of the shipped list."""
    return tuple(_rows())


def _rows() -> Iterator[Misconception]:
    text = (files(__package__) / FILE).read_text("utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield Misconception(*line.split("\t"))
