"""The whole way to the detectors, in virtual time: the gateway's outbox, a line of so many bytes, the order of work.

Whatever fifty callers send, a short text of another one waits for so many pieces of their work and no more."""

from collections.abc import Sequence
from itertools import count

import msgspec
import pytest

from detectors.base import Steps
from gateway.judging.messages import Findings, FrameReader, JudgingRequest, judging_request
from gateway.judging.outbox import Outbox
from gateway.judging.schedule import Schedule

PIECE = 0.015  # seconds
BYTES_A_PIECE = 800  # of hostile text that one window of the encoder reads
LINE_BYTES = 200_000  # that the system holds for the other side
PATIENCE = 1.0
CALLERS = 50
OWN = 2  # pieces that a short text takes


class Way:
    """The gateway refills the line once after each piece, as one does that has no processor of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.outbox = Outbox()
        self.schedule = Schedule(self._steps)
        self.open: dict[int, JudgingRequest] = {}
        self.ended: dict[int, int] = {}  # by request, the pieces that had been done by then
        self.pieces = 0
        self._reader = FrameReader()
        self._decode = msgspec.msgpack.Decoder(JudgingRequest).decode
        self._ids = count(1)
        self._rest = b""

    @staticmethod
    def _steps(requests: Sequence[JudgingRequest]) -> Steps[list[Findings]]:
        for request in requests:
            for _ in range(0, len(request.prompt), BYTES_A_PIECE):
                if (yield):
                    break
        return [Findings(request.id, [], [], {}) for request in requests]

    def ask(self, caller: str, size: int) -> int:
        request = judging_request("chat", caller=caller, prompt=b"x" * size, urgent=True)
        request.id, request.expires_at = next(self._ids), self.now + PATIENCE
        self.open[request.id] = request
        self.outbox.add(request)
        return request.id

    def piece(self) -> None:
        """The process takes what is on the line, and does a piece; the gateway gives up what is late, and writes."""
        for body in self._reader.feed(self._line()):
            self.schedule.add(self._decode(body))
        self._answer(self.schedule.late(self.now))
        job = self.schedule.next(self.now)
        self.now += PIECE
        self.pieces += 1
        if job is not None:
            found = job.step(self.now - PIECE)
            self.schedule.charge(job, PIECE, self.now)
            if found is not None:
                self.schedule.done(job)
                self._answer(found)
        for request in list(self.open.values()):
            if request.expires_at < self.now and self.outbox.withdraw(request):
                self._end(request.id)

    def _line(self) -> bytes:
        """What fits on the line, some of it perhaps the rest of what did not fit before."""
        written = self._rest
        while len(written) < LINE_BYTES and (part := self.outbox.next(self.now)) is not None:
            written += part
        self._rest = written[LINE_BYTES:]
        return written[:LINE_BYTES]

    def _answer(self, replies: Sequence[Findings]) -> None:
        for reply in replies:
            self.outbox.answered(reply.id)
            self._end(reply.id)

    def _end(self, id: int) -> None:
        self.open.pop(id, None)
        self.ended[id] = self.pieces


@pytest.mark.parametrize("size", [3_000, 60_000, 200_000, 2_000_000])
def test_a_short_text_waits_for_two_pieces_of_longer_ones(size: int) -> None:
    assert max(waits(size)) <= OWN + 2


def test_among_fifty_with_texts_as_short_it_waits_for_one_of_each_at_most() -> None:
    assert max(waits(300)) <= OWN + CALLERS


def waits(size: int) -> list[int]:
    """The pieces from when a good caller asks, some twice a second, to when it has its answer, its own among them."""
    way = Way()
    hostile = {f"hostile {number}": way.ask(f"hostile {number}", size) for number in range(CALLERS)}
    waited: list[int] = []
    good, since = 0, 0
    while len(waited) < 60:
        for caller, id in hostile.items():
            if id in way.ended:
                hostile[caller] = way.ask(caller, size)
        if not good and way.pieces % 40 == 0:
            good, since = way.ask("good", 300), way.pieces
        way.piece()
        if good in way.ended:
            waited.append(way.ended[good] - since)
            good = 0
    return waited
