"""What every ledger promises of second opinions and of the samples that wait for one."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gateway.trust.drawing import draw_of
from gateway.trust.estimates import evidence
from gateway.trust.ledger import MOST_WAITING, Ledger
from gateway.trust.moments import SILENT, Row
from gateway.trust.second_opinion import Kind, Label, SecondOpinion, Waiting
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.worlds.ledgers import DAY, HOUR, MIB, NOON, Open, judged, ledger_on

pytestmark = pytest.mark.real_time


def opinion(
    sample: str, value: float = 1.0, *, kind: Kind = "person", name: str = "ann", at: float = NOON
) -> SecondOpinion:
    return SecondOpinion(sample, at, kind, name, 0.5, [Label("prompt", "violence", value)])


def item(sample: str, *, at: float = NOON, kind: Kind = "person", wanted: int = 1, text: str = "") -> Waiting:
    texts = [("prompt", text)] if text else []
    return Waiting(sample, at, kind, 0.25, "doubt", "prompt", "violence", texts, wanted)


def samples(*items: Waiting) -> list[str]:
    return [waiting.sample for waiting in items]


async def taken(ledger: Ledger, *ids: str, at: float = NOON) -> None:
    for id in ids:
        ledger.take(judged(id, at=at))
    await ledger.flush()


async def test_opinions_are_read_with_their_samples(store_of: Open) -> None:
    async with ledger_on(store_of()) as one, ledger_on(store_of()) as other:
        await taken(one, "s1")
        await taken(one, "s2", at=NOON - 2 * HOUR)
        assert await one.opine([opinion("s1"), opinion("s2", 0.0, kind="judge", name="guard@4")]) == []
        assert [(o.name, e.id) for o, e in await other.opinions("24h")] == [("ann", "s1"), ("guard@4", "s2")]
        ((given, entry),) = await other.opinions("1h")
    assert (given, entry.id) == (opinion("s1"), "s1")


async def test_samples_are_read_without_their_scores_where_nobody_needs_them(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1")
        await ledger.opine([opinion("s1")])
        ((given, whole),) = await ledger.opinions("24h")
        ((same, brief),) = await ledger.opinions("24h", scores=False)
    assert given == same
    assert (brief.id, brief.at, brief.probability, brief.cohort) == (
        whole.id,
        whole.at,
        whole.probability,
        whole.cohort,
    )
    assert (brief.scores, len(whole.scores)) == ([], 1)


async def test_opinions_of_a_kind_are_found_however_many_of_another_came_later(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        for number in range(250):
            ledger.take(judged(f"s{number}", at=NOON - number))
        await ledger.opine([opinion(f"s{number}", kind="judge", name="guard@4") for number in range(250)])
        await ledger.opine([opinion("s249"), opinion("s248")])
        people = await ledger.opinions("24h", 3, "person")
        judges = await ledger.opinions("24h", 3, "judge")
    assert [entry.id for _, entry in people] == ["s248", "s249"]
    assert [entry.id for _, entry in judges] == ["s0", "s1", "s2"]


async def test_one_opinion_for_each_sample_kind_and_name(store_of: Open) -> None:
    """A reviewer who labels the same sample twice has changed their mind."""
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1")
        for value in (1.0, 1.0, 0.0):
            await ledger.opine([opinion("s1", value, at=NOON + value)])
        await ledger.opine([opinion("s1", name="bob"), opinion("s1", kind="judge", name="ann")])
        assert [given.name for given, _ in await ledger.opinions("1h", kind="person")] == ["ann", "bob"]
        found = [given for given, _ in await ledger.opinions("1h")]
    assert [(o.kind, o.name, o.labels[0].value) for o in found] == [
        ("judge", "ann", 1.0),
        ("person", "ann", 0.0),
        ("person", "bob", 1.0),
    ]


PROMPT = ("violence", "prompt")


async def labels(ledger: Ledger, window: str = "24h") -> tuple[Row, Row]:
    """Of the judge and of people, over a window."""
    of = evidence((await ledger.window(window)).sums)[PROMPT]
    return of.labels("judge"), of.labels("person")


async def test_labels_are_summed_at_the_time_of_their_sample_with_both_probabilities(store_of: Open) -> None:
    async with ledger_on(store_of()) as one, ledger_on(store_of()) as other:
        one.take(judged("s1", probability=0.5))
        one.take(judged("s2", at=NOON - 2 * HOUR))
        await one.opine([opinion("s1"), opinion("s2", 0.0, kind="judge", name="guard@4")])
        assert await labels(other) == (Row(1, 2, 4, 0, 0, 0), Row(1, 4, 16, 4, 16, 16))
        assert await labels(other, "1h") == (Row(0, 0, 0, 0, 0, 0), Row(1, 4, 16, 4, 16, 16))


async def test_however_often_a_sample_is_labelled_it_counts_once(store_of: Open) -> None:
    """Twice by one, corrected, by a second person, by a judge after the people, in whichever process."""
    async with ledger_on(store_of()) as one, ledger_on(store_of()) as other:
        await taken(one, "s1")
        await one.opine([opinion("s1", 1.0), opinion("s1", 1.0)])
        await other.opine([opinion("s1", 1.0)])
        assert (await labels(one))[1] == Row(1, 2, 4, 2, 4, 4)
        await other.opine([opinion("s1", 0.0)])
        await one.opine([opinion("s1", 1.0, name="bob")])
        assert (await labels(other))[1] == Row(1, 2, 4, 1, 2, 1)  # the two disagree: one half
        await other.opine([opinion("s1", 1.0, kind="judge", name="guard@4", at=NOON)])
        await one.opine([opinion("s1", 0.25, kind="judge", name="guard@5", at=NOON + 1)])
        assert await labels(one) == (Row(1, 2, 4, 0.5, 1, 0.25), Row(1, 2, 4, 1, 2, 1))
        (place,) = evidence((await one.window("24h")).sums)[PROMPT].person.values()
        assert [row.n for row in place] == [0, 0, 1, 0]  # what the newer judge had said: no


async def test_a_judge_that_did_not_answer_has_no_label(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1")
        await ledger.opine([SecondOpinion("s1", NOON, "judge", "guard@4", 0.5, [])])
        assert (await labels(ledger))[0].n == 0
        await ledger.opine([opinion("s1")])
        (place,) = evidence((await ledger.window("24h")).sums)[PROMPT].person.values()
        assert place[SILENT].n == 1


async def test_an_opinion_on_what_no_detector_scores_counts_too(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1")
        await ledger.opine([SecondOpinion("s1", NOON, "person", "ann", 1.0, [Label("response", "sycophancy", 1)])])
        found = evidence((await ledger.window("24h")).sums)["sycophancy", "response"]
        assert (found.detector, found.labels("person").mean) == ({}, 1.0)


async def test_an_opinion_on_a_sample_that_is_gone_is_given_back(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1")
        late = opinion("gone")
        assert await ledger.opine([late, opinion("s1")]) == [late]
        assert [entry.id for _, entry in await ledger.opinions("7d")] == ["s1"]


async def test_samples_are_found_by_id(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, *(f"s{number}" for number in range(700)))
        found = await ledger.entries_of(["s3", "s699", "nobody", *(f"s{number}" for number in range(600))])
        assert found["s699"].id == "s699"
        assert len(found) == 601
        assert await ledger.entries_of([]) == {}


async def test_samples_wait_in_the_order_of_their_draws(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        ids = [f"s{number}" for number in range(30)]
        await taken(ledger, *ids)
        for id in (*ids, *ids):
            ledger.put(item(id, text="what was said"))
        drawn = sorted(ids, key=draw_of)
        assert samples(*await ledger.waiting("person", 99)) == drawn
        first = (await ledger.waiting("person", 1))[0]
        assert first == item(drawn[0], text="what was said")
        assert await ledger.waiting("judge", 99) == []


async def test_what_one_holds_nobody_else_gets(store_of: Open) -> None:
    now = NOON
    store = store_of()
    ledger = Ledger(store, clock=lambda: now)
    await taken(ledger, "s1", "s2", "s3")
    for id in ("s1", "s2", "s3"):
        ledger.put(item(id))
    order = samples(*await ledger.waiting("person", 9))
    assert samples(*await ledger.hold("person", "ann b", 2, 60)) == order[:2]
    assert samples(*await ledger.hold("person", "bob", 9, 60)) == order[2:]
    assert samples(*await ledger.hold("person", "ann b", 2, 60)) == order[:2]
    now += 61
    assert samples(*await ledger.hold("person", "bob", 9, 60)) == order
    await store.close()


async def test_of_two_processes_that_hold_at_once_only_one_gets_a_sample(tmp_path: Path) -> None:
    """The second process looks while the first has taken the sample and has not committed yet."""
    store = SqliteStore(tmp_path / "ledger.db", days=30.0, most_bytes=64 * MIB)
    async with ledger_on(store) as ledger:
        await taken(ledger, "s1")
        ledger.put(item("s1"))
        await ledger.flush()
        needs_lock = threading.Event()

        def watch(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA busy_timeout = 600000")
            connection.set_trace_callback(
                lambda statement: needs_lock.set() if statement.startswith(("BEGIN IMMEDIATE", "UPDATE")) else None
            )

        await store._file.do(watch)  # noqa: SLF001
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as first:
            first.execute("BEGIN IMMEDIATE")
            first.execute("UPDATE waiting SET held_by = 'ann', held_until = ?", (NOON + 60,))
            async with asyncio.TaskGroup() as group:
                second = group.create_task(store.hold("person", "bob", 1, NOON, 60))
                await asyncio.to_thread(needs_lock.wait)
                first.execute("COMMIT")
        assert second.result() == []


async def test_a_sample_waits_for_as_many_opinions_as_it_wants(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1")
        ledger.put(item("s1", wanted=2))
        ledger.put(item("s1", kind="judge"))
        for _ in range(2):
            await ledger.opine([opinion("s1")])
        assert samples(*await ledger.waiting("person", 9)) == ["s1"]
        assert await ledger.hold("person", "ann", 9, 60) == []  # who has said it already
        assert samples(*await ledger.hold("person", "bob", 9, 60)) == ["s1"]
        await ledger.opine([opinion("s1", name="bob")])
        assert await ledger.waiting("person", 9) == []
        assert samples(*await ledger.waiting("judge", 9)) == ["s1"]
        ledger.put(item("s1", wanted=2))  # another worker, which judged the same sample again
        assert await ledger.waiting("person", 9) == []


async def test_opinions_and_what_waits_are_forgotten_with_their_samples(store_of: Open) -> None:
    store = store_of(days=2.0)
    async with ledger_on(store) as ledger:
        await taken(ledger, "young", at=NOON - HOUR)
        await taken(ledger, "old", at=NOON - 3 * DAY)
        await ledger.opine([opinion("young"), opinion("old")])
        ledger.put(item("young", at=NOON - HOUR, kind="judge"))
        ledger.put(item("old", at=NOON - 3 * DAY, kind="judge"))
        await ledger.flush()
        await store.prune(NOON)
        assert [entry.id for _, entry in await ledger.opinions("7d")] == ["young"]
        assert samples(*await ledger.waiting("judge", 9)) == ["young"]
        assert await ledger.opine([opinion("old")]) == [opinion("old")]


async def test_the_latest_wait_when_too_many_do(store_of: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_WAITING >= 1000
    for module in ("sqlite_ledger", "redis_ledger"):
        monkeypatch.setattr(f"gateway.trust.stores.{module}.MOST_WAITING", 10)
    async with ledger_on(store_of()) as ledger:
        ids = [f"s{number}" for number in range(25)]
        await taken(ledger, *ids)
        for number, id in enumerate(ids):
            ledger.put(item(id, at=NOON + number))
        await ledger.flush()
        assert sorted(samples(*await ledger.waiting("person", 99))) == sorted(ids[-10:])


async def test_a_file_of_an_earlier_release_gains_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as before:
        before.execute("CREATE TABLE sums (width INTEGER, start INTEGER, route TEXT)")
        before.execute("CREATE TABLE samples (id TEXT UNIQUE, at REAL NOT NULL, entry BLOB NOT NULL)")
    before.close()
    async with ledger_on(SqliteStore(path, days=1, most_bytes=MIB)) as ledger:
        await taken(ledger, "s1")
        assert await ledger.opine([opinion("s1")]) == []


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_label_is_a_share(value: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        SecondOpinion("s", NOON, "person", "ann", 1.0, [Label("prompt", "violence", value)])


@pytest.mark.parametrize("probability", [0.0, -1.0, 1.1, float("nan")])
def test_an_opinion_has_its_probability(probability: float) -> None:
    with pytest.raises(ValueError, match="inclusion probability"):
        SecondOpinion("s", NOON, "person", "ann", probability, [])


async def test_who_has_said_it_holds_it_no_longer(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1")
        ledger.put(item("s1", wanted=2))
        assert samples(*await ledger.hold("person", "ann", 1, 900)) == ["s1"]
        assert await ledger.hold("person", "bob", 1, 900) == []
        await ledger.opine([opinion("s1")])
        assert samples(*await ledger.hold("person", "bob", 1, 900)) == ["s1"]


async def test_one_sample_is_found_among_those_that_wait(store_of: Open) -> None:
    async with ledger_on(store_of()) as ledger:
        await taken(ledger, "s1", "s2")
        ledger.put(item("s1", wanted=2))
        ledger.put(item("s2", kind="judge"))
        assert [await ledger.count_waiting(kind) for kind in ("person", "judge")] == [1, 1]
        await ledger.opine([opinion("s1"), opinion("s1", kind="judge", name="guard@4")])
        assert await ledger.one("person", "s1") == (item("s1", wanted=2), [opinion("s1")])
        assert await ledger.one("person", "s2") == (None, [])
        await ledger.opine([opinion("s1", name="bob")])
        waiting, given = await ledger.one("person", "s1")
        assert waiting is None
        assert sorted(each.name for each in given) == ["ann", "bob"]
        assert await ledger.count_waiting("person") == 0
