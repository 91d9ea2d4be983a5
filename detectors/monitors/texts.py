"""Repeats of one text, which are not independent observations.

A health check, a template or a retry asks the same again, and gets the same special answer again: ten prompts that come
sixty times each tell only about ten prompts. So all exchanges with one prompt share the weight of one: their sums are
divided by their number (the mean of a cluster is its one observation; Kish 1965, chapter 5). Texts are known by a hash,
and sums are kept for each text, so this holds over hours and processes too, as far as texts are remembered.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

Key = tuple[str, ...]
Rows = dict[Key, list[float]]  # sums; the first is the number of exchanges
_AnyKey = TypeVar("_AnyKey")
_SUMS = 6


class Text(msgspec.Struct, array_like=True):
    """The sums of the exchanges with one prompt, how often a process has seen it (`times`), and how many sketches
    contain it. Keys are those of a sketch's `means` and `calibration`."""

    times: int = 0
    sketches: int = 0
    means: Rows = {}
    calibration: Rows = {}

    def add(self, more: "Text") -> None:
        self.times += more.times
        self.sketches += more.sketches
        for own, theirs in ((self.means, more.means), (self.calibration, more.calibration)):
            for key, row in theirs.items():
                add_row(own, key, row)

    def pour(self, means: Rows, calibration: Rows) -> None:
        """Add it as one exchange, divided over routes and models by how often it came to each."""
        _pour(self.means, means, lambda key: key[:-2])
        _pour(self.calibration, calibration, lambda key: key[2:3])  # what said what was right


def _pour(rows: Rows, into: Rows, of: Callable[[Key], Key]) -> None:
    times: dict[Key, float] = {}
    for key, row in rows.items():
        times[of(key)] = times.get(of(key), 0.0) + row[0]
    for key, row in rows.items():
        add_row(into, key, [value / times[of(key)] for value in row])


def text_of(prompt: str, passages: str) -> int:
    """A number that names what was asked, whatever its case and spaces; 0 if nothing was asked."""
    said = " ".join(f"{prompt} {passages}".lower().split())
    if not said:
        return 0
    return int.from_bytes(hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=7).digest())


def heaviest(texts: Mapping[int, Text], most: int) -> dict[int, Text]:
    """The texts that came most often; of equals, those with the smallest names, so that all processes keep the same."""
    kept = sorted(texts.items(), key=lambda item: (-item[1].times, item[0]))[:most]
    return dict(kept)


def add_row(into: dict[_AnyKey, list[float]], key: _AnyKey, row: list[float]) -> None:
    known = into.get(key)
    if known is None:
        into[key] = row[:]
    elif len(row) == _SUMS:
        _add_up(known, row)
    else:
        for at, value in enumerate(row):
            known[at] += value


def _add_up(known: list[float], row: list[float]) -> None:
    """Add the sums of a mean. This is done dozens of times for each sample, and is faster without a loop."""
    known[0] += row[0]
    known[1] += row[1]
    known[2] += row[2]
    known[3] += row[3]
    known[4] += row[4]
    known[5] += row[5]
