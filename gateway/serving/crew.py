"""The worker processes that share a port, and when one that ended is started again.

A worker that had lived for a while is replaced at once, any other after a pause that grows: a worker that cannot live
must not take the processor from those that can. While no worker lives the pause is short, because connections wait.
"""

import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

log = logging.getLogger("assay")

FIRST_PAUSE_SECONDS = 1.0
LAST_PAUSE_SECONDS = 30.0
ALONE_SECONDS = 1.0  # the longest pause while no worker lives
STEADY_SECONDS = 60.0  # a worker that lived so long does not count as one that dies again and again
_CANNOT_START = 3  # the exit status of a worker of uvicorn whose application could not be built


class Worker(Protocol):
    """A process. `exitcode` is None while it lives, and negative if a signal ended it."""

    @property
    def pid(self) -> int | None: ...

    @property
    def exitcode(self) -> int | None: ...


_W = TypeVar("_W", bound=Worker)


@dataclass(slots=True)
class _Place(Generic[_W]):
    """The place of one worker after the other. `ended_at` is None until the end of the present one was noticed."""

    worker: _W
    started_at: float
    pause: float = 0.0
    ended_at: float | None = None


class Crew(Generic[_W]):
    """Keeps this number of workers, each made by `start`. Times are of `clock`."""

    def __init__(self, start: Callable[[], _W], number: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._start = start
        self._clock = clock
        self._places = [_Place(start(), clock()) for _ in range(number)]

    @property
    def workers(self) -> list[_W]:
        """The latest worker of each place, alive or not."""
        return [place.worker for place in self._places]

    def look(self) -> bool:
        """Start the workers that are due. False if a worker's application could not be built and no other worker lives,
        because a new one would fail too. Living workers go on with the settings they were started with."""
        for place in self._places:
            if place.ended_at is None and place.worker.exitcode is not None:
                if place.worker.exitcode == _CANNOT_START and not self._any_lives():
                    log.error("worker process %s could not start, so the gateway ends", place.worker.pid)
                    return False
                self._ended(place, place.worker.exitcode)
        for place in self._places:
            if place.ended_at is not None and self._clock() - place.ended_at >= self._pause(place):
                place.worker, place.started_at, place.ended_at = self._start(), self._clock(), None
        return True

    def _ended(self, place: _Place[_W], exitcode: int) -> None:
        place.ended_at = self._clock()
        lived = place.ended_at - place.started_at
        if lived >= STEADY_SECONDS:
            place.pause = 0.0
        else:
            place.pause = min(max(FIRST_PAUSE_SECONDS, 2 * place.pause), LAST_PAUSE_SECONDS)
        pause = self._pause(place)
        when = f"in {pause:.0f} s" if pause else "at once"
        log.error(
            "worker process %s ended (%s) after %.0f s; another one is started %s",
            place.worker.pid,
            _how(exitcode),
            lived,
            when,
        )

    def _any_lives(self) -> bool:
        return any(place.worker.exitcode is None for place in self._places)

    def _pause(self, place: _Place[_W]) -> float:
        alone = all(each.ended_at is not None for each in self._places)
        return min(place.pause, ALONE_SECONDS) if alone else place.pause


def _how(exitcode: int) -> str:
    return f"killed by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"status {exitcode}"
