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
_PASSES = 0.01  # of the processor's time that is used: what polls without a pause must still reach its limit


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`skipped` is by how many seconds its clock is ahead of the real one; a test may add to it."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.in_threads = 0  # calls that run in other threads now: while there are any, time is real
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return super().time() + self.skipped

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
        self._left_at = monotonic()
        self._worked = thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.skipped -= (monotonic() - self._left_at) - (thread_time() - self._worked) * _PASSES
        try:
            return self._selected(timeout)
        finally:
            self._left_at = monotonic()
            self._worked = thread_time()

    def _selected(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or (timeout > 0 and self._loop.in_threads):
            return list(super().select(timeout))
        due = self._loop.time() + timeout
        waited = max(0.0, min(timeout * _SHARE, _MOST_SECONDS))
        before = monotonic()
        ready = list(super().select(waited))
        self._loop.skipped -= max(0.0, monotonic() - before - waited)  # others had the processor meanwhile
        if not ready:
            self._loop.skipped += max(0.0, due - self._loop.time())
        return ready
