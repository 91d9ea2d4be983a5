"""The watch: a client that goes cancels the work once, and nothing is left behind."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.serving.disconnect import Watch
from gateway.serving.request import GONE

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class Client:
    """A client as `gateway.serving.request` shows it: it tells once that it goes, at once if it has gone."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone
        self.tell: Callable[[], None] | None = None
        self.scope: dict[str, Any] = {"extensions": {GONE: self.register}}

    def register(self, tell: Callable[[], None] | None) -> None:
        self.tell = tell
        if self.gone:
            self.goes()

    def goes(self) -> None:
        self.gone = True
        tell, self.tell = self.tell, None
        if tell is not None:
            tell()


class Work:
    """A task under a watch that counts how often it is cancelled; `ends` lets it end."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.watch: Watch
        self.cancels = 0
        self.ends = asyncio.Event()

    async def run(self) -> None:
        self.watch = Watch(self.scope)
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
    client = Client()
    work = Work(client.scope)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        assert (work.cancels, work.watch.gone) == (0, False)
        client.goes()
        await turns()
        assert (work.cancels, work.watch.gone) == (1, True)
        client.goes()
        await turns()
        assert work.cancels == 1
        work.ends.set()


async def test_a_client_that_is_gone_already() -> None:
    work = Work(Client(gone=True).scope)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.run())
        await turns()
        assert (work.cancels, work.watch.gone) == (1, True)
        work.ends.set()


async def test_after_stop_nothing_is_cancelled() -> None:
    client = Client()
    watch = Watch(client.scope)
    watch.stop()
    assert client.tell is None
    client.goes()
    await turns()
    assert not watch.gone
    watch.stop()  # harmless


async def test_a_cancellation_from_elsewhere_is_not_the_clients() -> None:
    work = Work(Client().scope)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work.run())
        await turns()
        task.cancel()
        await turns()
        assert (work.cancels, work.watch.gone) == (1, False)
        work.ends.set()


@pytest.mark.parametrize("scope", [{}, {"extensions": {}}, {"extensions": {"tls": {}}}])
async def test_under_another_server_it_notices_nothing_and_harms_nothing(scope: dict[str, Any]) -> None:
    watch = Watch(scope)
    await turns()
    assert not watch.gone
    watch.stop()
