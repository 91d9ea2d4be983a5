"""Sums as they are stored and added.

The sums of one bucket are some four hundred rows (see `moments`), and each batch of samples changes most of the
detectors' rows in some sixty buckets. Kept as rows by key they would cost more than everything else that the ledger
does. So the detectors' rows are one list of numbers, with a layout that says which number means what. Two lists usually
have the same layout and are then added number by number. The rows of second opinions are few in most buckets and many
in some: they are kept as rows by key, and stay packed until somebody asks for them.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import add

import msgspec

from gateway.trust.moments import BANDS, SAID, Key, Sums

ROW = 6  # numbers in a row
BLOCK = ROW * BANDS  # numbers in a column
KEY_BYTES, SCORE_BYTES = 8, 8
Column = tuple[str, str, str]  # sub-category, direction, detector@version
Seen = Mapping[str, tuple[int, int]]  # detector@version → the starts of the first and the last bucket that have it

_DETECTOR = "detector"  # the source of a detector's own rows
_PLAIN, _SMALL = b"\0", b"\1"  # the first byte says whether the rest is compressed
_encode = msgspec.msgpack.Encoder().encode
_decode_columns = msgspec.msgpack.Decoder(list[Column]).decode
# Packed sums: the layout, the numbers, the rows of opinions, when each detector was seen.
_decode = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes, dict[str, tuple[int, int]]]).decode
# The rows of opinions. For each (sub-category, direction, detector@version, source): a flat list in which each row is
# its index followed by its six sums.
_decode_opined = msgspec.msgpack.Decoder(list[tuple[str, str, str, str, list[float]]]).decode
_NO_ROWS = b"\x90"


class ScoreColumns:
    """The columns of a sample in the order of its scores; `packed` packs the scores as doubles. `keys` holds the
    columns' keys one after the other, `by_key` each column as it is stored."""

    __slots__ = ("by_key", "columns", "keys", "packed")

    def __init__(self, columns: tuple[Column, ...]) -> None:
        encoded = [_encode(column) for column in columns]
        keys = [blake2b(column, digest_size=KEY_BYTES).digest() for column in encoded]
        self.columns = columns
        self.keys = b"".join(keys)
        self.by_key = dict(zip(keys, encoded, strict=True))
        self.packed = struct.Struct(f"<{len(columns)}d")


@lru_cache(4096)
def schema_of(columns: tuple[Column, ...]) -> ScoreColumns:
    """The same object for the same columns, so that grouping samples by it is quick."""
    return ScoreColumns(columns)


class Layout:
    """Where each column of the detectors' rows begins in the list of numbers: `places` has the index of its first."""

    __slots__ = ("places", "size", "stored")

    def __init__(self, columns: Iterable[Column], stored: bytes) -> None:
        self.places: Mapping[Column, int] = {column: BLOCK * number for number, column in enumerate(columns)}
        self.size = BLOCK * len(self.places)
        self.stored = stored


@lru_cache(4096)
def layout_read(stored: bytes) -> Layout:
    """The layout of its stored form. Raises msgspec.DecodeError."""
    return Layout(_decode_columns(stored), stored)


def layout_of(columns: Iterable[Column]) -> Layout:
    """The layout of these columns; their order does not matter."""
    return layout_read(_encode(sorted(columns)))


_EMPTY = layout_of([])


