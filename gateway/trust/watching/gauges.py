"""The estimates as gauges for Prometheus, refreshed by a background task."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import process_time
from typing import Any

from gateway.telemetry import metrics
from gateway.trust.estimates import BASES, Errors, Estimate, estimate, evidence
from gateway.trust.ledger import OTHER, Ledger, LedgerError, LedgerWindow
from gateway.trust.moments import ALL, Cell, merge

WINDOW = "24h"
GROUPS = 20  # pairs of route and model with series of their own; all others together are one pair
LANGUAGES = 8  # with series of their own
_SECONDS = 15.0
_PAUSES = 20.0  # the pause is this many times the processor time of a refresh, so that traffic does not notice it
_LONGEST = 300.0  # seconds between two refreshes at most: older figures tell nothing about now
_ALL = ("", "")
_PAIR = (metrics.TRUST_RATE, metrics.TRUST_LOW, metrics.TRUST_HIGH, metrics.TRUST_EFFECTIVE)
_LANGUAGE = (metrics.TRUST_LANGUAGE_RATE, metrics.TRUST_LANGUAGE_LOW, metrics.TRUST_LANGUAGE_HIGH)


class TrustGauges:
    """All processes that share a ledger show the same figures. `errors` are the detectors' error rates on benchmarks.
    `worked` gives this process's processor time in seconds: unlike the time on the clock it does not grow when the
    machine is busy."""

    def __init__(
        self, ledger: Ledger, errors: Mapping[tuple[str, str], Errors], *, worked: Callable[[], float] = process_time
    ) -> None:
        self._ledger = ledger
        self._errors = errors
        self._worked = worked
        self._pairs = _Series(_PAIR)
        self._languages = _Series(_LANGUAGE)

    async def run(self) -> None:
        """Refresh until cancelled. While the ledger cannot be read the gauges keep their values."""
        while True:
            began = self._worked()
            with contextlib.suppress(LedgerError):  # the ledger logs it
                await self.refresh()
            await asyncio.sleep(min(_LONGEST, max(_SECONDS, _PAUSES * (self._worked() - began))))

    async def refresh(self) -> None:
        """Raises LedgerError."""
        cells = await self._ledger.cells(WINDOW)
        pairs = await self._windows(cells, "route_model", GROUPS, ("other", "other"))
        await self._show(self._pairs, {_ALL: await self._ledger.window(WINDOW, ALL), **pairs})
        await self._show(self._languages, await self._windows(cells, "language", LANGUAGES, ("other",)))

    async def _windows(
        self, cells: Iterable[Cell], pivot: str, most: int, beyond: tuple[str, ...]
    ) -> dict[tuple[str, ...], LedgerWindow]:
        """The windows of the `most` cells of a pivot that were judged most, by their labels; all others are one window
        with the labels `beyond`."""
        windows: dict[tuple[str, ...], LedgerWindow] = {}
        for cell in cells:
            if cell[0] == pivot:
                group = _group(cell)  # a client may name a model "other" too
                windows[group] = _both(windows.get(group), await self._ledger.window(WINDOW, cell))
        by_size = sorted(windows, key=lambda group: (group[-1] != "other", windows[group].judged), reverse=True)
        kept = {group: windows[group] for group in by_size[:most]}
        for group in by_size[most:]:
            kept[beyond] = _both(kept.get(beyond), windows[group])
        return kept

    async def _show(self, series: "_Series", windows: Mapping[tuple[str, ...], LedgerWindow]) -> None:
        shown: dict[tuple[str, ...], Estimate] = {}
        for group, window in windows.items():
            for column, of in evidence(window.sums).items():
                found = estimate(of, self._errors.get(column), window.newest)
                if found is not None:
                    assert found.basis in BASES
                    shown[(*column, *group, found.basis)] = found
                await asyncio.sleep(0)  # each took some tenths of a millisecond: let traffic go first
        series.show(shown)


class _Series:
    """Gauges of rate, low, high and effective samples, or only the first few of these, with the same labels."""

    def __init__(self, gauges: Sequence[Any]) -> None:  # of prometheus_client, whose door is telemetry
        self._gauges = gauges
        self._shown: Collection[tuple[str, ...]] = ()

    def show(self, found: Mapping[tuple[str, ...], Estimate]) -> None:
        """Set the gauges. A missing figure is NaN: zero would say that there is no harm. Series that were shown before
        and have no estimate now, or have one on another basis, become NaN too."""
        for labels in set(self._shown) - found.keys():
            for gauge in self._gauges:
                gauge.labels(*labels).set(math.nan)
        for labels, each in found.items():
            figures = (each.estimate, each.low, each.high, each.effective_samples)
            for gauge, figure in zip(self._gauges, figures, strict=False):
                gauge.labels(*labels).set(_or_nan(figure))
        self._shown = found.keys()


def _group(cell: Cell) -> tuple[str, ...]:
    *route, last = cell[1:]
    return (*route, "other" if last == OTHER else last or "unknown" if cell[0] == "language" else last)


def _both(one: LedgerWindow | None, other: LedgerWindow) -> LedgerWindow:
    if one is None:
        return other
    sums = {key: list(row) for key, row in one.sums.items()}
    merge(sums, other.sums)
    return LedgerWindow(sums, one.newest | other.newest)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
