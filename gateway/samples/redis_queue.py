"""Samples that wait in Redis: many gateways offer, many workers take, and all of them share one bound.

The request path never waits for Redis: an offer goes into a small buffer in this process, and `run` sends it.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Sequence

from gateway.exchange import Sample, Taken
from gateway.samples.redis_consumer import Consumer
from gateway.samples.redis_producer import Producer
from gateway.samples.redis_stream import SampleStream

_LOCAL_BYTES = 32 * 2**20  # enough for a sample with the largest body
_CLOSE_SECONDS = 2.0


class RedisQueue:
    """First in, first out over all gateways; several workers share the stream.

    When the stream is full a new sample is dropped, as in MemoryQueue. When Redis is away, samples wait in this process
    and the oldest make room for new ones: after a long outage the newest are the ones worth judging. Samples that are
    dropped after `offer` returned True, and those that cannot be decoded, are reported to `on_fate(fate, reason, how
    many)`: ("dropped", "queue_full"), ("dropped", "redis_down"), ("failed", "undecodable"). Samples that Redis itself
    loses (it was killed and keeps nothing on disk) have no recorded fate.

    `idle_seconds` is how long a worker may hold a sample before another takes it over; it must be longer than judging a
    batch can take. A Redis that does not answer for `answer_seconds` counts as down. `local_items` and `local_bytes`
    bound what waits in this process; samples leave it only while `run` is running. Raises ValueError for something that
    is not a Redis URL.
    """

    def __init__(
        self,
        url: str,
        most_items: int,
        most_bytes: int,
        *,
        on_fate: Callable[[str, str, int], None],
        local_items: int = 1000,
        local_bytes: int = _LOCAL_BYTES,
        idle_seconds: float = 120.0,
        answer_seconds: float = 1.0,
    ) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._stream = SampleStream(url, name, answer_seconds)
        self._producer = Producer(
            self._stream, most_items, most_bytes, on_fate=on_fate, local_items=local_items, local_bytes=local_bytes
        )
        self._consumer = Consumer(self._stream, on_fate=on_fate, before=self._send_own, idle_seconds=idle_seconds)
        self._closed = False

    async def run(self) -> None:
        """Send what is offered, until closed or cancelled."""
        await self._producer.run()

    def offer(self, sample: Sample) -> bool:
        """False when the sample was dropped: there is no room in this process, or none in the stream as last seen."""
        return self._producer.offer(sample)

    @property
    def is_up(self) -> bool:
        """Whether Redis answered both ends when they last asked. There are two breakers, because a server may take
        samples and refuse to give them, or the other way round (memory, permissions)."""
        return self._producer.breaker.closed and self._consumer.breaker.closed

    def depth(self) -> tuple[int, int]:
        """Items and bytes in this process plus, as last seen, in the stream, including those that workers hold."""
        return self._producer.depth()

    async def take(self, most: int, wait_seconds: float) -> Sequence[Taken]:
        """Up to `most` samples; waits up to `wait_seconds` for the first. Gives no samples while Redis is away."""
        return await self._consumer.take(most, wait_seconds)

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Delete these from the stream. While Redis is away that is remembered and done later."""
        await self._consumer.acknowledge(receipts)

    async def close(self) -> None:
        """Send what can be sent, hand back what was not acknowledged, and count the rest as dropped."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._producer.close()
                await self._consumer.close()
        self._producer.drop()
        await self._stream.close()

    async def _send_own(self) -> None:
        """A worker that also offers samples sends its own before it takes others."""
        if self._producer.holds:
            await self._producer.send()