class Packed:
    """The sums of a bucket, or of several together. Only the code that makes one fills in `values`; after that nothing
    changes. `rows` are those of second opinions, packed until `opined` is called. `seen` says when each detector was in
    use; only sums of several buckets have it."""

    __slots__ = ("layout", "rows", "seen", "values")

    def __init__(
        self,
        layout: Layout = _EMPTY,
        values: list[float] | None = None,
        rows: bytes | Sums = _NO_ROWS,
        seen: Seen | None = None,
    ) -> None:
        self.layout = layout
        self.values = [0.0] * layout.size if values is None else values
        self.seen = seen or {}
        self.rows = rows

    @classmethod
    def of(cls, sums: Sums) -> "Packed":
        judged = {key: row for key, row in sums.items() if key[3] == _DETECTOR}
        rows = {key: row for key, row in sums.items() if key not in judged and any(row)}
        packed = cls(layout_of({key[:3] for key in judged}), None, rows)
        for key, row in judged.items():
            at = packed.layout.places[key[:3]] + ROW * (key[4] // SAID)
            packed.values[at : at + ROW] = row
        return packed

    @classmethod
    def read(cls, blob: bytes) -> "Packed":
        """The sums that `blob` wrote. Raises msgspec.DecodeError."""
        try:
            stored, numbers, opined, seen = _decode(zlib.decompress(blob[1:]) if blob[:1] == _SMALL else blob[1:])
            layout = layout_read(stored)
            return cls(layout, list(struct.unpack(f"<{layout.size}d", numbers)), opined, seen)
        except (zlib.error, struct.error) as error:
            raise msgspec.DecodeError(f"sums are damaged: {error}") from None

    def blob(self, *, small: bool = False) -> bytes:
        """The stored form. `small` compresses it to a fifth, because most numbers are zero, and takes longer."""
        opined = self.rows if isinstance(self.rows, bytes) else _encode(_by_column(self.rows))
        numbers = struct.pack(f"<{self.layout.size}d", *self.values)
        whole = _encode((self.layout.stored, numbers, opined, self.seen))
        return _SMALL + zlib.compress(whole, 1) if small else _PLAIN + whole

    @property
    def opined(self) -> Sums:
        """The rows of second opinions. Raises msgspec.DecodeError."""
        if isinstance(self.rows, bytes):
            self.rows = _rows(self.rows)
        return self.rows

    def plus(self, more: "Packed") -> "Packed":
        """The sum of both, without `seen`."""
        return Packed(*_values(self, more), _opined(self, more))

    @classmethod
    def together(cls, parts: Sequence["Packed"]) -> "Packed":
        """The sum of all parts, without `seen`. As repeated `plus`, but without copying the rows each time."""
        found = cls()
        for number, part in enumerate(parts):
            found = cls(*(_values(found, part) if number else (part.layout, part.values)))
        with_rows = [part for part in parts if part.rows not in (_NO_ROWS, {})]
        if len(with_rows) == 1:
            found.rows = with_rows[0].rows
        elif with_rows:
            found.rows = _all_rows(with_rows)
        return found

    def detectors(self) -> set[str]:
        """The detector@versions that judged something."""
        return {
            column[2]
            for column, at in self.layout.places.items()
            if column[2] not in self.seen and any(self.values[at : at + BLOCK : ROW])
        }.union(self.seen)

    def sums(self) -> Sums:
        """The rows that are not all zeros. Raises msgspec.DecodeError."""
        found: Sums = {}
        for (slug, direction, detector), at in self.layout.places.items():
            for band in range(BANDS):
                row = self.values[at + ROW * band : at + ROW * (band + 1)]
                if any(row):
                    found[slug, direction, detector, _DETECTOR, SAID * band] = row
        return found | self.opined


def _values(one: Packed, other: Packed) -> tuple[Layout, list[float]]:
    if one.layout is other.layout:
        return one.layout, list(map(add, one.values, other.values))
    if not other.values:
        return one.layout, one.values
    layout = layout_of(one.layout.places.keys() | other.layout.places.keys())
    values = [0.0] * layout.size
    for part in (one, other):
        for column, theirs in part.layout.places.items():
            ours = layout.places[column]
            values[ours : ours + BLOCK] = map(add, values[ours : ours + BLOCK], part.values[theirs : theirs + BLOCK])
    return layout, values


def _opined(one: Packed, other: Packed) -> bytes | Sums:
    """The rows of both added, without those that became all zeros. If only one has rows, they are returned as they are,
    packed or not."""
    if other.rows in (_NO_ROWS, {}):
        return one.rows
    if one.rows in (_NO_ROWS, {}):
        return other.rows
    found = dict(one.opined)
    for key, row in other.opined.items():
        known = found.get(key)
        if known is None:
            found[key] = row
        elif any(both := list(map(add, known, row))):
            found[key] = both
        else:
            del found[key]
    return found


def _all_rows(parts: Iterable[Packed]) -> Sums:
    """As `_opined`, for many parts: added column by column, so that names are looked up once for each column."""
    found: dict[tuple[str, str, str, str], dict[float, list[float]]] = {}
    for part in parts:
        for slug, direction, detector, source, flat in _by_column(part.rows):
            column = found.setdefault((slug, direction, detector, source), {})
            for at in range(0, len(flat), ROW + 1):
                index, row = flat[at], flat[at + 1 : at + ROW + 1]
                known = column.get(index)
                column[index] = row if known is None else list(map(add, known, row))
    return {(*name, int(index)): row for name, column in found.items() for index, row in column.items() if any(row)}


_Flat = tuple[str, str, str, str, list[float]]  # as `_decode_opined` gives them


def _by_column(rows: bytes | Sums) -> list[_Flat]:
    """Raises msgspec.DecodeError."""
    if isinstance(rows, bytes):
        return _decode_opined(rows)
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for key, row in rows.items():
        found.setdefault(key[:4], []).extend((key[4], *row))
    return [(*column, flat) for column, flat in found.items()]


def _rows(blob: bytes) -> Sums:
    """Raises msgspec.DecodeError."""
    found: dict[Key, list[float]] = {}
    for slug, direction, detector, source, flat in _decode_opined(blob):
        for at in range(0, len(flat), ROW + 1):
            found[slug, direction, detector, source, int(flat[at])] = flat[at + 1 : at + ROW + 1]
    return found
