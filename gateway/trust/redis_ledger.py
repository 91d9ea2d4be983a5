"""The ledger in Redis: one for gateways and workers on many machines."""

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import msgspec

from gateway.stores.redis import DOWN, answer_of, connect
from gateway.trust.estimates import Weights
from gateway.trust.ledger import HOUR, MINUTE, MINUTES_KEPT, Entry, LedgerError, Sums, buckets

STREAM = "{assay:ledger}:samples"  # the braces keep all keys in one slot of a cluster
_SEEN = "{assay:ledger}:seen:"
_SUMS = "{assay:ledger}:sums:"
_SEEN_SECONDS = 2 * HOUR  # within which a sample may be judged twice, as its worker died
_ENTRY_BYTES = 2_000  # of an entry in Redis, as measured: it bounds their number
_BUCKETS_AT_ONCE = 200
_DAY = 86_400
_PARTS = ("total", "squared", "flagged", "flagged_squared")
_T = TypeVar("_T")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
_encode_key = msgspec.msgpack.Encoder().encode
_decode_key = msgspec.msgpack.Decoder(tuple[str, str, str, str, int]).decode


class RedisStore:
    """A Store. `days` and `most_bytes` bound what is kept. Raises ValueError when the URL is none."""

    def __init__(self, url: str, *, days: float, most_bytes: int, answer_seconds: float = 2.0) -> None:
        self._client = connect(url, answer_seconds)
        self._days = days
        self._most = max(1, most_bytes // _ENTRY_BYTES)

    async def add(self, entries: Sequence[Entry]) -> None:
        unique = {entry.id: entry for entry in entries}
        new = await self._unseen(list(unique.values()))
        if not new:
            return
        pipeline = self._client.pipeline(transaction=True)
        for entry in new:
            pipeline.xadd(STREAM, {"entry": _encode(entry)}, maxlen=self._most, approximate=True)
            pipeline.set(_SEEN + entry.id, b"1", ex=_SEEN_SECONDS)
        for (width, start), sums in buckets(new).items():
            self._add_sums(pipeline, width, start, sums)
        await self._ask(pipeline.execute())

    async def _unseen(self, entries: Sequence[Entry]) -> list[Entry]:
        found = await self._ask(self._client.mget([_SEEN + entry.id for entry in entries]))
        return [entry for entry, seen in zip(entries, found, strict=True) if seen is None]

    def _add_sums(self, pipeline: Any, width: int, start: int, sums: Sums) -> None:
        name = f"{_SUMS}{width}:{start}"
        for key, weights in sums.items():
            for number, part in enumerate(_PARTS):
                if value := getattr(weights, part):
                    pipeline.hincrbyfloat(name, _encode_key((*key, number)), value)
        pipeline.expire(name, MINUTES_KEPT if width == MINUTE else int(self._days * _DAY) + HOUR)

    async def sums(self, width: int, since: float, until: float) -> Sums:
        names = [f"{_SUMS}{width}:{start}" for start in range(int(since), int(until) + width, width) if start < until]
        found: dict[tuple[str, str, str, str], list[float]] = {}
        for first in range(0, len(names), _BUCKETS_AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for name in names[first : first + _BUCKETS_AT_ONCE]:
                pipeline.hgetall(name)
            for fields in await self._ask(pipeline.execute()):
                for field, value in fields.items():
                    *key, part = _decode_key(field)
                    found.setdefault((key[0], key[1], key[2], key[3]), [0.0] * 4)[part] += float(value)
        return {key: Weights(*parts) for key, parts in found.items()}

    async def entries(self, most: int) -> list[Entry]:
        rows = await self._ask(self._client.xrevrange(STREAM, count=most))
        return [_decode(fields[b"entry"]) for _, fields in rows]

    async def prune(self, now: float) -> None:
        """By age; Redis itself bounds the number and forgets old sums."""
        oldest = int(1000 * (now - self._days * _DAY))
        await self._ask(self._client.xtrim(STREAM, minid=max(0, oldest), approximate=True))

    async def _ask(self, request: Awaitable[Any]) -> Any:
        try:
            return await answer_of(request)
        except (*DOWN, msgspec.DecodeError) as error:
            raise LedgerError(f"Redis: {error}") from error

    async def close(self) -> None:
        await self._client.aclose()
