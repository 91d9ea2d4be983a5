"""The ledger: a bounded memory of judged samples, the same for all processes that share its store.

A sample is kept as a row of its own, without any text, and added to sums of stretches of time (see `buckets`), from
which rates over a window are read; so are the second opinions on it, at the time of the sample. Whatever is wrong with
the store, traffic and judging go on: what cannot be written waits, up to a bound, then the oldest is dropped and
counted.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from time import monotonic
from typing import Any, Protocol

import msgspec

from gateway.beat import beat
from gateway.telemetry import metrics
from gateway.trust.ageing import Believed, believed
from gateway.trust.buckets import HOUR as HOUR
from gateway.trust.buckets import MINUTE, Span, covering, seen_in, together
from gateway.trust.entries import Entry as Entry
from gateway.trust.entries import Score as Score
from gateway.trust.entries import entry_of as entry_of
from gateway.trust.estimates import Evidence, Weights, evidence, weights
from gateway.trust.judged import Judged
from gateway.trust.moments import ALL, Cell, Sums, cell_named
from gateway.trust.packed import Packed
from gateway.trust.per_caller import OF_CALLERS, PerCaller, per_caller
from gateway.trust.second_opinion import Kind, SecondOpinion, Waiting

log = logging.getLogger("assay")

# Window → (its length, the width of the sums that it is read from, or wider): long windows are in whole hours.
WINDOWS: Mapping[str, tuple[int, int]] = {
    "5m": (5 * MINUTE, MINUTE),
    "1h": (HOUR, MINUTE),
    "24h": (24 * HOUR, HOUR),
    "7d": (7 * 24 * HOUR, HOUR),
}
OTHER = "(other)"  # stands for what is beyond the first: clients may name any model, and keys may be many
MODELS_A_ROUTE = 50
CALLERS = 200
LANGUAGES = 50

MOST_WAITING = 10_000  # samples that wait for an opinion of one kind
LONGEST_HOLD = 24 * HOUR  # what seems to be held for longer was held by a clock that was ahead

_FLUSH_SECONDS = 5.0  # the more at once, the less each costs; who reads writes first
_PRUNE_SECONDS = 60.0
_MOST_UNWRITTEN = 20_000  # samples, some 20 MB
_MOST_DRAWN_UNWRITTEN = 1_000  # their texts may be long
_BATCH = 2_000
_MOST_COHORTS = 5_000  # some MB, should a client make up long names


class LedgerError(Exception):
    """The store cannot be used now; the message says why."""


class Store(Protocol):
    """Where entries lie. One contract for every backend (tests/contracts/test_ledger.py). All raise LedgerError."""

    async def add(self, entries: Sequence[Entry]) -> None:
        """Keep them and add them to the sums; one that is there already is passed over."""
        ...

    async def sums(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, Packed]]:
        """Of the buckets of this width that begin within these half-open spans, with their start, in the order of time.
        Those of the widths in ROLLED_UP are there for what was complete when it was last pruned, but for what has
        changed since."""
        ...

    async def callers(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, PerCaller]]:
        """As `sums`, of each caller: the cell is OF_CALLERS, or that and a group's."""
        ...

    async def cells(self, since: float) -> list[Cell]:
        """Those with sums by the hour that begin at this time or later."""
        ...

    async def entries(self, most: int) -> list[Entry]:
        """The latest, newest first."""
        ...

    async def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        """By id, of those that are still there."""
        ...

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        """Keep them; one of the same sample, kind and name is replaced. A sample no longer waits for opinions of a
        kind when it has as many as it wanted, and until then nobody holds it. Gives back those whose sample is not
        there (any more)."""
        ...

    async def opinions(
        self, since: float, until: float, most: int, kind: Kind | None = None, *, scores: bool = True
    ) -> list[tuple[SecondOpinion, Entry]]:
        """On samples of the half-open range [since, until), the latest samples first, each with its sample; of one kind
        or of all. Without its `scores` a sample takes a tenth of the time."""
        ...

    async def put(self, items: Sequence[Waiting]) -> None:
        """Let drawn samples wait; those that wait already, or have the opinions they want, are passed over."""
        ...

    async def waiting(self, kind: Kind, most: int) -> list[Waiting]:
        """In the order of their draws, which is as good as random: whoever stops early has labelled a fair part."""
        ...

    async def count_waiting(self, kind: Kind) -> int:
        """How many wait."""
        ...

    async def one(self, kind: Kind, sample: str) -> tuple[Waiting | None, list[SecondOpinion]]:
        """A sample as it waits, None when it does not, and the opinions of this kind on it."""
        ...

    async def hold(self, kind: Kind, by: str, most: int, now: float, seconds: float) -> list[Waiting]:
        """As `waiting`, but only what nobody else holds and on which `by` has given no opinion. Nobody else gets these
        for so many seconds."""
        ...

    async def prune(self, now: float) -> None:
        """Forget what is too old, or too much, and roll up what is complete, a bounded number of buckets at once."""
        ...

    async def believed(self) -> Believed | None:
        """What was last remembered."""
        ...

    async def believe(self, time: Believed) -> None:
        """Remember the time by which things are forgotten."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Window:
    """What the ledger holds of a window: its sums, and the detector@versions that judged its newest samples."""

    sums: Sums
    newest: frozenset[str]

    @cached_property
    def evidence(self) -> Mapping[tuple[str, str], Evidence]:
        """The sums by sub-category and direction."""
        return evidence(self.sums)


def window_of(buckets: Sequence[tuple[int, Packed]]) -> Window:
    """Together, in the order of time: of each detector the version that was in use last is the newest; of two in the
    last bucket the one that came later."""
    seen = seen_in(buckets)
    newest: dict[str, str] = {}
    for detector in sorted(seen, key=lambda detector: (*reversed(seen[detector]), detector)):
        newest[detector.rpartition("@")[0]] = detector
    return Window(together(buckets).sums(), frozenset(newest.values()))


class Ledger:
    """A sink. `clock` is Unix seconds, as in `Judged.at`; `steady` is in seconds too, and never jumps."""

    def __init__(self, store: Store, *, clock: Callable[[], float], steady: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._steady = steady
        self._waiting: deque[Entry] = deque()
        self._drawn: deque[Waiting] = deque(maxlen=_MOST_DRAWN_UNWRITTEN)
        self._known: dict[str, set[str]] = {}
        self._within_bounds: set[tuple[str, ...]] = set()  # cohorts that need not be looked up name by name
        self._writing = asyncio.Lock()
        self._prune_at = -math.inf
        self._own: tuple[float, float] | None = None  # the time that we believed last, and when that was
        self._is_ahead = False  # the clock, by more than the time that has passed
        self.problem = ""  # why the store cannot be used, while it cannot
        self._written = metrics.tally(metrics.LEDGER_SAMPLES, "written")
        self._dropped = metrics.tally(metrics.LEDGER_SAMPLES, "dropped")
        self._jumps = metrics.tally(metrics.LEDGER_CLOCK_JUMPS)

    def take(self, judged: Judged) -> None:
        """Keep a sample; never waits, never raises."""
        self._waiting.append(self._bounded(entry_of(judged)))
        if len(self._waiting) > _MOST_UNWRITTEN:
            self._waiting.popleft()
            self._dropped.add()

    def _bounded(self, entry: Entry) -> Entry:
        """What clients made up must not become ever more sums."""
        cohort = entry.cohort
        if cohort in self._within_bounds:  # nearly always: it runs for every sample
            return entry
        model = self._one_of("model of " + entry.route, entry.model, MODELS_A_ROUTE)
        caller = self._one_of("caller", entry.caller, CALLERS)
        language = self._one_of("language", entry.language, LANGUAGES)
        if (model, caller, language) == (entry.model, entry.caller, entry.language):
            if len(self._within_bounds) >= _MOST_COHORTS:
                self._within_bounds.clear()
            self._within_bounds.add(cohort)
            return entry
        return msgspec.structs.replace(entry, model=model, caller=caller, language=language)

    def _one_of(self, what: str, value: str, most: int) -> str:
        known = self._known.setdefault(what, set())
        if value not in known and len(known) >= most:
            return OTHER
        known.add(value)
        return value

    async def run(self) -> None:
        """Write until cancelled, and once more then."""
        try:
            while True:
                await beat(_FLUSH_SECONDS)
                await self.flush()
                if self._steady() >= self._prune_at:
                    self._prune_at = self._steady() + _PRUNE_SECONDS
                    await self.prune()
        finally:
            await self.flush()
            await self._store.close()

    async def flush(self) -> None:
        """Write the waiting entries, as many as the store accepts."""
        async with self._writing:
            while batch := list(islice(self._waiting, _BATCH)):
                if not await self._attempt(self._store.add(batch)):
                    return
                _take_away(self._waiting, batch)
                self._written.add(len(batch))
            while items := list(islice(self._drawn, _BATCH)):
                if not await self._attempt(self._store.put(items)):
                    return
                _take_away(self._drawn, items)

    async def prune(self) -> None:
        """Forget what is too old, or too much."""
        await self._attempt(self._prune())

    async def _prune(self) -> None:
        await self._store.prune(await self._believed())

    async def _believed(self) -> float:
        """The time by which things are forgotten. Raises LedgerError."""
        now, steady = self._clock(), self._steady()
        last = await self._store.believed()
        if last is None:
            latest = await self._store.entries(1)
            at = min(now, latest[0].at) if latest else now
            last = Believed(at, at)
        own, looked_at = self._own or (None, steady)
        found = believed(last, now, own, None if own is None else steady - looked_at)
        self._say_if_ahead(found, now)
        await self._store.believe(found)
        self._own = (found.at, steady)
        return found.at

    def _say_if_ahead(self, found: Believed, now: float) -> None:
        is_ahead = found.ahead_since > 0
        if is_ahead and not self._is_ahead:
            hours = (now - found.at) / HOUR
            log.warning("the clock is %.0f hours ahead of the ledger: for a day nothing is forgotten by it", hours)
            self._jumps.add()
        self._is_ahead = is_ahead

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
        """The flagged weights over a window of WINDOWS, by (sub-category, direction). Raises LedgerError, KeyError."""
        found = evidence((await self.window(window, cell_named(route=route, model=model))).sums)
        return {key: weights(column) for key, column in found.items() if column.detector}

    async def window(self, window: str, cell: Cell = ALL, *, before: bool = False) -> Window:
        """The sums over a window of WINDOWS, or over the one `before` it. Raises LedgerError and KeyError."""
        buckets = await covering(partial(self._store.sums, cell), *await self._span(window, before=before))
        return await asyncio.to_thread(window_of, buckets)  # some milliseconds

    async def callers(self, window: str, group: Cell = (), *, before: bool = False) -> PerCaller:
        """The sums of each caller over a window of WINDOWS, or over the one `before` it: of all traffic, or the labels
        of each in the cell of a `group`, of which ALL is one. Raises LedgerError and KeyError."""
        read = partial(self._store.callers, OF_CALLERS + group)
        buckets = await covering(read, *await self._span(window, before=before))
        return await asyncio.to_thread(per_caller, buckets)

    async def _span(self, window: str, *, before: bool = False) -> tuple[int, float, float]:
        """The width of the sums that a window is read from, and where they begin: whole buckets, the one that is being
        filled included. What was taken until now is written then."""
        length, width = WINDOWS[window]
        await self.flush()
        now = self._clock()
        since = (now - length) // width * width + width
        return (width, since - length, since) if before else (width, since, now + width)

    async def series(self, cell: Cell, width: int, seconds: float) -> list[tuple[int, Packed]]:
        """The sums by minute or by hour of so many seconds until now. Raises LedgerError."""
        await self.flush()
        now = self._clock()
        return await self._store.sums(cell, width, [(now - seconds, now + width)])

    async def cells(self, window: str) -> list[Cell]:
        """Of which there are sums, by the hour. Raises LedgerError and KeyError."""
        await self.flush()
        return await self._store.cells((self._clock() - WINDOWS[window][0]) // HOUR * HOUR)

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

    async def count_waiting(self, kind: Kind) -> int:
        """How many wait. Raises LedgerError."""
        await self.flush()
        return await self._store.count_waiting(kind)

    async def one(self, kind: Kind, sample: str) -> tuple[Waiting | None, list[SecondOpinion]]:
        """A sample as it waits, None when it does not, and the opinions of this kind on it. Raises LedgerError."""
        await self.flush()
        return await self._store.one(kind, sample)

    async def hold(self, kind: Kind, by: str, most: int, seconds: float) -> list[Waiting]:
        """Samples that wait and that nobody holds; nobody else gets them for so many seconds. Raises LedgerError."""
        await self.flush()
        return await self._store.hold(kind, by, most, self._clock(), seconds)

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        """Keep opinions; gives back those whose sample the ledger has not, or not any more. Raises LedgerError."""
        await self.flush()
        return await self._store.opine(opinions)

    async def opinions(
        self, window: str, most: int = 10_000, kind: Kind | None = None, *, before: bool = False, scores: bool = True
    ) -> list[tuple[SecondOpinion, Entry]]:
        """On the samples of a window of WINDOWS, or of the one `before` it, the latest first; without the samples'
        scores where nobody needs them. Raises LedgerError and KeyError."""
        await self.flush()
        length, now = WINDOWS[window][0], self._clock()
        since, until = (now - 2 * length, now - length) if before else (now - length, now + MINUTE)
        return await self._store.opinions(since, until, most, kind, scores=scores)


def _take_away(waiting: deque[Any], written: Sequence[Any]) -> None:
    """While it was written the oldest may have been dropped for want of room."""
    ids = {id(item) for item in written}
    while waiting and id(waiting[0]) in ids:
        waiting.popleft()
