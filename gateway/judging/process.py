"""A detector process: `python -m gateway.judging.process FD PROGRESS_FD NICE MODELS FINGERPRINTS OWN`.

FINGERPRINTS is a file and OWN the operator's detectors as JSON; either may be empty.

`gateway.judging.detector_process` starts it. It reads requests from the socket, works on them piece by piece in the
order of `gateway.judging.schedule`, and answers each with its findings. It ends when the gateway closes the line.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec

from detectors.own.specs import NONE, OwnDetectors
from detectors.panel import Panel, load_what_loads
from gateway.judging.messages import Findings, FrameReader, Hello, JudgingRequest, frame
from gateway.judging.progress import Progress
from gateway.judging.request_panel import RequestPanel
from gateway.judging.schedule import Job, Schedule

_POLL_SECONDS = 0.001  # work is done for so long before the next look at the line
_RECEIVED = 1 << 20  # bytes taken off the line at once


class _EndedError(Exception):
    """The gateway has closed the line."""


def serve(line: socket.socket, panel: RequestPanel, progress: Progress | None = None) -> None:
    """Answer requests until the other side closes."""
    desk = _Desk(line, panel, progress)
    try:
        while True:
            desk.receive()
            desk.work()
    except _EndedError:
        return


class _Desk:
    """The requests that have come in and are not answered yet."""

    def __init__(self, line: socket.socket, panel: RequestPanel, progress: Progress | None) -> None:
        self._line = line
        self._progress = progress
        self._reader = FrameReader()
        self._decode = msgspec.msgpack.Decoder(JudgingRequest).decode
        self._schedule = Schedule(panel.steps)

    def receive(self) -> None:
        """Take what is on the line; waits if there is nothing to do."""
        while True:
            self._line.setblocking(not self._schedule)
            try:
                data = self._line.recv(_RECEIVED)
            except BlockingIOError:
                break
            if not data:
                raise _EndedError
            for body in self._reader.feed(data):
                self._schedule.add(self._decode(body))
        self._line.setblocking(True)

    def work(self) -> None:
        """Work until it is time to look at the line again."""
        until = monotonic() + _POLL_SECONDS
        while (now := monotonic()) < until:
            self._send(self._schedule.late(now))
            job = self._schedule.next(now)
            if job is None:
                return
            self._step(job, now)

    def _step(self, job: Job, began: float) -> None:
        if self._progress is not None:
            self._progress.begin([request.id for request in job.requests])
        found = job.step(began)
        now = monotonic()
        self._schedule.charge(job, now - began, now)
        if found is not None:
            self._schedule.done(job)
            self._send(found)

    def _send(self, replies: list[Findings]) -> None:
        if replies:
            self._line.sendall(b"".join(map(frame, replies)))


def run(load: Callable[[], Panel]) -> None:
    """The process, with the detectors that `load` gives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the gateway, which then closes the line
    os.nice(int(sys.argv[3]))
    line = socket.socket(fileno=int(sys.argv[1]))
    progress = Progress(int(sys.argv[2]))
    key = sys.stdin.buffer.read()[:64]
    panel = RequestPanel(load(), key)
    ready, absent = [detector.id for detector in panel.panel.detectors], dict(panel.panel.absent)
    gc.freeze()  # what is loaded stays: searching it for garbage takes 25 ms, for which a prompt would wait
    try:
        line.sendall(frame(Hello(ready, absent, sorted(panel.compared))))
        serve(line, panel, progress)
    except (BrokenPipeError, ConnectionResetError):
        return  # the gateway is gone


def main() -> None:
    models, fingerprints, own = sys.argv[4:7]
    run(
        lambda: load_what_loads(
            Path(models),
            Path(fingerprints) if fingerprints else None,
            own=msgspec.json.decode(own, type=OwnDetectors) if own else NONE,
        )
    )


if __name__ == "__main__":
    main()
