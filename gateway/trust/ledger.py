"""The ledger: a bounded memory of judged samples, the same for all processes that share its store.

Each sample is kept as a row, without any text, and is added to sums over stretches of time (see `buckets`), from which
the rates of a window are read. Second opinions on it are added in the same way, at the time of the sample. When the
store fails, traffic and judging go on: samples that cannot be written wait, up to a bound; beyond it the oldest are
dropped and counted.
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

# Window → (its length, the width of the narrowest sums that it is read from): long windows are in whole hours.
WINDOWS: Mapping[str, tuple[int, int]] = {
    "5m": (5 * MINUTE, MINUTE),
    "1h": (HOUR, MINUTE),
    "24h": (24 * HOUR, HOUR),
    "7d": (7 * 24 * HOUR, HOUR),
}
OTHER = "(other)"  # all values beyond the bounds below: clients may name any model, and keys may be many
MODELS_A_ROUTE = 50
CALLERS = 200
LANGUAGES = 50

MOST_WAITING = 10_000  # samples that wait for an opinion of one kind
LONGEST_HOLD = 24 * HOUR  # a hold that seems to last longer was set while the clock was ahead, and does not count

_FLUSH_SECONDS = 5.0  # larger batches cost less for each sample; every read flushes first
_PRUNE_SECONDS = 60.0
_MOST_UNWRITTEN = 20_000  # samples, some 20 MB
_MOST_DRAWN_UNWRITTEN = 1_000  # fewer, because they may carry long texts
_BATCH = 2_000
_MOST_COHORTS = 5_000  # some MB, should a client make up long names


class LedgerError(Exception):
    """The store cannot be used now; the message says why."""


class LedgerStore(Protocol):
    """Where entries lie. One contract for every backend (tests/contracts/test_ledger.py). All raise LedgerError."""

    async def add(self, entries: Sequence[Entry]) -> None:
        """Store the entries and add them to the sums; an entry that is stored already is skipped."""
        ...

    async def sums(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, Packed]]:
        """The start and the sums of each bucket of this width that begins within these half-open spans, in the order
        of time. Buckets of the widths in ROLLED_UP are made by `prune`; one whose narrower buckets have changed since
        is missing until the next `prune`."""
        ...

    async def callers(self, cell: Cell, width: int, spans: Sequence[Span]) -> list[tuple[int, PerCaller]]:
        """As `sums`, for each caller: the cell is OF_CALLERS, or OF_CALLERS followed by the cell of a group."""
        ...

    async def cells(self, since: float) -> list[Cell]:
        """The cells that have hourly sums which begin at `since` or later, in no particular order."""
        ...

    async def entries(self, most: int) -> list[Entry]:
        """The latest entries, newest first."""
        ...

    async def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        """The entries that are still stored, by id."""
        ...

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        """Store opinions; an earlier one of the same sample, kind and name is replaced. A sample that has as many
        opinions of a kind as it wanted stops waiting for that kind; if it wants more, its hold is released. Returns
        the opinions whose sample is not stored (any more)."""
        ...

    async def opinions(
        self, since: float, until: float, most: int, kind: Kind | None = None, *, scores: bool = True
    ) -> list[tuple[SecondOpinion, Entry]]:
        """The opinions of a kind, or of all kinds, on samples of the half-open range [since, until), each with its
        sample; latest samples first, `most` opinions in all. A sample without its `scores` takes a tenth of the
        time to read."""
        ...

    async def put(self, items: Sequence[Waiting]) -> None:
        """Let drawn samples wait; those that wait already, or have the opinions that they want, are skipped."""
        ...

    async def waiting(self, kind: Kind, most: int) -> list[Waiting]:
        """In the order of their draws, which is a random order: a reviewer who stops early has labelled a fair part."""
        ...

    async def count_waiting(self, kind: Kind) -> int:
        """How many samples wait."""
        ...

    async def one(self, kind: Kind, sample: str) -> tuple[Waiting | None, list[SecondOpinion]]:
        """The waiting item of a sample, None when it does not wait, and the opinions of this kind on the sample."""
        ...

    async def hold(self, kind: Kind, by: str, most: int, now: float, seconds: float) -> list[Waiting]:
        """As `waiting`, but only samples that nobody else holds and on which `by` has given no opinion. They are held
        for `by`: nobody else gets them for so many seconds."""
        ...

    async def prune(self, now: float) -> None:
        """Forget what is too old or exceeds the bounds, and roll up complete buckets, a bounded number each time."""
        ...

    async def believed(self) -> Believed | None:
        """What `believe` stored last, by any process."""
        ...

    async def believe(self, time: Believed) -> None:
        """Store the time by which things are forgotten."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class LedgerWindow:
    """What the ledger holds of a window: its sums, and the detector@versions that judged its newest samples."""

    sums: Sums
    newest: frozenset[str]

    @cached_property
    def evidence(self) -> Mapping[tuple[str, str], Evidence]:
        """The sums by sub-category and direction."""
        return evidence(self.sums)

    @property
    def judged(self) -> float:
        """How much was judged: the number of scores in it."""
        return sum(row[0] for key, row in self.sums.items() if key[3] == "detector")


