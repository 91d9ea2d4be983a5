"""What the ledger adds up, so that a rate over a window is read from sums and not from samples.

For each sub-category, direction and detector@version there is a row of six sums for each band of the detector's score:
the number of samples, and Σw, Σw², Σwy, Σw²y and Σw²y² over their weights w. In a detector's own rows y is 1 where it
flagged. In the rows of second opinions y is the label, and w includes the probability of the second draw; these rows
are divided further by what the judge had said, so that people's labels can correct the judge. Sums are kept for all
traffic and for each value of each pivot ("one sample, many pivots", arXiv 2602.18518). They can be added and taken
away, so that an opinion counts once even if it comes late, twice or is corrected.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.trust.second_opinion import KINDS, Kind, SecondOpinion

# The edges of the bands of calibrated scores: about equal steps of log-odds on both sides of one half. Bands by rank
# would move with the traffic.
EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.7, 0.9, 0.97, 0.99)
BANDS = len(EDGES) + 1
# What the judge said of a sample: it was not asked, it did not answer, no, or yes.
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
        """The number of equally weighted samples that would tell as much: Kish's effective size, or the one that
        follows from the linearised variance of a ratio (Särndal and others, section 5.7) where that is smaller."""
        mean = self.mean
        spread = self.wwyy - 2 * mean * self.wwy + mean * mean * self.ww
        if 0 < mean < 1 and spread > 0:
            return min(self.kish, mean * (1 - mean) * self.w * self.w / spread)
        return self.kish

    def __add__(self, more: object) -> "Row":
        assert isinstance(more, Row)
        n, w, ww, wy, wwy, wwyy = more  # written out: it runs for every band of every column
        return Row(self.n + n, self.w + w, self.ww + ww, self.wy + wy, self.wwy + wwy, self.wwyy + wwyy)


NOTHING = Row(0, 0, 0, 0, 0, 0)
# (sub-category, direction, detector@version, source, index) → the six sums of a Row. The source is `detector`, `judge`
# or `person`; the index is band * SAID + what the judge said.
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
    """What is needed of a judged sample to add it to the sums; `ledger.Entry` has it."""

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
    """The narrowest cells that a sample belongs to, one for each way to divide the traffic."""
    return ("route_model", entry.route, entry.model), ("language", entry.language), ("caller", entry.caller)


def wider_than(cell: Cell) -> tuple[Cell, ...]:
    """The cells of the route and of the model, for the cell of a pair of both; else none."""
    return (("route", cell[1]), ("model", cell[2])) if cell[0] == "route_model" else ()


def cell_named(**values: str | None) -> Cell:
    """The cell of one pivot, or of a route and a model together; the cell of all traffic when every value is None.

    Raises ValueError for other combinations: no sums are kept of them.
    """
    given = {name: value for name, value in values.items() if value is not None}
    pivot = "route_model" if given.keys() == {"route", "model"} else "".join(given) or "all"
    if pivot not in PIVOTS:
        raise ValueError(f"rates are kept by one of route, model, language, caller, or by route and model: not by "
                         f"{' and '.join(given)}")  # fmt: skip
    return (pivot, *(given[name] for name in ("route", "model", "language", "caller") if name in given))


_LOOK = 0x80  # in place of a band: the whole score is needed to tell its band
_LOOKED_AT = re.compile(rb"[\x80-\xff]")
_FIRST = 0x3F  # the first byte of the doubles from 2 ** -15 to 2: sign, and most of the exponent


def _band_of_code(code: int) -> int:
    """The band of the scores whose first two bytes are _FIRST and this code; _LOOK where an edge divides them."""
    lowest, highest = (struct.unpack(">d", bytes((_FIRST, code)) + six)[0] for six in (bytes(6), b"\xff" * 6))
    band = bisect_right(EDGES, lowest)
    return band if band == bisect_right(EDGES, highest) else _LOOK


_OF_CODE = bytes(map(_band_of_code, range(256)))
_KEPT = bytes(255 * (first == _FIRST) for first in range(256))  # scores with a smaller first byte are in the first band
_ODD = bytes(_LOOK * (first > _FIRST) for first in range(256))  # not from 0 to 1: negative, or 2 and more


def bands_of(scores: bytes) -> bytes:
    """The band of each score; `scores` are little-endian doubles. Tables of the two highest bytes give the band of
    nearly all scores, all at once; the others are looked up one by one."""
    first = scores[7::8]
    tables = ((scores[6::8], _OF_CODE), (first, _KEPT), (first, _ODD))
    code, kept, odd = (int.from_bytes(some.translate(table), "big") for some, table in tables)
    found = bytearray((code & kept | odd).to_bytes(len(first), "big"))
    for match in _LOOKED_AT.finditer(bytes(found)):
        found[match.start()] = bisect_right(EDGES, struct.unpack_from("<d", scores, 8 * match.start())[0])
    return bytes(found)


def add_judged(sums: Sums, entry: Weighed) -> None:
    """Add a sample's scores to the detectors' own rows."""
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
    """The sums of all opinions on a sample: of the judge's latest one, and of the mean of what people say."""
    sums: Sums = {}
    scores = {(score.slug, score.direction): score for score in entry.scores}
    found = {kind: (weight, labels) for kind, weight, labels in labelled(entry, opinions)}
    judge = found["judge"][1] if "judge" in found else {}
    unanswered = "judge" in found and not judge
    for kind, (weight, labels) in found.items():
        silent = kind == "judge" and unanswered
        for key in scores if silent else labels:
            score = scores.get(key)
            said = SILENT if silent else _said(judge.get(key), unanswered)
            band = bisect_right(EDGES, score.score) if score else 0
            y = 0.0 if silent else labels[key]
            sums[*key, score.detector if score else "", kind, band * SAID + said] = [
                1.0, weight, weight**2, weight * y, weight**2 * y, (weight * y) ** 2
            ]  # fmt: skip
    return sums


Labels = dict[tuple[str, str], float]  # by sub-category and direction


def labelled(entry: Weighed, opinions: Sequence[SecondOpinion]) -> Iterator[tuple[Kind, float, Labels]]:
    """For each kind of source that gave an opinion: the kind, the sample's weight and the labels. There are no labels
    where a judge did not answer."""
    for kind in KINDS:
        given = _of(opinions, kind)
        if given:
            yield kind, 1 / (entry.probability * given[0].probability), labels_by(kind, given)


def labels_by(kind: Kind, opinions: Sequence[SecondOpinion]) -> Labels:
    """The labels of one kind of source on a sample: the judge's latest, or the mean of what people say."""
    given = _of(opinions, kind)
    return _labels([max(given, key=lambda o: (o.at, o.name))] if given and kind == "judge" else given)


def _of(opinions: Sequence[SecondOpinion], kind: str) -> list[SecondOpinion]:
    return [opinion for opinion in opinions if opinion.kind == kind]


def _labels(opinions: Sequence[SecondOpinion]) -> Labels:
    """The mean label."""
    if len(opinions) == 1:
        return {(label.slug, label.direction): label.value for label in opinions[0].labels}
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
    """Written out, because it runs for every sum of every batch."""
    n, w, ww, wy, wwy, wwyy = row
    known[0] += n
    known[1] += w
    known[2] += ww
    known[3] += wy
    known[4] += wwy
    known[5] += wwyy
