"""The ledger: a bounded memory of judged samples, the same for all processes that share its store.

A sample is kept as a row of its own, without any text, and added to sums by minute and by hour, from which rates over
a window are read. Whatever is wrong with the store, traffic and judging go on: what cannot be written waits, up to a
bound, then the oldest is dropped and counted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.telemetry import metrics
from gateway.trust.estimates import Weights
from gateway.trust.judged import Judged
from gateway.trust.second_opinion import Kind, SecondOpinion, Waiting

log = logging.getLogger("assay")

MINUTE, HOUR = 60, 3600
MINUTES_KEPT = 3 * HOUR  # seconds for which sums by minute are kept
# Window → (its length, the width of the sums that it is read from): long windows are in whole hours.
WINDOWS: Mapping[str, tuple[int, int]] = {
    "5m": (5 * MINUTE, MINUTE),
    "1h": (HOUR, MINUTE),
    "24h": (24 * HOUR, HOUR),
    "7d": (7 * 24 * HOUR, HOUR),
}
OTHER = "(other)"  # stands for models beyond the first of a route: clients may name any
MODELS_A_ROUTE = 50

MOST_WAITING = 10_000  # samples that wait for an opinion of one kind

_FLUSH_SECONDS = 0.5
_PRUNE_SECONDS = 60.0
_MOST_UNWRITTEN = 20_000  # samples, some 20 MB
_MOST_DRAWN_UNWRITTEN = 1_000  # their texts may be long
_BATCH = 200

Stratum = tuple[str, str, str, str]  # route, model, sub-category, direction


class Score(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was found of one sub-category in one direction."""

    direction: str
    slug: str
    score: float
    flagged: bool
    detector: str


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """A judged sample as the ledger keeps it: `at` in Unix seconds, no text."""

    id: str
    at: float
    probability: float
    route: str
    model: str
    caller: str
    language: str
    operation: str
    unread: str
    scores: list[Score]

    @property
    def cohort(self) -> tuple[str, str]:
        return self.route, self.model


class LedgerError(Exception):
    """The store cannot be used now; the message says why."""


Sums = dict[Stratum, Weights]
Buckets = dict[tuple[int, int], Sums]  # by (width, start) in seconds


