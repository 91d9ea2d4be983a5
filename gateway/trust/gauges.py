"""The estimates as gauges for Prometheus, brought up to date by a task beside the traffic."""

import asyncio
import contextlib
import math
from collections.abc import Mapping

from gateway.telemetry import metrics
from gateway.trust.estimates import BASES, Errors, Estimate, estimate, evidence
from gateway.trust.ledger import OTHER, Ledger, LedgerError, Window
from gateway.trust.moments import ALL, Cell, merge

WINDOW = "24h"
GROUPS = 20  # pairs of route and model with series of their own; the others are one pair together
_SECONDS = 15.0
_ALL = ("", "")


class TrustGauges:
    """`errors` are the detectors' on benchmarks. Every process of a ledger shows the same."""

    def __init__(self, ledger: Ledger, errors: Mapping[tuple[str, str], Errors]) -> None:
        self._ledger = ledger
        self._errors = errors
        self._shown: set[tuple[str, ...]] = set()

    async def run(self) -> None:
        """Until cancelled. While the ledger cannot be read the gauges keep what they showed."""
        while True:
            with contextlib.suppress(LedgerError):  # the ledger says so itself
                await self.refresh()
            await asyncio.sleep(_SECONDS)

    async def refresh(self) -> None:
        """Raises LedgerError."""
        shown: set[tuple[str, ...]] = set()
        for group, window in (await self._windows()).items():
            for column, of in evidence(window.sums).items():
                found = estimate(of, self._errors.get(column), window.newest)
                if found is not None:
                    shown.add(self._show((*column, *group, found.basis), found))
                await asyncio.sleep(0)  # some tenths of a millisecond each: traffic goes first
        for labels in self._shown - shown:  # nothing of it in the window any more, or on another basis now
            for gauge in (metrics.TRUST_RATE, metrics.TRUST_LOW, metrics.TRUST_HIGH, metrics.TRUST_EFFECTIVE):
                gauge.labels(*labels).set(math.nan)
        self._shown = shown

    async def _windows(self) -> dict[tuple[str, str], Window]:
        """All traffic, and each pair of route and model up to the bound, by how much was judged of it."""
        pairs = [cell for cell in await self._ledger.cells(WINDOW) if cell[0] == "route_model"]
        windows = {_group(cell): await self._ledger.window(WINDOW, cell) for cell in pairs}
        by_size = sorted(windows, key=lambda group: (group[1] != OTHER, _size(windows[group])), reverse=True)
        kept = {group: windows[group] for group in by_size[:GROUPS]}
        for group in by_size[GROUPS:]:
            rest = kept.setdefault(("other", "other"), Window({}, frozenset()))
            merge(rest.sums, windows[group].sums)
            kept["other", "other"] = Window(rest.sums, rest.newest | windows[group].newest)
        return {_ALL: await self._ledger.window(WINDOW, ALL), **kept}

    @staticmethod
    def _show(labels: tuple[str, ...], found: Estimate) -> tuple[str, ...]:
        """A figure that is not there is NaN: zero would say that there is no harm."""
        assert found.basis in BASES
        metrics.TRUST_RATE.labels(*labels).set(_or_nan(found.estimate))
        metrics.TRUST_LOW.labels(*labels).set(_or_nan(found.low))
        metrics.TRUST_HIGH.labels(*labels).set(_or_nan(found.high))
        metrics.TRUST_EFFECTIVE.labels(*labels).set(found.effective_samples)
        return labels


def _group(cell: Cell) -> tuple[str, str]:
    _, route, model = cell
    return route, "other" if model == OTHER else model


def _size(window: Window) -> float:
    return sum(row[0] for key, row in window.sums.items() if key[3] == "detector")


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
