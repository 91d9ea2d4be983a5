"""What still has to be sent to a detector process. What goes next is decided as late as possible.

Nothing can overtake what is on the line, and the process looks at the line only between two pieces of work. With fifty
callers' long bodies, ten megabytes were once on it, and a short text of another caller waited a second behind them. So
only as much is sent as the process can do soon. The rest waits here, and short requests of callers who sent little go
first, as in `gateway.judging.schedule`. Each caller always has a little room of its own. Long requests go in slices,
with short ones between them.
"""

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterator

from gateway.judging.messages import JudgingRequest, slices
from gateway.judging.schedule import RecentUse

ROOM_BYTES = 2**20  # sent and unanswered, for all callers together: as much for urgent requests, and for the others
OWN_BYTES = 64 * 1024  # that each caller may have beyond that
_TOGETHER_BYTES = 16 * 1024  # far less than a slice, so that an urgent request need not wait long

_Entry = tuple[int, int, JudgingRequest]  # its size, its number


class Outbox:
    """Requests that wait to be sent, and those that were sent and are unanswered. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lanes = {True: _Lane(), False: _Lane()}
        self._bodies: deque[Iterator[bytes]] = deque()  # slices of long requests that are being sent
        self._sent: dict[int, JudgingRequest] = {}  # unanswered

    def add(self, request: JudgingRequest) -> None:
        self._lanes[request.urgent].add(request)

    def together(self, now: float) -> bytes:
        """What to write on the line now; empty if nothing may be sent. Short requests go together, because one write
        for many costs no more than for one."""
        parts, size = [], 0
        while size < _TOGETHER_BYTES and (part := self.next(now)) is not None:
            parts.append(part)
            size += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def next(self, now: float) -> bytes | None:
        """The next whole request, or slice of one; None when nothing may be sent."""
        while (request := self._lanes[True].pop(now) or self._lanes[False].pop(now)) is not None:
            self.answered(request.id)  # a request that was taken back and comes again holds room only once
            self._sent[request.id] = request
            parts = slices(request)
            first = next(parts)
            if (second := next(parts, None)) is None:
                return first
            self._bodies.append(_chained(first, second, parts))
        while self._bodies:
            if (part := next(self._bodies[0], None)) is not None:
                return part
            self._bodies.popleft()
        return None

    def withdraw(self, request: JudgingRequest) -> bool:
        """Drop a request that nobody waits for. True if it was unsent, and now never will be sent."""
        return self._lanes[request.urgent].remove(request)

    def answered(self, id: int) -> None:
        """The process is done with the request of this number."""
        request = self._sent.pop(id, None)
        if request is not None:
            self._lanes[request.urgent].answered(request)


def _chained(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _room_for(size: int) -> int:
    """What a request takes of the room. A very large one takes half: otherwise it would wait for ever beside many small
    ones, and then all others of its caller would wait for its answer."""
    return min(size, ROOM_BYTES // 2)


class _Lane:
    """The requests of one urgency."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Entry]] = {}  # by caller, sorted, so that each is found quickly
        self._sent: Counter[str] = Counter()  # bytes unanswered, by caller
        self._total = 0
        self._use = RecentUse()  # bytes sent lately

    def add(self, request: JudgingRequest) -> None:
        insort(self._waiting.setdefault(request.caller, []), (request.size(), request.id, request))

    def pop(self, now: float) -> JudgingRequest | None:
        """The next request that may be sent."""
        if not self._waiting:
            return None
        may_go = (caller for caller, own in self._waiting.items() if self._has_room(caller, own[0][0]))
        caller = min(may_go, key=lambda caller: self._standing(caller, now), default=None)
        if caller is None:
            return None
        size, _, request = self._take(caller, 0)
        self._sent[caller] += _room_for(size)
        self._total += _room_for(size)
        self._use.add(caller, size, now)
        return request

    def _has_room(self, caller: str, size: int) -> bool:
        """Whether a request of this size may be sent."""
        return self._total + _room_for(size) <= ROOM_BYTES or self._sent[caller] + size <= OWN_BYTES

    def _standing(self, caller: str, now: float) -> tuple[float, int]:
        size, number, _ = self._waiting[caller][0]
        return self._use.beside(caller, size, now), number

    def remove(self, request: JudgingRequest) -> bool:
        own = self._waiting.get(request.caller, [])
        at = bisect_left(own, (request.size(), request.id))
        if at == len(own) or own[at][2] is not request:
            return False
        self._take(request.caller, at)
        return True

    def _take(self, caller: str, at: int) -> _Entry:
        own = self._waiting[caller]
        entry = own.pop(at)
        if not own:
            del self._waiting[caller]
        return entry

    def answered(self, request: JudgingRequest) -> None:
        room = _room_for(request.size())
        self._total -= room
        self._sent[request.caller] -= room
        if not self._sent[request.caller]:
            del self._sent[request.caller]
