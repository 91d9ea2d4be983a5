"""Tasks beside the traffic: one that ends is started again, and a gateway that cannot keep them says so or ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from gateway.serving.background import PATIENCE_SECONDS, STEADY_SECONDS, Background
from tests.support.fakes import Counts


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Flaky:
    """A task that ends as it is told, start by start, and then works until it is cancelled."""

    def __init__(self, *endings: BaseException | None) -> None:
        self.endings = list(endings)
        self.starts = 0
        self.working = asyncio.Event()

    async def __call__(self) -> None:
        self.starts += 1
        if self.endings:
            if (ending := self.endings.pop(0)) is not None:
                raise ending
            return
        self.working.set()
        await asyncio.Event().wait()


def kept(
    clock: Callable[[], float], end: Callable[[], None] = lambda: None, **tasks: Callable[[], Awaitable[None]]
) -> Background:
    return Background(tasks.items(), clock=clock, end_process=end)


async def test_a_task_that_raises_or_returns_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    restarts = Counts("assay_background_restarts_total")
    flaky, steady = Flaky(OSError(24, "Too many open files"), ValueError("bug"), None), Flaky()
    background = kept(Clock(), judge=flaky, audit=steady)
    async with background.running():
        await asyncio.wait_for(flaky.working.wait(), 30)
        await asyncio.wait_for(steady.working.wait(), 30)
    assert (flaky.starts, steady.starts) == (4, 1)
    assert restarts.added() == {("judge",): 3}
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == [
        "background task judge ended (OSError: [Errno 24] Too many open files); it is started again in 0.1 s",
        "background task judge failed",
        "background task judge ended (ValueError: bug); it is started again in 0.2 s",
        "background task judge ended (it returned); it is started again in 0.4 s",
    ]


async def test_health_tells_of_a_task_that_keeps_failing_and_of_its_recovery() -> None:
    clock, flaky = Clock(), Flaky(ValueError("one"))
    background = kept(clock, policy=flaky)
    async with background.running():
        await asyncio.wait_for(flaky.working.wait(), 30)
        assert background.failing == {"policy": "ValueError: one"}
        assert background.is_healthy  # a passing trouble, so far
        clock.now += STEADY_SECONDS
        assert background.failing == {}

    clock, flaky = Clock(), Flaky(*[ValueError("again")] * 1_000)
    background = kept(clock, policy=flaky)
    async with background.running():
        await asyncio.sleep(0)
        before = background.is_healthy
        clock.now += PATIENCE_SECONDS
        assert (before, background.is_healthy) == (True, False)
        assert background.failing == {"policy": "ValueError: again"}


async def test_what_cannot_be_kept_ends_the_process() -> None:
    class Fatal(BaseException):
        pass

    ended: list[bool] = []

    async def serve() -> None:
        async with kept(Clock(), lambda: ended.append(True), judge=Flaky(Fatal())).running():
            await asyncio.Event().wait()

    with pytest.raises(BaseExceptionGroup):
        await serve()
    assert ended == [True]


async def test_an_orderly_end_ends_nothing_else() -> None:
    ended: list[bool] = []
    task = Flaky()
    async with kept(Clock(), lambda: ended.append(True), judge=task).running():
        await task.working.wait()
    assert ended == []
