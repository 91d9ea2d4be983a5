"""What every ledger promises when the clock jumps: what was judged is not lost."""

import pytest

from gateway.trust.ageing import HOLD, SLACK, Believed, believed
from gateway.trust.ledger import Ledger, LedgerStore
from gateway.trust.second_opinion import Waiting
from tests.support.fakes import Counts
from tests.support.worlds.ledgers import DAY, HOUR, NOON, Open, judged

pytestmark = pytest.mark.real_time
PROMPT = ("violence", "prompt")
JUMPS = "assay_ledger_clock_jumps_total"


class Machine:
    """Its clock, which jumps, and a steady one, which counts the time that passes."""

    def __init__(self) -> None:
        self.now = NOON
        self.passed = 0.0

    def ledger(self, store: LedgerStore) -> Ledger:
        return Ledger(store, clock=lambda: self.now, steady=lambda: self.passed)

    async def run(self, ledger: Ledger, seconds: float, *, every: float = 600.0) -> None:
        """Write and prune as time passes."""
        for _ in range(int(seconds / every)):
            self.now += every
            self.passed += every
            await ledger.flush()
            await ledger.prune()


async def kept(ledger: Ledger) -> set[str]:
    return {entry.id for entry in await ledger.entries(99)}


@pytest.mark.slow
async def test_a_clock_that_jumps_ahead_and_back_loses_nothing(store_of: Open) -> None:
    """By more than `ledger_days`, with samples judged meanwhile."""
    machine, jumps = Machine(), Counts(JUMPS)
    store = store_of(days=2.0)
    ledger = machine.ledger(store)
    ledger.take(judged("before"))
    await machine.run(ledger, HOUR)
    machine.now += 400 * DAY
    ledger.take(judged("ahead", at=machine.now))
    await machine.run(ledger, 20 * HOUR)
    assert jumps.added() == {(): 1}
    machine.now -= 400 * DAY
    ledger.take(judged("after", at=machine.now))
    await machine.run(ledger, HOUR)
    assert await kept(ledger) == {"before", "ahead", "after"}
    assert (await ledger.weights("24h"))[PROMPT].total == 2
    assert jumps.added() == {(): 1}
    await store.close()


async def test_a_jump_over_a_restart_loses_nothing(store_of: Open) -> None:
    """The process ends with the right clock, starts with one that is ahead, and starts again with the right one."""
    machine, store = Machine(), store_of(days=2.0)
    ledger = machine.ledger(store)
    ledger.take(judged("before"))
    await machine.run(ledger, HOUR)
    await store.close()
    for jump in (400 * DAY, -400 * DAY, 30 * DAY, -30 * DAY):
        store = store_of(days=2.0)
        machine.now += jump
        machine.passed = 0.0
        ledger = machine.ledger(store)
        await machine.run(ledger, 3 * HOUR)
        assert "before" in await kept(ledger)
        await store.close()


async def test_a_ledger_whose_time_nobody_remembers_goes_by_its_latest_sample(store_of: Open) -> None:
    machine, store = Machine(), store_of(days=2.0)
    ledger = machine.ledger(store)
    ledger.take(judged("before"))
    await ledger.flush()
    machine.now += 400 * DAY
    await machine.run(ledger, HOUR)
    assert await kept(ledger) == {"before"}
    await store.close()


async def test_what_was_held_by_a_clock_that_was_ahead_is_free_again(store_of: Open) -> None:
    machine, store = Machine(), store_of()
    ledger = machine.ledger(store)
    ledger.take(judged("s1"))
    ledger.put(Waiting("s1", NOON, "person", 0.25, "doubt", "prompt", "violence"))
    machine.now += 400 * DAY
    assert len(await ledger.hold("person", "ann", 1, 900.0)) == 1
    assert await ledger.hold("person", "bob", 1, 900.0) == []
    machine.now -= 400 * DAY
    assert len(await ledger.hold("person", "bob", 1, 900.0)) == 1
    await store.close()


async def test_what_is_old_is_forgotten_a_day_after_a_long_pause(store_of: Open) -> None:
    """The gateway stood still for a month: its clock is right, and nobody can tell from one that has jumped."""
    machine, jumps = Machine(), Counts(JUMPS)
    store = store_of(days=2.0)
    ledger = machine.ledger(store)
    ledger.take(judged("before"))
    await machine.run(ledger, HOUR)
    await store.close()
    machine.now += 30 * DAY
    machine.passed = 0.0
    store = store_of(days=2.0)
    ledger = machine.ledger(store)
    await machine.run(ledger, 23 * HOUR)
    assert await kept(ledger) == {"before"}
    await machine.run(ledger, 2 * HOUR)
    assert await kept(ledger) == set()
    assert jumps.added() == {(): 1}
    await store.close()


@pytest.mark.slow
async def test_a_machine_whose_clock_is_ahead_empties_nothing_for_the_others(store_of: Open) -> None:
    right, ahead = Machine(), Machine()
    ahead.now += 400 * DAY
    ledgers = [machine.ledger(store_of(days=2.0)) for machine in (right, ahead)]
    ledgers[0].take(judged("before"))
    await ledgers[0].flush()
    for _ in range(60):
        await right.run(ledgers[0], HOUR, every=HOUR / 2)
        await ahead.run(ledgers[1], HOUR, every=HOUR / 2)
        assert await kept(ledgers[0]) == {"before"} or right.now > NOON + 46 * HOUR
    assert right.now > NOON + 2 * DAY
    assert await kept(ledgers[0]) == set()  # it is old by the right clock
    for ledger in ledgers:
        await ledger._store.close()  # noqa: SLF001 - its own


def test_the_clock_is_believed_as_far_as_time_has_passed() -> None:
    last = Believed(1000.0, 1000.0)
    assert believed(last, 1060.0, 1000.0, 60.0) == Believed(1060.0, 1060.0)
    assert believed(last, 1000.0 + SLACK, None, None) == Believed(1000.0 + SLACK, 1000.0 + SLACK)
    jump = 1060.0 + SLACK + 1
    assert believed(last, jump, 1000.0, 60.0) == Believed(1060.0, jump, jump)
    assert believed(Believed(1060.0, jump, jump), jump + HOLD, None, None) == Believed(jump + HOLD, jump + HOLD)


def test_one_that_jumps_again_is_held_again() -> None:
    last = Believed(1000.0, 1000.0 + 2 * HOLD, 1000.0 + 2 * HOLD)
    later = last.seen + 5 * HOLD
    assert believed(last, later, 1000.0, 60.0) == Believed(1060.0, later, later)
    assert believed(last, later, None, None) == Believed(1000.0, later, later)


def test_one_that_goes_back_is_believed_at_once() -> None:
    assert believed(Believed(9e9, 9e9), 1000.0, 9e9, 60.0) == Believed(1000.0, 1000.0)
