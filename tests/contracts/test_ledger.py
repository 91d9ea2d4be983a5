"""What every ledger promises, whichever store holds it."""

import sqlite3
from pathlib import Path

import pytest

from gateway.trust.estimates import Weights, evidence, weights
from gateway.trust.ledger import MODELS_A_ROUTE, OTHER, Ledger, LedgerError
from gateway.trust.moments import ALL, PIVOTS, cell_named
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.fakes import Counts
from tests.support.worlds.ledgers import DAY, HOUR, MIB, NOON, Open, judged, ledger_on

pytestmark = pytest.mark.real_time
PROMPT = ("violence", "prompt")


async def test_what_was_taken_is_read_with_its_weights(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        ledger.take(judged("s1", probability=0.5, flagged=True))
        ledger.take(judged("s2", probability=0.1))
        assert await ledger.weights("5m") == {PROMPT: Weights(12.0, 104.0, 2.0, 4.0)}
        assert await ledger.weights("7d") == {PROMPT: Weights(12.0, 104.0, 2.0, 4.0)}


async def test_every_process_sees_the_same(store_of: Open) -> None:
    async with ledger_on(store_of()) as one, ledger_on(store_of()) as other:
        one.take(judged("s1", flagged=True))
        other.take(judged("s2"))
        await one.flush()
        await other.flush()
        assert await one.weights("1h") == await other.weights("1h") == {PROMPT: Weights(2.0, 2.0, 1.0, 1.0)}


async def test_a_sample_that_comes_twice_counts_once(store_of: Open) -> None:
    """Delivery is at least once: another worker may have judged it as well."""
    async with ledger_on(store_of()) as one, ledger_on(store_of()) as other:
        for ledger in (one, other, one):
            ledger.take(judged("s1"))
            await ledger.flush()
        one.take(judged("s2"))
        one.take(judged("s2"))
        assert await one.weights("5m") == {PROMPT: Weights(2.0, 2.0, 0.0, 0.0)}


async def test_a_window_holds_what_lies_in_it(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        for minutes in (0, 3, 7, 50, 100, 60 * 20, 60 * 30, 60 * 24 * 6, 60 * 24 * 8):
            ledger.take(judged(f"{minutes} minutes ago", at=NOON - 60 * minutes))
        found = {window: (await ledger.weights(window))[PROMPT].total for window in ("5m", "1h", "24h", "7d")}
    assert found == {"5m": 2, "1h": 4, "24h": 6, "7d": 8}


async def test_by_route_and_model(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        ledger.take(judged("s1", route="chat", model="large"))
        ledger.take(judged("s2", route="chat", model="small"))
        ledger.take(judged("s3", route="code", model="small"))
        total = [
            (await ledger.weights("1h", route, model)).get(PROMPT, Weights(0, 0, 0, 0)).total
            for route, model in ((None, None), ("chat", None), (None, "small"), ("chat", "small"), ("none", None))
        ]
    assert total == [3, 2, 2, 1, 0]


async def test_an_entry_says_all_of_its_sample_and_nothing_of_its_text(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        ledger.take(judged("s1", at=NOON - 9, probability=0.25))
        ledger.take(judged("s2", flagged=True, model="half a pair \ud800"))
        newest, oldest = await ledger.entries(10)
        assert await ledger.entries(1) == [newest]
    assert (newest.id, newest.model) == ("s2", "half a pair ?")
    assert (oldest.id, oldest.at, oldest.probability, oldest.language) == ("s1", NOON - 9, 0.25, "en")
    (score,) = newest.scores
    assert (score.direction, score.slug, score.score, score.flagged) == ("prompt", "violence", 0.9, True)
    assert score.detector == "words@1"
    for secret in ("somebody", "secret-place"):
        assert secret not in repr([newest, oldest])


async def test_what_is_too_old_is_forgotten(store_of: Open) -> None:
    store = store_of(days=2.0)
    async with ledger_on(store) as ledger:
        ledger.take(judged("young", at=NOON - HOUR))
        ledger.take(judged("old", at=NOON - 3 * DAY))
        await ledger.flush()
        await store.prune(NOON)
        assert (await ledger.weights("24h"))[PROMPT].total == 1
        assert [entry.id for entry in await ledger.entries(9)] == ["young"]


@pytest.mark.slow
async def test_what_is_too_much_makes_room(store_of: Open) -> None:
    store = store_of(most_bytes=MIB)
    async with ledger_on(store) as ledger:
        for number in range(12_000):
            ledger.take(judged(f"sample {number}", at=NOON - 12_000 + number))
            if number % 1000 == 999:
                await ledger.flush()
                await store.prune(NOON)
        assert ledger.problem == ""
        found = await ledger.entries(20_000)
    assert 100 < len(found) < 11_000
    assert found[0].id == "sample 11999"


async def test_by_every_pivot_and_only_by_what_sums_are_kept_of(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        ledger.take(judged("s1", route="chat", model="large", caller="one"))
        ledger.take(judged("s2", route="chat", model="small", caller="two", at=NOON - 7 * HOUR))
        cells = set(await ledger.cells("24h"))
        assert {cell[0] for cell in cells} == set(PIVOTS)
        assert ("route_model", "chat", "large") in cells
        assert ("caller", "two") not in await ledger.cells("1h")
        for cell, samples in ((ALL, 2), (("route", "chat"), 2), (("caller", "two"), 1), (("language", "en"), 2)):
            assert weights(evidence((await ledger.window("24h", cell)).sums)[PROMPT]).total == samples
    with pytest.raises(ValueError, match="not by model and caller"):
        cell_named(model="large", caller="one")


async def test_the_window_before_is_read_too(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        for hours in (1, 2, 30, 31, 32, 60):
            ledger.take(judged(f"{hours} hours ago", at=NOON - HOUR * hours))
        now, before = await ledger.window("24h"), await ledger.window("24h", before=True)
    assert [sum(row[0] for row in window.sums.values()) for window in (now, before)] == [2, 3]


async def test_a_detector_that_is_replaced_in_a_window_is_told_from_the_new_one(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        for number, (detector, minutes) in enumerate((("words@10", 90), ("words@9", 120), ("other@1", 110))):
            ledger.take(judged(f"s{number}", at=NOON - 60 * minutes, detector=detector))
        assert (await ledger.window("24h")).newest == {"words@10", "other@1"}


async def test_models_that_clients_make_up_are_bounded(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        for number in range(3 * MODELS_A_ROUTE):
            ledger.take(judged(f"s{number}", model=f"model {number}"))
        assert (await ledger.weights("1h", model=OTHER))[PROMPT].total == 2 * MODELS_A_ROUTE
        assert (await ledger.weights("1h"))[PROMPT].total == 3 * MODELS_A_ROUTE
        assert (await ledger.weights("1h", model="model 0"))[PROMPT].total == 1


async def test_a_process_that_vanishes_takes_only_what_it_had_not_written(store_of: Open) -> None:
    async with ledger_on(store_of()) as left:
        gone_store = store_of()
        gone = Ledger(gone_store, clock=lambda: NOON)
        gone.take(judged("written"))
        await gone.flush()
        gone.take(judged("not written"))
        await gone_store.close()
        left.take(judged("of another one"))
        assert (await left.weights("5m"))[PROMPT].total == 2
        assert {entry.id for entry in await left.entries(9)} == {"written", "of another one"}


class Refusing:
    """A store that can be used only while `works`."""

    def __init__(self) -> None:
        self.works = False
        self.added: list[str] = []

    async def add(self, entries: object) -> None:
        self._check()
        self.added += [entry.id for entry in entries]  # type: ignore[attr-defined]

    async def sums(self, cell: object, width: int, spans: object) -> list[object]:
        self._check()
        return []

    async def entries(self, most: int) -> list[object]:
        self._check()
        return []

    async def prune(self, now: float) -> None:
        self._check()

    async def close(self) -> None: ...

    def _check(self) -> None:
        if not self.works:
            raise LedgerError("the disk is full")


async def test_a_store_that_refuses_costs_nothing_but_the_oldest(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.trust.ledger._MOST_UNWRITTEN", 10)
    counts = Counts("assay_ledger_samples_total")
    store = Refusing()
    ledger = Ledger(store, clock=lambda: NOON)  # type: ignore[arg-type]
    for number in range(15):
        ledger.take(judged(f"s{number}"))
        await ledger.flush()
    assert ledger.problem == "the disk is full"
    with pytest.raises(LedgerError):
        await ledger.weights("1h")
    store.works = True
    await ledger.flush()
    assert (store.added, ledger.problem) == ([f"s{number}" for number in range(5, 15)], "")
    assert counts.added() == {("dropped",): 5, ("written",): 10}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


# --- the file


async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no database at all" * 1000)
    store = SqliteStore(path, days=1, most_bytes=MIB)
    async with ledger_on(store) as ledger:
        ledger.take(judged("s1"))
        await ledger.flush()
        assert "not a database" in ledger.problem
        await ledger.flush()
        assert ledger.problem == ""
        assert [entry.id for entry in await ledger.entries(9)] == ["s1"]
    assert (tmp_path / "ledger.db.broken").exists()


async def test_a_file_that_another_has_locked_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = SqliteStore(path, days=1, most_bytes=MIB)
    async with ledger_on(store) as ledger:
        ledger.take(judged("s1"))
        await ledger.flush()
        with sqlite3.connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            ledger.take(judged("s2"))
            await ledger.flush()
            assert "locked" in ledger.problem
        other.close()
        await ledger.flush()
        assert [entry.id for entry in await ledger.entries(9)] == ["s1", "s2"] or len(await ledger.entries(9)) == 2


async def test_the_file_is_the_owners_alone_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.db"
    for id in ("s1", "s2"):
        async with ledger_on(SqliteStore(path, days=1, most_bytes=MIB)) as ledger:
            ledger.take(judged(id))
            await ledger.flush()
    assert path.stat().st_mode & 0o777 == 0o600
    async with ledger_on(SqliteStore(path, days=1, most_bytes=MIB)) as ledger:
        assert len(await ledger.entries(9)) == 2


async def test_where_no_file_can_be_made_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    async with ledger_on(SqliteStore(tmp_path / "state" / "ledger.db", days=1, most_bytes=MIB)) as ledger:
        ledger.take(judged("s1"))
        await ledger.flush()
        assert ledger.problem


async def test_a_file_whose_pages_are_damaged_is_set_aside_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with ledger_on(SqliteStore(path, days=1, most_bytes=MIB)) as ledger:
        for number in range(300):
            ledger.take(judged(f"s{number}"))
        await ledger.flush()
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = b"\xa5" * len(damaged[4096:])
    path.write_bytes(damaged)
    async with ledger_on(SqliteStore(path, days=1, most_bytes=MIB)) as ledger:
        for _ in range(3):
            ledger.take(judged("after"))
            await ledger.flush()
        assert ledger.problem == ""
        assert [entry.id for entry in await ledger.entries(9)] == ["after"]


async def test_a_transaction_of_a_process_that_was_killed_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with ledger_on(SqliteStore(path, days=1, most_bytes=MIB)) as ledger:
        ledger.take(judged("s1"))
        await ledger.flush()
        killed = sqlite3.connect(path, isolation_level=None)
        killed.execute("BEGIN IMMEDIATE")
        killed.execute("DELETE FROM samples")
        killed.close()
        ledger.take(judged("s2"))
        assert (await ledger.weights("5m"))[PROMPT].total == 2
        assert len(await ledger.entries(9)) == 2


@pytest.mark.slow
async def test_a_batch_larger_than_the_room_that_is_left_makes_room(tmp_path: Path) -> None:
    async with ledger_on(SqliteStore(tmp_path / "ledger.db", days=1, most_bytes=MIB)) as ledger:
        for batch in range(4):
            for number in range(1900):
                ledger.take(judged(f"{batch} {number:04d}", at=NOON - 400 + 100 * batch + number / 100))
            await ledger.flush()
            assert ledger.problem == ""
        assert (await ledger.entries(1))[0].id == "3 1899"
