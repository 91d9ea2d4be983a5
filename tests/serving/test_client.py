"""The client as the application sees it: what it can be asked where the server shows it, and where it does not."""

import asyncio
from typing import Any

import pytest

from gateway.serving.client import CLIENT, UnknownClient
from gateway.serving.request import ServerRequest

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class Connection:
    """As much of a connection as a request needs to be watched."""

    def __init__(self, *, lost: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.lost = lost
        self.closing = False
        self.is_full = False

    def write(self, data: bytes) -> None:
        raise AssertionError(data)

    async def drain(self) -> None:
        raise AssertionError

    def resume_reading(self) -> None:
        raise AssertionError

    def is_last(self) -> bool:
        return True

    def answered(self, request: ServerRequest) -> None:
        raise AssertionError(request)

    def break_off(self, *, framed: bool) -> None:
        """As it must be, whatever was written."""


class Work:
    """An application that counts how often it is cancelled; `ends` lets it end."""

    def __init__(self) -> None:
        self.client: Any = None
        self.cancels = 0
        self.ends = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        self.client = scope["extensions"][CLIENT]
        self.client.watch()
        while not self.ends.is_set():
            try:
                await self.ends.wait()
            except asyncio.CancelledError:
                self.cancels += 1
                if self.cancels > 5:
                    raise


def begin(connection: Connection, work: Work) -> ServerRequest:
    scope = {"type": "http", "method": "POST", "raw_path": b"/", "http_version": "1.1"}
    request = ServerRequest(connection, scope, True, False, {})
    request.start(work)
    return request


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def finished(connection: Connection, work: Work) -> None:
    connection.lost = True  # nothing is written any more
    work.ends.set()
    await turns()
    assert connection.tasks == set()


async def test_a_client_that_goes_cancels_the_work_exactly_once() -> None:
    connection, work = Connection(), Work()
    request = begin(connection, work)
    await turns()
    assert (work.cancels, work.client.gone) == (0, False)
    for _ in range(2):
        request.leave()
        await turns()
        assert (work.cancels, work.client.gone) == (1, True)
    await finished(connection, work)


async def test_a_client_that_is_gone_already() -> None:
    connection, work = Connection(lost=True), Work()
    begin(connection, work)
    await turns()
    assert (work.cancels, work.client.gone) == (1, True)
    await finished(connection, work)


async def test_a_client_that_is_watched_no_more_cancels_nothing() -> None:
    connection, work = Connection(), Work()
    request = begin(connection, work)
    await turns()
    work.client.watched = False
    request.leave()
    await turns()
    assert (work.cancels, work.client.gone) == (0, False)
    await finished(connection, work)


async def test_a_cancellation_from_elsewhere_is_not_the_clients() -> None:
    connection, work = Connection(), Work()
    begin(connection, work)
    await turns()
    for task in connection.tasks:
        task.cancel()
    await turns()
    assert (work.cancels, work.client.gone) == (1, False)
    await finished(connection, work)


async def test_under_another_server_nothing_is_noticed_and_nothing_done_without_waiting() -> None:
    client = UnknownClient()
    client.watch()
    await turns()
    assert not client.gone
    assert client.take() is None
    assert not client.write(b"data")
    assert client.notes is not UnknownClient().notes
