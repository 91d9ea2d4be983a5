"""What every queue of samples promises, whichever backend holds them. A backend is one more row of QUEUES.

A factory is given the bounds and gives an empty queue, which the test closes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from gateway.exchange import SampleQueue
from gateway.samples.memory_queue import MemoryQueue
from gateway.samples.redis_queue import RedisQueue
from tests.support.fakes import sample
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.redis_server import RedisServer, needs_redis

pytestmark = pytest.mark.real_time
Open = Callable[[int, int], AbstractAsyncContextManager[SampleQueue]]
PLENTY = 10**9


@asynccontextmanager
async def memory(most_items: int, most_bytes: int) -> AsyncIterator[SampleQueue]:
    queue = MemoryQueue(most_items, most_bytes)
    yield queue
    await queue.close()


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def on_redis(server: RedisServer) -> Open:
    @asynccontextmanager
    async def redis(most_items: int, most_bytes: int) -> AsyncIterator[SampleQueue]:
        server.empty()
        fates: list[tuple[str, str, int]] = []
        queue = RedisQueue(
            server.url,
            most_items,
            most_bytes,
            on_fate=lambda *fate: fates.append(fate),
            answer_seconds=PATIENCE_SECONDS,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(queue.run())
            yield queue
            running.cancel()
        await queue.close()
        assert fates == []  # what it accepted it kept

    return redis


QUEUES = ("memory", pytest.param("redis", marks=[pytest.mark.server, needs_redis]))


@pytest.fixture(params=QUEUES)
def queue_of(request: pytest.FixtureRequest) -> Open:
    return memory if request.param == "memory" else on_redis(request.getfixturevalue("redis_server"))


async def taken_ids(queue: SampleQueue, most: int = 1000, wait_seconds: float = 0.0) -> list[str]:
    taken = await queue.take(most, wait_seconds)
    await queue.acknowledge([item.receipt for item in taken])
    return [item.sample.id for item in taken]


async def test_first_in_first_out(queue_of: Open) -> None:
    async with queue_of(100, PLENTY) as queue:
        for number in range(5):
            assert queue.offer(sample(f"s{number}"))
        assert await taken_ids(queue, 2) == ["s0", "s1"]
        assert queue.offer(sample("s5"))
        assert await taken_ids(queue) == ["s2", "s3", "s4", "s5"]


async def test_a_sample_comes_out_as_it_went_in(queue_of: Open) -> None:
    given = sample("s", prompt=b"\x00\xff\n", answer="für".encode(), probability=0.125, cut=True, stream=True)
    async with queue_of(100, PLENTY) as queue:
        assert queue.offer(given)
        (taken,) = await queue.take(1, 0)
        assert taken.sample == given


async def test_what_does_not_fit_in_number_is_refused(queue_of: Open) -> None:
    async with queue_of(3, PLENTY) as queue:
        assert [queue.offer(sample(f"s{number}")) for number in range(5)] == [True, True, True, False, False]
        assert queue.depth()[0] == 3
        assert await taken_ids(queue, 1) == ["s0"]
        assert queue.offer(sample("s5"))
        assert await taken_ids(queue) == ["s1", "s2", "s5"]


async def test_what_does_not_fit_in_bytes_is_refused_and_smaller_ones_still_go_in(queue_of: Open) -> None:
    big, small = sample("big", answer=b"x" * 10_000), sample("small", answer=b"", prompt=b"")
    async with queue_of(100, big.size() + small.size()) as queue:
        assert queue.offer(big)
        assert not queue.offer(sample("big too", answer=b"x" * 10_000))
        assert queue.offer(small)
        assert not queue.offer(small)
        assert queue.depth() == (2, big.size() + small.size())


async def test_depth_goes_up_and_down(queue_of: Open) -> None:
    async with queue_of(100, PLENTY) as queue:
        assert queue.depth() == (0, 0)
        queue.offer(sample("s0"))
        queue.offer(sample("s1"))
        assert queue.depth() == (2, 2 * sample("s0").size())
        await taken_ids(queue, 1)
        assert queue.depth() == (1, sample("s1").size())
        await taken_ids(queue, 1)
        assert queue.depth() == (0, 0)


async def test_offer_does_not_wait(queue_of: Open) -> None:
    """It is no coroutine, so it cannot: also when it is full, nobody takes, or it was closed."""
    async with queue_of(1, PLENTY) as queue:
        assert queue.offer(sample("s0")) is True
        assert queue.offer(sample("s1")) is False
        await queue.close()
        assert queue.offer(sample("s2")) in (True, False)


async def test_take_waits_for_the_first_and_no_longer_than_told(queue_of: Open) -> None:
    loop = asyncio.get_running_loop()
    async with queue_of(100, PLENTY) as queue:
        began = loop.time()
        assert await taken_ids(queue, 10, 0.05) == []
        assert loop.time() - began >= 0.04
        async with asyncio.TaskGroup() as group:
            began = loop.time()
            taking = group.create_task(taken_ids(queue, 10, PATIENCE_SECONDS))
            await asyncio.sleep(0.02)
            queue.offer(sample("late"))
        assert taking.result() == ["late"]
        assert loop.time() - began < PATIENCE_SECONDS


async def test_a_take_that_is_cancelled_loses_nothing(queue_of: Open) -> None:
    async with queue_of(100, PLENTY) as queue:
        seen: list[str] = []
        for number in range(20):
            taking = asyncio.create_task(taken_ids(queue, 1, 30))  # noqa: TID251 - awaited below
            await asyncio.sleep(0)
            queue.offer(sample(f"s{number}"))
            taking.cancel()
            (got,) = await asyncio.gather(taking, return_exceptions=True)
            seen += got if isinstance(got, list) else []
        assert len(seen) < 20
        while more := await taken_ids(queue, 7, 0.05):
            seen += more
        assert set(seen) == {f"s{number}" for number in range(20)}


async def test_nothing_acknowledged_is_fine(queue_of: Open) -> None:
    async with queue_of(100, PLENTY) as queue:
        await queue.acknowledge([])
        queue.offer(sample("s0"))
        (taken,) = await queue.take(1, 0)
        await queue.acknowledge([taken.receipt])
        await queue.acknowledge([taken.receipt])  # twice: a worker that retries must not break
        assert await taken_ids(queue) == []


async def test_receipts_tell_samples_apart(queue_of: Open) -> None:
    async with queue_of(100, PLENTY) as queue:
        for number in range(10):
            queue.offer(sample(f"s{number}"))
        taken = await queue.take(100, 0)
        assert len({item.receipt for item in taken}) == 10


async def test_offers_while_takes_lose_and_double_nothing(queue_of: Open) -> None:
    """Delivery is at least once over crashes; without any it is exactly once."""
    offered: list[str] = []
    seen: list[str] = []
    done = asyncio.Event()

    async def offer(queue: SampleQueue, producer: int) -> None:
        for number in range(200):
            if queue.offer(sample(f"{producer}-{number}")):
                offered.append(f"{producer}-{number}")
            if number % 7 == producer:
                await asyncio.sleep(0)

    async def take(queue: SampleQueue) -> None:
        while not done.is_set() or queue.depth()[0]:
            seen.extend(await taken_ids(queue, 13, 0.02))

    async with queue_of(150, PLENTY) as queue:
        async with asyncio.TaskGroup() as group:
            group.create_task(take(queue))
            async with asyncio.TaskGroup() as producers:
                for producer in range(5):
                    producers.create_task(offer(queue, producer))
            done.set()
        assert len(seen) == len(set(seen))
        assert sorted(seen) == sorted(offered)
        for producer in range(5):  # each producer's samples stay in their order
            own = [id for id in seen if id.startswith(f"{producer}-")]
            assert own == [id for id in offered if id.startswith(f"{producer}-")]
