"""Takes samples from Redis: new ones, and those that a dead worker had taken."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import TypeVar, cast

import msgspec

from gateway.exchange import Sample, Taken
from gateway.openai_api import Operation
from gateway.samples.redis_stream import GROUP, STREAM, SampleStream
from gateway.stores.breaker import Breaker
from gateway.stores.redis import ResponseError, answer_of, attempt

_T = TypeVar("_T")
_Entries = Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]
_decode = msgspec.msgpack.Decoder(Sample).decode
_OPERATIONS = frozenset(Operation)


_MOST_DELIVERIES = 5
_LEAST_PROBABILITY = 1e-9  # with less, one sample would stand for more exchanges than there are


def _size(field: bytes) -> int:
    """The size in bytes that an entry states for its sample. Raises ValueError."""
    size = int(field)
    if not 0 <= size < 2**40:
        raise ValueError(f"its size is {size}")
    return size


def _checked(sample: Sample) -> Sample:
    """The sample, after checking what the estimates rely on. Raises ValueError."""
    if not _LEAST_PROBABILITY <= sample.probability <= 1:
        raise ValueError(f"its inclusion probability is {sample.probability}")
    if not math.isfinite(sample.closed_at):
        raise ValueError(f"it was closed at {sample.closed_at}")
    if sample.operation not in _OPERATIONS:
        raise ValueError(f"its operation is {sample.operation[:40]!r}")
    return sample


class Consumer:
    """One worker of the group. `before` is awaited before each look; it sends what this process has still to offer."""

    def __init__(
        self,
        stream: SampleStream,
        *,
        on_fate: Callable[[str, str, int], None],
        before: Callable[[], Awaitable[None]],
        idle_seconds: float,
    ) -> None:
        self._stream = stream
        self._on_fate = on_fate
        self._before = before
        self._idle_seconds = idle_seconds
        self.breaker = Breaker("Redis gives no samples", "Redis gives samples again")
        # Samples that were taken here, receipt → size; and the receipts that Redis must still be told to forget.
        self._held: dict[str, int] = {}
        self._ready: list[Taken] = []  # taken, and not handed out yet: the next look does it if Redis fails meanwhile
        self._owed: dict[str, None] = {}
        self._aside: list[tuple[str, str, bytes]] = []  # samples that cannot be judged: receipt, reason, raw entry
        self._has_group = False
        # Until this time Redis may think that we hold samples which we never saw, because a read was cut off.
        self._doubt_ends = 0.0
        self._claim_from: bytes | str = "0-0"
        self._claim_at = 0.0
        self._worn: set[bytes] = set()  # those of the last claimed entries that were taken too often

    async def take(self, most: int, wait_seconds: float) -> Sequence[Taken]:
        """Up to `most` samples; waits up to `wait_seconds` for the first. Gives no samples while Redis is away."""
        deadline = monotonic() + wait_seconds
        while True:
            left = deadline - monotonic()
            pause = self.breaker.pause()
            if not pause:
                taken = await attempt(self.breaker, self._look(most, left))
                if taken or left <= 0:
                    return taken or []
            elif left <= 0:
                return []
            else:
                await asyncio.sleep(min(pause, left))

    async def _look(self, most: int, wait_seconds: float) -> list[Taken]:
        await self._before()
        if self._owed:
            await self._settle()
        if not self._has_group:
            await self._make_group()
        if not self._ready:
            try:
                self._ready = self._unpacked(await self._read(most, wait_seconds))
            except ResponseError as error:
                if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                    raise
                self._has_group = False  # Redis came back empty, or somebody deleted the stream
                return []
        if self._aside:
            await self._stream.set_aside(self._aside)
            self._aside = []
        if self._owed:
            await self._settle()
        ready, self._ready = self._ready, []
        return ready

    async def _make_group(self) -> None:
        try:
            await answer_of(self._stream.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True))
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._has_group = True

    async def _read(self, most: int, wait_seconds: float) -> _Entries:
        """Entries that Redis thinks we hold and we do not, else those of a dead worker, else new ones."""
        if self._doubt_ends and (unknown := await self._unknown(most)):
            return unknown
        if monotonic() >= self._claim_at and (claimed := await self._claim(most)):
            return claimed
        # Wait half of the time at most: a stream without samples must not look like a server that does not answer.
        block = None if wait_seconds <= 0 else max(1, int(1000 * min(wait_seconds, self._stream.answer_seconds / 2)))
        return await self._handed(self._read_group(">", most, block))

    async def _unknown(self, most: int) -> _Entries:
        """Entries that Redis thinks we hold and we do not. A read that was cut off may reach Redis late and wait there
        for its full time, so one look is not enough."""
        began = monotonic()
        entries = await self._read_group("0", most + len(self._held), None)
        if any(receipt.decode() not in self._held for receipt, _ in entries):
            return entries
        self._doubt_ends = (
            0.0 if began >= self._doubt_ends else min(self._doubt_ends, began + self._stream.answer_seconds)
        )
        return []

    async def _handed(self, request: Awaitable[_T]) -> _T:
        """The answer to a request that makes samples ours. They may become ours even if the answer never comes."""
        before, self._doubt_ends = self._doubt_ends, math.inf
        answer = await request
        self._doubt_ends = before
        return answer

    async def _read_group(self, start: str, most: int, block: int | None) -> _Entries:
        reply = await answer_of(
            self._stream.client.xreadgroup(GROUP, self._stream.name, {STREAM: start}, count=most, block=block)
        )
        return cast(_Entries, reply[0][1]) if reply else []

    async def _claim(self, most: int) -> _Entries:
        """Entries that other workers have held for too long. All pending entries are looked through a few times in
        that span."""
        idle = int(1000 * self._idle_seconds)
        client, name = self._stream.client, self._stream.name
        claim = client.xautoclaim(STREAM, GROUP, name, idle, start_id=self._claim_from, count=most)
        reply = await self._handed(answer_of(claim))
        self._claim_from = reply[0]
        if self._claim_from == b"0-0":
            self._claim_at = monotonic() + self._idle_seconds / 4
            await self._stream.sweep(4 * idle)
        entries = cast(_Entries, reply[1])
        self._worn = await self._taken_too_often(entries)
        return entries

    async def _taken_too_often(self, entries: _Entries) -> set[bytes]:
        """The ids of entries that one worker after the other took and never finished."""
        if not entries:
            return set()
        pending = await answer_of(
            self._stream.client.xpending_range(
                STREAM, GROUP, min=entries[0][0], max=entries[-1][0], count=len(entries), consumername=self._stream.name
            )
        )
        return {row["message_id"] for row in pending if row["times_delivered"] > _MOST_DELIVERIES}

    def _unpacked(self, entries: _Entries) -> list[Taken]:
        """The samples of these entries, without those that this worker holds already. Entries that cannot be read are
        counted as failed and noted for setting aside."""
        taken = []
        bad = 0
        for key, fields in entries:
            receipt = key.decode()
            if receipt in self._held:
                continue
            packed = (fields or {}).get(b"sample", b"")
            try:
                self._held[receipt] = _size((fields or {}).get(b"size", b"0"))
                if key in self._worn:
                    raise ValueError(f"it was taken more than {_MOST_DELIVERIES} times and never finished")
                taken.append(Taken(receipt, _checked(_decode(packed))))
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                self._held.setdefault(receipt, 0)
                self._owed[receipt] = None
                self._aside.append((receipt, str(error), packed))
                bad += 1
        if bad:
            self._on_fate("failed", "undecodable", bad)
        return taken

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Delete these from the stream. While Redis is away that is remembered and done later."""
        self._owed.update(dict.fromkeys(receipts))
        if self._owed and not self.breaker.pause():
            await attempt(self.breaker, self._settle())

    async def _settle(self) -> None:
        async with self._stream.line:
            sizes = {receipt: self._held.get(receipt, 0) for receipt in self._owed}
            await self._stream.forget(sizes)
        for receipt in sizes:
            self._owed.pop(receipt, None)
            self._held.pop(receipt, None)

    async def close(self) -> None:
        """Tell Redis what was acknowledged, and hand back the rest. May be cancelled at any point."""
        if self._owed:
            await attempt(self.breaker, self._settle())
        if self._has_group:
            await attempt(self.breaker, self._stream.hand_back())
