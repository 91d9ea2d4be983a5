"""How a worker stops: the batch at hand comes to its end, and no other is begun."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.samples.memory_queue import MemoryQueue
from gateway.worker import Worker
from tests.support.fakes import OBSERVE, Counts, Journal, JudgingHere, policy, sample, sinks
from tests.support.running.patience import PATIENCE_SECONDS


@asynccontextmanager
async def at_work() -> AsyncIterator[tuple[Worker, MemoryQueue, asyncio.Event]]:
    """A worker that has taken one sample, and the event that its verdict waits for."""
    judge, queue, decided = JudgingHere(), MemoryQueue(100, 10**6), policy(OBSERVE)
    judge.pause = asyncio.Event()
    worker = Worker(
        queue,
        judge,
        sinks(Journal()),
        policy=lambda: decided,
        expiry_seconds=60,
        wall_clock=lambda: 1000.0,
    )
    queue.offer(sample("s0"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        while not judge.requests:  # noqa: ASYNC110 - a handful of turns of the loop
            await asyncio.sleep(0)
        yield worker, queue, judge.pause
        running.cancel()


async def test_it_finishes_its_batch_and_takes_no_other() -> None:
    fates = Counts("assay_samples_total")
    async with at_work() as (worker, queue, verdict):
        queue.offer(sample("s1"))
        async with asyncio.TaskGroup() as group:
            finishing = group.create_task(worker.finish(30))
            await asyncio.sleep(0.01)
            assert not finishing.done()
            verdict.set()
        assert fates.added() == {("judged", ""): 1}
        assert queue.depth()[0] == 1


@pytest.mark.slow
async def test_it_does_not_wait_for_ever() -> None:
    fates = Counts("assay_samples_total")
    async with at_work() as (worker, _, _):
        await worker.finish(0.01)
    assert fates.added() == {}


@pytest.mark.parametrize("seconds", [0.0, 30.0])
async def test_one_that_has_nothing_at_hand_is_done_at_once(seconds: float) -> None:
    decided = policy(OBSERVE)
    worker = Worker(
        MemoryQueue(1, 1),
        JudgingHere(),
        sinks(Journal()),
        policy=lambda: decided,
        expiry_seconds=60,
        wall_clock=lambda: 1000.0,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        await worker.finish(seconds)
