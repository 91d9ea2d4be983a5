"""A listener that ends beside another one on its port: what comes meanwhile goes to the other, and nothing is reset."""

import selectors
import socket
from contextlib import ExitStack

import pytest

from gateway.serving import handover
from gateway.serving.process import listen
from tests.support.running.patience import PATIENCE_SECONDS


def heard(listening: socket.socket) -> bool:
    """Whether a connection waits there."""
    listening.setblocking(False)
    try:
        connection, _ = listening.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


def begun(port: int) -> socket.socket:
    """A client whose first packet is out; on loopback the other side has taken it by then, if it takes it."""
    client = socket.socket()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.connect(("127.0.0.1", port))
    return client


def test_only_a_listener_that_shares_its_port_is_shared() -> None:
    with listen("127.0.0.1", 0, "--port") as alone, listen("127.0.0.1", 0, "--port", shared=True) as shared:
        assert not handover.is_shared(alone)
        assert handover.is_shared(shared)


def test_what_comes_to_a_deaf_listener_goes_to_the_other_one() -> None:
    with ExitStack() as stack:
        old = stack.enter_context(listen("127.0.0.1", 0, "--port", shared=True))
        old.listen()
        port = old.getsockname()[1]
        early = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        handover.turn_deaf(old)
        late = stack.enter_context(begun(port))
        assert heard(old)
        assert not heard(old)  # the late one has to ask again
        early.setblocking(True)
        assert early.recv(1) == b""  # what was accepted goes on as ever
        new = stack.enter_context(listen("127.0.0.1", port, "--port", shared=True))
        new.listen()
        old.close()
        with selectors.DefaultSelector() as waiting:
            waiting.register(late, selectors.EVENT_WRITE)
            assert waiting.select(PATIENCE_SECONDS)
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert heard(new)
