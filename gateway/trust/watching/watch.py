"""Looks at every series for alarms, in a background task."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.telemetry import metrics
from gateway.trust.buckets import HOUR
from gateway.trust.estimates import Evidence, evidence
from gateway.trust.ledger import Ledger, LedgerError, window_of
from gateway.trust.moments import ALL, Cell
from gateway.trust.watching.alarms import BASELINE_HOURS, Hour, Rise, chosen, hours_of, rise

log = logging.getLogger("assay")

ROUTES = 10  # as many have series of their own: those that were judged most
DAYS = BASELINE_HOURS // 24 + 7
_SECONDS = 300.0
_SAMPLES = 20  # as many are named behind an alarm


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rate that has risen, the basis that it rests on, and the latest samples that show it."""

    subcategory: str
    direction: str
    route: str
    basis: str
    rise: Rise
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Series:
    subcategory: str
    direction: str
    route: str
    basis: str
    hours: Sequence[Hour]


class Watch:
    """`alarms` are those of the latest look, `series` is the number of series that it looked at."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.alarms: tuple[Alarm, ...] = ()
        self.series = 0
        self._shown: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        """Look until cancelled. While the ledger cannot be read the latest alarms stay."""
        while True:
            with contextlib.suppress(LedgerError):  # the ledger logs it
                await self.look()
            await asyncio.sleep(_SECONDS)

    async def look(self) -> None:
        """Raises LedgerError."""
        series = [found for cell in (ALL, *await self._routes()) for found in await self._series(cell)]
        rises = [rise(each.hours) for each in series]
        self.series = len(series)
        self.alarms = tuple([await self._alarm(series[at], found) for at in chosen(rises) if (found := rises[at])])
        self._show()

    async def _routes(self) -> list[Cell]:
        """The routes with series of their own. A single route is all traffic, and would raise each alarm twice."""
        routes = sorted(cell for cell in await self._ledger.cells("7d") if cell[0] == "route")
        if len(routes) > ROUTES:
            judged = {cell: (await self._ledger.window("7d", cell)).judged for cell in routes}
            routes.sort(key=lambda cell: -judged[cell])
        return routes[:ROUTES] if len(routes) > 1 else []

    async def _series(self, cell: Cell) -> list[_Series]:
        """The series of each sub-category and direction in a cell."""
        buckets = await self._ledger.series(cell, HOUR, DAYS * 24 * HOUR)
        newest = (await asyncio.to_thread(window_of, buckets)).newest
        by_column: dict[tuple[str, str], list[tuple[int, Evidence]]] = {}
        for start, sums in buckets:
            for column, of in evidence(sums.sums()).items():
                by_column.setdefault(column, []).append((start, of))
            await asyncio.sleep(0)  # each took some tenths of a millisecond: let traffic go first
        route = cell[1] if len(cell) > 1 else ""
        return [_Series(*column, route, *hours_of(known, newest)) for column, known in by_column.items()]

    async def _alarm(self, series: _Series, found: Rise) -> Alarm:
        samples = await self._behind(series, found)
        return Alarm(series.subcategory, series.direction, series.route, series.basis, found, tuple(samples[:_SAMPLES]))

    async def _behind(self, series: _Series, found: Rise) -> list[str]:
        """The latest samples of the rise that have a positive label or, on the basis `flags`, were flagged."""
        key = (series.direction, series.subcategory)
        if series.basis == "flags":
            entries = await self._ledger.entries(5_000)
            shown = [e for e in entries if any(s.flagged and (s.direction, s.slug) == key for s in e.scores)]
        else:
            given = await self._ledger.opinions("7d", kind="person" if series.basis == "labels" else "judge")
            shown = [
                entry
                for opinion, entry in given
                if any(x.value >= 0.5 and (x.direction, x.slug) == key for x in opinion.labels)
            ]
        within = [e for e in shown if found.since <= e.at < found.until and series.route in ("", e.route)]
        return list(dict.fromkeys(entry.id for entry in within))

    def _show(self) -> None:
        now = {(alarm.subcategory, alarm.direction, alarm.route) for alarm in self.alarms}
        for labels in now - self._shown:
            log.warning(
                "the rate of %s in %ss has risen%s", labels[0], labels[1], labels[2] and f" on route {labels[2]}"
            )
            metrics.TRUST_ALARM.labels(*labels).set(1)
        for labels in self._shown - now:
            metrics.TRUST_ALARM.labels(*labels).set(0)
        self._shown = now
