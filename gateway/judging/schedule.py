"""The order in which the detectors work: short requests, and those of callers who asked for little, go first.

Each request has an expected cost in seconds of the detectors' time. The next piece of work is done for the request for
which the expected rest plus a share of its caller's recent use is least: the shortest job first (Schrage 1968), with
decayed use as in Unix schedulers, so that a caller with many short requests cannot delay the others either. Work is
interrupted after each piece, so a short request waits for one piece of a long one and not for its end.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush

from detectors.base import Steps
from gateway.judging.messages import Findings, JudgingRequest

BATCH = 8  # requests judged together: that costs half as much as each alone
MOST_SECONDS = 10.0  # of the detectors' time for one request; what is unread by then counts as truncated
_SHORT_SECONDS = 0.05  # expected; shorter requests are judged together
_SECONDS_A_BYTE = 25e-6
_MOST_EXPECTED = 2.0
_USE_WEIGHT = 0.25  # of a caller's recent use, compared with what it asks for now
_USE_SECONDS = 3.0  # in which use decays to 1/e
_MARGIN = 0.25  # share of the remaining time that is kept for the way back, because a piece may be under way
_LONGEST_MARGIN = 0.25
_SWEEP_SECONDS = 0.25
_CALLERS = 10_000  # most callers whose use is remembered


class Job:
    """Some requests that are judged together, and how far that has come."""

    def __init__(self, requests: Sequence[JudgingRequest], steps: Steps[list[Findings]], now: float) -> None:
        self.requests = requests
        self.expected = sum(map(expected_seconds, requests))
        self.used = 0.0
        self._steps = steps
        self._begun = False
        self._stop = ""
        latest = max((request.expires_at or math.inf for request in requests), default=math.inf)
        self._deadline = (
            latest - min(_LONGEST_MARGIN, _MARGIN * max(latest - now, 0.0)) if latest < math.inf else latest
        )

    @property
    def rest(self) -> float:
        """Seconds that the job is still expected to take; a job that took long is expected to go on for longer."""
        return max(self.expected - self.used, self.used / 4)

    def step(self, now: float) -> list[Findings] | None:
        """Do one piece of work; returns the findings after the last. When time is up, it stops with what it has."""
        if not self._stop:
            self._stop = "timed_out" if now > self._deadline else "truncated" if self.used > MOST_SECONDS else ""
        try:
            if self._begun:
                self._steps.send(bool(self._stop))
            else:
                self._begun = True
                next(self._steps)
        except StopIteration as done:
            found: list[Findings] = done.value
            return [self._told(findings) for findings in found]
        return None

    def _told(self, findings: Findings) -> Findings:
        findings.coverage = [
            (detector, self._stop if state == "stopped" else state, texts)
            for detector, state, texts in findings.coverage
        ]
        findings.unjudged = [
            (direction, channel, detector, self._stop if state == "stopped" else state)
            for direction, channel, detector, state in findings.unjudged
        ]
        return findings


def expected_seconds(request: JudgingRequest) -> float:
    return min(_MOST_EXPECTED, _SECONDS_A_BYTE * request.text_size())


class RecentUse:
    """How much each caller recently used of something that all share. Use decays with time."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}  # how much, and at what time

    def beside(self, caller: str, asked: float, now: float) -> float:
        """The rank of a caller that asks for this much: the least goes first."""
        return asked + _USE_WEIGHT * self._of(caller, now)

    def add(self, caller: str, amount: float, now: float) -> None:
        used = self._of(caller, now) + amount
        self._used.pop(caller, None)
        self._used[caller] = (used, now)
        while len(self._used) > _CALLERS:  # forget who has used nothing for the longest time
            del self._used[next(iter(self._used))]

    def _of(self, caller: str, now: float) -> float:
        used, at = self._used.get(caller, (0.0, now))
        return used * math.exp((at - now) / _USE_SECONDS)


