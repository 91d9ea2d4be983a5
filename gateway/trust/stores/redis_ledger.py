"""The ledger in Redis: one for gateways and workers on many machines."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import ceil
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from gateway.stores.redis import DOWN, answer_of, connect
from gateway.trust.ageing import Believed
from gateway.trust.buckets import (
    HOUR,
    ROLLED_UP,
    SUMS_KEPT,
    Bucket,
    Buckets,
    CallerBuckets,
    Span,
    changes,
    of_callers,
    rolled_up,
    wider_buckets,
)
from gateway.trust.drawing import draw_of
from gateway.trust.entries import EncodedBatch, Entry, EntryReader, UnknownColumnError
from gateway.trust.ledger import LONGEST_HOLD, MOST_WAITING, LedgerError
from gateway.trust.moments import Cell
from gateway.trust.packed import Packed
from gateway.trust.per_caller import OF_CALLERS, PerCaller, per_caller
from gateway.trust.second_opinion import KINDS, Kind, SecondOpinion, Waiting

# The braces keep all keys in one slot of a cluster. A name that ends with a colon is a prefix.
_ENTRY = "{assay:ledger}:entry:"  # followed by the sample's id
ENTRIES = "{assay:ledger}:entries"  # the samples' ids, by time
_SUMS = "{assay:ledger}:bucket:"  # followed by width, start and cell: a field with the sums of each process
_CHANGED = "{assay:ledger}:changed"  # buckets to roll up, each with a mark of its latest change
_BELIEVED = "{assay:ledger}:believed"  # the time by which things are forgotten
_COLUMNS = "{assay:ledger}:columns"  # the columns of the entries, by key
_CELLS = "{assay:ledger}:cells"  # the cells, by the hour in which each was last seen
_OPINIONS = "{assay:ledger}:opinions:"  # followed by the sample's id: opinions by kind and name
_OPINED = "{assay:ledger}:opined"  # the ids of samples with opinions, by the time of the sample
_ITEMS, _DRAWS, _TIMES, _HELD = (f"{{assay:ledger}}:waiting:{part}:" for part in ("items", "draws", "times", "held"))
_ENTRY_BYTES = 2_000  # measured size of an entry in Redis: turns the bound in bytes into a number of entries
_AT_ONCE = 200
_DAY = 86_400
_OWN_CALLERS = 200
_OWN_SUMS = 1_000  # sums that a process remembers to add to; beyond it, it starts a new field beside its old one
# Goes over the ids in the order of their draws, and holds and returns the free ones on which `by` has given no opinion.
_HOLD = """
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if #found >= 2 * tonumber(ARGV[4]) then break end
  local holder, free = redis.call('HGET', KEYS[3], id), true
  if holder then
    local until_, by = string.match(holder, '^(%S+) (.*)$')
    local left = tonumber(until_) - tonumber(ARGV[3])
    free = by == ARGV[2] or left <= 0 or left > tonumber(ARGV[7])
  end
  if free and redis.call('HEXISTS', ARGV[6] .. id, ARGV[1] .. ' ' .. ARGV[2]) == 0 then
    local item = redis.call('HGET', KEYS[2], id)
    if item then
      redis.call('HSET', KEYS[3], id, ARGV[5] .. ' ' .. ARGV[2])
      found[#found + 1] = id
      found[#found + 1] = item
    end
  end
end
return found
"""
# Stores what was rolled up, unless something was added meanwhile.
_ROLL = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'all', ARGV[3])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
return 1
"""
_ROLLS_A_PRUNE = 500  # buckets
_T = TypeVar("_T")
_Blob = TypeVar("_Blob")
_Sums = TypeVar("_Sums", Packed, PerCaller)

_encode = msgspec.msgpack.Encoder().encode
_decode_opinion = msgspec.msgpack.Decoder(SecondOpinion).decode
_decode_item = msgspec.msgpack.Decoder(Waiting).decode
_decode_believed = msgspec.msgpack.Decoder(Believed).decode
_decode_bucket = msgspec.msgpack.Decoder(Bucket).decode
_decode_cell = msgspec.msgpack.Decoder(Cell).decode


class RedisStore:
    """A Store. `days` and `most_bytes` bound what is kept. Raises ValueError for something that is not a Redis URL."""

    def __init__(self, url: str, *, days: float, most_bytes: int, answer_seconds: float = 2.0) -> None:
        self._client = connect(url, answer_seconds)
        self._hold = self._client.register_script(_HOLD)
        self._roll = self._client.register_script(_ROLL)
        self._seconds = int(days * _DAY)
        self._most = max(1, most_bytes // _ENTRY_BYTES)
        self._adding = asyncio.Lock()  # one task at a time: each writes whole fields, and must not undo another's
        self._own: dict[str, tuple[str, Packed]] = {}  # by name in Redis: this process's field and what is in it
        self._own_callers: dict[str, tuple[str, PerCaller]] = {}
        self._reader = EntryReader()

    async def add(self, entries: Sequence[Entry]) -> None:
        async with self._adding:
            await self._add(entries)

    async def _add(self, entries: Sequence[Entry]) -> None:
        unique = {entry.id: entry for entry in entries}
        there = await self.entries_of(list(unique))
        new = [entry for id, entry in unique.items() if id not in there]
        if not new:
            return
        pipeline = self._client.pipeline(transaction=True)
        taken = EncodedBatch.of(new)
        for entry, blob in zip(new, taken.stored, strict=True):
            pipeline.set(_ENTRY + entry.id, blob, ex=self._seconds)
        if taken.columns:
            pipeline.hset(_COLUMNS, items=[part for column in taken.columns.items() for part in column])
        pipeline.zadd(ENTRIES, {entry.id: entry.at for entry in new})
        own = self._add_sums(pipeline, taken.sums, of_callers(taken.sums))
        pipeline.zcard(ENTRIES)
        *_, count = await self._write(pipeline, own)
        if count > self._most:
            await self._forget(await self._ask(self._client.zpopmin(ENTRIES, count - self._most)))

    async def _forget(self, popped: Sequence[tuple[bytes, float]]) -> None:
        for first in range(0, len(popped), _AT_ONCE):
            await self._ask(self._client.delete(*(_ENTRY.encode() + id for id, _ in popped[first : first + _AT_ONCE])))

    def _add_sums(self, pipeline: Any, more: Buckets, each: CallerBuckets) -> list[str]:
        """Add to this process's own fields, which need not be read first; returns the names of the changed buckets."""
        for (width, start, cell), sums in more.items():
            self._add_own(pipeline, self._own, (width, start, cell), sums, Packed(sums.layout))
            pipeline.zadd(_CELLS, {_encode(cell): start}, gt=True)
        for bucket, of_bucket in each.items():
            self._add_own(pipeline, self._own_callers, bucket, of_bucket, PerCaller())
        changed = (*more, *each)
        if wider := wider_buckets(changed):
            pipeline.delete(*(_sums_name(*bucket) for bucket in wider))
            pipeline.hset(_CHANGED, mapping={_encode(bucket): uuid4().hex for bucket in wider})
        return [_sums_name(*bucket) for bucket in changed]

    @staticmethod
    def _add_own(pipeline: Any, own: dict[str, tuple[str, _Sums]], bucket: Bucket, more: _Sums, nothing: _Sums) -> None:
        name = _sums_name(*bucket)
        field, known = own.pop(name, (uuid4().hex, nothing))
        known = known.plus(more)
        own[name] = (field, known)
        pipeline.hset(name, field, known.blob(small=True))
        pipeline.expire(name, SUMS_KEPT[bucket[0]] + HOUR)

    async def _write(self, pipeline: Any, own: Sequence[str]) -> Any:
        """If it fails nobody knows whether Redis has done it: then this process starts new fields in these buckets."""
        try:
            answer = await self._ask(pipeline.execute())
        except BaseException:
            for name in own:
                self._own.pop(name, None)
                self._own_callers.pop(name, None)
            raise
        for known, most in ((self._own, _OWN_SUMS), (self._own_callers, _OWN_CALLERS)):
            for name in list(known)[: max(0, len(known) - most)]:
                del known[name]
        return answer

    async def sums(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, Packed]]:
        return await self._sums(cell, width, spans, Packed)

    async def callers(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, PerCaller]]:
        return await self._sums(cell, width, spans, PerCaller)

    async def _sums(self, cell: Cell, width: int, spans: Sequence[Span], kind: type[_Sums]) -> list[tuple[int, _Sums]]:
        starts = [start for since, until in spans for start in range(-int(-since // width) * width, ceil(until), width)]
        found: list[tuple[int, _Sums]] = []
        for some in (starts[at : at + _AT_ONCE] for at in range(0, len(starts), _AT_ONCE)):
            pipeline = self._client.pipeline(transaction=False)
            for start in some:
                pipeline.hvals(_sums_name(width, start, cell))
            answers = zip(some, await self._ask(pipeline.execute()), strict=True)
            found += await asyncio.to_thread(lambda: [(start, _sum(blobs, kind)) for start, blobs in answers if blobs])  # noqa: B023 - awaited here
        return found

    async def cells(self, since: float) -> list[Cell]:
        return [_of(_decode_cell, cell) for cell in await self._ask(self._client.zrangebyscore(_CELLS, since, "+inf"))]

    async def entries(self, most: int) -> list[Entry]:
        ids = [id.decode() for id in await self._ask(self._client.zrevrange(ENTRIES, 0, most - 1))]
        found = await self.entries_of(ids)
        return [found[id] for id in ids if id in found]

    async def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        return await self._entries_of(ids, scores=True)

    async def _entries_of(self, ids: Sequence[str], *, scores: bool) -> dict[str, Entry]:
        found: list[Entry] = []
        for first in range(0, len(ids), _AT_ONCE):
            asked = ids[first : first + _AT_ONCE]
            blobs = [blob for blob in await self._ask(self._client.mget([_ENTRY + id for id in asked])) if blob]
            found += await self._read(blobs) if scores else [_of(self._reader.head, blob) for blob in blobs]
        return {entry.id: entry for entry in found}

    async def _read(self, blobs: Sequence[bytes]) -> list[Entry]:
        try:
            return [_of(self._reader.read, blob) for blob in blobs]
        except UnknownColumnError:  # another process has added it
            _of(self._reader.learn, await self._ask(self._client.hgetall(_COLUMNS)))
            return [_of(self._reader.read, blob) for blob in blobs]

    # --- second opinions

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        async with self._adding:
            known = await self._opine(opinions)
        for kind in {opinion.kind for opinion in opinions}:
            await self._settle(kind, [opinion.sample for opinion in opinions if opinion.kind == kind])
        return [opinion for opinion in opinions if opinion.sample not in known]

    async def _opine(self, opinions: Sequence[SecondOpinion]) -> dict[str, Entry]:
        known = await self.entries_of([opinion.sample for opinion in opinions])
        given = dict(zip(known, await self._given(list(known)), strict=True))
        pipeline = self._client.pipeline(transaction=True)
        changed = []
        for sample, entry in known.items():
            before = [_of(_decode_opinion, blob) for blob in given[sample].values()]
            more = [opinion for opinion in opinions if opinion.sample == sample]
            changed.append((entry, before, more))
            name = _OPINIONS + sample
            for opinion in more:
                pipeline.hset(name, f"{opinion.kind} {opinion.name}", _encode(opinion))
                pipeline.hdel(_HELD + opinion.kind, sample)
            pipeline.expire(name, self._seconds)
            pipeline.zadd(_OPINED, {sample: entry.at})
        own = self._add_sums(pipeline, *changes(changed))
        pipeline.zremrangebyrank(_OPINED, 0, -self._most - 1)
        await self._write(pipeline, own)
        return known

    async def _given(self, samples: Sequence[str]) -> list[dict[bytes, bytes]]:
        """The opinions on each of these samples, by kind and name."""
        pipeline = self._client.pipeline(transaction=False)
        for sample in samples:
            pipeline.hgetall(_OPINIONS + sample)
        return list(await self._ask(pipeline.execute()))

    async def _settle(self, kind: Kind, samples: Sequence[str]) -> None:
        """Samples that have as many opinions as they wanted stop waiting."""
        blobs = await self._ask(self._client.hmget(_ITEMS + kind, list(samples)))
        items = [_of(_decode_item, blob) for blob in blobs if blob is not None]
        given = await self._given([item.sample for item in items])
        done = [item.sample for item, by in zip(items, given, strict=True) if _count(by, kind) >= item.wanted]
        if done:
            await self._remove(kind, done)

    async def _remove(self, kind: Kind, samples: Sequence[str | bytes]) -> None:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hdel(_ITEMS + kind, *samples)
        pipeline.hdel(_HELD + kind, *samples)
        pipeline.zrem(_DRAWS + kind, *samples)
        pipeline.zrem(_TIMES + kind, *samples)
        await self._ask(pipeline.execute())

    async def opinions(
        self, since: float, until: float, most: int, kind: Kind | None = None, *, scores: bool = True
    ) -> list[tuple[SecondOpinion, Entry]]:
        wanted = b"" if kind is None else f"{kind} ".encode()
        found: list[tuple[SecondOpinion, Entry]] = []
        read: dict[bytes, None] = {}
        while len(found) < most:
            page = await self._ask(self._client.zrevrangebyscore(_OPINED, f"({until}", since, len(read), _AT_ONCE))
            asked = [id.decode() for id in page if id not in read]  # later samples may have moved some to this page
            if not asked:
                break
            read |= dict.fromkeys(page)
            known = await self._entries_of(asked, scores=scores)
            for sample, given in zip(asked, await self._given(asked), strict=True):
                if entry := known.get(sample):
                    names = sorted(name for name in given if name.startswith(wanted))
                    found += [(_of(_decode_opinion, given[name]), entry) for name in names]
        return found[:most]

    async def put(self, items: Sequence[Waiting]) -> None:
        pipeline = self._client.pipeline(transaction=True)
        for item in items:
            pipeline.hsetnx(_ITEMS + item.kind, item.sample, _encode(item))
            pipeline.zadd(_DRAWS + item.kind, {item.sample: draw_of(item.sample)})
            pipeline.zadd(_TIMES + item.kind, {item.sample: item.at})
        await self._ask(pipeline.execute())
        for kind in {item.kind for item in items}:
            await self._settle(kind, [item.sample for item in items if item.kind == kind])
            if over := await self._ask(self._client.zrange(_TIMES + kind, 0, -MOST_WAITING - 1)):
                await self._remove(kind, over)

    async def waiting(self, kind: Kind, most: int) -> list[Waiting]:
        samples = await self._ask(self._client.zrange(_DRAWS + kind, 0, most - 1))
        blobs = await self._ask(self._client.hmget(_ITEMS + kind, samples)) if samples else []
        return [_of(_decode_item, blob) for blob in blobs if blob is not None]

    async def count_waiting(self, kind: Kind) -> int:
        return int(await self._ask(self._client.hlen(_ITEMS + kind)))

    async def one(self, kind: Kind, sample: str) -> tuple[Waiting | None, list[SecondOpinion]]:
        blob = await self._ask(self._client.hget(_ITEMS + kind, sample))
        (given,) = await self._given([sample])
        opinions = [_of(_decode_opinion, each) for each in given.values()]
        own = [opinion for opinion in opinions if opinion.kind == kind]
        return (None if blob is None else _of(_decode_item, blob)), own

    async def hold(self, kind: Kind, by: str, most: int, now: float, seconds: float) -> list[Waiting]:
        keys = [_DRAWS + kind, _ITEMS + kind, _HELD + kind]
        args: list[str | float] = [kind, by, now, most, now + seconds, _OPINIONS, LONGEST_HOLD]
        found = await self._ask(self._hold(keys=keys, args=args))
        return [_of(_decode_item, item) for item in found[1::2]]

    async def prune(self, now: float) -> None:
        """Forgets by age. Other keys expire in Redis by themselves, and `add` bounds the number of entries."""
        oldest = now - self._seconds
        old = await self._ask(self._client.zrangebyscore(ENTRIES, "-inf", f"({oldest}"))
        await self._forget([(id, 0.0) for id in old])
        for name in (ENTRIES, _OPINED, _CELLS):
            await self._ask(self._client.zremrangebyscore(name, "-inf", f"({oldest}"))
        first = await self._ask(self._client.zrange(ENTRIES, 0, 0, withscores=True))
        for kind in KINDS:  # samples that wait but are no longer stored
            before = f"({first[0][1]}" if first else "+inf"
            if old := await self._ask(self._client.zrangebyscore(_TIMES + kind, "-inf", before)):
                await self._remove(kind, old)
        await self._roll_up(now)

    async def _roll_up(self, now: float) -> None:
        """Roll up complete buckets that have changed, the latest first."""
        changed = await self._ask(self._client.hgetall(_CHANGED))
        buckets = {name: _of(_decode_bucket, name) for name in changed}
        complete = [name for name, (width, start, _) in buckets.items() if start + width <= now]
        for name in sorted(complete, key=lambda name: -buckets[name][1])[:_ROLLS_A_PRUNE]:
            width, start, cell = buckets[name]
            spans = [(start, start + width)]
            narrower = ROLLED_UP[width]
            sums = (
                per_caller(await self.callers(cell, narrower, spans))
                if cell[0] == OF_CALLERS[0]
                else rolled_up(await self.sums(cell, narrower, spans))
            )
            blob = b"" if sums is None else sums.blob(small=True)
            kept = [_CHANGED, _sums_name(width, start, cell)]
            args = [name, changed[name], blob, SUMS_KEPT[width] + HOUR]
            await self._ask(self._roll(keys=kept, args=args))

    async def believed(self) -> Believed | None:
        blob = await self._ask(self._client.get(_BELIEVED))
        return None if blob is None else _of(_decode_believed, blob)

    async def believe(self, time: Believed) -> None:
        await self._ask(self._client.set(_BELIEVED, _encode(time)))

    async def _ask(self, request: Awaitable[Any]) -> Any:
        try:
            return await answer_of(request)
        except DOWN as error:
            raise LedgerError(f"Redis: {error}") from error

    async def close(self) -> None:
        await self._client.aclose()


def _of(decode: Callable[[_Blob], _T], blob: _Blob) -> _T:
    try:
        return decode(blob)
    except msgspec.DecodeError as error:
        raise LedgerError(f"Redis holds data that another release of Assay wrote: {error}") from error


def _count(given: Iterable[bytes], kind: Kind) -> int:
    return sum(name.startswith(f"{kind} ".encode()) for name in given)


def _sums_name(width: int, start: int, cell: Cell) -> str:
    return f"{_SUMS}{width}:{start}:{_encode(cell).hex()}"


def _sum(blobs: Iterable[bytes], kind: type[_Sums]) -> _Sums:
    found = kind()
    for number, blob in enumerate(blobs):
        more = _of(kind.read, blob)
        found = found.plus(more) if number else more
    return found
