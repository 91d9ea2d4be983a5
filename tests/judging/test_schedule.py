"""Whose turn it is: the short before the long, those who asked for little before those who asked for much."""

from collections import Counter
from collections.abc import Iterator, Sequence

from detectors.base import Steps
from gateway.judging.messages import Findings, JudgingRequest, judging_request
from gateway.judging.schedule import MOST_SECONDS, Schedule

PIECE = 0.03  # seconds
BYTES_A_PIECE = 1000


class Detectors:
    """Work that takes a piece for so many bytes, on a clock of its own. Keeps the order in which requests ended."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ended: list[int] = []
        self.at: dict[int, float] = {}
        self.replies: dict[int, Findings] = {}
        self.pieces: Counter[str] = Counter()
        self.schedule = Schedule(self._steps)
        self._numbers = iter(range(1, 10**6))

    def _steps(self, requests: Sequence[JudgingRequest]) -> Steps[list[Findings]]:
        for request in requests:
            for done in range(0, len(request.prompt), BYTES_A_PIECE):
                self.pieces[request.caller] += 1
                if (yield):
                    left = 1 if done + BYTES_A_PIECE < len(request.prompt) else 0
                    return [Findings(each.id, [], [("d@1", "stopped", left)], {}) for each in requests]
        return [Findings(request.id, [], [("d@1", "scanned", 1)], {}) for request in requests]

    def add(self, caller: str, size: int, *, urgent: bool = True, seconds: float = 0.0, alone: bool = False) -> int:
        request = judging_request("chat", caller=caller, prompt=b"x" * size, urgent=urgent)
        request.id = next(self._numbers)
        request.expires_at = self.now + seconds if seconds else 0.0
        request.alone = alone
        self.schedule.add(request)
        return request.id

    def piece(self) -> bool:
        self._note(self.schedule.late(self.now))
        job = self.schedule.next(self.now)
        if job is None:
            return False
        found = job.step(self.now)
        self.now += PIECE
        self.schedule.charge(job, PIECE, self.now)
        if found is not None:
            self.schedule.done(job)
            self._note(found)
        return True

    def _note(self, replies: Sequence[Findings]) -> None:
        for reply in replies:
            self.ended.append(reply.id)
            self.at[reply.id] = self.now
            self.replies[reply.id] = reply

    def work(self) -> list[int]:
        while self.piece():
            pass
        assert not self.schedule
        return self.ended


def test_urgent_ones_go_first_and_the_others_keep_their_order() -> None:
    on = Detectors()
    others = [on.add("a", 10_000, urgent=False) for _ in range(20)]
    urgent = [on.add("a", 10_000) for _ in range(2)]
    assert on.work() == [*urgent, *others]


def test_a_short_one_waits_for_a_piece_of_a_long_one_and_not_for_its_end() -> None:
    on = Detectors()
    long = on.add("a", 60_000)
    for _ in range(5):
        on.piece()
    short = on.add("b", 300)
    on.piece()
    on.piece()
    assert on.ended == [short]
    assert on.work() == [short, long]


def test_a_short_one_goes_before_the_background_that_was_begun() -> None:
    on = Detectors()
    background = [on.add("a", 3000, urgent=False) for _ in range(8)]
    on.piece()
    short = on.add("b", 300)
    assert on.work() == [short, *background]


def test_short_ones_are_judged_together_and_long_ones_alone() -> None:
    on = Detectors()
    short = [on.add(f"caller {number}", 100) for number in range(20)]
    on.add("long", 5000)
    batches: list[tuple[int, ...]] = []
    while job := on.schedule.next(on.now):
        batches.append(tuple(request.id for request in job.requests))
        while job.step(on.now) is None:
            pass
        on.schedule.done(job)
    assert [len(batch) for batch in batches] == [8, 8, 4, 1]
    assert [id for batch in batches[:3] for id in batch] == short


def test_one_that_a_process_died_over_is_judged_alone() -> None:
    on = Detectors()
    suspects = {on.add("a", 100, alone=number == 2) for number in range(5)}
    (alone,) = {on.add("b", 100, alone=True, urgent=False)}
    on.add("b", 100, urgent=False)
    sizes: dict[int, int] = {}
    while job := on.schedule.next(on.now):
        sizes |= {request.id: len(job.requests) for request in job.requests}
        while job.step(on.now) is None:
            pass
        on.schedule.done(job)
    assert sizes[3] == sizes[alone] == 1
    assert suspects <= sizes.keys()


def test_fifty_hostile_callers_do_not_keep_a_good_one_waiting() -> None:
    """Each sends long texts without pause; a short text of someone else comes every 0.2 s."""
    on = Detectors()
    waits = []
    open_until: dict[int, float] = {}
    for number in range(50):
        on.add(f"hostile {number}", 60_000, seconds=1.0)
    next_at = 0.1
    while on.now < 30:
        if on.now >= next_at:
            open_until[on.add("good", 300, seconds=1.0)] = on.now
            next_at = on.now + 0.2
        on.piece()
        while len(on.ended) > 0 and on.ended[-1] not in open_until and on.ended[-1] in on.replies:
            on.replies.pop(on.ended[-1])
            on.add(f"hostile {on.ended[-1] % 50}", 60_000, seconds=1.0)
            break
    for id, began in open_until.items():
        if id in on.at:
            waits.append(on.at[id] - began)
            assert on.replies[id].coverage == [("d@1", "scanned", 1)]
    assert len(waits) > 100
    assert max(waits) <= 4 * PIECE + 1e-9


def test_callers_with_the_same_wishes_get_the_same() -> None:
    on = Detectors()
    for _ in range(400):
        for caller in ("a", "b", "c"):
            on.add(caller, 5000)
    for _ in range(3000):
        on.piece()
    assert max(on.pieces.values()) < 1.2 * min(on.pieces.values())


def test_many_short_ones_of_one_caller_do_not_starve_a_long_one_of_another() -> None:
    on = Detectors()
    flood = _endless(on)
    for _ in range(200):
        next(flood)
    long = on.add("b", 30_000)
    while long not in on.at:
        next(flood)
        on.piece()
    assert on.at[long] < 15


def _endless(on: Detectors) -> Iterator[None]:
    while True:
        on.add("a", 900)
        yield


def test_out_of_time_it_stops_with_what_it_has() -> None:
    on = Detectors()
    id = on.add("a", 1_000_000, seconds=1.0)
    on.work()
    assert on.replies[id].coverage == [("d@1", "timed_out", 1)]
    assert 0.7 < on.at[id] <= 0.85


def test_one_request_gets_so_much_work_and_no_more() -> None:
    on = Detectors()
    id = on.add("a", 10_000_000, urgent=False)
    on.work()
    assert on.replies[id].coverage == [("d@1", "truncated", 1)]
    assert on.now <= MOST_SECONDS + 2 * PIECE


def test_what_nobody_waits_for_any_more_is_answered_unjudged() -> None:
    on = Detectors()
    on.add("a", 60_000, seconds=60.0)
    late = [on.add("a", 60_000, seconds=0.5), on.add("b", 90_000, seconds=0.5, urgent=False)]
    due = on.add("c", 300, seconds=30.0, urgent=False)
    on.work()
    assert [on.replies[id].expired for id in late] == [True] * 2
    assert not on.replies[due].expired
    assert max(on.at[id] for id in late) < 1.0