class Schedule:
    """`begin` starts the judging of some requests. Times are seconds of the monotonic clock."""

    def __init__(self, begin: Callable[[Sequence[JudgingRequest]], Steps[list[Findings]]]) -> None:
        self._begin = begin
        self._urgent: dict[str, list[tuple[float, int, JudgingRequest]]] = {}
        self._background: deque[JudgingRequest] = deque()
        self._jobs: list[Job] = []
        self._background_job: Job | None = None
        self._use = RecentUse()  # seconds of the detectors' time
        self._number = 0
        self._sweep_at = 0.0

    def add(self, request: JudgingRequest) -> None:
        if not request.urgent:
            self._background.append(request)
            return
        self._number += 1
        entry = (expected_seconds(request), self._number, request)
        heappush(self._urgent.setdefault(request.caller, []), entry)

    def __bool__(self) -> bool:
        return bool(self._urgent or self._background or self._jobs or self._background_job)

    def late(self, now: float) -> list[Findings]:
        """Replies to requests that waited too long: judging them would only make the next ones late as well."""
        if now < self._sweep_at:
            return []
        self._sweep_at = now + _SWEEP_SECONDS
        late = [request for heap in self._urgent.values() for _, _, request in heap if _is_late(request, now)]
        if late:
            for caller, heap in list(self._urgent.items()):
                self._put_back(caller, sorted(entry for entry in heap if not _is_late(entry[2], now)))
        late += [request for request in self._background if _is_late(request, now)]
        self._background = deque(request for request in self._background if not _is_late(request, now))
        return [_expired(request) for request in late]

    def _put_back(self, caller: str, heap: list[tuple[float, int, JudgingRequest]]) -> None:
        if heap:
            self._urgent[caller] = heap
        else:
            del self._urgent[caller]

    def next(self, now: float) -> Job | None:
        """The job whose turn it is; None if nothing waits."""
        waiting = min(self._heads(now), default=None)
        job = min(self._jobs, key=lambda job: self._standing(job, now), default=None)
        if waiting is not None and (job is None or waiting[0] < self._standing(job, now)):
            job = Job(batch := self._batch(now), self._begin(batch), now)
            self._jobs.append(job)
        if job is not None:
            return job
        if self._background_job is None and self._background:
            batch = list(self._background_batch())
            self._background_job = Job(batch, self._begin(batch), now)
        return self._background_job

    def done(self, job: Job) -> None:
        """The job has come to its end."""
        if job is self._background_job:
            self._background_job = None
        else:
            self._jobs.remove(job)

    def charge(self, job: Job, seconds: float, now: float) -> None:
        """Note what a piece of work has cost."""
        job.used += seconds
        for request in job.requests:
            if request.urgent:
                self._use.add(request.caller, seconds / len(job.requests), now)

    def _standing(self, job: Job, now: float) -> float:
        return min(self._use.beside(request.caller, job.rest, now) for request in job.requests)

    def _heads(self, now: float) -> Iterator[tuple[float, int, str]]:
        for caller, heap in self._urgent.items():
            yield self._use.beside(caller, heap[0][0], now), heap[0][1], caller

    def _batch(self, now: float) -> list[JudgingRequest]:
        """The first request in line, together with further short ones, in the same order."""
        batch = [self._pop(min(self._heads(now))[2])]
        expected = expected_seconds(batch[0])
        while self._urgent and len(batch) < BATCH and not batch[-1].alone:
            caller = min(self._heads(now))[2]
            cost, _, request = self._urgent[caller][0]
            expected += cost
            if expected > _SHORT_SECONDS or request.alone:
                break
            batch.append(self._pop(caller))
        return batch

    def _pop(self, caller: str) -> JudgingRequest:
        heap = self._urgent[caller]
        request = heappop(heap)[2]
        if not heap:
            del self._urgent[caller]
        return request

    def _background_batch(self) -> Iterator[JudgingRequest]:
        first = self._background.popleft()
        yield first
        for _ in range(BATCH - 1):
            if not self._background or first.alone or self._background[0].alone:
                return
            yield self._background.popleft()


def _is_late(request: JudgingRequest, now: float) -> bool:
    return 0 < request.expires_at < now


def _expired(request: JudgingRequest) -> Findings:
    return Findings(request.id, [], [], {}, expired=True)
