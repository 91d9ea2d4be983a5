"""Which models surely show more of a sub-category than some other model: a gauge, refreshed by a background task."""

import asyncio
import contextlib
import math
from collections.abc import Mapping

from gateway.telemetry import metrics
from gateway.trust.comparing.clusters import LabelledColumn, labels_by_caller, stretches
from gateway.trust.comparing.together import surely_more
from gateway.trust.estimates import estimate
from gateway.trust.intervals import Mean
from gateway.trust.ledger import OTHER, Ledger, LedgerError, LedgerWindow
from gateway.trust.per_caller import PerCaller

WINDOW = "24h"
MODELS = 10  # as many are compared: those that were judged most
_SECONDS = 60.0


class ModelComparison:
    """All processes that share a ledger show the same figures."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._shown: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        """Refresh until cancelled. While the ledger cannot be read the gauge keeps its values."""
        while True:
            with contextlib.suppress(LedgerError):  # the ledger logs it
                await self.refresh()
            await asyncio.sleep(_SECONDS)

    async def refresh(self) -> None:
        """Raises LedgerError."""
        names = [cell[1] for cell in await self._ledger.cells(WINDOW) if cell[0] == "model" and cell[1] != OTHER]
        windows = {name: await self._ledger.window(WINDOW, ("model", name)) for name in names}
        most = sorted(windows, key=lambda name: windows[name].judged, reverse=True)[:MODELS]
        callers = {name: await self._ledger.callers(WINDOW, ("model", name)) for name in most}
        times = await asyncio.to_thread(_worse, {name: windows[name] for name in most}, callers)
        now: dict[tuple[str, str, str], float] = {}
        for ((slug, direction, _), model), value in times.items():
            key = (slug, direction, model)
            now[key] = max(value, now.get(key, 0.0))
        for key in self._shown | now.keys():
            metrics.TRUST_MODEL_TIMES.labels(*key).set(now.get(key, math.nan))
        self._shown = set(now)


def _worse(
    windows: Mapping[str, LedgerWindow], callers: Mapping[str, PerCaller]
) -> dict[tuple[LabelledColumn, str], float]:
    means = {name: rates(window) for name, window in windows.items()}
    each = {name: labels_by_caller(callers[name], window.evidence) for name, window in windows.items()}
    return surely_more(means, stretches(each, means))


def rates(window: LedgerWindow) -> Mapping[LabelledColumn, Mean]:
    """The rates by sub-category, direction and basis. The basis is part of the key so that what people say of one model
    is never compared with what a judge says of another."""
    found: dict[LabelledColumn, Mean] = {}
    for column, of in window.evidence.items():
        known = estimate(of, None, window.newest)
        if known is not None and known.mean is not None:
            found[*column, known.basis] = known.mean
    return found
