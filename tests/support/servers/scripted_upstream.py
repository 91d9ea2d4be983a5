"""A model server that plays scripts: exactly these bytes, then this kind of end. For what no polite server does.

It runs in threads of the test's own process, so that both ends of a request are timed by the same clock.
"""

import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

from tests.support.running.patience import PATIENCE_SECONDS


class End(Enum):
    """What a script may end with; without one the connection stays open for the next request."""

    CLOSE = "close the connection in good order"
    RESET = "send a TCP reset"
    WAIT = "say nothing more until the other side leaves"


Step = bytes | threading.Event | End
"""Send these bytes, wait until the test sets the event, or end."""


@dataclass
class Played:
    """One call of a script: what came in, and when the other side was seen to leave."""

    steps: Sequence[Step]
    model: str
    requests: list[bytes] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    left_at: float = 0.0

    def cancelled_after(self, left_at: float) -> float:
        """Seconds from `left_at`, on the monotonic clock, until the other side was seen to leave."""
        assert self.left.wait(PATIENCE_SECONDS), "the gateway kept its call of the upstream open"
        return self.left_at - left_at


class ScriptedUpstream:
    """Serves on a free port. A request names its script by its model; a request without a model plays `anonymous`."""

    def __init__(self) -> None:
        self._scripts: dict[str, Played] = {}
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=True)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/v1"

    def plays(self, *steps: Step, name: str | None = None, begins: str = "scripted-") -> Played:
        """Learn a script; ask for it by the model of what is returned, which is `name` or `begins` so."""
        model = name or f"{begins}{len(self._scripts)}"
        played = self._scripts[model] = Played(steps, model)
        return played

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        scripts = self._scripts

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(PATIENCE_SECONDS)
                try:
                    while _serve(self.request, scripts):
                        pass
                except OSError:
                    pass  # the other side left in the middle of a script that does not wait for that

        return Handler


def answer(body: bytes, content_type: str = "application/json", *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream_head(content_type: str = "text/event-stream") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _serve(connection: socket.socket, scripts: Mapping[str, Played]) -> bool:
    """Play the script of one request; False when the connection is done with."""
    head, body = _head(connection)
    if not head:
        return False
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    expects_json = b"application/json" in head
    while expects_json and len(body) < length:
        body += connection.recv(65536)
    model = json.loads(body)["model"] if expects_json and body else "anonymous"
    played = scripts[model]
    played.requests.append(head + body)
    played.came.set()
    return all(_play(connection, step, played) for step in played.steps)


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b"", b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def _play(connection: socket.socket, step: Step, played: Played) -> bool:
    """True when the script goes on."""
    if isinstance(step, bytes):
        connection.sendall(step)
    elif isinstance(step, threading.Event):
        step.wait(PATIENCE_SECONDS)
    elif step is End.WAIT:
        _wait_until_left(connection)
        played.left_at = time.monotonic()
        played.left.set()
    elif step is End.RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    return not isinstance(step, End)


def _wait_until_left(connection: socket.socket) -> None:
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
