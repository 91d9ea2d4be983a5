"""What the ledger adds up, so that a rate over a window is read from sums and not from samples.

For each sub-category, direction and detector@version there are rows of six sums, one row for each band of the
detector's score: how many samples, and of their weights Σw, Σw², Σwy, Σw²y and Σw²y². In the detector's own rows y says
whether it flagged; in those of second opinions y is the label and w counts phase two as well. These are divided further
by what the judge had said, so that people's labels can correct it. Sums are kept for all traffic and for each value of
each pivot ("one sample, many pivots", arXiv 2602.18518). They can be added and taken away, so that an opinion that
comes late, twice or corrected counts once.
"""

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import add
from typing import NamedTuple, Protocol

import msgspec

from gateway.trust.second_opinion import KINDS, Kind, SecondOpinion

# Calibrated scores, by about equal steps of log-odds to both sides of one half; bands by rank would move with the
# traffic.
EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.7, 0.9, 0.97, 0.99)
BANDS = len(EDGES) + 1
# What the judge said: it was not asked, it did not answer, no, yes.
SAID = 4
UNASKED, SILENT, NO, YES = range(SAID)

Cell = tuple[str, ...]  # a pivot and its values: ("all",), ("route", "chat"), ("route_model", "chat", "large"), …
PIVOTS = ("all", "route", "model", "route_model", "language", "caller")
ALL: Cell = ("all",)


class Row(NamedTuple):
    """Six sums; their mean is the share of y = 1."""

    n: float
    w: float
    ww: float
    wy: float
    wwy: float
    wwyy: float

    @property
    def mean(self) -> float:
        return min(1.0, max(0.0, self.wy / self.w)) if self.w > 0 else 0.0

    @property
    def kish(self) -> float:
        return self.w * self.w / self.ww if self.ww > 0 else 0.0

    @property
    def effective(self) -> float:
        """As many equally weighted samples would tell as much: Kish's size, or what follows from the linearised
        variance of a ratio (Särndal and others, section 5.7) where that is less."""
        mean = self.mean
        spread = self.wwyy - 2 * mean * self.wwy + mean * mean * self.ww
        if 0 < mean < 1 and spread > 0:
            return min(self.kish, mean * (1 - mean) * self.w * self.w / spread)
        return self.kish

    def __add__(self, more: object) -> "Row":
        assert isinstance(more, Row)
        return Row(*(a + b for a, b in zip(self, more, strict=True)))


NOTHING = Row(0, 0, 0, 0, 0, 0)
# (sub-category, direction, detector@version, source, band and said) → the six sums of a Row. The source is `detector`,
# `judge` or `person`.
Key = tuple[str, str, str, str, int]
Sums = dict[Key, list[float]]


