"""Sums for each caller, from which it is seen how far callers differ (see `comparing`).

Of all traffic there is, by column and band, the weight of what was judged, and of the labels the weight of what was
labelled and of what was positive. Of each group that can be compared (a route, a model, …) there are only the labels,
over all bands.

All callers of a stretch of time lie in one bucket: a window of all callers is read as fast as that of a single one.
"""

import struct
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import add
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from gateway.trust.moments import BANDS, NO, SAID, YES, Cell, Sums
from gateway.trust.packed import ROW, Layout, Packed, layout_of, layout_read

OF_CALLERS: Cell = ("callers",)  # the cell of these buckets; followed by a group's cell for the labels in the group
LabelColumn = tuple[str, str, str, str]  # sub-category, direction, detector@version and source
Labels = dict[LabelColumn, list[float]]  # rows of three numbers (band, Σw, Σwy), one after the other

_KEPT = {"judge": (NO, YES), "person": range(SAID)}  # of a judge only its answers
_LABEL = 3  # numbers in a row of labels
_encode = msgspec.msgpack.Encoder().encode
_decode_columns = msgspec.msgpack.Decoder(tuple[LabelColumn, ...]).decode
# By caller: the layout, the weights, the columns of the labels and the rows of each column.
_decode = msgspec.msgpack.Decoder(dict[str, tuple[bytes, bytes, bytes, list[list[float]]]]).decode


class CallerColumn(NamedTuple):
    """One caller's sums in one column: `judged` has Σw of each band by detector@version; `labels` has rows as in
    Labels, by source and detector@version. A band may have several rows."""

    judged: dict[str, list[float]]
    labels: dict[str, dict[str, list[float]]]


class OfCaller(NamedTuple):
    """The sums of one caller: BANDS weights for each column of the layout, and the labels."""

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
        """The labels alone, summed over all detectors and bands."""
        found: dict[LabelColumn, list[float]] = {}
        for (slug, direction, _, source, index), (_, w, _, wy, _, _) in sums.items():
            if source in _KEPT and index % SAID in _KEPT[source]:
                row = found.setdefault((slug, direction, "", source), [0.0, 0.0, 0.0])
                row[1] += w
                row[2] += wy
        return cls(layout_of([]), [], found)

    @classmethod
    def together(cls, parts: Sequence["OfCaller"]) -> "OfCaller":
        """The sum of these, at least one. Rows of labels are only listed together; `_united` adds them up when they
        are stored."""
        first = parts[0]
        if len(parts) == 1:
            return first
        labels = _all_labels(parts)
        if all(part.layout is first.layout for part in parts):
            return cls(first.layout, list(map(sum, zip(*[part.weights for part in parts], strict=True))), labels)
        layout, weights = first.layout, first.weights
        for part in parts[1:]:
            layout, weights = _weights(layout, weights, part)
        return cls(layout, weights, labels)

    def columns(self) -> dict[tuple[str, str], CallerColumn]:
        """By sub-category and direction."""
        found: dict[tuple[str, str], CallerColumn] = {}
        for number, (slug, direction, detector) in enumerate(self.layout.places):
            column = found.get((slug, direction))
            if column is None:
                column = found[slug, direction] = CallerColumn({}, {})
            column.judged[detector] = self.weights[BANDS * number : BANDS * (number + 1)]
        for (slug, direction, detector, source), rows in self.labels.items():
            column = found.get((slug, direction))
            if column is None:
                column = found[slug, direction] = CallerColumn({}, {})
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
        """The sums that `blob` wrote. Raises msgspec.DecodeError."""
        try:
            stored = _decode(zlib.decompress(blob))
            return cls({caller: _read(*parts) for caller, parts in stored.items()})
        except (zlib.error, struct.error, ValueError) as error:
            raise msgspec.DecodeError(f"sums are damaged: {error}") from None

    def blob(self, *, small: bool = False) -> bytes:
        """The stored form. `small` compresses it and takes longer."""
        return zlib.compress(_encode({caller: _stored(of) for caller, of in self.callers.items()}), 1 if small else 0)

    def plus(self, more: "PerCaller") -> "PerCaller":
        return per_caller([(0, self), (0, more)])


def per_caller(some: Iterable[tuple[int, PerCaller]]) -> PerCaller:
    """The sum of buckets, given with their start."""
    parts: dict[str, list[OfCaller]] = {}
    for _, sums in some:
        for caller, of in sums.callers.items():
            parts.setdefault(caller, []).append(of)
    return PerCaller({caller: OfCaller.together(each) for caller, each in parts.items()})


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


def _weights(layout: Layout, weights: list[float], more: OfCaller) -> tuple[Layout, list[float]]:
    if layout is more.layout:
        return layout, list(map(add, weights, more.weights))
    both = layout_of(layout.places.keys() | more.layout.places.keys())
    at = {column: BANDS * number for number, column in enumerate(both.places)}
    values = [0.0] * (BANDS * len(at))
    for places, part in ((layout.places, weights), (more.layout.places, more.weights)):
        for number, column in enumerate(places):
            ours, theirs = slice(at[column], at[column] + BANDS), slice(BANDS * number, BANDS * (number + 1))
            values[ours] = map(add, values[ours], part[theirs])
    return both, values


def _all_labels(parts: Iterable[OfCaller]) -> Labels:
    """The rows of all parts, one after the other. Parts with the same columns, as most have, are joined at once."""
    alike: dict[tuple[LabelColumn, ...], list[Collection[list[float]]]] = {}
    for part in parts:
        if part.labels:
            alike.setdefault(tuple(part.labels), []).append(part.labels.values())
    found: Labels = {}
    for columns, some in alike.items():
        for column, each in zip(columns, zip(*some, strict=True), strict=True):
            found[column] = [*found.get(column, ()), *chain.from_iterable(each)]
    return found


def _united(rows: list[float]) -> list[float]:
    """A single row for each band, without rows that are zero."""
    found: dict[float, tuple[float, float]] = {}
    for band, w, wy in rows_of(rows):
        known = found.get(band, (0.0, 0.0))
        found[band] = (known[0] + w, known[1] + wy)
    return [number for band, (w, wy) in found.items() if w or wy for number in (band, w, wy)]


def rows_of(rows: list[float]) -> Iterable[tuple[float, float, float]]:
    """Band, Σw and Σwy of each row."""
    return zip(rows[0::_LABEL], rows[1::_LABEL], rows[2::_LABEL], strict=True)
