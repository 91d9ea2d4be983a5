"""Samples that wait in Redis: many gateways offer, many workers take, and all of them see one bound.

Redis is never waited for on the request path: an offer goes into a small buffer here, and `run` sends it.
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

_LOCAL_BYTES = 32 * 2**20  # one sample may hold the largest body
_CLOSE_SECONDS = 2.0


class RedisQueue:
    """First in, first out over all gateways; several workers share the stream.

    When the stream is full the newcomer is dropped, as in memory. When Redis is away, samples wait here, and the
    oldest make room: after a long outage the newest are the ones worth judging. What is dropped after `offer` said
    True, and what cannot be decoded, is told to `on_fate(fate, reason, how many)`: ("dropped", "queue_full"),
    ("dropped", "redis_down"), ("failed", "undecodable"). Samples that Redis itself loses (it was killed and keeps
    nothing on disk) have no fate.

    `idle_seconds` is how long a worker may hold a sample before another takes it over; longer than judging a batch
    may take. A Redis that is silent for `answer_seconds` counts as down. `local_items` and `local_bytes` bound what
    waits in this process; `run` must be running for samples to leave it. Raises ValueError when the URL is none.
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
        """False when it was dropped: there is no room here, or none in the stream as far as is known."""
        return self._producer.offer(sample)

    @property
    def is_up(self) -> bool:
        """Whether Redis answered when it was last asked: two breakers, because a server may do one and refuse the other
        (memory, rights), and they must not mend each other."""
        return self._producer.breaker.closed and self._consumer.breaker.closed

    def depth(self) -> tuple[int, int]:
        """Items and bytes in this process and, as last seen, in the stream; what workers hold included."""
        return self._producer.depth()

    async def take(self, most: int, wait_seconds: float) -> Sequence[Taken]:
        """Up to `most` samples; waits up to `wait_seconds` for the first. None while Redis is away."""
        return await self._consumer.take(most, wait_seconds)

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Forget these for good. While Redis is away they are remembered and told to it later."""
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
        """What this process has offered comes before what others will."""
        if self._producer.holds:
            await self._producer.send()
