"""The watch: a client that goes cancels the work once, and nothing is left behind."""

import asyncio
import gc
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from gateway.watch import Watch

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

Message = dict[str, Any]
DISCONNECT: Message = {"type": "http.disconnect"}
BODY: Message = {"type": "http.request", "body": b"", "more_body": False}


class Wire:
    """A client as servers show it: `receive` waits for an event that the connection sets, in two awaits."""

    def __init__(self, *messages: Message) -> None:
        self.messages = deque(messages)
        self.waiting = 0
        self._event = asyncio.Event()

    def goes(self, message: Message = DISCONNECT) -> None:
        self.messages.append(message)
        self._event.set()

    async def receive(self) -> Message:
        while not self.messages:
            self.waiting += 1
            try:
                await self._event.wait()
            finally:
                self.waiting -= 1
            self._event.clear()
        return await self._next()

    async def _next(self) -> Message:
        return self.messages.popleft()


class Work:
    """A task under a watch that counts how often it is cancelled; `end` lets it end."""

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self.watch = Watch(receive)
        self.cancels = 0
        self.ends = asyncio.Event()

    async def run(self) -> None:
        self.watch.start()
        while not self.ends.is_set():
            try:
                await self.ends.wait()
            except asyncio.CancelledError:
                self.cancels += 1
                if self.cancels > 5:
                    raise
        self.watch.stop()


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_client_that_goes_cancels_the_work_exactly_once() -> None:
    wire = Wire()
    work = Work(wire.receive)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        assert (work.cancels, work.watch.gone, wire.waiting) == (0, False, 1)
        wire.goes()
        await turns()
        assert (work.cancels, work.watch.gone, wire.waiting) == (1, True, 0)
        wire.goes()
        await turns()
        assert work.cancels == 1
        work.ends.set()


async def test_a_client_that_is_gone_already() -> None:
    work = Work(Wire(DISCONNECT).receive)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        assert (work.cancels, work.watch.gone) == (1, True)
        work.ends.set()


async def test_after_stop_nothing_is_cancelled() -> None:
    wire = Wire()
    watch = Watch(wire.receive)
    watch.start()
    await turns()
    assert wire.waiting == 1
    watch.stop()
    assert wire.waiting == 0  # the coroutine was ended, its clean-up has run
    wire.goes()
    await turns()
    assert not watch.gone
    watch.stop()  # harmless


async def test_stop_in_the_turn_in_which_the_client_goes() -> None:
    wire = Wire()
    watch = Watch(wire.receive)
    watch.start()
    await turns()
    wire.goes()  # the waiting coroutine would be resumed in the next turn
    watch.stop()
    await turns()
    assert not watch.gone
    assert wire.waiting == 0


async def test_stop_without_start() -> None:
    Watch(Wire().receive).stop()


async def test_a_message_that_is_no_disconnect_ends_the_watch() -> None:
    wire = Wire()
    work = Work(wire.receive)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        wire.goes(BODY)
        wire.goes()
        await turns()
        assert (work.cancels, work.watch.gone) == (0, False)
        work.ends.set()


async def test_a_receive_that_yields_to_the_loop() -> None:
    """Some servers give the loop a turn (`sleep(0)`) before or between waiting."""
    wire = Wire()

    async def receive() -> Message:
        await asyncio.sleep(0)
        message = await wire.receive()
        await asyncio.sleep(0)
        return message

    work = Work(receive)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        assert wire.waiting == 1
        wire.goes()
        await turns()
        assert work.cancels == 1
        work.ends.set()

    for stop_after in range(4):
        watch = Watch(receive)
        watch.start()
        await turns(stop_after)
        watch.stop()
        await turns()
        assert wire.waiting == 0


async def test_a_receive_on_a_bare_future() -> None:
    future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    class Receiving:
        def __await__(self) -> Generator[Any, None, Message]:
            return (yield from future)

    work = Work(Receiving)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        future.set_result(DISCONNECT)
        await turns()
        assert work.cancels == 1
        work.ends.set()


async def test_a_cancellation_from_elsewhere_is_not_the_clients() -> None:
    wire = Wire()
    work = Work(wire.receive)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work.run())
        await turns()
        task.cancel()
        await turns()
        assert (work.cancels, work.watch.gone) == (1, False)
        work.ends.set()


async def test_nothing_is_left_behind() -> None:
    """No coroutine that was never awaited, no task that was never ended, no callback on a future that lives on."""
    wire = Wire()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for ending in range(4):
            watch = Watch(wire.receive)
            watch.start()
            if ending == 1:
                await turns()
            if ending >= 2:
                watch.stop()
            if ending == 3:
                watch.stop()
            watch.stop()
            del watch
        await turns()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert wire.waiting == 0
    assert len(asyncio.all_tasks()) == 1


async def test_many_watches_over_one_connection_one_after_the_other() -> None:
    wire = Wire()
    for _ in range(1000):
        watch = Watch(wire.receive)
        watch.start()
        await asyncio.sleep(0)
        watch.stop()
    work = Work(wire.receive)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        wire.goes()
        await turns()
        assert work.cancels == 1
        work.ends.set()
