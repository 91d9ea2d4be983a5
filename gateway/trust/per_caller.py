"""What is added up of each caller, for how far callers differ (see `comparing`).

Of all traffic: of each band of each column how much was judged, and of labels how much was labelled and found. Of each
group that can be compared (a route, a model, …) the labels alone, over all bands.

All callers of a stretch of time lie in one bucket, so that a window of all of them is read as fast as one of a single
caller is.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import add
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from gateway.trust.moments import BANDS, NO, SAID, YES, Cell, Sums
from gateway.trust.packed import ROW, Layout, Packed, layout_of, layout_read

OF_CALLERS: Cell = ("callers",)  # the cell of these buckets; with that of a group behind it, of the labels in the group
LabelColumn = tuple[str, str, str, str]  # sub-category, direction, detector@version and source
Labels = dict[LabelColumn, list[float]]  # band, Σw and Σwy of what was labelled, one row after another

_KEPT = {"judge": (NO, YES), "person": range(SAID)}  # of a judge only what was answered
_LABEL = 3  # numbers of a row of labels
_encode = msgspec.msgpack.Encoder().encode
_decode_columns = msgspec.msgpack.Decoder(tuple[LabelColumn, ...]).decode
# By caller: the layout, its weights, the columns of labels and the rows of each.
_decode = msgspec.msgpack.Decoder(dict[str, tuple[bytes, bytes, bytes, list[list[float]]]]).decode


class CallerColumn(NamedTuple):
    """Of one caller in one column, by detector@version: Σw of what was judged in each band, and by source the rows of
    labels, as in Labels; a band may have several."""

    judged: dict[str, list[float]]
    labels: dict[str, dict[str, list[float]]]


class OfCaller(NamedTuple):
    """The sums of one caller: BANDS weights for each column of the layout, and labels."""

    layout: Layout
    weights: list[float]
    labels: Labels

    @classmethod
    def of(cls, sums: Packed) -> "OfCaller":
        labels: Labels = {}
        for (slug, direction, detector, source, index), (_, w, _, wy, _, _) in sums.opined.items():
            if index % SAID in _KEPT[source]:
                labels.setdefault((slug, direction, detector, source), []).extend((index // SAID, w, wy))
        return cls(sums.layout, sums.values[1::ROW], labels)

    @classmethod
    def labelled(cls, sums: Sums) -> "OfCaller":
        """Labels alone, whatever detector and band."""
        found: dict[LabelColumn, list[float]] = {}
        for (slug, direction, _, source, index), (_, w, _, wy, _, _) in sums.items():
            if source in _KEPT and index % SAID in _KEPT[source]:
                row = found.setdefault((slug, direction, "", source), [0.0, 0.0, 0.0])
                row[1] += w
                row[2] += wy
        return cls(layout_of([]), [], found)

    def plus(self, more: "OfCaller") -> "OfCaller":
        return OfCaller(*_weights(self, more), _joined(self.labels, more.labels))

    def columns(self) -> dict[tuple[str, str], CallerColumn]:
        """By sub-category and direction."""
        found: dict[tuple[str, str], CallerColumn] = {}
        for number, (slug, direction, detector) in enumerate(self.layout.places):
            column = found.setdefault((slug, direction), CallerColumn({}, {}))
            column.judged[detector] = self.weights[BANDS * number : BANDS * (number + 1)]
        for (slug, direction, detector, source), rows in self.labels.items():
            column = found.setdefault((slug, direction), CallerColumn({}, {}))
            column.labels.setdefault(source, {})[detector] = rows
        return found


class PerCaller:
    """A bucket of all callers, or several together. Never changed once it is made."""

    __slots__ = ("callers",)

    def __init__(self, callers: Mapping[str, OfCaller] = MappingProxyType({})) -> None:
        self.callers = callers

    @classmethod
    def of(cls, sums: Mapping[str, Packed]) -> "PerCaller":
        return cls({caller: OfCaller.of(each) for caller, each in sums.items()})

    @classmethod
    def read(cls, blob: bytes) -> "PerCaller":
        """What `blob` made. Raises msgspec.DecodeError."""
        try:
            stored = _decode(zlib.decompress(blob))
            return cls({caller: _read(*parts) for caller, parts in stored.items()})
        except (zlib.error, struct.error, ValueError) as error:
            raise msgspec.DecodeError(f"sums are damaged: {error}") from None

    def blob(self, *, small: bool = False) -> bytes:
        """To be stored. `small` takes longer and less room."""
        return zlib.compress(_encode({caller: _stored(of) for caller, of in self.callers.items()}), 1 if small else 0)

    def plus(self, more: "PerCaller") -> "PerCaller":
        return per_caller([(0, self), (0, more)])


def per_caller(some: Iterable[tuple[int, PerCaller]]) -> PerCaller:
    """Buckets as one, by their start."""
    found: dict[str, OfCaller] = {}
    for _, sums in some:
        for caller, of in sums.callers.items():
            known = found.get(caller)
            found[caller] = known.plus(of) if known else of
    return PerCaller(found)


def _stored(of: OfCaller) -> tuple[bytes, bytes, bytes, list[list[float]]]:
    labels = {column: rows for column, each in sorted(of.labels.items()) if (rows := _united(each))}
    numbers = struct.pack(f"<{len(of.weights)}d", *of.weights)
    return of.layout.stored, numbers, _encode(tuple(labels)), list(labels.values())


@lru_cache(4096)
def _label_columns(stored: bytes) -> tuple[LabelColumn, ...]:
    return _decode_columns(stored)


def _read(layout: bytes, numbers: bytes, columns: bytes, rows: list[list[float]]) -> OfCaller:
    known = layout_read(layout)
    weights = list(struct.unpack(f"<{BANDS * len(known.places)}d", numbers))
    return OfCaller(known, weights, dict(zip(_label_columns(columns), rows, strict=True)))


def _weights(one: OfCaller, other: OfCaller) -> tuple[Layout, list[float]]:
    if one.layout is other.layout:
        return one.layout, list(map(add, one.weights, other.weights))
    layout = layout_of(one.layout.places.keys() | other.layout.places.keys())
    at = {column: BANDS * number for number, column in enumerate(layout.places)}
    values = [0.0] * (BANDS * len(at))
    for part in (one, other):
        for number, column in enumerate(part.layout.places):
            ours, theirs = slice(at[column], at[column] + BANDS), slice(BANDS * number, BANDS * (number + 1))
            values[ours] = map(add, values[ours], part.weights[theirs])
    return layout, values


def _joined(one: Labels, other: Labels) -> Labels:
    """One's rows after the other's: they are united where they are stored."""
    if not one or not other:
        return one or other
    found = dict(one)
    for column, rows in other.items():
        known = found.get(column)
        found[column] = rows if known is None else known + rows
    return found


def _united(rows: list[float]) -> list[float]:
    """A single row for each band, without those that became nothing."""
    found: dict[float, tuple[float, float]] = {}
    for band, w, wy in rows_of(rows):
        known = found.get(band, (0.0, 0.0))
        found[band] = (known[0] + w, known[1] + wy)
    return [number for band, (w, wy) in found.items() if w or wy for number in (band, w, wy)]


def rows_of(rows: list[float]) -> Iterable[tuple[float, float, float]]:
    """Band, Σw and Σwy of each."""
    return zip(rows[0::_LABEL], rows[1::_LABEL], rows[2::_LABEL], strict=True)