class JudgedScore(Protocol):
    """A score of one sub-category and direction, as `ledger.Score` has it."""

    @property
    def direction(self) -> str: ...
    @property
    def slug(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def flagged(self) -> bool: ...
    @property
    def detector(self) -> str: ...


class Weighed(Protocol):
    """What a judged sample needs to be added up, as `ledger.Entry` has it."""

    @property
    def probability(self) -> float: ...
    @property
    def route(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def caller(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def scores(self) -> Sequence[JudgedScore]: ...


def parts_of(entry: Weighed) -> tuple[Cell, ...]:
    """The narrowest cells that a sample belongs in, one for each way to look at it."""
    return ("route_model", entry.route, entry.model), ("language", entry.language), ("caller", entry.caller)


def wider_than(cell: Cell) -> tuple[Cell, ...]:
    """The route and the model of a pair of both."""
    return (("route", cell[1]), ("model", cell[2])) if cell[0] == "route_model" else ()


def cell_named(**values: str | None) -> Cell:
    """The cell of one pivot, or of a route and a model together; all traffic when every value is None.

    Raises ValueError for other combinations: no sums are kept of them.
    """
    given = {name: value for name, value in values.items() if value is not None}
    pivot = "route_model" if given.keys() == {"route", "model"} else "".join(given) or "all"
    if pivot not in PIVOTS:
        raise ValueError(f"rates are kept by one of route, model, language, caller, or by route and model: not by "
                         f"{' and '.join(given)}")  # fmt: skip
    return (pivot, *(given[name] for name in ("route", "model", "language", "caller") if name in given))


def add_judged(sums: Sums, entry: Weighed) -> None:
    """Add what the detectors said of a sample."""
    weight = 1 / entry.probability
    square = weight * weight
    for score in entry.scores:
        key = (score.slug, score.direction, score.detector, "detector", bisect_right(EDGES, score.score) * SAID)
        row = sums.get(key)
        if row is None:
            row = sums[key] = [0.0] * 6
        row[0] += 1
        row[1] += weight
        row[2] += square
        if score.flagged:
            row[3] += weight
            row[4] += square
            row[5] += square


def opined(entry: Weighed, opinions: Sequence[SecondOpinion]) -> Sums:
    """What all opinions on a sample add up to: the judge's latest, and the mean of what people say."""
    sums: Sums = {}
    scores = {(score.slug, score.direction): score for score in entry.scores}
    asked, judge, people = _of(opinions, "judge"), labels_by("judge", opinions), labels_by("person", opinions)
    for kind, labels in zip(KINDS, (judge, people), strict=True):
        given = _of(opinions, kind)
        if not given:
            continue
        weight = 1 / (entry.probability * given[0].probability)
        silent = kind == "judge" and not labels
        for key in scores if silent else labels:
            score = scores.get(key)
            said = SILENT if silent else _said(judge.get(key), bool(asked) and not judge)
            band = bisect_right(EDGES, score.score) if score else 0
            y = 0.0 if silent else labels[key]
            sums[*key, score.detector if score else "", kind, band * SAID + said] = [
                1.0, weight, weight**2, weight * y, weight**2 * y, (weight * y) ** 2
            ]  # fmt: skip
    return sums


def labels_by(kind: Kind, opinions: Sequence[SecondOpinion]) -> dict[tuple[str, str], float]:
    """What the opinions of a kind on a sample say by (sub-category, direction): the judge's latest, or the mean of what
    people say."""
    given = _of(opinions, kind)
    return _labels([max(given, key=lambda o: (o.at, o.name))] if given and kind == "judge" else given)


def _of(opinions: Sequence[SecondOpinion], kind: str) -> list[SecondOpinion]:
    return [opinion for opinion in opinions if opinion.kind == kind]


def _labels(opinions: Iterable[SecondOpinion]) -> dict[tuple[str, str], float]:
    """The mean label by (sub-category, direction)."""
    values: dict[tuple[str, str], list[float]] = {}
    for opinion in opinions:
        for label in opinion.labels:
            values.setdefault((label.slug, label.direction), []).append(label.value)
    return {key: sum(found) / len(found) for key, found in values.items()}


def _said(label: float | None, silent: bool) -> int:
    if label is None:
        return SILENT if silent else UNASKED
    return YES if label >= 0.5 else NO


def merge(into: Sums, more: Mapping[Key, Sequence[float]], sign: int = 1) -> None:
    """Add sums to others, or with -1 take them away."""
    for key, row in more.items():
        known = into.get(key)
        if known is None:
            into[key] = list(row) if sign == 1 else [-value for value in row]
        elif sign == 1:
            _add(known, row)
        else:
            _add(known, [-value for value in row])


def _add(known: list[float], row: Sequence[float]) -> None:
    """Written out: it runs for every sum of every batch."""
    n, w, ww, wy, wwy, wwyy = row
    known[0] += n
    known[1] += w
    known[2] += ww
    known[3] += wy
    known[4] += wwy
    known[5] += wwyy


# --- as they are stored

_ROW = 6  # numbers
_DETECTOR = "detector"  # the source whose rows, one for each band, stand together from index 0; all others stand alone
_HEAD_BYTES = 4  # the length of the layout before it
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Key]).decode


class Layout:
    """Which rows stand where: the places of the first number of each column."""

    __slots__ = ("places", "size", "stored")

    def __init__(self, columns: Iterable[Key], stored: bytes) -> None:
        self.places: Mapping[Key, int] = (places := {})
        size = 0
        for column in columns:
            places[column] = size
            size += _width(column)
        self.size = size
        self.stored = stored


def _width(column: Key) -> int:
    return _ROW * BANDS if column[3] == _DETECTOR else _ROW


@lru_cache(4096)
def _layout(stored: bytes) -> Layout:
    """Raises msgspec.DecodeError."""
    return Layout(_decode(stored), stored)


_EMPTY = _layout(_encode([]))


# Of one sub-category, direction, detector@version, band and flag: how many samples of equal weight.
Counted = Mapping[tuple[str, str, str, int, bool], int]


class Packed:
    """Sums as one list of numbers, and what stands where.

    The sums of one bucket are some two hundred rows, and each batch of samples changes most of them in some sixty
    buckets. As rows by key these cost more than all else that the ledger does. Two lists of the same layout, which is
    the rule, are added at once. Columns come as they are met, and never leave.
    """

    __slots__ = ("layout", "values")

    def __init__(self, layout: Layout = _EMPTY, values: list[float] | None = None) -> None:
        self.layout = layout
        self.values = [0.0] * layout.size if values is None else values

    @classmethod
    def of(cls, sums: Sums) -> "Packed":
        packed = cls()
        for (slug, direction, detector, source, index), row in sums.items():
            first = 0 if source == _DETECTOR else index
            at = packed.place((slug, direction, detector, source, first)) + _ROW * ((index - first) // SAID)
            packed.values[at : at + _ROW] = row
        return packed

    @classmethod
    def read(cls, blob: bytes) -> "Packed":
        """What `blob` made. Raises msgspec.DecodeError."""
        end = _HEAD_BYTES + int.from_bytes(blob[:_HEAD_BYTES], "little")
        layout, numbers = _layout(blob[_HEAD_BYTES:end]), blob[end:]
        try:
            plain = numbers if len(numbers) == 8 * layout.size else zlib.decompress(numbers)
            return cls(layout, list(struct.unpack(f"<{layout.size}d", plain)))
        except (zlib.error, struct.error) as error:
            raise msgspec.DecodeError(f"sums are damaged: {error}") from None

    def blob(self, *, small: bool = False) -> bytes:
        """To be stored; `small` takes longer, and a fifth of the room, because most numbers are zero."""
        stored = self.layout.stored
        numbers = struct.pack(f"<{self.layout.size}d", *self.values)
        if small and len(fewer := zlib.compress(numbers, 1)) < len(numbers):
            numbers = fewer
        return len(stored).to_bytes(_HEAD_BYTES, "little") + stored + numbers

    def place(self, column: Key) -> int:
        """Where the column's numbers begin; one that was not there is all zeros."""
        at = self.layout.places.get(column)
        if at is None:
            at = self.layout.size
            self.layout = _layout(_encode([*self.layout.places, column]))
            self.values += [0.0] * _width(column)
        return at

    def plus(self, more: "Packed") -> "Packed":
        """Both together."""
        if self.layout is more.layout:
            return Packed(self.layout, list(map(add, self.values, more.values)))
        both = Packed(self.layout, self.values[:])
        for column, theirs in more.layout.places.items():
            ours, width = both.place(column), _width(column)
            part = map(add, both.values[ours : ours + width], more.values[theirs : theirs + width])
            both.values[ours : ours + width] = part
        return both

    def count(self, counted: Counted, probability: float) -> None:
        """Add what the detectors said of samples with one inclusion probability: what `add_judged` does."""
        weight = 1 / probability
        square = weight * weight
        values = self.values
        for (slug, direction, detector, band, flagged), n in counted.items():
            at = self.place((slug, direction, detector, _DETECTOR, 0)) + _ROW * band
            values[at] += n
            values[at + 1] += n * weight
            values[at + 2] += n * square
            if flagged:
                values[at + 3] += n * weight
                values[at + 4] += n * square
                values[at + 5] += n * square

    def detectors(self) -> set[str]:
        """The detector@versions that judged something."""
        return {
            column[2]
            for column, at in self.layout.places.items()
            if column[3] == _DETECTOR and any(self.values[at : at + _ROW * BANDS : _ROW])
        }

    def sums(self) -> Sums:
        """The rows that are not all zeros."""
        found: Sums = {}
        for column, at in self.layout.places.items():
            slug, direction, detector, source, first = column
            for number in range(_width(column) // _ROW):
                row = self.values[at + _ROW * number : at + _ROW * (number + 1)]
                if any(row):
                    found[slug, direction, detector, source, first + SAID * number] = row
        return found


def said_of(entry: Weighed) -> list[tuple[str, str, str, int, bool]]:
    """What `Counted` counts."""
    return [(s.slug, s.direction, s.detector, bisect_right(EDGES, s.score), s.flagged) for s in entry.scores]
