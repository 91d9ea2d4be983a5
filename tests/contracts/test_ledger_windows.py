"""Windows are read from sums of minutes, hours, six hours and days: the same as counted anew from the samples."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.trust.buckets import HOUR, MINUTE, ROLLED_UP
from gateway.trust.ledger import WINDOWS, Entry, Ledger, LedgerStore, Score
from gateway.trust.moments import ALL, Cell, Sums, add_judged, merge, opined, parts_of, wider_than
from gateway.trust.packed import Packed
from gateway.trust.per_caller import OfCaller, rows_of
from gateway.trust.second_opinion import Label, SecondOpinion
from gateway.trust.stores.redis_ledger import RedisStore
from tests.support.servers.redis_server import RedisServer, needs_redis
from tests.support.worlds.ledgers import DAY, NOON, Open

pytestmark = pytest.mark.real_time
CELLS: Sequence[Cell] = (ALL, ("model", "small"), ("route_model", "code", "large"), ("caller", "two"))


class Everything:
    """What was given to a ledger, and the windows counted anew from it."""

    def __init__(self, seed: int = 3) -> None:
        self.chance = random.Random(seed)
        self.entries: list[Entry] = []
        self.opinions: dict[str, dict[tuple[str, str], SecondOpinion]] = {}  # by sample
        self._counted: dict[str, Sums] = {}

    def sample(self, at: float, detector: str = "words@1") -> Entry:
        pick = self.chance.choice
        scores = [
            Score(way, slug, score := self.chance.random(), score > 0.8, detector)
            for way in ("prompt", "response")
            for slug in ("violence", "hate")
        ]
        about = pick(["chat", "code"]), pick(["large", "small"]), pick(["one", "two", "three"]), pick(["en", "de"])
        probability = pick([1.0, 0.5, 0.125])
        entry = Entry.of(f"s{len(self.entries)}", at, probability, *about, "chat", "", scores=scores)
        self.entries.append(entry)
        return entry

    def opinion(self, of: Entry) -> SecondOpinion:
        """Of a judge or of one of two people; whoever gave one before has changed their mind."""
        kind, name = self.chance.choice([("judge", "guard@1"), ("person", "ann"), ("person", "bob")])
        labels = [Label("prompt", "violence", float(self.chance.random() < 0.5))]
        found = SecondOpinion(of.id, self.chance.random(), kind, name, 0.5, labels)  # type: ignore[arg-type]
        self.opinions.setdefault(of.id, {})[kind, name] = found
        self._counted.pop(of.id, None)
        return found

    def sums(self, cell: Cell, since: float, until: float, caller: str = "") -> Sums:
        found: Sums = {}
        for entry in self.entries:
            if since <= entry.at < until and cell in _cells(entry) and caller in ("", entry.caller):
                merge(found, self._of(entry))
        return {key: row for key, row in found.items() if any(row)}

    def _of(self, entry: Entry) -> Sums:
        if entry.id not in self._counted:
            found = self._counted[entry.id] = {}
            add_judged(found, entry)
            merge(found, opined(entry, list(self.opinions.get(entry.id, {}).values())))
        return self._counted[entry.id]


def _cells(entry: Entry) -> tuple[Cell, ...]:
    narrow = parts_of(entry)
    return (ALL, *narrow, *wider_than(narrow[0]))


async def assert_same(ledger: Ledger, given: Everything, now: float) -> None:
    for window, (length, width) in WINDOWS.items():
        since = (now - length) // width * width + width
        for cell in CELLS:
            for before in (False, True):
                found = (await ledger.window(window, cell, before=before)).sums
                expected = given.sums(cell, *((since - length, since) if before else (since, now + width)))
                assert found.keys() == expected.keys(), (window, cell, before)
                for key, row in expected.items():
                    assert found[key] == pytest.approx(row), (window, cell, before, key)
        await assert_same_callers(ledger, given, window, since, now + width)


async def assert_same_callers(ledger: Ledger, given: Everything, window: str, since: float, until: float) -> None:
    each = (await ledger.callers(window)).callers
    for caller in ("one", "two", "three"):
        counted = OfCaller.of(Packed.of(given.sums(("caller", caller), since, until)))
        assert by_place(each.get(caller)) == pytest.approx(by_place(counted)), (window, caller)
    for group in (ALL, ("model", "small"), ("route", "code"), ("route_model", "code", "large"), ("language", "de")):
        labelled = (await ledger.callers(window, group)).callers
        for caller in ("one", "two", "three"):
            alone = OfCaller.labelled(given.sums(group, since, until, caller))
            assert by_place(labelled.get(caller)) == pytest.approx(by_place(alone)), (window, group, caller)


def by_place(of: OfCaller | None) -> dict[tuple[object, ...], float]:
    """All that is not zero."""
    found: dict[tuple[object, ...], float] = defaultdict(float)
    for key, column in of.columns().items() if of else ():
        for detector, weights in column.judged.items():
            found |= {(key, detector, band): w for band, w in enumerate(weights)}
        for source, by_detector in column.labels.items():
            for detector, rows in by_detector.items():
                for band, w, wy in rows_of(rows):
                    found[key, source, detector, band, "w"] += w
                    found[key, source, detector, band, "wy"] += wy
    return {place: value for place, value in found.items() if abs(value) > 1e-9}


@asynccontextmanager
async def filled(store: LedgerStore, given: Everything, *, prune: bool = True) -> AsyncIterator[Ledger]:
    """A ledger of fifteen days with a sample every two hours, and more in the last three hours."""
    ledger = Ledger(store, clock=lambda: NOON)
    times = [NOON - 2 * HOUR * hours for hours in range(14 * 12)] + [
        NOON - MINUTE * minute for minute in range(0, 170, 2)
    ]
    for day in range(15):
        some = [
            given.sample(at, "words@1" if day > 4 else "words@2") for at in times if day <= (NOON - at) // DAY < day + 1
        ]
        await store.add(some)
        if prune:
            await store.prune(NOON)
    yield ledger
    await store.close()


@pytest.mark.slow
async def test_windows_are_the_same_as_counted_anew_whatever_comes_late(store_of: Open) -> None:
    given, store = Everything(), store_of()
    async with filled(store, given) as ledger:
        await assert_same(ledger, given, NOON)
        for _ in range(2):
            await store.opine([given.opinion(given.chance.choice(given.entries)) for _ in range(30)])
            late = [given.sample(NOON - given.chance.random() * 9 * DAY, "words@2") for _ in range(20)]
            await store.add(late)
            await assert_same(ledger, given, NOON)  # before what has changed is rolled up again
            await store.prune(NOON)
            await assert_same(ledger, given, NOON)


async def test_the_newest_detector_is_the_one_in_use_last_though_a_day_has_both(store_of: Open) -> None:
    """The version that comes first in the alphabet replaces the other in the middle of a day, two days ago."""
    given, store = Everything(), store_of()
    midnight = NOON // DAY * DAY - 2 * DAY
    for hour in range(24):
        await store.add([given.sample(midnight + HOUR * hour, "words@2" if hour < 13 else "words@1")])
    ledger = Ledger(store, clock=lambda: NOON)
    assert (await ledger.window("7d")).newest == {"words@1"}
    for _ in range(2):
        await store.prune(NOON)
        assert (await ledger.window("7d")).newest == {"words@1"}
    await store.close()


class Counting:
    """A store that counts the buckets that are read."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store
        self.read = 0

    async def sums(self, cell: Cell, width: int, spans: Sequence[tuple[float, float]]) -> list[tuple[int, Packed]]:
        found = await self._store.sums(cell, width, spans)
        self.read += len(found)
        return found


