"""Estimated rates, and what is known of the detectors' errors."""

import asyncio
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from detectors import manifest
from gateway.telemetry import metrics
from gateway.trust import estimates


@cache  # the files ship with the release: read once, not for every look at /trust
def _error_rates() -> dict[tuple[str, str], tuple[float, float]]:
    """(sub-category, direction) → measured (true, false) positive rates, where one detector alone speaks of it.

    With several detectors the combined rates were not measured, and so no correction is offered.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for info in manifest.load(weights=False).values():
        for slug, role in info.operating:
            rates = info.rates.get((slug, role))
            found.setdefault((slug, role), []).append(rates or (0.0, 0.0))
    return {key: rates[0] for key, rates in found.items() if len(rates) == 1 and rates[0][0] > rates[0][1]}


def publish_error_rates() -> None:
    for (slug, direction), (true_positive, false_positive) in _error_rates().items():
        metrics.TRUE_POSITIVE_RATE.labels(slug, direction).set(true_positive)
        metrics.FALSE_POSITIVE_RATE.labels(slug, direction).set(false_positive)


async def rates_page(_: Request) -> Response:
    return JSONResponse(await asyncio.to_thread(rates))


def rates() -> dict[str, Any]:
    """The estimates since the gateway started, over all workers."""
    total, *others = (
        estimates.by_label(metrics.samples(f"assay_trust_{what}_total"))
        for what in ("weight", "weight_squared", "flagged_weight", "flagged_weight_squared")
    )
    error_rates = _error_rates()
    rows = []
    for key in sorted(total):
        weights = estimates.Weights(total[key], *(sums.get(key, 0.0) for sums in others))
        share = estimates.flagged_share(weights)
        known = error_rates.get(key)
        estimate = estimates.corrected(share, *known) if share and known else None
        rows.append(
            {
                "subcategory": key[0],
                "direction": key[1],
                "effective_samples": round(weights.effective_samples, 1),
                "flagged_share": _shown(share),
                "estimated_rate": _shown(estimate),
                "detector": known and {"true_positive_rate": known[0], "false_positive_rate": known[1]},
            }
        )
    return {
        "note": "Shares of traffic with 95 % intervals, since start. flagged_share is what the detectors flag; "
        "estimated_rate corrects it for their measured errors, null where those were not measured.",
        "rates": rows,
    }


def _shown(interval: estimates.Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {
        "estimate": round(interval.estimate, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
    }
