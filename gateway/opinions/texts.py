"""The texts of drawn samples, where the operator lets them be kept: a bounded file in `state_dir`, for `assay export`.

They go with their sample: after `days`, or earlier when the file is full.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from gateway.stores.sqlite import FAILURES, Connection, SqliteFile

log = logging.getLogger("assay")

FILE = "texts.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS texts (sample TEXT PRIMARY KEY, at REAL NOT NULL, texts BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS texts_at ON texts (at);
"""
_FLUSH_SECONDS = 1.0
_PRUNE_EVERY = 60  # flushes
_MOST_WAITING = 500
_FULL = 0.8
_DAY = 86_400.0
Keep = Callable[[str, float, dict[str, str]], None]  # a sample's id, its time in Unix seconds, its texts by side
_Row = tuple[str, float, bytes]


class Texts:
    """`keep` never waits and never raises; `run` writes. `clock` is Unix seconds."""

    def __init__(self, folder: Path, *, days: float, most_bytes: int, clock: Callable[[], float]) -> None:
        self._file = SqliteFile(folder / FILE, _SCHEMA, most_bytes)
        self._seconds = days * _DAY
        self._clock = clock
        self._waiting: list[_Row] = []

    def keep(self, sample: str, at: float, texts: dict[str, str]) -> None:
        """Texts by side. The oldest of too many that wait are dropped."""
        self._waiting = [*self._waiting, (sample, at, msgspec.json.encode(texts))][-_MOST_WAITING:]

    async def run(self) -> None:
        """Write until cancelled, and once more then."""
        turns = 0
        try:
            while True:
                await asyncio.sleep(_FLUSH_SECONDS)
                await self.flush(prune=turns % _PRUNE_EVERY == 0)
                turns += 1
        finally:
            await self.flush()
            await self._file.close()

    async def flush(self, *, prune: bool = False) -> None:
        """Write what waits; what cannot be written waits on."""
        batch, self._waiting = self._waiting, []
        if not batch and not prune:
            return
        oldest = self._clock() - self._seconds

        def work(connection: Connection) -> None:
            connection.execute("DELETE FROM texts WHERE at < ?", (oldest,))
            for row in batch:
                while self._file.used_share(connection) > _FULL and _drop_oldest(connection):
                    pass
                connection.execute("INSERT OR IGNORE INTO texts VALUES (?, ?, ?)", row)

        try:
            await self._file.do(work)
        except FAILURES as error:
            log.warning("texts for the review cannot be written: %s", error)
            self._waiting = [*batch, *self._waiting][-_MOST_WAITING:]

    async def of(self, samples: Iterable[str]) -> dict[str, dict[str, str]]:
        """By sample, of those that are there. Raises one of `stores.sqlite.FAILURES`."""
        await self.flush()

        wanted = list(samples)

        def work(connection: Connection) -> dict[str, dict[str, str]]:
            one = "SELECT texts FROM texts WHERE sample = ?"
            rows = {sample: connection.execute(one, (sample,)).fetchone() for sample in wanted}
            return {sample: msgspec.json.decode(row[0], type=dict[str, str]) for sample, row in rows.items() if row}

        return await self._file.do(work)


def _drop_oldest(connection: Connection) -> bool:
    """A tenth; False when there is nothing."""
    row = connection.execute(
        "SELECT at FROM texts ORDER BY at LIMIT 1 OFFSET (SELECT COUNT(*) / 10 FROM texts)"
    ).fetchone()
    if row is not None:
        connection.execute("DELETE FROM texts WHERE at <= ?", row)
    return row is not None
