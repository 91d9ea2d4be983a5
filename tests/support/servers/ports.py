"""Ports for servers that must be told theirs.

A port that was looked up and let go of may be another's before the server has it. So it is held: a socket is bound
to it and does not listen. A server that reuses addresses, as all do that a test starts, listens beside it, also when it
is started again; nobody else is given the port meanwhile.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


class HeldPort:
    """A port of loopback, from now on until `release`. `way` is how servers share it with this socket."""

    def __init__(self, way: int = socket.SO_REUSEADDR) -> None:
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, way, 1)
        self._held.bind(("127.0.0.1", 0))
        self.number: int = self._held.getsockname()[1]

    def release(self) -> None:
        self._held.close()


@contextmanager
def held_port(way: int = socket.SO_REUSEADDR) -> Iterator[int]:
    """For one server after the other, or with SO_REUSEPORT for several gateways at a time (`reuse_port`)."""
    port = HeldPort(way)
    try:
        yield port.number
    finally:
        port.release()


@contextmanager
def closed_port() -> Iterator[int]:
    """A port where connections are refused, and that nobody takes meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
