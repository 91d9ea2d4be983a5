"""Samples that wait in Redis: many gateways offer, many workers take, and all of them see one bound.

One stream (`assay:samples`) with one consumer group (`workers`). What must not race is a script, so Redis does it in
one step. Redis is never waited for on the request path: an offer goes into a small buffer here, and `run` sends it.
"""

import asyncio
import contextlib
import math
import os
import secrets
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from gateway.exchange import Sample, Taken
from gateway.stores.breaker import Breaker

STREAM = "assay:samples"
GROUP = "workers"
_BYTES = "{assay:samples}:bytes"  # the braces keep all keys in one slot of a cluster
_SENT = "{assay:samples}:sent:"

_LOCAL_BYTES = 32 * 2**20  # one sample may hold the largest body
_BATCH_ITEMS = 64
_BATCH_BYTES = 2**20
_LINGER_SECONDS = 0.01  # gathers samples, so that a busy gateway does not send each alone
_REFRESH_SECONDS = 0.5
_CLOSE_SECONDS = 2.0
_MOST_TRIES = 10
_DOWN = (RedisError, OSError)

# KEYS stream, bytes, sent; ARGV most items, most bytes, number of the batch, then size and sample in turn.
# A batch that comes again, because its reply was lost, is not added again. Number 0 only asks how full it is.
_APPEND = """
local items = redis.call('XLEN', KEYS[1])
local bytes = items > 0 and tonumber(redis.call('GET', KEYS[2]) or 0) or 0
if ARGV[3] == '0' then return {0, items, bytes} end
local number, added = string.match(redis.call('GET', KEYS[3]) or '', '(%d+):(%d+)')
if number and tonumber(number) >= tonumber(ARGV[3]) then return {tonumber(added), items, bytes} end
added = 0
for i = 4, #ARGV, 2 do
  local size = tonumber(ARGV[i])
  if items < tonumber(ARGV[1]) and bytes + size <= tonumber(ARGV[2]) then
    redis.call('XADD', KEYS[1], '*', 'size', ARGV[i], 'sample', ARGV[i + 1])
    items, bytes, added = items + 1, bytes + size, added + 1
  end
end
redis.call('SET', KEYS[2], bytes)
redis.call('SET', KEYS[3], ARGV[3] .. ':' .. added, 'EX', 3600)
return {added, items, bytes}
"""

# KEYS stream, bytes; ARGV group, then receipt and size in turn.
_FORGET = """
local bytes = tonumber(redis.call('GET', KEYS[2]) or 0)
for i = 2, #ARGV, 2 do
  redis.pcall('XACK', KEYS[1], ARGV[1], ARGV[i])
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then bytes = bytes - tonumber(ARGV[i + 1]) end
end
local items = redis.call('XLEN', KEYS[1])
if items == 0 or bytes < 0 then bytes = 0 end
redis.call('SET', KEYS[2], bytes)
return {0, items, bytes}
"""

# KEYS stream; ARGV group, idle milliseconds. Forgets workers that hold nothing and have been silent for long.
_SWEEP = """
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local worker = {}
  for i = 1, #fields, 2 do worker[fields[i]] = fields[i + 1] end
  if worker.pending == 0 and worker.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], worker.name)
  end
end
return 0
"""

# KEYS stream; ARGV group, worker. What this worker still holds is made to look long idle, so that others claim it
# at once; when it holds nothing it is forgotten.
_HAND_BACK = """
local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])
for _, entry in ipairs(held) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'IDLE', 86400000, 'JUSTID')
end
if #held == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #held
"""

