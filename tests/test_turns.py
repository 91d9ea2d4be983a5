"""How much of the work on large bodies is done between two looks at the network: counted in turns of the loop."""

import asyncio
from collections import Counter

import pytest

from gateway.turns import Turns


async def turns_seen(seen: list[int]) -> None:
    """Counts the loop's turns in the list's only entry, until it is cancelled."""
    while True:
        await asyncio.sleep(0)
        seen[0] += 1


async def test_one_piece_is_done_in_a_turn_of_the_loop() -> None:
    """What fifty callers have at once, and one that comes behind them waits for one piece of each of the others."""
    turns, now, pieces = Turns(), [0], list[tuple[int, str]]()

    async def work(caller: str, times: int) -> None:
        for _ in range(times):
            await turns.take(caller)
            pieces.append((now[0], caller))

    watching = asyncio.get_running_loop().create_task(turns_seen(now))
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            for _ in range(4):
                group.create_task(work(f"caller {number}", 3))
        await asyncio.sleep(0)
        group.create_task(work("late", 1))
    watching.cancel()
    assert len(pieces) == 50 * 4 * 3 + 1
    assert max(Counter(turn for turn, _ in pieces).values()) <= 2  # one before the watch in its turn, one behind it
    assert pieces[-1][0] - pieces[0][0] >= len(pieces) - 1
    callers = [caller for _, caller in pieces]
    assert callers.index("late") <= 50 + 2  # the first caller was there before there were turns to take


async def test_a_turn_that_nobody_has_taken_costs_no_pause() -> None:
    turns = Turns()
    for _ in range(3):
        with pytest.raises(StopIteration):
            turns.take("caller").send(None)
        await asyncio.sleep(0)


async def test_who_gives_up_has_no_turn() -> None:
    """Neither while it waits, nor when its turn has come and it is gone before it could begin."""
    turns, done = Turns(), list[int]()

    async def work(number: int) -> None:
        await turns.take(f"caller {number % 3}")
        done.append(number)

    tasks = [asyncio.get_running_loop().create_task(work(number)) for number in range(9)]
    await asyncio.sleep(0)
    for number in (1, 4, 5, 8):
        tasks[number].cancel()
    async with asyncio.timeout(1):
        await asyncio.wait(tasks)
    assert sorted(done) == [0, 2, 3, 6, 7]
    with pytest.raises(StopIteration):  # and nobody holds one
        turns.take("later").send(None)
