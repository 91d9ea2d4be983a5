"""An event loop on which waiting takes no time, while its sockets are real ones.

When nothing is left to do but to wait for a timer, the clock jumps to it; while there is something to do, it all but
stands still. So a timeout fires only after everything that could happen before it has happened, however slow the
machine is, and a test that waits a minute takes milliseconds.

Only what happens in this process counts: a test that waits for another process needs a loop in real time.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from time import monotonic, thread_time
from typing import TypeVar, TypeVarTuple

_Given = TypeVarTuple("_Given")
_Result = TypeVar("_Result")
# Loopback hands bytes over at once, or nearly so on a busy machine: this share of a wait is spent in real time, at most
# so many seconds, before the clock jumps over the rest.
_SHARE = 0.1
_MOST_SECONDS = 0.05
# Of the real time that passes while a thread works: on a busy machine it may wait for the processor for seconds, and
# no timeout may fire meanwhile. Not none, for what a thread waits for may hang on a timer.
_BESIDE_THREADS = 0.05
_PASSES = 0.01  # of the processor's time that is used: what polls without a pause must still reach its limit


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its clock moves on while it waits and all but stands in between, however long others have the processor."""

    def __init__(self) -> None:
        self.in_threads = 0  # calls that run in other threads now: while there are any, the clock does not jump
        self._now = monotonic()
        self._worked = thread_time()
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now + (thread_time() - self._worked) * _PASSES

    def pass_to(self, now: float) -> None:
        self._now, self._worked = now, thread_time()

    @property
    def skipped(self) -> float:
        """By how many seconds its clock is ahead of the real one; a test may add to it."""
        return self.time() - monotonic()

    @skipped.setter
    def skipped(self, seconds: float) -> None:
        self.pass_to(monotonic() + seconds)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Given], _Result], *args: *_Given
    ) -> asyncio.Future[_Result]:
        running = super().run_in_executor(executor, func, *args)
        self.in_threads += 1
        running.add_done_callback(self._thread_done)
        return running

    def _thread_done(self, _: object) -> None:
        self.in_threads -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets as usual, but moves the loop's clock on when they stay silent."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began = self._loop.time()
        if timeout is None or (timeout > 0 and self._loop.in_threads):
            before = monotonic()
            ready = list(super().select(timeout if timeout is None else timeout / _BESIDE_THREADS))
            real = monotonic() - before
            self._loop.pass_to(began + (real if timeout is None else real * _BESIDE_THREADS))
            return ready
        waited = max(0.0, min(timeout * _SHARE, _MOST_SECONDS)) if self._watches_sockets() else 0.0
        ready = list(super().select(waited))
        self._loop.pass_to(began if ready else began + max(0.0, timeout))
        return ready

    def _watches_sockets(self) -> bool:
        """Any but the loop's own, over which threads and signals wake it."""
        return len(self.get_map()) > 1
