"""A judged sample as the ledger keeps it, without any text, and the form in which it is stored.

A column is a sub-category, a direction and a detector@version. Thousands of samples have scores in the same columns, so
a sample is stored with a short key for each column instead of its names; that takes a third of the room. The key is a
hash of the column, so processes need not agree on it. The store keeps each column once under its key, and writes it no
later than the first sample that has it.
"""

import struct
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.trust.buckets import Buckets, buckets
from gateway.trust.judged import Judged
from gateway.trust.packed import KEY_BYTES, SCORE_BYTES, Column, ScoreColumns, schema_of

_NO_COLUMNS = schema_of(())
_SCHEMAS = 4_096  # the most that a reader remembers


class Score(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was found of one sub-category in one direction."""

    direction: str
    slug: str
    score: float
    flagged: bool
    detector: str


class _Head(msgspec.Struct, array_like=True, frozen=True):
    id: str
    at: float
    probability: float
    route: str
    model: str
    caller: str
    language: str
    operation: str
    unread: str


class Entry(_Head, array_like=True, frozen=True, gc=False):
    """A judged sample without its texts; `at` is in Unix seconds. Scores stay packed, as they are stored and counted:
    eight bytes for each score and one for each flag, in the order of the schema's columns."""

    schema: ScoreColumns
    values: bytes
    flags: bytes

    @classmethod
    def of(
        cls,
        id: str,
        at: float,
        probability: float,
        route: str,
        model: str,
        caller: str,
        language: str,
        operation: str,
        unread: str,
        *,
        scores: Sequence[Score],
    ) -> "Entry":
        schema = schema_of(tuple([(score.slug, score.direction, score.detector) for score in scores]))
        values = schema.packed.pack(*[score.score for score in scores])
        flags = bytes([score.flagged for score in scores])
        return cls(id, at, probability, route, model, caller, language, operation, unread, schema, values, flags)

    @property
    def scores(self) -> list[Score]:
        found = zip(self.schema.columns, self.schema.packed.unpack(self.values), self.flags, strict=True)
        return [Score(way, slug, score, flag == 1, detector) for (slug, way, detector), score, flag in found]

    @property
    def cohort(self) -> tuple[str, str, str, str]:
        return self.route, self.model, self.language, self.caller


class _Stored(_Head, array_like=True, frozen=True):
    """The scores come last, so that a reader who does not need them can skip them. An earlier release stored a list of
    scores in place of `columns`."""

    columns: bytes | list[Score]  # keys, eight bytes each
    scores: bytes = b""  # eight bytes each
    flags: bytes = b""  # one byte each


_HEAD = len(_Head.__struct_fields__)
_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_stored = msgspec.msgpack.Decoder(_Stored).decode
_decode_column = msgspec.msgpack.Decoder(Column).decode


def entry_of(judged: Judged) -> Entry:
    """Packs the scores directly and without `Entry.of`: it runs for every sample."""
    found = judged.scores
    schema = schema_of(tuple([(o.slug, way, o.detector) for way, o in found]))
    return Entry(
        judged.id,
        judged.at,
        judged.probability,
        judged.route,
        judged.model.encode("utf-8", "replace").decode(),  # clients may name half a surrogate pair
        judged.caller,
        judged.language,
        judged.operation,
        judged.unread,
        schema,
        schema.packed.pack(*[o.score for _, o in found]),
        bytes([o.flagged for _, o in found]),
    )


class EncodedBatch(NamedTuple):
    """A batch of samples in the forms in which a store keeps them: their sums, each sample encoded, and the columns
    that are needed to read them back, by key."""

    sums: Buckets
    stored: list[bytes]
    columns: dict[bytes, bytes]

    @classmethod
    def of(cls, entries: Collection[Entry]) -> "EncodedBatch":
        columns: dict[bytes, bytes] = {}
        for schema in {entry.schema for entry in entries}:
            columns |= schema.by_key
        return cls(buckets(entries), [_stored(entry) for entry in entries], columns)


def _stored(entry: Entry) -> bytes:
    return _encode(
        (
            entry.id,
            entry.at,
            entry.probability,
            entry.route,
            entry.model,
            entry.caller,
            entry.language,
            entry.operation,
            entry.unread,
            entry.schema.keys,
            entry.values,
            entry.flags,
        )
    )


class UnknownColumnError(LookupError):
    """A sample has a column that another process added after the columns were read: learn them again."""


class EntryReader:
    """Reads stored entries with the columns that it has learned from the store."""

    def __init__(self) -> None:
        self._columns: dict[bytes, Column] = {}
        self._schemas: dict[bytes, ScoreColumns] = {}  # by the joined keys of a sample

    def learn(self, columns: Mapping[bytes, bytes]) -> None:
        """Add columns, by key, as in `Taken.columns`. Raises msgspec.DecodeError."""
        self._columns |= {key: _decode_column(column) for key, column in columns.items()}

    def head(self, blob: bytes) -> Entry:
        """The entry without its scores, in a fifth of the time. Raises msgspec.DecodeError."""
        return _entry(_decode_head(blob), _NO_COLUMNS, b"", b"")

    def read(self, blob: bytes) -> Entry:
        """The whole entry. Raises UnknownColumnError and msgspec.DecodeError."""
        of = _decode_stored(blob)
        if isinstance(of.columns, list):
            return Entry.of(*msgspec.structs.astuple(of)[:_HEAD], scores=of.columns)
        n = len(of.flags)
        if len(of.columns) != n * KEY_BYTES or len(of.scores) != n * SCORE_BYTES:
            raise msgspec.DecodeError(f"a sample is damaged: {n} flags for {len(of.scores)} bytes of scores")
        return _entry(of, self._schemas.get(of.columns) or self._schema(of.columns, n), of.scores, of.flags)

    def _schema(self, keys: bytes, n: int) -> ScoreColumns:
        try:
            found = schema_of(tuple([self._columns[key] for key in struct.unpack(f"{KEY_BYTES}s" * n, keys)]))
        except KeyError:
            raise UnknownColumnError from None
        if len(self._schemas) >= _SCHEMAS:
            self._schemas.clear()
        self._schemas[keys] = found
        return found


def _entry(of: _Head, schema: ScoreColumns, values: bytes, flags: bytes) -> Entry:
    """Written out: it runs for thousands at once."""
    return Entry(
        of.id, of.at, of.probability, of.route, of.model, of.caller, of.language, of.operation, of.unread,
        schema, values, flags,
    )  # fmt: skip
