"""Clients that leave or dawdle: the upstream's work is cancelled at once, and the exchange is counted as left."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers import scripted_upstream as script
from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess
from tests.support.servers.scripted_upstream import End, Played, ScriptedUpstream, Step

ROUNDS = 12

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
WAITS: dict[str, tuple[Step, ...]] = {
    "before the head": (End.WAIT,),
    "within a small body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", End.WAIT),
    "within a large body": (b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + b"x" * 100_000, End.WAIT),
    "within a stream": (script.stream_head(), script.chunk(EVENT), End.WAIT),
    "within an event": (script.stream_head(), script.chunk(EVENT + EVENT[:9]), End.WAIT),
}
READS = {"within a large body": b"xxx", "within a stream": EVENT, "within an event": EVENT}


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("leave", [close, reset], ids=lambda leave: leave.__name__)
@pytest.mark.parametrize("phase", WAITS)
def test_a_client_that_leaves_cancels_the_call_of_the_upstream(
    gateway: GatewayProcess,
    scripted: ScriptedUpstream,
    cancel_times: dict[str, list[float]],
    phase: str,
    leave: Callable[[socket.socket], None],
) -> None:
    gone = _gone(gateway)
    took = []
    for _ in range(ROUNDS):
        played = scripted.plays(*WAITS[phase])
        connection = _ask(gateway, played)
        _read_until(connection, READS.get(phase, b""))
        left_at = time.monotonic()
        leave(connection)
        took.append(played.cancelled_after(left_at))
    cancel_times.setdefault(phase, []).extend(took)
    gateway.wait_until("every departure is counted", lambda: _gone(gateway) == gone + ROUNDS)


def test_a_client_that_leaves_within_an_upload_cancels_it(
    gateway: GatewayProcess, upstream: DemoUpstream, cancel_times: dict[str, list[float]]
) -> None:
    """A file, which streams through: the upstream has seen part of it."""
    gone = _gone(gateway)
    took = []
    for _ in range(ROUNDS):
        before = _cancelled(upstream)
        head = "content-type: application/octet-stream\r\ncontent-length: 500000\r\n"
        connection = _connect(gateway, "/files", head, b"x" * 1000)
        gateway.wait_until("the upstream has it", lambda: upstream.received()["in_flight"] == 1)
        left_at = time.monotonic()
        connection.close()
        while _cancelled(upstream) == before:
            assert time.monotonic() < left_at + PATIENCE_SECONDS, "the upload was not cancelled"
        took.append(time.monotonic() - left_at)
    cancel_times["within an upload (polled)"] = took
    gateway.wait_until("every departure is counted", lambda: _gone(gateway) == gone + ROUNDS)


@pytest.mark.parametrize("framing", ["content-length: 500\r\n", "transfer-encoding: chunked\r\n"])
def test_a_client_that_leaves_within_its_request_is_counted(
    gateway: GatewayProcess, scripted: ScriptedUpstream, framing: str
) -> None:
    """The upstream hears nothing of it."""
    gone, played = _gone(gateway), scripted.plays(End.WAIT)
    text = b'{"model": "%b", "mess' % played.model.encode()
    body = script.chunk(text) if "chunked" in framing else text
    connection = _connect(gateway, "/chat/completions", f"content-type: application/json\r\n{framing}", body)
    gateway.wait_until("the request has begun", lambda: gateway.metric("assay_requests_in_flight") == 1)
    connection.close()
    gateway.wait_until("the departure is counted", lambda: _gone(gateway) == gone + 1)
    assert not played.came.is_set()


def test_no_connection_and_no_exchange_is_left_behind(gateway: GatewayProcess, scripted: ScriptedUpstream) -> None:
    """Fifty that leave at once, in any phase; then everything is as before."""
    steps: tuple[Step, ...] = (script.stream_head(), script.chunk(EVENT), End.WAIT)
    played = [scripted.plays(*steps[number % 3 :]) for number in range(51)]
    connections = [_ask(gateway, one) for one in played]
    for connection in connections:
        connection.close()
    assert all(one.left.wait(PATIENCE_SECONDS) for one in played)
    gateway.wait_until("no exchange is open", lambda: gateway.metric("assay_requests_in_flight") == 0)
    gateway.wait_until("no connection is busy", lambda: gateway.metric("assay_upstream_connections", state="busy") == 0)


def test_a_client_that_reads_slowly_holds_the_upstream_back_and_not_the_memory(gateway: GatewayProcess) -> None:
    size = 60_000_000
    gateway.reset_peak_memory()
    before = gateway.peak_memory_bytes()
    connection = _connect(gateway, f"/files/file-{size}/content", "", b"", method="GET")
    time.sleep(0.5)
    assert gateway.peak_memory_bytes() - before < size / 6
    received = 0
    while piece := connection.recv(1 << 20):
        received += len(piece)
        if received > size:
            break
    connection.close()
    assert received > size


def test_a_quick_answer_after_a_cancelled_one(gateway: GatewayProcess, scripted: ScriptedUpstream) -> None:
    """What the upstream still says to a client that left reaches nobody else."""
    late = threading.Event()
    played = scripted.plays(late, script.answer(b"late"))
    connection = _ask(gateway, played)
    connection.close()
    other = _ask(gateway, scripted.plays(script.answer(b"early")))
    late.set()
    assert _read_until(other, b"early").endswith(b"early")
    other.close()


# --- a client of bare sockets, which can leave at any byte


def _ask(gateway: GatewayProcess, played: Played) -> socket.socket:
    """Send a whole request and wait until the upstream has it."""
    message = {"role": "user", "content": "hello"}
    body = json.dumps({"model": played.model, "stream": True, "messages": [message]}).encode()
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    connection = _connect(gateway, "/chat/completions", head, body)
    assert played.came.wait(PATIENCE_SECONDS)
    return connection


def _connect(gateway: GatewayProcess, path: str, head: str, body: bytes, method: str = "POST") -> socket.socket:
    connection = socket.create_connection(gateway.address, timeout=PATIENCE_SECONDS)
    start = f"{method} /v1{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {gateway.key}\r\n"
    connection.sendall(f"{start}{head}\r\n".encode() + body)
    return connection


def _read_until(connection: socket.socket, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        piece = connection.recv(65536)
        assert piece, f"the gateway closed the connection after {data[:500]!r}"
        data += piece
    return data


def _gone(gateway: GatewayProcess) -> float:
    return gateway.metric("assay_requests_total", outcome="client_gone")


def _cancelled(upstream: DemoUpstream) -> object:
    return upstream.received()["cancelled"]
