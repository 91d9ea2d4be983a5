"""Parts that look after something at the same moments, so that the process wakes once for all of them."""

import asyncio

from gateway.beat import beat


async def moments(seconds: float, times: int, found: list[float]) -> None:
    for _ in range(times):
        await beat(seconds)
        found.append(round(asyncio.get_running_loop().time(), 3))


async def test_parts_that_begin_at_different_times_wake_at_the_same_moments() -> None:
    often: list[float] = []
    late: list[float] = []
    seldom: list[float] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(moments(0.5, 20, often))
        await asyncio.sleep(0.123)
        group.create_task(moments(0.5, 10, late))
        await asyncio.sleep(1.7)
        group.create_task(moments(5.0, 1, seldom))
    assert {*late, *seldom} <= {*often}
    assert len({*often}) == 20


async def test_a_timer_that_was_rounded_does_not_give_the_same_beat_twice() -> None:
    await beat(0.5)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.499)  # as if it had woken a millisecond early
    before = loop.time()
    await beat(0.5)
    assert round(loop.time() - before, 3) == 0.501
