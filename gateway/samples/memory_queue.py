"""Samples that wait in this process: bounded in number and in bytes, and lost when the process ends."""

import asyncio
from collections import deque
from collections.abc import Sequence

from gateway.exchange import Sample, Taken


class MemoryQueue:
    """First in, first out. When it is full a new sample is dropped, and those that wait stay."""

    def __init__(self, most_items: int, most_bytes: int) -> None:
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._waiting: deque[Sample] = deque()
        self._bytes = 0
        self._taker: asyncio.Future[None] | None = None

    def offer(self, sample: Sample) -> bool:
        """False when it was dropped because the queue is full."""
        size = sample.size()
        if len(self._waiting) >= self._most_items or self._bytes + size > self._most_bytes:
            return False
        self._waiting.append(sample)
        self._bytes += size
        taker = self._taker
        if taker is not None and not taker.done():
            taker.set_result(None)
        return True

    async def take(self, most: int, wait_seconds: float) -> Sequence[Taken]:
        """Up to `most` samples; waits up to `wait_seconds` for the first. Only one worker may call it at a time."""
        if not self._waiting:
            self._taker = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._taker
            except TimeoutError:
                return []
            finally:
                self._taker = None
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._bytes -= sum(sample.size() for sample in taken)
        return [Taken(sample.id, sample) for sample in taken]

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Nothing to do: `take` has removed the samples already."""

    def depth(self) -> tuple[int, int]:
        return len(self._waiting), self._bytes

    async def close(self) -> None:
        self._waiting.clear()
        self._bytes = 0
