"""The ledger in a file: for the gateways of one machine."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.stores.sqlite import FAILURES, SQLITE_FULL, Connection, SqliteFile
from gateway.trust.ageing import Believed
from gateway.trust.buckets import (
    HOUR,
    ROLLED_UP,
    SUMS_KEPT,
    Buckets,
    CallerBuckets,
    Span,
    changes,
    of_callers,
    rolled_up,
    wider_buckets,
)
from gateway.trust.drawing import draw_of
from gateway.trust.entries import EncodedBatch, Entry, EntryReader, UnknownColumnError
from gateway.trust.ledger import LONGEST_HOLD, MOST_WAITING, LedgerError
from gateway.trust.moments import Cell
from gateway.trust.packed import Packed
from gateway.trust.per_caller import OF_CALLERS, PerCaller, per_caller
from gateway.trust.second_opinion import Kind, SecondOpinion, Waiting

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (id TEXT UNIQUE, at REAL NOT NULL, entry BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS samples_at ON samples (at);
DROP TABLE IF EXISTS sums;
DROP TABLE IF EXISTS moments;
DROP TABLE IF EXISTS packed;
DROP TABLE IF EXISTS buckets;
CREATE TABLE IF NOT EXISTS columns (key BLOB PRIMARY KEY, column_of BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bucket_sums (
  width INTEGER, cell BLOB, start INTEGER, sums BLOB NOT NULL, PRIMARY KEY (width, cell, start)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed (
  width INTEGER, cell BLOB, start INTEGER, PRIMARY KEY (width, cell, start)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS believed (one INTEGER PRIMARY KEY CHECK (one = 1), time BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS opinions (
  sample TEXT, kind TEXT, name TEXT, sample_at REAL NOT NULL, opinion BLOB NOT NULL, PRIMARY KEY (sample, kind, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS opinions_at ON opinions (sample_at);
CREATE TABLE IF NOT EXISTS waiting (
  kind TEXT, draw REAL, sample TEXT, at REAL NOT NULL, wanted INTEGER NOT NULL, held_by TEXT NOT NULL,
  held_until REAL NOT NULL, item BLOB NOT NULL, PRIMARY KEY (kind, draw, sample)
) WITHOUT ROWID;
"""
_SUMS = "SELECT start, sums FROM bucket_sums WHERE width = ? AND cell = ? AND start >= ? AND start < ? ORDER BY start"
# Jumps from one cell to the next by the index, so that the sums of a cell are not read.
_CELLS = """
WITH RECURSIVE next (cell) AS (
  SELECT MIN(cell) FROM bucket_sums WHERE width = ?1
  UNION ALL SELECT (SELECT MIN(cell) FROM bucket_sums WHERE width = ?1 AND cell > next.cell) FROM next
  WHERE next.cell IS NOT NULL
)
SELECT cell FROM next WHERE (SELECT MAX(start) FROM bucket_sums b WHERE width = ?1 AND b.cell = next.cell) >= ?2
"""
_ONE_SUM = "SELECT sums FROM bucket_sums WHERE width = ? AND cell = ? AND start = ?"
_PUT_SUM = "INSERT OR REPLACE INTO bucket_sums VALUES (?, ?, ?, ?)"
_NO_SUM = "DELETE FROM bucket_sums WHERE width = ? AND cell = ? AND start = ?"
_CHANGED = "INSERT OR IGNORE INTO changed VALUES (?, ?, ?)"
_COMPLETE = "SELECT width, cell, start FROM changed WHERE start + width <= ? ORDER BY start DESC LIMIT ?"
_OPINIONS = """
SELECT opinion, entry FROM opinions JOIN samples ON id = sample
WHERE sample_at >= ?1 AND sample_at < ?2 AND (?4 IS NULL OR kind = ?4)
ORDER BY sample_at DESC, sample, kind, name LIMIT ?3
"""
_LEAVE_LATEST = """
DELETE FROM waiting WHERE kind = ?1
AND at <= (SELECT at FROM waiting WHERE kind = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)
"""
_GIVEN = "(SELECT COUNT(*) FROM opinions o WHERE o.sample = w.sample AND o.kind = w.kind)"
_SETTLE = f"DELETE FROM waiting AS w WHERE kind = ? AND draw = ? AND sample = ? AND {_GIVEN} >= wanted"
_RELEASE = "UPDATE waiting SET held_until = 0 WHERE kind = ? AND draw = ? AND sample = ?"
_FREE = """
SELECT draw, sample, item FROM waiting AS w WHERE kind = :kind
AND (held_until <= :now OR held_until > :now + :longest OR held_by = :by)
AND NOT EXISTS (SELECT 1 FROM opinions o WHERE o.sample = w.sample AND o.kind = w.kind AND o.name = :by)
ORDER BY draw LIMIT :most
"""
_TABLES = (("samples", "at"), ("waiting", "at"), ("opinions", "sample_at"), ("bucket_sums", "start"))
_FULL = 0.8  # share of the bound from which the oldest tenth is deleted
_MOST_ROOM = 10  # times that room is made for one batch at most
_IDS_AT_ONCE = 500
_VACUUM_PAGES = 2_000
_ROLLS = 50  # buckets rolled up in one transaction, a fifth of a second: other processes can write in between
_ROLLS_A_PRUNE = 10  # such transactions in one prune
_DAY = 86_400
_T = TypeVar("_T")
_Sums = TypeVar("_Sums", Packed, PerCaller)
_Key = tuple[int, bytes, int]  # width, cell and start

