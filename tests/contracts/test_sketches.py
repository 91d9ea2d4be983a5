"""What every store of sketches promises, whichever it is."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from detectors.monitors.sketch import Sketch
from gateway.monitoring.changes import Change
from gateway.monitoring.findings import LookReports, Report
from gateway.monitoring.store import HOUR, MOST_CHANGES, MonitorError, RedisSketches, SketchStore, SqliteSketches
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.redis_server import RedisServer, needs_redis

pytestmark = pytest.mark.real_time
Open = Callable[[], SketchStore]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=[pytest.mark.server, needs_redis])])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Gives another door to the same store each time, as other processes have."""
    if request.param == "sqlite":
        return lambda: SqliteSketches(tmp_path / "monitors.db")
    server: RedisServer = request.getfixturevalue("ledger_server")
    server.empty()
    return lambda: RedisSketches(server.url, days=15, answer_seconds=PATIENCE_SECONDS)


def sketch(n: float) -> bytes:
    return msgspec.msgpack.encode(Sketch(means={("all", "refusal", "r"): [n, n, n, 0.0, 0.0, 0.0]}))


async def test_each_process_writes_its_own_and_reads_all(opened: Open) -> None:
    one, other = opened(), opened()
    await one.put(0, "one", sketch(1))
    await one.put(0, "one", sketch(3))
    await other.put(0, "other", sketch(5))
    await other.put(2 * HOUR, "other", sketch(7))
    found = [(start, each.means["all", "refusal", "r"][0]) for start, each in await one.sketches(0, 3 * HOUR)]
    assert sorted(found) == [(0, 3.0), (0, 5.0), (2 * HOUR, 7.0)]
    assert [start for start, _ in await one.sketches(HOUR, 2 * HOUR)] == []
    assert [start for start, _ in await one.sketches(1, 9 * HOUR)] == [2 * HOUR]
    for store in (one, other):
        await store.close()


async def test_changes_are_kept_the_latest_first(opened: Open) -> None:
    store = opened()
    for at in range(MOST_CHANGES + 5):
        await store.tell(Change(float(at), "model", f"m{at}", "chat"))
    await store.tell(Change(float(MOST_CHANGES), "model", f"m{MOST_CHANGES}", "chat"))
    found = await store.changes()
    assert len(found) == MOST_CHANGES
    assert found[0] == Change(float(MOST_CHANGES + 4), "model", f"m{MOST_CHANGES + 4}", "chat")
    assert found[0].at > found[-1].at
    await store.close()


async def test_a_reference_stays_until_another_one_replaces_it(opened: Open) -> None:
    """It is not one of the changes, of which only the latest are kept, and lies before most of them."""
    store = opened()
    await store.tell(Change(5.0, "reference", "the launch", "", 9.0))
    for at in range(MOST_CHANGES + 5):
        await store.tell(Change(100.0 + at, "system_prompt", f"p{at}", "chat"))
    first, *rest = await store.changes()
    assert first == Change(5.0, "reference", "the launch", "", 9.0)
    assert len(rest) == MOST_CHANGES
    earlier = Change(2.0, "reference", "the week before", "", 4.0)
    await store.tell(earlier)
    assert [change for change in await store.changes() if change.kind == "reference"] == [earlier]
    await store.close()


@pytest.mark.server
@needs_redis
async def test_redis_is_not_asked_for_hours_that_have_expired(ledger_server: RedisServer) -> None:
    """A reference may be posted that begins in 1970."""
    ledger_server.empty()
    store = RedisSketches(ledger_server.url, days=2, answer_seconds=PATIENCE_SECONDS)
    await store.put(99 * 24 * HOUR, "one", sketch(1))
    ledger_server.client.config_resetstat()
    assert [start for start, _ in await store.sketches(5.0, 100 * 24 * HOUR)] == [99 * 24 * HOUR]
    assert ledger_server.client.info("commandstats")["cmdstat_hvals"]["calls"] == 48
    await store.close()


async def test_one_process_looks_and_all_read_what_it_found(opened: Open) -> None:
    one, other = opened(), opened()
    assert await one.findings() is None
    assert [await store.claim(1000.0, 60.0) for store in (one, other, one)] == [True, False, False]
    report = Report("miscalibration", [{"estimate": 0.1, "found": True}], 1, headline=(0.1, 0.0, 0.2))
    await one.keep(LookReports(1000.0, 3, []))
    await one.keep(LookReports(1001.0, 4, [report]))
    assert await other.findings() == LookReports(1001.0, 4, [report])
    for store in (one, other):
        await store.close()


async def test_a_claim_ends(opened: Open) -> None:
    store = opened()
    assert await store.claim(1000.0, 0.001)
    await asyncio.sleep(0.01)
    assert await store.claim(1000.01, 60.0)
    assert not await store.claim(1050.0, 60.0)
    await store.close()


async def test_what_is_written_moves_the_mark(opened: Open) -> None:
    one, other = opened(), opened()
    marks = [await one.written()]
    for write in (
        other.put(0, "other", sketch(1)),
        other.put(0, "other", sketch(2)),
        one.tell(Change(1.0, "model", "m")),
    ):
        await write
        marks.append(await one.written())
    assert marks == sorted(set(marks))
    await one.keep(LookReports(1.0, 1, []))
    assert await one.written() == marks[-1]
    for store in (one, other):
        await store.close()


async def test_old_hours_can_be_forgotten(opened: Open) -> None:
    store = opened()
    await store.put(0, "one", sketch(1))
    await store.put(9 * HOUR, "one", sketch(2))
    await store.prune(5 * HOUR)
    assert 9 * HOUR in [start for start, _ in await store.sketches(0, 10 * HOUR)]
    await store.close()


async def test_a_file_that_is_damaged_says_so_and_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "monitors.db"
    path.write_bytes(b"no database " * 1000)
    store = SqliteSketches(path)
    with pytest.raises(MonitorError):
        await store.put(0, "one", sketch(1))
    await store.put(0, "one", sketch(1))
    assert len(await store.sketches(0, HOUR)) == 1
    await store.close()


async def test_a_redis_that_is_away_is_an_error_of_its_own() -> None:
    store = RedisSketches("redis://127.0.0.1:1/0", days=1, answer_seconds=0.5)
    with pytest.raises(MonitorError, match="Redis"):
        await store.changes()
    await store.close()


async def test_a_claim_of_a_clock_that_was_set_back_holds_nobody_up(tmp_path: Path) -> None:
    store = SqliteSketches(tmp_path / "monitors.db")
    assert await store.claim(9_000_000.0, 60.0)
    assert await store.claim(1000.0, 60.0)
    await store.close()
