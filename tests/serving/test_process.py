"""The socket that a process listens on, and what it takes over of a listener that it closes."""

import socket
import subprocess
import sys

import pytest

from gateway.config.settings import ConfigError
from gateway.serving.process import accept_all, listen


def test_a_port_is_shared_only_by_those_who_say_so() -> None:
    with listen("127.0.0.1", 0, "--port", shared=True) as first:
        host, port = first.getsockname()
        first.listen()
        with listen(host, port, "--port", shared=True) as second:
            second.listen()
            with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: .*; choose another with --port"):
                listen(host, port, "--port")


def test_a_shared_port_takes_nothing_before_its_server_listens() -> None:
    with listen("127.0.0.1", 0, "--port", shared=True) as bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound.getsockname())


def test_what_waits_in_the_queue_of_a_listener_is_taken_over() -> None:
    with listen("127.0.0.1", 0, "--port") as listening:
        clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
        taken = accept_all(listening)
        assert accept_all(listening) == []
    for client, connection in zip(clients, taken, strict=True):
        client.sendall(b"hello")
        connection.setblocking(True)
        assert connection.recv(5) == b"hello"
        client.close()
        connection.close()


_PROGRAM = """
import os, signal, sys
from gateway.serving import process

async def app(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    print(sys.getswitchinterval(), flush=True)  # the signal may end the process without a flush
    os.kill(os.getpid(), signal.SIGTERM)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})

def make():
    return app

listening = process.listen("127.0.0.1", 0, "")
process.run("__main__:make", listening, workers=1, ending=process.ProcessEnding(0, 0), announce=lambda: None)
"""


@pytest.mark.slow
def test_threads_that_compute_give_way_to_traffic_soon() -> None:
    """Python's five milliseconds would be seen in the latency of requests while the ledger adds up."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert float(done.stdout) <= 0.001, done.stderr
