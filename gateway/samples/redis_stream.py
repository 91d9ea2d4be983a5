"""The stream of samples in Redis: its keys, and the scripts that change it, each as one atomic step.

One stream (`assay:samples`) with one consumer group (`workers`), and beside it a count of its bytes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.stores.redis import Script, answer_of, connect

STREAM = "assay:samples"
GROUP = "workers"
BYTES = "{assay:samples}:bytes"  # the braces keep all keys in one slot of a cluster
SENT = "{assay:samples}:sent:"
ASIDE = "{assay:samples}:aside"  # a stream of samples that could not be judged, for the operator to look at

_ASIDE_ENTRIES = 100
_ASIDE_BYTES = 64 * 1024  # kept of each
_ASIDE_SECONDS = 7 * 86_400

# KEYS stream, bytes, sent; ARGV most items, most bytes, number of the batch, then size and sample in turn.
# A batch that is sent again because its reply was lost is not added again. Number 0 only asks how full the stream is.
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

# KEYS stream; ARGV group, idle milliseconds. Removes workers that hold nothing and have been idle for longer.
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

# KEYS stream; ARGV group, worker. Marks what this worker still holds as idle for a day, so that others claim it at
# once. A worker that holds nothing is removed.
_HAND_BACK = """
local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])
for _, entry in ipairs(held) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'IDLE', 86400000, 'JUSTID')
end
if #held == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #held
"""


class SampleStream:
    """What the producer and the consumer of one process share. `seen` is the items and bytes in the stream as Redis
    last reported them."""

    def __init__(self, url: str, name: str, answer_seconds: float) -> None:
        self.client = connect(url, answer_seconds)
        self.name = name
        self.answer_seconds = answer_seconds
        self.seen = (0, 0)
        # One counting script at a time, so that `seen` is always from the latest reply.
        self.line = asyncio.Lock()
        self._append, self._forget, self._sweep, self._hand_back = map(
            self.client.register_script, (_APPEND, _FORGET, _SWEEP, _HAND_BACK)
        )

    async def append(self, arguments: Sequence[int | bytes]) -> int:
        """Add a batch; returns for how many samples of it there was room. The caller must hold `line`."""
        return await self._count(self._append, [STREAM, BYTES, SENT + self.name], arguments)

    async def forget(self, sizes: dict[str, int]) -> None:
        """Acknowledge and delete the samples with these receipts and sizes. The caller must hold `line`."""
        arguments: list[str | int] = [GROUP]
        for receipt, size in sizes.items():
            arguments += (receipt, size)
        await self._count(self._forget, [STREAM, BYTES], arguments)

    async def set_aside(self, entries: Sequence[tuple[str, str, bytes]]) -> None:
        """Keep these (receipt, reason, raw entry) in a stream of their own, for some days: only the latest ones, and of
        each only the beginning."""
        pipeline = self.client.pipeline(transaction=False)
        for receipt, why, packed in entries:
            fields: dict[Any, Any] = {"receipt": receipt, "why": why, "sample": packed[:_ASIDE_BYTES]}
            pipeline.xadd(ASIDE, fields, maxlen=_ASIDE_ENTRIES, approximate=False)
        pipeline.expire(ASIDE, _ASIDE_SECONDS)
        await answer_of(pipeline.execute())

    async def sweep(self, idle_milliseconds: int) -> None:
        """Remove workers that hold nothing and have been idle for longer than this."""
        await answer_of(self._sweep(keys=[STREAM], args=[GROUP, idle_milliseconds]))

    async def hand_back(self) -> None:
        """Let other workers claim at once what this one holds; remove this worker when it holds nothing."""
        await answer_of(self._hand_back(keys=[STREAM], args=[GROUP, self.name]))

    async def close(self) -> None:
        """Close the connections, after any script that is running."""
        async with self.line:
            await self.client.aclose()

    async def _count(self, script: Script, keys: list[str], arguments: Sequence[Any]) -> int:
        """Run a script that answers (its own count, items, bytes)."""
        count, items, held = await answer_of(script(keys=keys, args=arguments))
        self.seen = (items, held)
        return int(count)
