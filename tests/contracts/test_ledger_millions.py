"""A million items: what they may take is bounded, in memory, in the file and in steps, whoever sends them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.trust import ledger as bounds
from gateway.trust.ledger import MOST_WAITING, Entry, Ledger, LedgerError, Score
from gateway.trust.second_opinion import Waiting
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.fakes import Counts
from tests.support.worlds.ledgers import DAY, HOUR, MIB, NOON, judged

pytestmark = [pytest.mark.slow, pytest.mark.real_time]
MILLION = 1_000_000


class Away:
    """A store that cannot be used, and counts who tries."""

    tried = 0

    async def add(self, entries: object) -> None:
        self.tried += 1
        raise LedgerError("it is away")


async def test_a_million_samples_that_cannot_be_written_take_the_room_of_some() -> None:
    counts, store = Counts("assay_ledger_samples_total"), Away()
    ledger = Ledger(store, clock=lambda: NOON)  # type: ignore[arg-type]
    each = judged("s")
    for _ in range(MILLION):
        ledger.take(each)
    await ledger.flush()
    most = bounds._MOST_UNWRITTEN  # noqa: SLF001 - the bound that is tested
    assert counts.added() == {("dropped",): MILLION - most}
    assert (len(ledger._waiting), store.tried) == (most, 1)  # noqa: SLF001


async def test_a_million_drawn_samples_that_cannot_be_written_take_the_room_of_some() -> None:
    ledger = Ledger(Away(), clock=lambda: NOON)  # type: ignore[arg-type]
    item = Waiting("s", NOON, "person", 0.25, "doubt", "prompt", "violence")
    for _ in range(MILLION):
        ledger.put(item)
    assert len(ledger._drawn) == bounds._MOST_DRAWN_UNWRITTEN  # noqa: SLF001


def samples(number: int) -> Iterator[Entry]:
    """Twenty a second."""
    scores = [Score("prompt", "violence", 0.5, False, "words@1")]
    for at in range(number):
        about = "r", f"m{at % 3}", f"c{at % 5}", "en", "chat", ""
        yield Entry.of(f"s{at}", NOON - (number - at) / 20, 1.0, *about, scores=scores)


class Steps:
    """Counts what SQLite does, in thousands of its steps."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.count = 0

    async def begin(self) -> None:
        await self._store._file.do(lambda connection: connection.set_progress_handler(self._step, 1000))  # noqa: SLF001

    def _step(self) -> int:
        self.count += 1
        return 0

    def taken(self) -> int:
        found, self.count = self.count, 0
        return found


async def test_the_file_and_the_work_do_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    """As many as fill the file several times over: the last ones cost as many steps as the first ones did, a window is
    read in as many, and no page is beyond the bound. Making room, for some batches at once, costs most."""
    path, most = tmp_path / "ledger.db", 8 * MIB
    store = SqliteStore(path, days=30, most_bytes=most)
    ledger = Ledger(store, clock=lambda: NOON)
    steps = Steps(store)
    await steps.begin()
    adding, reading = [], []
    batch: list[Entry] = []
    for entry in samples(120_000):
        batch.append(entry)
        if len(batch) == 2_000:
            await store.add(batch)
            await store.prune(entry.at)
            adding.append(steps.taken())
            await ledger.window("1h")
            reading.append(steps.taken())
            assert path.stat().st_size <= most
            batch = []
    assert max(adding) <= 4 * max(adding[:10])
    assert max(reading) <= 100
    kept = await ledger.entries(MILLION)
    assert 1_000 < len(kept) < 100_000
    assert kept[0].id == "s119999"
    await store.close()


async def test_of_a_million_drawn_samples_the_latest_wait(tmp_path: Path) -> None:
    """Three times as many as may wait; a look at the first of them does not read the others."""
    store = SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=64 * MIB)
    steps = Steps(store)
    await steps.begin()
    for first in range(0, 3 * MOST_WAITING, 1_000):
        await store.put([
            Waiting(f"s{at}", NOON - DAY + at, "person", 0.25, "doubt", "prompt", "violence")
            for at in range(first, first + 1_000)
        ])  # fmt: skip
    assert await store.count_waiting("person") == MOST_WAITING
    steps.taken()
    found = await store.hold("person", "ann", 5, NOON, HOUR)
    assert all(item.at >= NOON - DAY + 2 * MOST_WAITING for item in found)
    assert (len(found), steps.taken() <= 1) == (5, True)
    await store.close()
