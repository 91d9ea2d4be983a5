"""The loop of a detector process: in which order it answers, with the real socket and all of a panel."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from detectors.base import Steps
from detectors.panel import Panel
from gateway.judging.messages import Findings, FrameReader, JudgingRequest, frame, judging_request
from gateway.judging.process import serve
from gateway.judging.request_panel import RequestPanel
from tests.support.fakes import Words, chat, request_panel
from tests.support.running.patience import PATIENCE_SECONDS


def on_the_line(number: int, *, urgent: bool = False) -> JudgingRequest:
    asked = judging_request("chat", prompt=chat("x"), prompt_slugs=None, urgent=urgent)
    asked.id = number
    return asked


def ids_from(line: socket.socket, count: int) -> list[int]:
    """The ids of the next replies, in the order they come."""
    reader, ids = FrameReader(), list[int]()
    line.settimeout(PATIENCE_SECONDS)
    while len(ids) < count:
        ids += [msgspec.msgpack.decode(body, type=Findings).id for body in reader.feed(line.recv(1 << 16))]
    return ids


@contextmanager
def served(on: RequestPanel, *waiting: JudgingRequest) -> Iterator[socket.socket]:
    """The real server loop in a thread, with all that waits already on the line when it starts."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(map(frame, waiting)))
        server = threading.Thread(target=serve, args=(theirs, on))
        server.start()
        yield ours
        ours.shutdown(socket.SHUT_WR)
        server.join(PATIENCE_SECONDS)
        assert not server.is_alive()


def test_urgent_requests_go_first_and_the_rest_keep_their_order() -> None:
    with served(request_panel(), *(on_the_line(number, urgent=number in (15, 18)) for number in range(20))) as line:
        ids = ids_from(line, 20)
    assert ids == [15, 18, *(number for number in range(20) if number not in (15, 18))]


def test_a_request_that_nobody_waits_for_is_answered_unjudged() -> None:
    late, due = on_the_line(1), on_the_line(2)
    late.expires_at = time.monotonic() - 1
    due.expires_at = time.monotonic() + 60
    with served(request_panel(), late, due) as line:
        reader, replies = FrameReader(), list[Findings]()
        line.settimeout(PATIENCE_SECONDS)
        while len(replies) < 2:
            replies += [msgspec.msgpack.decode(body, type=Findings) for body in reader.feed(line.recv(1 << 16))]
    assert [(reply.id, reply.expired, len(reply.findings)) for reply in replies] == [(1, True, 0), (2, False, 1)]


def test_an_urgent_request_that_comes_later_waits_for_one_piece_only() -> None:
    class Slow(RequestPanel):
        """Waits, with the first batch begun, until the urgent request is on the line."""

        def steps(self, requests: Sequence[JudgingRequest]) -> Steps[list[Findings]]:
            begun.set()
            assert go.wait(PATIENCE_SECONDS)
            time.sleep(0.002)  # longer than the process works without a look at the line
            return super().steps(requests)

    begun, go = threading.Event(), threading.Event()
    with served(Slow(Panel([Words()]), b"key"), *map(on_the_line, range(30))) as line:
        assert begun.wait(PATIENCE_SECONDS)
        line.sendall(frame(on_the_line(99, urgent=True)))
        go.set()
        ids = ids_from(line, 31)
    assert ids[0] == 99
    assert sorted(ids) == [*range(30), 99]