_T = TypeVar("_T")
_Entries = Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sample).decode


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
        self._client: Redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),  # the breaker decides when to try again
            client_name="assay",
        )
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._most_local_items = min(local_items, most_items)
        self._most_local_bytes = min(local_bytes, most_bytes)
        self._on_fate = on_fate
        self._idle_seconds = idle_seconds
        self._answer_seconds = answer_seconds
        # Two, because a server may do one and refuse the other (memory, rights): they must not mend each other.
        self._sending = Breaker("Redis takes no samples, the newest are kept here", "Redis takes samples again")
        self._taking = Breaker("Redis gives no samples", "Redis gives samples again")
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._append, self._forget, self._sweep, self._hand_back = map(
            self._client.register_script, (_APPEND, _FORGET, _SWEEP, _HAND_BACK)
        )
        self._line = asyncio.Lock()  # one script at a time: their replies say how full it is, in this order
        self._seen = (0, 0)  # items and bytes in the stream, as the last reply said
        self._closed = False
        # What was offered here and is not in the stream yet: the batch that is being sent, and what comes after it.
        self._batch: list[Sample] = []
        self._batch_number = 0
        self._tries = 0
        self._waiting: deque[Sample] = deque()
        self._local_items = 0
        self._local_bytes = 0
        self._offered = asyncio.Event()
        # What was taken here: receipt → size; and the receipts that Redis was not told of yet.
        self._held: dict[str, int] = {}
        self._owed: dict[str, None] = {}
        self._has_group = False
        # After a read that was cut off Redis may think that we hold what we have never seen: until this time.
        self._doubt_ends = 0.0
        self._claim_from: bytes | str = "0-0"
        self._claim_at = 0.0

    @property
    def is_up(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._sending.closed and self._taking.closed

    def depth(self) -> tuple[int, int]:
        """Items and bytes in this process and, as last seen, in the stream; what workers hold included."""
        return self._local_items + self._seen[0], self._local_bytes + self._seen[1]

    # --- offering

    def offer(self, sample: Sample) -> bool:
        """False when it was dropped: there is no room here, or none in the stream as far as is known."""
        if self._closed:
            return False
        size = sample.size()
        if self._sending.closed:
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
        """Drop the oldest that wait here until a newcomer fits. The batch that is being sent stays."""
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
        """Send what is offered, and keep looking how full the stream is, until closed or cancelled."""
        while not self._closed:
            pause = self._sending.pause()
            if pause:
                await asyncio.sleep(pause)
            await _attempt(self._sending, self._send())
            try:
                async with asyncio.timeout(_REFRESH_SECONDS):
                    await self._offered.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(_LINGER_SECONDS)

    async def _send(self) -> None:
        """Everything that waits here, in order; if nothing does, only asks how full the stream is.

        May be cut off anywhere: the batch is then sent again, and added once.
        """
        async with self._line:
            self._offered.clear()
            if not self._local_items and not self._closed:
                await self._call(self._append, [STREAM, _BYTES, _SENT + self._name], [0, 0, 0])
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
            added = await self._call(self._append, [STREAM, _BYTES, _SENT + self._name], arguments)
        except OutOfMemoryError:
            added = 0  # Redis is as full as its own limit allows
        except _DOWN:
            if self._tries >= _MOST_TRIES:  # perhaps it is this batch that cannot be sent
                self._drop_batch("redis_down", len(batch))
            raise
        self._drop_batch("queue_full", len(batch) - added)

    def _drop_batch(self, reason: str, dropped: int) -> None:
        """The batch has left; `dropped` of its samples did not reach the stream."""
        self._leave(self._batch)
        self._batch = []
        if dropped:
            self._on_fate("dropped", reason, dropped)

    async def _call(self, script: Any, keys: list[str], arguments: Sequence[int | bytes | str]) -> int:
        """Run a script that answers (its own count, items, bytes). The line must be held."""
        count, items, held = await _answer(script(keys=keys, args=arguments))
        self._seen = (items, held)
        return int(count)

    # --- taking

    async def take(self, most: int, wait_seconds: float) -> Sequence[Taken]:
        """Up to `most` samples; waits up to `wait_seconds` for the first. None while Redis is away."""
        deadline = monotonic() + wait_seconds
        while True:
            left = deadline - monotonic()
            pause = self._taking.pause()
            if not pause:
                taken = await _attempt(self._taking, self._look(most, left))
                if taken or left <= 0:
                    return taken or []
            elif left <= 0:
                return []
            else:
                await asyncio.sleep(min(pause, left))

    async def _look(self, most: int, wait_seconds: float) -> list[Taken]:
        if self._local_items:
            await self._send()  # what this process has offered comes before what others will
        if self._owed:
            await self._settle()
        if not self._has_group:
            await self._make_group()
        try:
            taken = self._unpacked(await self._read(most, wait_seconds))
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self._has_group = False  # Redis came back empty, or somebody deleted the stream
            return []
        if self._owed:
            await self._settle()
        return taken

    async def _make_group(self) -> None:
        try:
            await _answer(self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True))
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._has_group = True

    async def _read(self, most: int, wait_seconds: float) -> _Entries:
        """What we hold without knowing, else what a dead worker held, else what is new."""
        if self._doubt_ends and (unknown := await self._unknown(most)):
            return unknown
        if monotonic() >= self._claim_at and (claimed := await self._claim(most)):
            return claimed
        # Half the time: a quiet stream must not look like a silent server.
        block = None if wait_seconds <= 0 else max(1, int(1000 * min(wait_seconds, self._answer_seconds / 2)))
        return await self._handed(self._read_group(">", most, block))

    async def _unknown(self, most: int) -> _Entries:
        """What Redis thinks we hold and we do not. A read that was cut off may reach Redis late (it hung) and wait
        there for its time, so one look is not enough."""
        began = monotonic()
        entries = await self._read_group("0", most + len(self._held), None)
        if any(receipt.decode() not in self._held for receipt, _ in entries):
            return entries
        self._doubt_ends = 0.0 if began >= self._doubt_ends else min(self._doubt_ends, began + self._answer_seconds)
        return []

    async def _handed(self, request: Awaitable[_T]) -> _T:
        """The answer to a request by which samples become ours; they may even if it never comes."""
        before, self._doubt_ends = self._doubt_ends, math.inf
        answer = await request
        self._doubt_ends = before
        return answer

    async def _read_group(self, start: str, most: int, block: int | None) -> _Entries:
        reply = await _answer(self._client.xreadgroup(GROUP, self._name, {STREAM: start}, count=most, block=block))
        return cast(_Entries, reply[0][1]) if reply else []

    async def _claim(self, most: int) -> _Entries:
        """What others have held for too long. A few times in that span all of it is looked through."""
        idle = int(1000 * self._idle_seconds)
        reply = await self._handed(
            _answer(self._client.xautoclaim(STREAM, GROUP, self._name, idle, start_id=self._claim_from, count=most))
        )
        self._claim_from = reply[0]
        if self._claim_from == b"0-0":
            self._claim_at = monotonic() + self._idle_seconds / 4
            await _answer(self._sweep(keys=[STREAM], args=[GROUP, 4 * idle]))
        return cast(_Entries, reply[1])

    def _unpacked(self, entries: _Entries) -> list[Taken]:
        """Samples that are not in this worker's hands yet; those that cannot be read have met their fate."""
        taken = []
        bad = 0
        for key, fields in entries:
            receipt = key.decode()
            if receipt in self._held:
                continue
            packed = (fields or {}).get(b"sample", b"")
            try:
                self._held[receipt] = int((fields or {}).get(b"size", b"0"))
                taken.append(Taken(receipt, _decode(packed)))
            except (msgspec.DecodeError, ValueError, RecursionError):
                self._held.setdefault(receipt, 0)
                self._owed[receipt] = None
                bad += 1
        if bad:
            self._on_fate("failed", "undecodable", bad)
        return taken

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Forget these for good. While Redis is away they are remembered and told to it later."""
        self._owed.update(dict.fromkeys(receipts))
        if self._owed and not self._taking.pause():
            await _attempt(self._taking, self._settle())

    async def _settle(self) -> None:
        async with self._line:
            receipts = list(self._owed)
            arguments: list[str | int] = [GROUP]
            for receipt in receipts:
                arguments += (receipt, self._held.get(receipt, 0))
            await self._call(self._forget, [STREAM, _BYTES], arguments)
        for receipt in receipts:
            self._owed.pop(receipt, None)
            self._held.pop(receipt, None)

    # --- ending

    async def close(self) -> None:
        """Send what can be sent, hand back what was not acknowledged, and count the rest as dropped."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                if self._local_items:
                    await _attempt(self._sending, self._send())
                if self._owed:
                    await _attempt(self._taking, self._settle())
                if self._has_group:
                    await _attempt(self._taking, self._part())
        lost = self._local_items
        self._waiting.clear()
        self._batch = []
        self._local_items = self._local_bytes = 0
        if lost:
            self._on_fate("dropped", "redis_down", lost)
        async with self._line:
            await self._client.aclose()

    async def _part(self) -> None:
        await _answer(self._hand_back(keys=[STREAM], args=[GROUP, self._name]))


async def _attempt(breaker: Breaker, work: Awaitable[_T]) -> _T | None:
    """None when Redis fails; the breaker knows then."""
    try:
        done = await work
    except _DOWN as error:
        breaker.failed(error)
        return None
    breaker.answered()
    return done


async def _answer(request: Awaitable[Any]) -> Any:
    """What Redis answers. The client waits with `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that
    comes together with the answer: it is raised here after all."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    answer = await request
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


def _packed(sample: Sample) -> bytes:
    try:
        return _encode(sample)
    except UnicodeEncodeError:  # half a surrogate pair in the name of a model, which UTF-8 cannot hold
        return _encode(replace(sample, model=sample.model.encode("utf-8", "replace").decode()))
