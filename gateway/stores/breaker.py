"""Remembers whether a server answers, and when it may be asked again."""

import logging
import random
from collections.abc import Callable
from time import monotonic

log = logging.getLogger("assay")

_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 5.0


class Breaker:
    """`closed` while the server answers. After a failure nothing is tried for a while, longer each time, with jitter so
    that many processes do not come back at once. Only the transitions are logged: with `broken` and the error, and with
    `mended`."""

    def __init__(
        self,
        broken: str,
        mended: str,
        *,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.closed = True
        self._broken = broken
        self._mended = mended
        self._clock = clock
        self._draw = draw
        self._pause = _FIRST_PAUSE_SECONDS
        self._retry_at = 0.0

    def failed(self, error: Exception) -> None:
        if self.closed:
            log.warning("%s: %s", self._broken, error)
        self.closed = False
        self._retry_at = self._clock() + self._pause * (0.5 + self._draw() / 2)
        self._pause = min(self._pause * 2, _LAST_PAUSE_SECONDS)

    def answered(self) -> None:
        if not self.closed:
            log.warning(self._mended)
        self.closed = True
        self._pause = _FIRST_PAUSE_SECONDS

    def pause(self) -> float:
        """Seconds until the next try; 0 when the server may be asked now."""
        return 0.0 if self.closed else max(0.0, self._retry_at - self._clock())
