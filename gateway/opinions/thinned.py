"""A bounded queue in which the probability of each item stays known.

A full queue must drop something, and a drop that nobody accounts for makes every rate wrong. So a full queue is
thinned: each waiting item is kept with probability one half, and its own probability is halved. From then on new items
are let in with half the probability, until there is room again. Whether an item is dropped depends on a coin and never
on its content, so weights of 1/probability stay right: given everything before, an item is kept with the probability
that it carries (a Poisson sample whose rate adapts, as in Duffield, Lund & Thorup 2007, section 3).
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_LEAST_SHARE = 2.0**-20


class ThinnedQueue(Generic[T]):
    """`draw` gives random numbers in [0, 1). `share` is the share of new items that is let in now."""

    def __init__(self, most: int, *, draw: Callable[[], float]) -> None:
        self._most = max(2, most)
        self._draw = draw
        self._items: deque[tuple[T, float]] = deque()
        self.share = 1.0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, item: T, probability: float) -> int:
        """Add an item that was drawn with this probability; returns how many items were dropped for want of room."""
        if self._draw() >= self.share:
            return 1
        self._items.append((item, probability * self.share))
        came = len(self._items)
        while len(self._items) > self._most and self.thin():
            pass
        return came - len(self._items)

    def thin(self) -> bool:
        """Keep each item with probability one half, and let in half as many new ones; False when it cannot go
        further."""
        if self.share <= _LEAST_SHARE:
            return False
        self._items = deque((kept, each / 2) for kept, each in self._items if self._draw() < 0.5)
        self.share /= 2
        return True

    def take(self) -> tuple[T, float] | None:
        """The item that has waited longest, with its probability; None when no item waits."""
        if self.share < 1 and len(self._items) <= self._most // 4:
            self.share *= 2
        return self._items.popleft() if self._items else None

    def put_back(self, item: T, probability: float) -> None:
        """Return an item that was taken and must be tried again; it is the next one."""
        self._items.appendleft((item, probability))