_encode = msgspec.msgpack.Encoder().encode
_decode_opinion = msgspec.msgpack.Decoder(SecondOpinion).decode
_decode_cell = msgspec.msgpack.Decoder(Cell).decode
_decode_believed = msgspec.msgpack.Decoder(Believed).decode
_decode_item = msgspec.msgpack.Decoder(Waiting).decode
_OF_CALLERS = _encode(OF_CALLERS[0])


class SqliteStore:
    """A Store. `days` and `most_bytes` bound what is kept."""

    def __init__(self, path: Path, *, days: float, most_bytes: int) -> None:
        self._path = path
        self._file = SqliteFile(path, _SCHEMA, most_bytes)
        self._days = days
        self._reader = EntryReader()
        self._loose: set[_Key] = set()  # sums that this process wrote uncompressed

    async def add(self, entries: Sequence[Entry]) -> None:
        await self._with_room(lambda connection: self._add(connection, entries))

    async def _with_room(self, work: Callable[[Connection], _T]) -> _T:
        """Do work that may find the file full: then delete the oldest and try again. Even deleting may need a page."""
        for _ in range(_MOST_ROOM):
            try:
                return await self._do(work)
            except LedgerError as error:
                if getattr(error.__cause__, "sqlite_errorcode", 0) != SQLITE_FULL:
                    raise
            if not await self._do(self._drop_oldest):
                break
        return await self._do(work)

    def _add(self, connection: Connection, entries: Sequence[Entry]) -> None:
        connection.execute("BEGIN IMMEDIATE")  # nobody adds the same samples meanwhile
        while self._file.used_share(connection) > _FULL and self._drop_oldest(connection):
            pass
        unique = {entry.id: entry for entry in entries}
        for id in _known(connection, list(unique)):
            del unique[id]
        taken = EncodedBatch.of(unique.values())
        rows = [(entry.id, entry.at, blob) for entry, blob in zip(unique.values(), taken.stored, strict=True)]
        connection.executemany("INSERT INTO samples VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT OR IGNORE INTO columns VALUES (?, ?)", taken.columns.items())
        self._add_sums(connection, taken.sums, of_callers(taken.sums))

    async def sums(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, Packed]]:
        name = _encode(cell)
        return await self._do(lambda connection: _sums(connection, name, width, spans, Packed.read))

    async def callers(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, PerCaller]]:
        name = _encode(cell)
        return await self._do(lambda connection: _sums(connection, name, width, spans, PerCaller.read))

    async def cells(self, since: float) -> list[Cell]:
        def work(connection: Connection) -> list[Cell]:
            rows = connection.execute(_CELLS, (HOUR, since))
            return [_decode_cell(row[0]) for row in rows if not _is_of_callers(row[0])]

        return await self._do(work)

    async def entries(self, most: int) -> list[Entry]:
        def work(connection: Connection) -> list[Entry]:
            rows = connection.execute("SELECT entry FROM samples ORDER BY at DESC LIMIT ?", (most,))
            return self._entries(connection, [row[0] for row in rows])

        return await self._do(work)

    async def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        return await self._do(lambda connection: self._entries_of(connection, ids))

    def _entries_of(self, connection: Connection, ids: Sequence[str]) -> dict[str, Entry]:
        blobs = [row[0] for row in _of_ids(connection, "entry", ids)]
        return {entry.id: entry for entry in self._entries(connection, blobs)}

    def _entries(self, connection: Connection, blobs: Sequence[bytes], *, scores: bool = True) -> list[Entry]:
        if not scores:
            return [self._reader.head(blob) for blob in blobs]
        try:
            return [self._reader.read(blob) for blob in blobs]
        except UnknownColumnError:  # another process has added it
            self._reader.learn(dict(connection.execute("SELECT key, column_of FROM columns")))
            return [self._reader.read(blob) for blob in blobs]

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        by_sample: dict[str, list[SecondOpinion]] = {}
        for opinion in opinions:
            by_sample.setdefault(opinion.sample, []).append(opinion)

        def work(connection: Connection) -> list[SecondOpinion]:
            connection.execute("BEGIN IMMEDIATE")  # nobody gives an opinion on the same samples meanwhile
            known = self._entries_of(connection, list(by_sample))
            given = [(entry, _given(connection, id), by_sample[id]) for id, entry in known.items()]
            self._add_sums(connection, *changes(given))
            for entry, _, more in given:
                for opinion in more:
                    _opine(connection, entry, opinion)
            return [opinion for opinion in opinions if opinion.sample not in known]

        return await self._with_room(work)

    async def opinions(
        self, since: float, until: float, most: int, kind: Kind | None = None, *, scores: bool = True
    ) -> list[tuple[SecondOpinion, Entry]]:
        def work(connection: Connection) -> list[tuple[SecondOpinion, Entry]]:
            rows = connection.execute(_OPINIONS, (since, until, most, kind)).fetchall()
            entries = self._entries(connection, [entry for _, entry in rows], scores=scores)
            return [(_decode_opinion(row[0]), entry) for row, entry in zip(rows, entries, strict=True)]

        return await self._do(work)

    async def put(self, items: Sequence[Waiting]) -> None:
        def work(connection: Connection) -> None:
            for item in items:
                key = (item.kind, draw_of(item.sample), item.sample)
                row = (*key, item.at, item.wanted, "", 0.0, _encode(item))
                connection.execute("INSERT OR IGNORE INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
                connection.execute(_SETTLE, key)
            for kind in {item.kind for item in items}:
                connection.execute(_LEAVE_LATEST, (kind, MOST_WAITING))

        await self._do(work)

    async def waiting(self, kind: Kind, most: int) -> list[Waiting]:
        def work(connection: Connection) -> list[Waiting]:
            rows = connection.execute("SELECT item FROM waiting WHERE kind = ? ORDER BY draw LIMIT ?", (kind, most))
            return [_decode_item(row[0]) for row in rows]

        return await self._do(work)

    async def count_waiting(self, kind: Kind) -> int:
        def work(connection: Connection) -> int:
            return int(connection.execute("SELECT COUNT(*) FROM waiting WHERE kind = ?", (kind,)).fetchone()[0])

        return await self._do(work)

    async def one(self, kind: Kind, sample: str) -> tuple[Waiting | None, list[SecondOpinion]]:
        def work(connection: Connection) -> tuple[Waiting | None, list[SecondOpinion]]:
            key = (kind, draw_of(sample), sample)
            row = connection.execute(
                "SELECT item FROM waiting WHERE kind = ? AND draw = ? AND sample = ?", key
            ).fetchone()
            given = [opinion for opinion in _given(connection, sample) if opinion.kind == kind]
            return (_decode_item(row[0]) if row else None), given

        return await self._do(work)

    async def hold(self, kind: Kind, by: str, most: int, now: float, seconds: float) -> list[Waiting]:
        def work(connection: Connection) -> list[Waiting]:
            connection.execute("BEGIN IMMEDIATE")  # nobody else takes the same ones meanwhile
            asked = {"kind": kind, "now": now, "by": by, "most": most, "longest": LONGEST_HOLD}
            rows = connection.execute(_FREE, asked).fetchall()
            connection.executemany(
                "UPDATE waiting SET held_by = ?, held_until = ? WHERE kind = ? AND draw = ? AND sample = ?",
                [(by, now + seconds, kind, draw, sample) for draw, sample, _ in rows],
            )
            return [_decode_item(item) for _, _, item in rows]

        return await self._do(work)

    async def prune(self, now: float) -> None:
        def work(connection: Connection) -> None:
            oldest = now - self._days * _DAY
            for table, column in _TABLES:
                connection.execute(f"DELETE FROM {table} WHERE {column} < ?", (oldest,))
            connection.execute("DELETE FROM waiting WHERE NOT EXISTS (SELECT 1 FROM samples WHERE id = sample)")
            for width, seconds in SUMS_KEPT.items():
                connection.execute("DELETE FROM bucket_sums WHERE width = ? AND start < ?", (width, now - seconds))
            self._make_small(connection, now)

        await self._with_room(work)
        for _ in range(_ROLLS_A_PRUNE):
            if await self._with_room(lambda connection: _roll_up(connection, now)) < _ROLLS:
                break
        await self._do(lambda connection: connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall())

    async def believed(self) -> Believed | None:
        def work(connection: Connection) -> Believed | None:
            row = connection.execute("SELECT time FROM believed").fetchone()
            return None if row is None else _decode_believed(row[0])

        return await self._do(work)

    async def believe(self, time: Believed) -> None:
        put = "INSERT OR REPLACE INTO believed VALUES (1, ?)"
        await self._do(lambda connection: connection.execute(put, (_encode(time),)))

    def _add_sums(self, connection: Connection, more: Buckets, each: CallerBuckets) -> None:
        names = {cell: _encode(cell) for _, _, cell in (*more, *each)}
        wider = [(width, names[cell], start) for width, start, cell in wider_buckets((*more, *each))]
        connection.executemany(_NO_SUM, wider)
        connection.executemany(_CHANGED, wider)
        rows = [_with(connection, (width, names[cell], start), sums) for (width, start, cell), sums in more.items()]
        rows += [_with(connection, (width, names[cell], start), sums) for (width, start, cell), sums in each.items()]
        connection.executemany(_PUT_SUM, rows)
        self._loose.update(row[:3] for row in rows)

    def _make_small(self, connection: Connection, now: float) -> None:
        """Compress the sums of complete buckets: they hardly change any more."""
        for key in [key for key in self._loose if key[2] + 2 * key[0] < now]:
            self._loose.discard(key)
            row = connection.execute(_ONE_SUM, key).fetchone()
            if row is not None:
                kept = PerCaller if _is_of_callers(key[1]) else Packed
                connection.execute(_PUT_SUM, (*key, kept.read(row[0]).blob(small=True)))

    @staticmethod
    def _drop_oldest(connection: Connection) -> bool:
        """Delete the oldest tenth of the samples or, when there are none, of the next of _TABLES. False when there is
        nothing to delete."""
        for table, column in _TABLES:
            tenth = f"SELECT {column} FROM {table} ORDER BY {column} LIMIT 1 OFFSET (SELECT COUNT(*) / 10 FROM {table})"
            row = connection.execute(tenth).fetchone()
            if row is not None:
                connection.execute(f"DELETE FROM {table} WHERE {column} <= ?", row)
                return True
        return False

    async def _do(self, work: Callable[[Connection], _T]) -> _T:
        try:
            return await self._file.do(work)
        except (*FAILURES, msgspec.DecodeError) as error:
            what = f"{self._path}: {error}; free space in its folder or repair it, samples wait in memory until then"
            raise LedgerError(what) from error

    async def close(self) -> None:
        await self._file.close()


def _known(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Those of the ids that are stored."""
    return [row[0] for row in _of_ids(connection, "id", ids)]


def _of_ids(connection: Connection, columns: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for first in range(0, len(ids), _IDS_AT_ONCE):
        asked = ids[first : first + _IDS_AT_ONCE]
        marks = ",".join("?" * len(asked))
        yield from connection.execute(f"SELECT {columns} FROM samples WHERE id IN ({marks})", asked)


def _is_of_callers(name: bytes) -> bool:
    return name.startswith(_OF_CALLERS, 1)  # after the byte that says how many values the cell has


def _with(connection: Connection, key: _Key, more: _Sums) -> tuple[int, bytes, int, bytes]:
    """The row to store: what is stored now plus `more`."""
    row = connection.execute(_ONE_SUM, key).fetchone()
    return (*key, (type(more).read(row[0]).plus(more) if row else more).blob())


def _sums(
    connection: Connection, name: bytes, width: int, spans: Sequence[Span], read: Callable[[bytes], _T]
) -> list[tuple[int, _T]]:
    """The buckets of a cell within these spans, with their start; `name` is the cell as it is stored."""
    rows = (row for since, until in spans for row in connection.execute(_SUMS, (width, name, since, until)))
    return [(start, read(blob)) for start, blob in rows]


def _roll_up(connection: Connection, now: float) -> int:
    """Roll up some of the complete buckets that have changed; returns how many."""
    connection.execute("BEGIN IMMEDIATE")  # nobody adds to what is read
    complete = connection.execute(_COMPLETE, (now, _ROLLS)).fetchall()
    for width, name, start in complete:
        within = (connection, name, ROLLED_UP[width], [(start, start + width)])
        each = _is_of_callers(name)
        sums = per_caller(_sums(*within, PerCaller.read)) if each else rolled_up(_sums(*within, Packed.read))
        if sums is not None:
            connection.execute(_PUT_SUM, (width, name, start, sums.blob(small=True)))
        connection.execute("DELETE FROM changed WHERE width = ? AND cell = ? AND start = ?", (width, name, start))
    return len(complete)


def _opine(connection: Connection, entry: Entry, opinion: SecondOpinion) -> None:
    row = (opinion.sample, opinion.kind, opinion.name, entry.at, _encode(opinion))
    connection.execute("INSERT OR REPLACE INTO opinions VALUES (?, ?, ?, ?, ?)", row)
    item = (opinion.kind, draw_of(opinion.sample), opinion.sample)
    connection.execute(_SETTLE, item)
    connection.execute(_RELEASE, item)


def _given(connection: Connection, sample: str) -> list[SecondOpinion]:
    rows = connection.execute("SELECT opinion FROM opinions WHERE sample = ?", (sample,))
    return [_decode_opinion(row[0]) for row in rows]