@pytest.mark.slow
async def test_a_window_is_read_from_few_buckets_and_one_that_has_changed_from_some_more(store_of: Open) -> None:
    given, store = Everything(), store_of()
    async with filled(store, given):
        counting = Counting(store)
        ledger = Ledger(counting, clock=lambda: NOON)  # type: ignore[arg-type]

        async def read(window: str, *, before: bool = False) -> int:
            counting.read = 0
            await ledger.window(window, before=before)
            return counting.read

        # Days in the middle; beside them six hours, and hours, as many as one day and as six hours have.
        most = [5, 5 + 10, 3 + 6, 6 + 3 + 6]
        found = [await read(window) for window in WINDOWS]
        assert all(0 < few <= many for few, many in zip(found, most, strict=True)), found
        await store.opine([given.opinion(next(e for e in given.entries if e.at == NOON - 60 * HOUR))])
        assert found[-1] < await read("7d") < found[-1] + 10
        await store.prune(NOON)
        assert await read("7d") == found[-1]


async def test_what_is_not_complete_is_not_rolled_up(store_of: Open) -> None:
    given, store = Everything(), store_of()
    await store.add([given.sample(NOON)])
    await store.prune(NOON)
    for width in ROLLED_UP:
        assert await store.sums(ALL, width, [(NOON - DAY, NOON + width)]) == []
    await store.prune(NOON + DAY)
    assert len(await store.sums(ALL, DAY, [(NOON - DAY, NOON + DAY)])) == 1
    await store.close()


@pytest.mark.slow
async def test_what_is_older_than_the_sums_that_are_kept_is_in_none_of_them(store_of: Open) -> None:
    """A day of which some hours are forgotten already is not read as a whole."""
    given, store = Everything(), store_of(days=2.0)
    for hours in range(72):
        await store.add([given.sample(NOON - HOUR * hours)])
    await store.prune(NOON - HOUR)
    await store.prune(NOON)
    ledger = Ledger(store, clock=lambda: NOON)
    found = sum(row[0] for row in (await ledger.window("7d")).sums.values())
    kept = len(await store.sums(ALL, HOUR, [(NOON - 4 * DAY, NOON + HOUR)]))
    assert (found, kept) == (4 * kept, 48) or isinstance(store, RedisStore)  # which forgets sums by its own clock
    await store.close()


class Interrupted(RedisStore):
    """Another process adds something right after the narrower buckets were read, before they are stored as one."""

    def __init__(self, url: str, other: RedisStore, late: list[Entry]) -> None:
        super().__init__(url, days=30, most_bytes=2**24)
        self._other = other
        self._late = late

    async def sums(self, cell: Cell, width: int, spans: Sequence[tuple[float, float]]) -> list[tuple[int, Packed]]:
        found = await super().sums(cell, width, spans)
        if late := self._late:
            self._late = []
            await self._other.add(late)
        return found


@pytest.mark.server
@needs_redis
async def test_what_is_added_while_it_is_rolled_up_is_not_lost(ledger_server: RedisServer) -> None:
    ledger_server.empty()
    given = Everything()
    other = RedisStore(ledger_server.url, days=30, most_bytes=2**24)
    await other.add([given.sample(NOON - 2 * DAY + MINUTE * minute) for minute in range(0, 600, 30)])
    store = Interrupted(ledger_server.url, other, [given.sample(NOON - 2 * DAY + MINUTE * m) for m in range(0, 600, 7)])
    ledger = Ledger(store, clock=lambda: NOON)
    for _ in range(2):
        await store.prune(NOON)
        await assert_same(ledger, given, NOON)
    await store.close()
    await other.close()
