"""Estimated rates, and what is known of the detectors' errors."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors import manifest
from gateway.telemetry import metrics
from gateway.trust import estimates
from gateway.trust.ledger import WINDOWS, Ledger, LedgerError

DEFAULT_WINDOW = "24h"
_NOTE = (
    "Shares of traffic with 95 % intervals, over the window, all processes that share the ledger together; 24h and 7d "
    "count whole hours. flagged_share is what the detectors flag; estimated_rate corrects it for their measured "
    "errors, null where those were not measured."
)


@cache  # the files ship with the release: read once, not for every look at /trust
def _error_rates() -> dict[tuple[str, str], tuple[float, float]]:
    return error_rates(manifest.load(weights=False).values())


def error_rates(infos: Iterable[manifest.DetectorInfo]) -> dict[tuple[str, str], tuple[float, float]]:
    """(sub-category, direction) → measured (true, false) positive rates, where one detector alone speaks of it.

    With several detectors the combined rates were not measured, and so no correction is offered.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for info in infos:
        for slug, role in info.operating:
            rates = info.rates.get((slug, role))
            found.setdefault((slug, role), []).append(rates or (0.0, 0.0))
    return {key: rates[0] for key, rates in found.items() if len(rates) == 1 and rates[0][0] > rates[0][1]}


def publish_error_rates() -> None:
    for (slug, direction), (true_positive, false_positive) in _error_rates().items():
        metrics.TRUE_POSITIVE_RATE.labels(slug, direction).set(true_positive)
        metrics.FALSE_POSITIVE_RATE.labels(slug, direction).set(false_positive)


def rates_route(ledger: Ledger) -> Route:
    """`/trust/v1/rates?window=24h&route=…&model=…`."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        window = asked.get("window", DEFAULT_WINDOW)
        if window not in WINDOWS:
            message = f"there is no window {window[:20]!r}; ask for one of {', '.join(WINDOWS)}"
            return JSONResponse({"error": {"message": message}}, 400)
        try:
            sums = await ledger.weights(window, asked.get("route"), asked.get("model"))
        except LedgerError as error:
            message = f"the ledger cannot be read now: {error}"
            return JSONResponse({"error": {"message": message}}, 503)
        about = {"window": window, "route": asked.get("route"), "model": asked.get("model")}
        return JSONResponse({"note": _NOTE, **about, "rates": rates(sums)})

    return Route("/trust/v1/rates", page)


def rates(sums: Mapping[tuple[str, str], estimates.Weights]) -> list[dict[str, Any]]:
    """A row for each sub-category and direction."""
    measured = _error_rates()
    rows = []
    for key, weights in sorted(sums.items()):
        share = estimates.flagged_share(weights)
        known = measured.get(key)
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
    return rows


def _shown(interval: estimates.Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {
        "estimate": round(interval.estimate, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
    }
