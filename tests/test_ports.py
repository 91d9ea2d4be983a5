"""Ports that tests hold for servers: the server gets its port, again and again, and nobody else does."""

import errno
import socket

import pytest

from tests.support.servers.ports import closed_port, held_port

LOOPBACK = "127.0.0.1"


def test_a_server_gets_the_port_and_gets_it_again_after_its_end() -> None:
    with held_port() as port:
        for _ in range(2):
            with socket.create_server((LOOPBACK, port)) as listening, socket.create_connection((LOOPBACK, port)):
                listening.accept()[0].close()


def test_nobody_else_gets_it() -> None:
    with held_port() as port:
        with socket.socket() as stranger, pytest.raises(OSError, match="in use") as refused:
            stranger.bind((LOOPBACK, port))
        assert refused.value.errno == errno.EADDRINUSE


def test_ports_held_at_a_time_differ() -> None:
    """Also from those that the system gives to others who reuse addresses."""
    with held_port() as first, held_port() as second, socket.create_server((LOOPBACK, 0)) as other:
        assert len({first, second, other.getsockname()[1]}) == 3


def test_several_listen_on_one_that_is_held_for_sharing() -> None:
    with held_port(socket.SO_REUSEPORT) as port, socket.socket() as one, socket.socket() as other:
        for listening in (one, other):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((LOOPBACK, port))
            listening.listen()


def test_nothing_listens_where_no_server_was_started() -> None:
    with held_port() as held, closed_port() as closed:
        for port in (held, closed):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((LOOPBACK, port))