def window_of(buckets: Sequence[tuple[int, Packed]]) -> LedgerWindow:
    """All buckets, given in the order of time, as one window. Of each detector the newest version is the one that was
    in use last; of two in the last bucket, the one that was first used later."""
    seen = seen_in(buckets)
    newest: dict[str, str] = {}
    for detector in sorted(seen, key=lambda detector: (*reversed(seen[detector]), detector)):
        newest[detector.rpartition("@")[0]] = detector
    return LedgerWindow(together(buckets).sums(), frozenset(newest.values()))


class Ledger:
    """A sink. `clock` gives Unix seconds, as in `Judged.at`; `steady` gives seconds and never jumps."""

    def __init__(
        self, store: LedgerStore, *, clock: Callable[[], float], steady: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._clock = clock
        self._steady = steady
        self._waiting: deque[Entry] = deque()
        self._drawn: deque[Waiting] = deque(maxlen=_MOST_DRAWN_UNWRITTEN)
        self._known: dict[str, set[str]] = {}
        self._within_bounds: set[tuple[str, ...]] = set()  # cohorts whose names are all known already
        self._writing = asyncio.Lock()
        self._prune_at = -math.inf
        self._own: tuple[float, float] | None = None  # the time that we believed last, and `steady` then
        self._is_ahead = False  # whether the clock is ahead of the time that has passed
        self.problem = ""  # why the store cannot be used; empty while it can
        self._written = metrics.tally(metrics.LEDGER_SAMPLES, "written")
        self._dropped = metrics.tally(metrics.LEDGER_SAMPLES, "dropped")
        self._jumps = metrics.tally(metrics.LEDGER_CLOCK_JUMPS)

    def take(self, judged: Judged) -> None:
        """Keep a sample. Never blocks and never raises."""
        self._waiting.append(self._bounded(entry_of(judged)))
        if len(self._waiting) > _MOST_UNWRITTEN:
            self._waiting.popleft()
            self._dropped.add()

    def _bounded(self, entry: Entry) -> Entry:
        """Names that clients make up must not create sums without bound: beyond the bounds they become OTHER."""
        cohort = entry.cohort
        if cohort in self._within_bounds:  # nearly always, and this runs for every sample
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
        """Write every few seconds until cancelled, and once more at the end."""
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
        """Write what waits, until everything is written or the store fails."""
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
        """Forget what is too old or exceeds the bounds."""
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
            log.warning(
                "the clock is %.0f hours ahead of the time that has passed: the ledger forgets nothing by age for a "
                "day; if the clock is wrong, set it right before then",
                hours,
            )
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

    async def window(self, window: str, cell: Cell = ALL, *, before: bool = False) -> LedgerWindow:
        """The sums over a window of WINDOWS, or over the window `before` it. Raises LedgerError and KeyError."""
        buckets = await covering(partial(self._store.sums, cell), *await self._span(window, before=before))
        return await asyncio.to_thread(window_of, buckets)  # some milliseconds

    async def callers(self, window: str, group: Cell = (), *, before: bool = False) -> PerCaller:
        """The sums of each caller over a window of WINDOWS, or over the window `before` it: of all that was judged, or,
        with the cell of a `group` (ALL is one too), of the caller's labels in it. Raises LedgerError and KeyError."""
        read = partial(self._store.callers, OF_CALLERS + group)
        buckets = await covering(read, *await self._span(window, before=before))
        return await asyncio.to_thread(per_caller, buckets)

    async def _span(self, window: str, *, before: bool = False) -> tuple[int, float, float]:
        """The width of the sums that a window is read from, and the half-open range in which they begin: whole buckets,
        including the one that is being filled. Writes first what was taken until now."""
        length, width = WINDOWS[window]
        await self.flush()
        now = self._clock()
        since = (now - length) // width * width + width
        return (width, since - length, since) if before else (width, since, now + width)

    async def series(self, cell: Cell, width: int, seconds: float) -> list[tuple[int, Packed]]:
        """The sums of the last so many seconds, by the minute or by the hour (`width`). Raises LedgerError."""
        await self.flush()
        now = self._clock()
        return await self._store.sums(cell, width, [(now - seconds, now + width)])

    async def cells(self, window: str) -> list[Cell]:
        """The cells that have hourly sums in a window of WINDOWS. Raises LedgerError and KeyError."""
        await self.flush()
        return await self._store.cells((self._clock() - WINDOWS[window][0]) // HOUR * HOUR)

    async def entries(self, most: int) -> list[Entry]:
        """The latest entries, newest first. Raises LedgerError."""
        await self.flush()
        return await self._store.entries(most)

    async def entries_of(self, ids: Sequence[str]) -> dict[str, Entry]:
        """The entries that are still stored, by id. Raises LedgerError."""
        await self.flush()
        return await self._store.entries_of(ids)

    # --- second opinions

    def put(self, item: Waiting) -> None:
        """Let a drawn sample wait for an opinion. Never blocks, never raises; of too many the oldest are dropped."""
        self._drawn.append(item)

    async def waiting(self, kind: Kind, most: int) -> list[Waiting]:
        """The samples that wait, in the order of their draws. Raises LedgerError."""
        await self.flush()
        return await self._store.waiting(kind, most)

    async def count_waiting(self, kind: Kind) -> int:
        """How many samples wait. Raises LedgerError."""
        await self.flush()
        return await self._store.count_waiting(kind)

    async def one(self, kind: Kind, sample: str) -> tuple[Waiting | None, list[SecondOpinion]]:
        """See `Store.one`. Raises LedgerError."""
        await self.flush()
        return await self._store.one(kind, sample)

    async def hold(self, kind: Kind, by: str, most: int, seconds: float) -> list[Waiting]:
        """See `Store.hold`; the time is the ledger's clock. Raises LedgerError."""
        await self.flush()
        return await self._store.hold(kind, by, most, self._clock(), seconds)

    async def opine(self, opinions: Sequence[SecondOpinion]) -> list[SecondOpinion]:
        """Store opinions; returns those whose sample is not in the ledger (any more). Raises LedgerError."""
        await self.flush()
        return await self._store.opine(opinions)

    async def opinions(
        self, window: str, most: int = 10_000, kind: Kind | None = None, *, before: bool = False, scores: bool = True
    ) -> list[tuple[SecondOpinion, Entry]]:
        """The opinions on the samples of a window of WINDOWS, or of the window `before` it; see `Store.opinions`.
        Raises LedgerError and KeyError."""
        await self.flush()
        length, now = WINDOWS[window][0], self._clock()
        since, until = (now - 2 * length, now - length) if before else (now - length, now + MINUTE)
        return await self._store.opinions(since, until, most, kind, scores=scores)


def _take_away(waiting: deque[Any], written: Sequence[Any]) -> None:
    """Remove what was written. While it was being written, the oldest of it may have been dropped for want of room."""
    ids = {id(item) for item in written}
    while waiting and id(waiting[0]) in ids:
        waiting.popleft()
