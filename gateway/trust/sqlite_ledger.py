"""The ledger in a file: for the gateways of one machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.stores.sqlite import FAILURES, Connection, SqliteFile
from gateway.trust.estimates import Weights
from gateway.trust.ledger import MINUTE, MINUTES_KEPT, Entry, LedgerError, Sums, buckets

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (id TEXT UNIQUE, at REAL NOT NULL, entry BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS samples_at ON samples (at);
CREATE TABLE IF NOT EXISTS sums (
  width INTEGER, start INTEGER, route TEXT, model TEXT, slug TEXT, direction TEXT,
  total REAL NOT NULL, squared REAL NOT NULL, flagged REAL NOT NULL, flagged_squared REAL NOT NULL,
  PRIMARY KEY (width, start, route, model, slug, direction)
) WITHOUT ROWID;
"""
_ADD = """
INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET total = total + excluded.total, squared = squared + excluded.squared,
  flagged = flagged + excluded.flagged, flagged_squared = flagged_squared + excluded.flagged_squared
"""
_SUM = """
SELECT route, model, slug, direction, SUM(total), SUM(squared), SUM(flagged), SUM(flagged_squared)
FROM sums WHERE width = ? AND start >= ? AND start < ? GROUP BY route, model, slug, direction
"""
_FULL = 0.8  # of the bound, from which the oldest tenth goes
_VACUUM_PAGES = 2_000
_DAY = 86_400
_T = TypeVar("_T")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class SqliteStore:
    """A Store. `days` and `most_bytes` bound what is kept."""

    def __init__(self, path: Path, *, days: float, most_bytes: int) -> None:
        self._file = SqliteFile(path, _SCHEMA, most_bytes)
        self._days = days

    async def add(self, entries: Sequence[Entry]) -> None:
        def work(connection: Connection) -> None:
            while self._file.used_share(connection) > _FULL and self._drop_oldest(connection):
                pass
            new = [entry for entry in entries if _insert(connection, entry)]
            connection.executemany(
                _ADD,
                [
                    (width, start, *key, w.total, w.squared, w.flagged, w.flagged_squared)
                    for (width, start), sums in buckets(new).items()
                    for key, w in sums.items()
                ],
            )

        await self._do(work)

    async def sums(self, width: int, since: float, until: float) -> Sums:
        def work(connection: Connection) -> Sums:
            rows = connection.execute(_SUM, (width, since, until))
            return {(route, model, slug, way): Weights(*sums) for route, model, slug, way, *sums in rows}

        return await self._do(work)

    async def entries(self, most: int) -> list[Entry]:
        def work(connection: Connection) -> list[Entry]:
            rows = connection.execute("SELECT entry FROM samples ORDER BY at DESC LIMIT ?", (most,))
            return [_decode(row[0]) for row in rows]

        return await self._do(work)

    async def prune(self, now: float) -> None:
        def work(connection: Connection) -> None:
            oldest = now - self._days * _DAY
            connection.execute("DELETE FROM samples WHERE at < ?", (oldest,))
            connection.execute("DELETE FROM sums WHERE start < ?", (oldest,))
            connection.execute("DELETE FROM sums WHERE width = ? AND start < ?", (MINUTE, now - MINUTES_KEPT))

        await self._do(work)
        await self._do(lambda connection: connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall())

    @staticmethod
    def _drop_oldest(connection: Connection) -> bool:
        """A tenth of the samples; when there are none, of the sums. False when there is nothing at all."""
        (samples,) = connection.execute("SELECT COUNT(*) FROM samples").fetchone()
        tenth = "SELECT {0} FROM {1} ORDER BY {0} LIMIT 1 OFFSET (SELECT COUNT(*) / 10 FROM {1})"
        table, column = ("samples", "at") if samples else ("sums", "start")
        row = connection.execute(tenth.format(column, table)).fetchone()
        if row is not None:
            connection.execute(f"DELETE FROM {table} WHERE {column} <= ?", row)
        return row is not None

    async def _do(self, work: Callable[[Connection], _T]) -> _T:
        try:
            return await self._file.do(work)
        except (*FAILURES, msgspec.DecodeError) as error:
            raise LedgerError(str(error)) from error

    async def close(self) -> None:
        await self._file.close()


def _insert(connection: Connection, entry: Entry) -> bool:
    """False when it was there already."""
    return (
        connection.execute(
            "INSERT OR IGNORE INTO samples VALUES (?, ?, ?)", (entry.id, entry.at, _encode(entry))
        ).rowcount
        == 1
    )
