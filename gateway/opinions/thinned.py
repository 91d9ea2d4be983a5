"""Items that wait for a second opinion: few of them, and the probability of each stays known.

What is full must drop something, and a drop that nobody accounts for makes every rate wrong. So a full queue is
thinned: each item that waits is kept with probability one half and its own probability halved, and from then on
newcomers are let in with half the probability, until there is room again. Whether an item is dropped depends on a coin
and never on what it says, so weights of 1/probability stay right: given all that came before, an item is kept with
the probability that it carries (a Poisson sample whose rate adapts, as in Duffield, Lund & Thorup 2007, section 3).
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_LEAST_SHARE = 2.0**-20


class ThinnedQueue(Generic[T]):
    """`draw` gives numbers from 0, below 1. `share` of the newcomers is let in now."""

    def __init__(self, most: int, *, draw: Callable[[], float]) -> None:
        self._most = max(2, most)
        self._draw = draw
        self._items: deque[tuple[T, float]] = deque()
        self.share = 1.0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, item: T, probability: float) -> int:
        """An item that was drawn with this probability; returns how many items were dropped for want of room."""
        if self._draw() >= self.share:
            return 1
        self._items.append((item, probability * self.share))
        came = len(self._items)
        while len(self._items) > self._most and self.thin():
            pass
        return came - len(self._items)

    def thin(self) -> bool:
        """Keep each with probability one half, and let so many newcomers in; False when that went as far as it can."""
        if self.share <= _LEAST_SHARE:
            return False
        self._items = deque((kept, each / 2) for kept, each in self._items if self._draw() < 0.5)
        self.share /= 2
        return True

    def take(self) -> tuple[T, float] | None:
        """The sample that has waited longest, with its probability; None when no sample waits."""
        if self.share < 1 and len(self._items) <= self._most // 4:
            self.share *= 2
        return self._items.popleft() if self._items else None

    def put_back(self, item: T, probability: float) -> None:
        """One that was taken and must be tried again: it is next."""
        self._items.appendleft((item, probability))
