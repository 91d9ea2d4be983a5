"""The texts of drawn samples, if the operator allows them to be kept: a bounded file in `state_dir`, for `assay
export`.

Texts are deleted after `days`, as their samples are, or earlier when the file is full.
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
    """`keep` never blocks and never raises; `run` writes. `clock` gives Unix seconds."""

    def __init__(self, folder: Path, *, days: float, most_bytes: int, clock: Callable[[], float]) -> None:
        self._path = folder / FILE
        self._file = SqliteFile(self._path, _SCHEMA, most_bytes)
        self._seconds = days * _DAY
        self._clock = clock
        self._waiting: list[_Row] = []
        self._is_failing = False

    def keep(self, sample: str, at: float, texts: dict[str, str]) -> None:
        """Keep a sample's texts, by side. If too many wait the oldest are dropped."""
        self._waiting = [*self._waiting, (sample, at, msgspec.json.encode(texts))][-_MOST_WAITING:]

    async def run(self) -> None:
        """Write until cancelled, and once more at the end."""
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
        """Write what waits. Texts that cannot be written go on waiting; the log says so once."""
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
            if not self._is_failing:  # the transition only, not every second
                log.warning("texts for `assay export` cannot be written to %s, and wait: %s", self._path, error)
            self._is_failing = True
            self._waiting = [*batch, *self._waiting][-_MOST_WAITING:]
        else:
            if self._is_failing:
                log.warning("texts for `assay export` are written to %s again", self._path)
            self._is_failing = False

    async def of(self, samples: Iterable[str]) -> dict[str, dict[str, str]]:
        """The texts of those samples that have any. Raises one of `stores.sqlite.FAILURES`."""
        await self.flush()

        wanted = list(samples)

        def work(connection: Connection) -> dict[str, dict[str, str]]:
            one = "SELECT texts FROM texts WHERE sample = ?"
            rows = {sample: connection.execute(one, (sample,)).fetchone() for sample in wanted}
            return {sample: msgspec.json.decode(row[0], type=dict[str, str]) for sample, row in rows.items() if row}

        return await self._file.do(work)


def _drop_oldest(connection: Connection) -> bool:
    """Delete the oldest tenth; False when there is nothing to delete."""
    row = connection.execute(
        "SELECT at FROM texts ORDER BY at LIMIT 1 OFFSET (SELECT COUNT(*) / 10 FROM texts)"
    ).fetchone()
    if row is not None:
        connection.execute("DELETE FROM texts WHERE at <= ?", row)
    return row is not None
