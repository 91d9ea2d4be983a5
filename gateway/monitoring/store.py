"""Stores of sketches and changes: a file for the processes of one machine, or Redis for those of many.

Each process writes only its own sketches of an hour, again and again as they grow. So it need not read before it
writes, and a process that dies loses only what it had not written.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from detectors.monitors.sketch import Sketch
from gateway.monitoring.changes import Change
from gateway.monitoring.findings import LookReports
from gateway.stores.redis import DOWN, answer_of, connect
from gateway.stores.sqlite import FAILURES, Connection, SqliteFile

HOUR = 3600
MOST_CHANGES = 200
_MOST_BYTES = 256 * 2**20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sketches (
  start INTEGER, writer TEXT, sketch BLOB NOT NULL, PRIMARY KEY (start, writer)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (at REAL, change BLOB, PRIMARY KEY (at, change)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reference (id INTEGER PRIMARY KEY, change BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS findings (id INTEGER PRIMARY KEY, findings BLOB NOT NULL);
"""
_WROTE = "INSERT INTO marks VALUES ('written', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
# A claim that reaches further ahead than any new one was made before the clock was set back, and does not count.
_CLAIM = """
INSERT INTO marks VALUES ('look', ?1 + ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value
WHERE value <= ?1 OR value > ?1 + ?2
"""
_SKETCHES = "{assay:monitors}:sketches:"  # followed by the hour: the sketches of each process
_CHANGES = "{assay:monitors}:changes"  # by their time
_REFERENCE = "{assay:monitors}:reference"  # the window that is pinned
_WRITTEN = "{assay:monitors}:written"  # counts writes
_LOOK = "{assay:monitors}:look"  # exists while a look is claimed
_FINDINGS = "{assay:monitors}:findings"
_T = TypeVar("_T")

_encode = msgspec.msgpack.Encoder().encode
_decode_sketch = msgspec.msgpack.Decoder(Sketch).decode
_decode_findings = msgspec.msgpack.Decoder(LookReports).decode
_decode_change = msgspec.msgpack.Decoder(Change).decode


class MonitorError(Exception):
    """The store cannot be used now; the message says why."""


class SketchPlace(msgspec.Struct):
    """Where the sketches are: in `file`, or at the URL `redis`, where they are kept for `days`. `ledger` is the file of
    the ledger, empty where its second opinions are not wanted; with `redis` the ledger is in the same Redis."""

    file: str = ""
    redis: str = ""
    days: float = 15.0
    ledger: str = ""


class SketchStore(Protocol):
    """tests/contracts/test_sketches.py is the contract. All raise MonitorError."""

    async def put(self, start: int, writer: str, sketch: bytes) -> None:
        """Store a writer's sketch (msgpack) of the hour that begins at `start`, in place of its earlier one. A process
        uses a different writer's name for each of its sketches."""
        ...

    async def sketches(self, since: float, until: float) -> list[tuple[int, Sketch]]:
        """The sketches of all processes, with the hours that begin in the half-open range, in the order of time."""
        ...

    async def tell(self, change: Change) -> None:
        """Keep a change; of too many the oldest are dropped. A reference replaces the one before it, and stays."""
        ...

    async def changes(self) -> list[Change]:
        """All that are kept: the reference, if there is one, then the changes, the latest first."""
        ...

    async def prune(self, oldest: float) -> None:
        """Forget the sketches of hours that begin before `oldest`."""
        ...

    async def written(self) -> int:
        """A number that grows whenever a sketch or a change is written."""
        ...

    async def claim(self, now: float, seconds: float) -> bool:
        """Whether this process may look now: only one of all processes may, once in so many seconds. `now` is Unix
        seconds."""
        ...

    async def keep(self, findings: LookReports) -> None:
        """Store findings in place of the earlier ones."""
        ...

    async def findings(self) -> LookReports | None:
        """The findings that any process kept last; None where there are none, or another release wrote them."""
        ...

    async def close(self) -> None: ...


