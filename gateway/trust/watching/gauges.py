"""The estimates as gauges for Prometheus, brought up to date by a task beside the traffic."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import process_time
from typing import Any

from gateway.telemetry import metrics
from gateway.trust.estimates import BASES, Errors, Estimate, estimate, evidence
from gateway.trust.ledger import OTHER, Ledger, LedgerError, Window
from gateway.trust.moments import ALL, Cell, merge

WINDOW = "24h"
GROUPS = 20  # pairs of route and model with series of their own; the others are one pair together
LANGUAGES = 8  # with series of their own
_SECONDS = 15.0
_PAUSES = 20.0  # times the processor time that bringing them up to date took: it is not to show in the traffic
_LONGEST = 300.0  # seconds: what is older than that tells nothing of now
_ALL = ("", "")
_PAIR = (metrics.TRUST_RATE, metrics.TRUST_LOW, metrics.TRUST_HIGH, metrics.TRUST_EFFECTIVE)
_LANGUAGE = (metrics.TRUST_LANGUAGE_RATE, metrics.TRUST_LANGUAGE_LOW, metrics.TRUST_LANGUAGE_HIGH)


class TrustGauges:
    """`errors` are the detectors' on benchmarks. Every process of a ledger shows the same. `worked` is the processor
    time of this process, in seconds: on a busy machine the same work takes far longer, and no more of the processor."""

    def __init__(
        self, ledger: Ledger, errors: Mapping[tuple[str, str], Errors], *, worked: Callable[[], float] = process_time
    ) -> None:
        self._ledger = ledger
        self._errors = errors
        self._worked = worked
        self._pairs = _Series(_PAIR)
        self._languages = _Series(_LANGUAGE)

    async def run(self) -> None:
        """Until cancelled. While the ledger cannot be read the gauges keep what they showed."""
        while True:
            began = self._worked()
            with contextlib.suppress(LedgerError):  # the ledger says so itself
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
    ) -> dict[tuple[str, ...], Window]:
        """The cells of a pivot up to the bound, by how much was judged of them; the others together."""
        own = [cell for cell in cells if cell[0] == pivot]
        windows = {_group(cell): await self._ledger.window(WINDOW, cell) for cell in own}
        by_size = sorted(windows, key=lambda group: (group[-1] != "other", _size(windows[group])), reverse=True)
        kept = {group: windows[group] for group in by_size[:most]}
        for group in by_size[most:]:
            rest = kept.setdefault(beyond, Window({}, frozenset()))
            merge(rest.sums, windows[group].sums)
            kept[beyond] = Window(rest.sums, rest.newest | windows[group].newest)
        return kept

    async def _show(self, series: "_Series", windows: Mapping[tuple[str, ...], Window]) -> None:
        shown: dict[tuple[str, ...], Estimate] = {}
        for group, window in windows.items():
            for column, of in evidence(window.sums).items():
                found = estimate(of, self._errors.get(column), window.newest)
                if found is not None:
                    assert found.basis in BASES
                    shown[(*column, *group, found.basis)] = found
                await asyncio.sleep(0)  # some tenths of a millisecond each: traffic goes first
        series.show(shown)


class _Series:
    """Gauges of rate, low, high and effective samples, or the first of these, with the same labels."""

    def __init__(self, gauges: Sequence[Any]) -> None:  # of prometheus_client, whose door is telemetry
        self._gauges = gauges
        self._shown: Collection[tuple[str, ...]] = ()

    def show(self, found: Mapping[tuple[str, ...], Estimate]) -> None:
        """A figure that is not there is NaN: zero would say that there is no harm. So is what was shown before and is
        not found now: nothing of it is in the window any more, or it rests on something else."""
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


def _size(window: Window) -> float:
    return sum(row[0] for key, row in window.sums.items() if key[3] == "detector")


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
