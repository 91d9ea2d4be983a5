"""Two answers on an upstream connection without a socket: what becomes of the second."""

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.errors import UpstreamError
from gateway.upstream.http1.connection import UpstreamConnection
from gateway.upstream.transport import Limits

HEAD = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n"


class _Transport(asyncio.Transport):
    """Takes everything; remembers only whether it was closed."""

    closed = False

    def write(self, data: Any) -> None:
        """It goes nowhere."""

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


class _Pool:
    """An owner of connections that keeps none."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.loop = asyncio.get_running_loop()

    def release(self, connection: UpstreamConnection) -> None:
        """It may carry another request."""

    def forget(self, connection: UpstreamConnection) -> None:
        """It is closed."""


async def answers_on_one_connection(first: bytes, second: Sequence[bytes]) -> Any:
    """What comes of the second answer, in these pieces, after the first on the same connection."""
    connection = _connection()
    assert _said(connection, [first])[0] == 200
    return _said(connection, second)


async def answers_on_two(first: bytes, second: Sequence[bytes]) -> Any:
    """The same where nothing is remembered of the first."""
    connection = _connection()
    connection._learnt = 1_000_000  # noqa: SLF001 - as after many heads that did not come again
    assert _said(connection, [first])[0] == 200
    return _said(connection, second)


def _connection() -> UpstreamConnection:
    connection = UpstreamConnection(_Pool())
    connection.connection_made(_Transport())
    return connection


def _said(connection: UpstreamConnection, pieces: Sequence[bytes]) -> tuple[Any, ...]:
    """Status, headers, body, whether it is whole, and the connection's state and age; or why there is no answer."""
    answer = connection.start(HEAD, b"", False, False, None)
    for piece in pieces:
        if connection.is_open:
            connection.data_received(piece)
    error: UpstreamError | None = answer._error  # noqa: SLF001 - asking for the head would wait for one that never comes
    after = connection.is_open, connection.state, connection.answers, connection.deadline > 0
    return answer.status, answer.headers, answer.take(), answer.complete, error and error.reason, *after
