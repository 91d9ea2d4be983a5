"""Offers samples to Redis: they wait in a small buffer here, and a task sends them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from gateway.exchange import Sample
from gateway.samples.redis_stream import SampleStream
from gateway.stores.breaker import Breaker
from gateway.stores.redis import DOWN, OutOfMemoryError, attempt

_BATCH_ITEMS = 64
_BATCH_BYTES = 2**20
_LINGER_SECONDS = 0.01  # waits for more samples, so that a busy gateway does not send each one alone
_REFRESH_SECONDS = 0.5
_MOST_TRIES = 10
_encode = msgspec.msgpack.Encoder().encode


class Producer:
    """Sends what this process offers. `most_items` and `most_bytes` bound the stream, `local_items` and `local_bytes`
    what waits in this process."""

    def __init__(
        self,
        stream: SampleStream,
        most_items: int,
        most_bytes: int,
        *,
        on_fate: Callable[[str, str, int], None],
        local_items: int,
        local_bytes: int,
    ) -> None:
        self._stream = stream
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._most_local_items = min(local_items, most_items)
        self._most_local_bytes = min(local_bytes, most_bytes)
        self._on_fate = on_fate
        self.breaker = Breaker("Redis takes no samples; the newest wait in this process", "Redis takes samples again")
        self._closed = False
        # Samples that were offered and are not in the stream yet: the batch that is being sent, and those after it.
        self._batch: list[Sample] = []
        self._batch_number = 0
        self._tries = 0
        self._waiting: deque[Sample] = deque()
        self._local_items = 0
        self._local_bytes = 0
        self._offered = asyncio.Event()

    @property
    def holds(self) -> bool:
        """Whether samples wait in this process."""
        return self._local_items > 0

    def depth(self) -> tuple[int, int]:
        """Items and bytes here and, as last seen, in the stream."""
        return self._local_items + self._stream.seen[0], self._local_bytes + self._stream.seen[1]

    def offer(self, sample: Sample) -> bool:
        """False when the sample was dropped: there is no room in this process, or none in the stream as last seen."""
        if self._closed:
            return False
        size = sample.size()
        if self.breaker.closed:
            items, held = self.depth()
            if items >= self._most_items or held + size > self._most_bytes or not self._fits(size):
                return False
        elif not self._make_room(size):
            return False
        self._waiting.append(sample)
        self._local_items += 1
        self._local_bytes += size
        self._offered.set()
        return True

    def _fits(self, size: int) -> bool:
        return self._local_items < self._most_local_items and self._local_bytes + size <= self._most_local_bytes

    def _make_room(self, size: int) -> bool:
        """Drop the oldest waiting samples until a new one fits. The batch that is being sent stays."""
        dropped = 0
        while self._waiting and not self._fits(size):
            self._leave([self._waiting.popleft()])
            dropped += 1
        if dropped:
            self._on_fate("dropped", "redis_down", dropped)
        return self._fits(size)

    def _leave(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            self._local_items -= 1
            self._local_bytes -= sample.size()

    async def run(self) -> None:
        """Send what is offered, and keep asking how full the stream is, until closed or cancelled."""
        while not self._closed:
            pause = self.breaker.pause()
            if pause:
                await asyncio.sleep(pause)
            await attempt(self.breaker, self.send())
            try:
                async with asyncio.timeout(_REFRESH_SECONDS):
                    await self._offered.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(_LINGER_SECONDS)

    async def send(self) -> None:
        """Send everything that waits here, in order; if nothing does, only ask how full the stream is.

        May be cancelled at any point: the batch is then sent again, and still added only once.
        """
        async with self._stream.line:
            self._offered.clear()
            if not self._local_items and not self._closed:
                await self._stream.append([0, 0, 0])
            while self._batch or self._waiting:
                if not self._batch:
                    self._next_batch()
                await self._send_batch()

    def _next_batch(self) -> None:
        size = 0
        while self._waiting and len(self._batch) < _BATCH_ITEMS:
            size += self._waiting[0].size()
            if self._batch and size > _BATCH_BYTES:
                break
            self._batch.append(self._waiting.popleft())
        self._batch_number += 1
        self._tries = 0

    async def _send_batch(self) -> None:
        batch = self._batch
        arguments: list[int | bytes] = [self._most_items, self._most_bytes, self._batch_number]
        for sample in batch:
            arguments += (sample.size(), _packed(sample))
        self._tries += 1
        try:
            added = await self._stream.append(arguments)
        except OutOfMemoryError:
            added = 0  # retrying would not help: Redis is as full as its own limit allows
        except DOWN:
            if self._tries >= _MOST_TRIES:  # perhaps it is this batch that cannot be sent
                self._drop_batch("redis_down", len(batch))
            raise
        self._drop_batch("queue_full", len(batch) - added)

    def _drop_batch(self, reason: str, dropped: int) -> None:
        """Forget the batch; `dropped` of its samples did not reach the stream."""
        self._leave(self._batch)
        self._batch = []
        if dropped:
            self._on_fate("dropped", reason, dropped)

    async def close(self) -> None:
        """Accept no more, and send what can be sent. May be cancelled at any point."""
        self._closed = True
        if self.holds:
            await attempt(self.breaker, self.send())

    def drop(self) -> None:
        """Count what is still here as dropped."""
        lost = self._local_items
        self._waiting.clear()
        self._batch = []
        self._local_items = self._local_bytes = 0
        if lost:
            self._on_fate("dropped", "redis_down", lost)


def _packed(sample: Sample) -> bytes:
    try:
        return _encode(sample)
    except UnicodeEncodeError:  # half a surrogate pair in the name of a model, which UTF-8 cannot hold
        return _encode(msgspec.structs.replace(sample, model=sample.model.encode("utf-8", "replace").decode()))
