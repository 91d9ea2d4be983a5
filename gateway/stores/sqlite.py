"""The only place that opens SQLite: a file that several processes share, used from a thread of its own."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

log = logging.getLogger("assay")

Connection = sqlite3.Connection
FAILURES = (sqlite3.Error, OSError)
SQLITE_FULL = sqlite3.SQLITE_FULL
_T = TypeVar("_T")
_PAGE_BYTES = 4096
_BUSY_SECONDS = 2.0


class SqliteFile:
    """A file that is opened at its first use, and again after a failure. `schema` creates missing tables; the file
    grows to `most_bytes` at most. A damaged file is renamed to `*.broken`, and a new one is begun.
    """

    def __init__(self, path: Path, schema: str, most_bytes: int) -> None:
        self._path = path
        self._schema = schema
        self._most_pages = max(64, most_bytes // _PAGE_BYTES)
        self._connection: Connection | None = None
        self._inode = 0  # of the file that is open
        self._thread = ThreadPoolExecutor(1, "ledger")

    async def do(self, work: Callable[[Connection], _T]) -> _T:
        """Run this in a transaction, off the event loop. Raises one of FAILURES; then nothing was changed.

        The transaction begins with the first statement that writes: work that decides by what it reads must begin it
        itself, with BEGIN IMMEDIATE.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def _do(self, work: Callable[[Connection], _T]) -> _T:
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection:
                return work(self._connection)
        except sqlite3.DatabaseError as error:
            self._shut()
            if not isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError):
                self._set_aside(error)
            raise

    def _open(self) -> Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600, exist_ok=True)
        self._inode = self._path.stat().st_ino
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 4194304")
            connection.execute(f"PRAGMA max_page_count = {self._most_pages}")
            connection.executescript(self._schema)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _set_aside(self, error: Exception) -> None:
        """Rename the damaged file. If another process has done so already, the next try opens the new one."""
        if not self._path.exists() or self._path.stat().st_ino != self._inode:
            return
        broken = self._path.with_name(self._path.name + ".broken")
        log.error("%s is damaged (%s); it is kept as %s, and a new one begun", self._path, error, broken.name)
        for ending in ("-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        self._path.replace(broken)

    def used_share(self, connection: Connection) -> float:
        """How much of the bound is filled, from 0 to 1."""
        pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return float((pages - free) / self._most_pages)

    def _shut(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._shut)
        self._thread.shutdown(wait=False)