class Store(Protocol):
    """Where entries lie. One contract for every backend (tests/contracts/test_ledger.py). All raise LedgerError."""

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep them and add them to the sums; one that is there already is passed over."""
        ...

    async def sums(self, width: int, since: float, until: float) -> Sums:
        """Over the buckets of this width that begin within the half-open range [since, until)."""
        ...

    async def entries(self, most: int) -> list[Entry]:
        """The latest, newest first."""
        ...

    async def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        """By id, of those that are still there."""
        ...

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        """Keep them; one of the same sample, kind and name is replaced. A sample no longer waits for opinions of a
        kind when it has as many as it wanted. Gives back those whose sample is not there (any more)."""
        ...

    async def opinions(self, since: float, until: float, most: int) -> list[tuple[SecondOpinion, Entry]]:
        """On samples of the half-open range [since, until), the latest samples first, each with its sample."""
        ...

    async def put(self, items: Sequence[Waiting]) -> None:
        """Let them wait; one that waits already, or has the opinions that it wants, is passed over."""
        ...

    async def waiting(self, kind: Kind, most: int) -> list[Waiting]:
        """In the order of their draws, which is as good as random: whoever stops early has labelled a fair part."""
        ...

    async def hold(self, kind: Kind, by: str, most: int, now: float, seconds: float) -> list[Waiting]:
        """As `waiting`, but only what nobody else holds and on which `by` has given no opinion. Nobody else gets these
        for so many seconds."""
        ...

    async def prune(self, now: float) -> None:
        """Forget what is too old, or too much."""
        ...

    async def close(self) -> None: ...


def entry_of(judged: Judged) -> Entry:
    return Entry(
        judged.id,
        judged.at,
        judged.probability,
        judged.route,
        judged.model.encode("utf-8", "replace").decode(),  # clients may name half a surrogate pair
        judged.caller,
        judged.language,
        judged.operation,
        judged.unread,
        [Score(way, o.slug, o.score, o.flagged, o.detector) for way, o in judged.scores],
    )


def buckets(entries: Iterable[Entry]) -> Buckets:
    """The sums of these entries, by minute and by hour."""
    minutes: dict[tuple[int, str, str], dict[tuple[str, str], list[float]]] = {}
    for entry in entries:
        sums = minutes.setdefault((int(entry.at // MINUTE) * MINUTE, *entry.cohort), {})
        weight = 1 / entry.probability
        square = weight * weight
        for score in entry.scores:
            key = (score.slug, score.direction)
            row = sums.get(key)
            if row is None:
                row = sums[key] = [0.0, 0.0, 0.0, 0.0]
            row[0] += weight
            row[1] += square
            if score.flagged:
                row[2] += weight
                row[3] += square
    found: Buckets = {}
    for (minute, route, model), sums in minutes.items():
        for width in (MINUTE, HOUR):
            into = found.setdefault((width, minute // width * width), {})
            for (slug, direction), row in sums.items():
                stratum = (route, model, slug, direction)
                into[stratum] = into.get(stratum, _NOTHING) + Weights(*row)
    return found


_NOTHING = Weights(0.0, 0.0, 0.0, 0.0)


class Ledger:
    """A sink. `clock` is Unix seconds, as in `Judged.at`."""

    def __init__(self, store: Store, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[Entry] = []
        self._drawn: deque[Waiting] = deque(maxlen=_MOST_DRAWN_UNWRITTEN)
        self._models: dict[str, set[str]] = {}
        self._writing = asyncio.Lock()
        self._prune_at = 0.0
        self.problem = ""  # why the store cannot be used, while it cannot
        self._written = metrics.tally(metrics.LEDGER_SAMPLES, "written")
        self._dropped = metrics.tally(metrics.LEDGER_SAMPLES, "dropped")

    def take(self, judged: Judged) -> None:
        """Keep a sample; never waits, never raises."""
        self._waiting.append(self._bounded(entry_of(judged)))
        if len(self._waiting) > _MOST_UNWRITTEN:
            del self._waiting[0]
            self._dropped.add()

    def _bounded(self, entry: Entry) -> Entry:
        """Models that clients made up must not become ever more sums."""
        known = self._models.setdefault(entry.route, set())
        if entry.model in known or len(known) < MODELS_A_ROUTE:
            known.add(entry.model)
            return entry
        return msgspec.structs.replace(entry, model=OTHER)

    async def run(self) -> None:
        """Write until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(_FLUSH_SECONDS)
                await self.flush()
                await self._prune()
        finally:
            await self.flush()
            await self._store.close()

    async def flush(self) -> None:
        """Write the waiting entries, as many as the store accepts."""
        async with self._writing:
            while self._waiting:
                batch = self._waiting[:_BATCH]
                if not await self._attempt(self._store.add(batch)):
                    return
                # While it was written the oldest may have been dropped for want of room.
                written = {id(entry) for entry in batch}
                self._waiting = [entry for entry in self._waiting if id(entry) not in written]
                self._written.add(len(batch))
            while self._drawn:
                items = list(self._drawn)[:_BATCH]
                if not await self._attempt(self._store.put(items)):
                    return
                written = {id(item) for item in items}
                while self._drawn and id(self._drawn[0]) in written:
                    self._drawn.popleft()

    async def _prune(self) -> None:
        now = self._clock()
        if now >= self._prune_at:
            self._prune_at = now + _PRUNE_SECONDS
            await self._attempt(self._store.prune(now))

    async def _attempt(self, work: Coroutine[object, object, None]) -> bool:
        try:
            await work
        except LedgerError as error:
            if not self.problem:  # the transition only
                log.error("the ledger of judged samples cannot be used: %s", error)
            self.problem = str(error)
            return False
        if self.problem:
            log.warning("the ledger of judged samples can be used again")
        self.problem = ""
        return True

    async def weights(
        self, window: str, route: str | None = None, model: str | None = None
    ) -> dict[tuple[str, str], Weights]:
        """The sums over a window of WINDOWS, by (sub-category, direction). Raises LedgerError and KeyError."""
        length, width = WINDOWS[window]
        await self.flush()
        now = self._clock()
        since = (now - length) // width * width + width  # whole buckets, the one that is being filled included
        found: dict[tuple[str, str], Weights] = {}
        for (of_route, of_model, slug, direction), more in (await self._store.sums(width, since, now + width)).items():
            if route in (None, of_route) and model in (None, of_model):
                before = found.get((slug, direction))
                found[slug, direction] = more if before is None else before + more
        return found

    async def entries(self, most: int) -> list[Entry]:
        """The latest, newest first. Raises LedgerError."""
        await self.flush()
        return await self._store.entries(most)

    async def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        """By id, of those that are still there. Raises LedgerError."""
        await self.flush()
        return await self._store.entries_of(ids)

    # --- second opinions

    def put(self, item: Waiting) -> None:
        """Let a drawn sample wait for an opinion; never waits, never raises. The oldest of too many are dropped."""
        self._drawn.append(item)

    async def waiting(self, kind: Kind, most: int) -> list[Waiting]:
        """What waits, in the order of the draws. Raises LedgerError."""
        await self.flush()
        return await self._store.waiting(kind, most)

    async def hold(self, kind: Kind, by: str, most: int, seconds: float) -> list[Waiting]:
        """What waits and nobody else holds; for so many seconds nobody else gets it. Raises LedgerError."""
        await self.flush()
        return await self._store.hold(kind, by, most, self._clock(), seconds)

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        """Keep opinions; gives back those whose sample the ledger has not, or not any more. Raises LedgerError."""
        await self.flush()
        return await self._store.opine(opinions)

    async def opinions(self, window: str, most: int = 10_000) -> list[tuple[SecondOpinion, Entry]]:
        """On the samples of a window of WINDOWS, the latest first. Raises LedgerError and KeyError."""
        await self.flush()
        now = self._clock()
        return await self._store.opinions(now - WINDOWS[window][0], now + MINUTE, most)