class SqliteSketches:
    """A Store in a file."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _SCHEMA, _MOST_BYTES)

    async def put(self, start: int, writer: str, sketch: bytes) -> None:
        def work(file: Connection) -> None:
            file.execute("INSERT OR REPLACE INTO sketches VALUES (?, ?, ?)", (start, writer, sketch))
            file.execute(_WROTE)

        await self._do(work)

    async def sketches(self, since: float, until: float) -> list[tuple[int, Sketch]]:
        def work(file: Connection) -> list[tuple[int, Sketch]]:
            rows = file.execute(
                "SELECT start, sketch FROM sketches WHERE start >= ? AND start < ? ORDER BY start", (since, until)
            )
            return [(start, _decode_sketch(blob)) for start, blob in rows]

        return await self._do(work)

    async def tell(self, change: Change) -> None:
        def work(file: Connection) -> None:
            if change.kind == "reference":
                file.execute("INSERT OR REPLACE INTO reference VALUES (1, ?)", (_encode(change),))
            else:
                file.execute("INSERT OR IGNORE INTO changes VALUES (?, ?)", (change.at, _encode(change)))
                file.execute(
                    "DELETE FROM changes WHERE at < (SELECT at FROM changes ORDER BY at DESC LIMIT 1 OFFSET ?)",
                    (MOST_CHANGES - 1,),
                )
            file.execute(_WROTE)

        await self._do(work)

    async def changes(self) -> list[Change]:
        def work(file: Connection) -> list[Change]:
            rows = file.execute("SELECT change FROM reference").fetchall()
            rows += file.execute("SELECT change FROM changes ORDER BY at DESC").fetchall()
            return [_decode_change(row[0]) for row in rows]

        return await self._do(work)

    async def prune(self, oldest: float) -> None:
        await self._do(lambda file: file.execute("DELETE FROM sketches WHERE start < ?", (oldest,)))

    async def written(self) -> int:
        row = await self._do(lambda file: file.execute("SELECT value FROM marks WHERE name = 'written'").fetchone())
        return int(row[0]) if row else 0

    async def claim(self, now: float, seconds: float) -> bool:
        return await self._do(lambda file: file.execute(_CLAIM, (now, seconds)).rowcount) == 1

    async def keep(self, findings: LookReports) -> None:
        row = (_encode(findings),)
        await self._do(lambda file: file.execute("INSERT OR REPLACE INTO findings VALUES (1, ?)", row))

    async def findings(self) -> LookReports | None:
        row = await self._do(lambda file: file.execute("SELECT findings FROM findings").fetchone())
        return _found(row[0]) if row else None

    async def _do(self, work: Callable[[Connection], _T]) -> _T:
        try:
            return await self._file.do(work)
        except (*FAILURES, msgspec.DecodeError) as error:
            raise MonitorError(str(error)) from error

    async def close(self) -> None:
        await self._file.close()


class RedisSketches:
    """A Store in Redis that keeps sketches for so many days. Raises ValueError for what is not a Redis URL."""

    def __init__(self, url: str, *, days: float, answer_seconds: float = 2.0) -> None:
        self._client = connect(url, answer_seconds)
        self._seconds = int(days * 24 * HOUR)

    async def put(self, start: int, writer: str, sketch: bytes) -> None:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hset(f"{_SKETCHES}{start}", writer, sketch)
        pipeline.expire(f"{_SKETCHES}{start}", self._seconds)
        pipeline.incr(_WRITTEN)
        await self._ask(pipeline.execute())

    async def sketches(self, since: float, until: float) -> list[tuple[int, Sketch]]:
        first = -int(-max(since, until - self._seconds) // HOUR) * HOUR  # older ones have expired
        starts = [start for start in range(first, int(until) + HOUR, HOUR) if start < until]
        pipeline = self._client.pipeline(transaction=False)
        for start in starts:
            pipeline.hvals(f"{_SKETCHES}{start}")
        answers: Sequence[Sequence[bytes]] = await self._ask(pipeline.execute()) if starts else []
        return [
            (start, self._of(_decode_sketch, blob))
            for start, blobs in zip(starts, answers, strict=True)
            for blob in blobs
        ]

    async def tell(self, change: Change) -> None:
        pipeline = self._client.pipeline(transaction=True)
        if change.kind == "reference":
            pipeline.set(_REFERENCE, _encode(change))
        else:
            pipeline.zadd(_CHANGES, {_encode(change): change.at})
            pipeline.zremrangebyrank(_CHANGES, 0, -MOST_CHANGES - 1)
        pipeline.incr(_WRITTEN)
        await self._ask(pipeline.execute())

    async def changes(self) -> list[Change]:
        pinned = await self._ask(self._client.get(_REFERENCE))
        known = await self._ask(self._client.zrevrange(_CHANGES, 0, -1))
        return [self._of(_decode_change, blob) for blob in ([pinned] if pinned else []) + known]

    async def prune(self, oldest: float) -> None:
        """Nothing to do: they expire in Redis by themselves."""

    async def written(self) -> int:
        return int(await self._ask(self._client.get(_WRITTEN)) or 0)

    async def claim(self, now: float, seconds: float) -> bool:
        """The seconds are counted by the clock of Redis."""
        return bool(await self._ask(self._client.set(_LOOK, str(now), nx=True, px=max(1, int(1000 * seconds)))))

    async def keep(self, findings: LookReports) -> None:
        await self._ask(self._client.set(_FINDINGS, _encode(findings), ex=self._seconds))

    async def findings(self) -> LookReports | None:
        blob = await self._ask(self._client.get(_FINDINGS))
        return _found(blob) if blob else None

    @staticmethod
    def _of(decode: Callable[[bytes], _T], blob: bytes) -> _T:
        try:
            return decode(blob)
        except msgspec.DecodeError as error:
            raise MonitorError(f"Redis holds data that another release of Assay wrote: {error}") from error

    async def _ask(self, request: Awaitable[Any]) -> Any:
        try:
            return await answer_of(request)
        except DOWN as error:
            raise MonitorError(f"Redis: {error}") from error

    async def close(self) -> None:
        await self._client.aclose()


def _found(blob: bytes) -> LookReports | None:
    try:
        return _decode_findings(blob)
    except msgspec.DecodeError:
        return None


def open_store(place: SketchPlace) -> SketchStore:
    """Raises ValueError for something that is not a Redis URL."""
    return RedisSketches(place.redis, days=place.days) if place.redis else SqliteSketches(Path(place.file))
