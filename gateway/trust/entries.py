"""A judged sample as the ledger keeps it, without any text, and the form in which it is stored.

The scores of a sample are of the same columns as those of thousands of others. So a sample is stored with a key for
each column instead of its names, which takes a third of the room. A key follows from the column itself: no process has
to ask another for one. The store keeps each column once, with its key, and writes it no later than the first sample
that has it.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from gateway.trust.buckets import Buckets, Columnar, buckets
from gateway.trust.judged import Judged
from gateway.trust.packed import Column


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


class Entry(_Head, array_like=True, frozen=True):
    """A judged sample: `at` in Unix seconds, no text."""

    scores: list[Score]

    @property
    def cohort(self) -> tuple[str, str, str, str]:
        return self.route, self.model, self.language, self.caller


class _Stored(_Head, array_like=True, frozen=True):
    """The scores come last, so that who does not need them can pass them over. An earlier release wrote them out."""

    columns: bytes | list[Score]  # eight bytes each
    scores: bytes = b""  # eight bytes each
    flags: bytes = b""  # one byte each


_KEY = 8  # bytes
_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_stored = msgspec.msgpack.Decoder(_Stored).decode
_decode_column = msgspec.msgpack.Decoder(Column).decode


def entry_of(judged: Judged) -> Entry:
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
        [Score(way, o.slug, o.score, o.flagged, o.detector) for way, o in judged.scores],
    )


class _Keys(dict[Column, bytes]):
    def __missing__(self, column: Column) -> bytes:
        key = self[column] = blake2b(_encode(column), digest_size=_KEY).digest()
        return key


class Taken(NamedTuple):
    """Samples in the forms in which they are kept: their sums, each as a store keeps it, and the columns that the store
    must know to read them, by key."""

    sums: Buckets
    stored: list[bytes]
    columns: dict[bytes, bytes]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Taken":
        """Each is taken apart once and let go before the next: thousands of lists at a time would be looked over by the
        garbage collector again and again, which takes as long as all else."""
        keys = _Keys()
        blobs: list[bytes] = []

        def columnar() -> Iterator[Columnar[Entry]]:
            for entry in entries:
                of = Columnar.of(entry)
                blobs.append(_stored(of, keys))
                yield of

        sums = buckets(columnar())
        return cls(sums, blobs, {key: _encode(column) for column, key in keys.items()})


def _stored(of: Columnar[Entry], keys: _Keys) -> bytes:
    entry = of.sample
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
            b"".join([keys[column] for column in of.columns]),
            struct.pack(f"<{len(of.scores)}d", *of.scores),
            bytes(of.flags),
        )
    )


class UnknownColumnError(LookupError):
    """A sample is of a column that another process has written since the columns were read."""


class EntryReader:
    """Reads stored entries, with the columns that were learned from the store."""

    def __init__(self) -> None:
        self._columns: dict[bytes, Column] = {}

    def learn(self, columns: Mapping[bytes, bytes]) -> None:
        """By key, as `Taken` has them. Raises msgspec.DecodeError."""
        self._columns |= {key: _decode_column(column) for key, column in columns.items()}

    def head(self, blob: bytes) -> Entry:
        """Without the scores, in a fifth of the time. Raises msgspec.DecodeError."""
        return _entry(_decode_head(blob), [])

    def read(self, blob: bytes) -> Entry:
        """Raises UnknownColumnError, and msgspec.DecodeError."""
        of = _decode_stored(blob)
        return _entry(of, of.columns if isinstance(of.columns, list) else self._scores(of.columns, of))

    def _scores(self, keys: bytes, of: _Stored) -> list[Score]:
        n = len(of.flags)
        try:
            columns = [self._columns[key] for key in struct.unpack(f"{_KEY}s" * n, keys)]
            scores = struct.unpack(f"<{n}d", of.scores)
        except struct.error as error:
            raise msgspec.DecodeError(f"a sample is damaged: {error}") from None
        except KeyError:
            raise UnknownColumnError from None
        return [
            Score(way, slug, score, flag == 1, detector)
            for (slug, way, detector), score, flag in zip(columns, scores, of.flags, strict=True)
        ]


def _entry(of: _Head, scores: list[Score]) -> Entry:
    """Written out: it runs for thousands at once."""
    return Entry(
        of.id, of.at, of.probability, of.route, of.model, of.caller, of.language, of.operation, of.unread, scores
    )
