"""Estimated rates, and what is known of the detectors' errors."""

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors import manifest
from gateway.telemetry import metrics
from gateway.trust import card, estimates
from gateway.trust.card import shipped_errors
from gateway.trust.estimates import estimate, evidence, probed, weights
from gateway.trust.intervals import Interval
from gateway.trust.ledger import WINDOWS, Ledger, LedgerError, Window
from gateway.trust.moments import cell_named
from gateway.trust.second_opinion import KINDS

DEFAULT_WINDOW = "24h"
_NOTE = (
    "Shares of traffic with 95 % intervals, over the window, all processes that share the ledger together; 24h and 7d "
    "count whole hours. flagged_share is what the detectors flag, not a rate of harm. rate is the rate of harm, and "
    "basis is what it rests on: labels of people, a judge model, a probe (how often asking again, or one "
    "change to the request, turns the answer, over the requests that it applies to), the card (a range that fits the "
    "flags by the error rates on public benchmarks, and no promise), or flags alone (then there is no rate)."
)
_COMPARE_NOTE = (
    "The first group's rate minus the second's, with a 95 % interval. Without second opinions on both sides the "
    "flagged shares are compared, where the same detectors judged both."
)
_PIVOTS = ("route", "model", "language", "caller")


@cache  # the files ship with the release: read once, not for every look at /trust
def _error_rates() -> dict[tuple[str, str], tuple[float, float]]:
    found = error_rates(manifest.load(weights=False).values())
    return {column: rates for column, rates in found.items() if not card.is_shared(column)}


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
    """`/trust/v1/rates?window=24h`, of one `route`, `model`, `language` or `caller`, or of a route and a model."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        window, about = asked.get("window", DEFAULT_WINDOW), {name: asked.get(name) for name in _PIVOTS}
        try:
            found = await ledger.window(_known(window), cell_named(**about))
        except (ValueError, LedgerError) as error:
            return _refusal(error)
        return JSONResponse({"note": _NOTE, "window": window, **about, "rates": await asyncio.to_thread(rates, found)})

    return Route("/trust/v1/rates", page)


def compare_route(ledger: Ledger) -> Route:
    """`/trust/v1/compare?window=24h`: `model=a&other_model=b`, the same with any other pivot, or `other=before` for
    the window before this one."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        window = asked.get("window", DEFAULT_WINDOW)
        one = {name: asked.get(name) for name in _PIVOTS}
        other = {name: asked.get("other_" + name, one[name]) for name in _PIVOTS}
        before = asked.get("other") == "before"
        try:
            if (one == other) != before:
                raise ValueError("name two groups, as model=a&other_model=b, or one and other=before")
            first = await ledger.window(_known(window), cell_named(**one))
            second = await ledger.window(window, cell_named(**other), before=before)
        except (ValueError, LedgerError) as error:
            return _refusal(error)
        groups = {"one": one, "other": {**other, "before": before}}
        rows = await asyncio.to_thread(compared, first, second)
        return JSONResponse({"note": _COMPARE_NOTE, "window": window, **groups, "rates": rows})

    return Route("/trust/v1/compare", page)


def groups_route(ledger: Ledger) -> Route:
    """`/trust/v1/groups?window=24h`: the routes, models, languages and callers of which there are rates."""

    async def page(request: Request) -> Response:
        window = request.query_params.get("window", DEFAULT_WINDOW)
        try:
            cells = await ledger.cells(_known(window))
        except (ValueError, LedgerError) as error:
            return _refusal(error)
        named = {pivot: sorted({cell[1] for cell in cells if cell[0] == pivot} - {""}) for pivot in _PIVOTS}
        return JSONResponse({"window": window, **named})

    return Route("/trust/v1/groups", page)


def _known(window: str) -> str:
    if window not in WINDOWS:
        raise ValueError(f"there is no window {window[:20]!r}; ask for one of {', '.join(WINDOWS)}")
    return window


def _refusal(error: Exception) -> Response:
    if isinstance(error, LedgerError):
        return JSONResponse({"error": {"message": f"the ledger cannot be read now: {error}"}}, 503)
    return JSONResponse({"error": {"message": str(error)}}, 400)


def rates(window: Window) -> list[dict[str, Any]]:
    """A row for each sub-category and direction of which something is known."""
    measured, errors = _error_rates(), shipped_errors()
    rows = []
    for key, of in sorted(evidence(window.sums).items()):
        found = estimate(of, errors.get(key), window.newest)
        if found is None:
            continue
        known = measured.get(key)
        rows.append(
            {
                "subcategory": key[0],
                "direction": key[1],
                "effective_samples": round(weights(of).effective_samples, 1),
                "flagged_share": _shown(found.flagged),
                "basis": found.basis,
                "rate": _rate(found),
                "estimated_rate": _shown(found.interval),
                "labels": {source: round(of.labels(source).n) for source in KINDS},
                "detectors": found.detectors,
                "probes": {name: _rate(each) for name, each in probed(of).items()},
                "detector": known and {"true_positive_rate": known[0], "false_positive_rate": known[1]},
            }
        )
    return rows


def compared(one: Window, other: Window) -> list[dict[str, Any]]:
    """A row for each sub-category and direction that both windows have."""
    firsts, seconds = evidence(one.sums), evidence(other.sums)
    rows = []
    for key in sorted(firsts.keys() & seconds.keys()):
        first, second = (
            estimate(of[key], shipped_errors().get(key), window.newest)
            for of, window in ((firsts, one), (seconds, other))
        )
        if first is None or second is None:
            continue
        row = {"subcategory": key[0], "direction": key[1], "one": _rate(first), "other": _rate(second)}
        rows.append({**row, **_difference(first, second)})
    return rows


def _difference(one: estimates.Estimate, other: estimates.Estimate) -> dict[str, Any]:
    pair, of = (one.interval, other.interval), "rate"
    if "probe" in (one.basis, other.basis) and one.detectors != other.detectors:
        pair = (None, None)  # what a probe counts is no rate of harm, and another probe counts something else
    if None in pair and one.detectors == other.detectors:
        pair, of = (one.flagged, other.flagged), "flagged_share"
    if pair[0] is None or pair[1] is None:
        return {"difference": None, "of": None, "words": "cannot be compared"}
    found = estimates.difference(pair[0], pair[1])
    return {"difference": _shown(found), "of": of, "words": found.words}


def _rate(found: estimates.Estimate) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 6)

    figures = {"estimate": rounded(found.estimate), "low": rounded(found.low), "high": rounded(found.high)}
    return {**figures, "effective_samples": round(found.effective_samples, 1), "basis": found.basis}


def _shown(interval: Interval | estimates.Difference | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {
        "estimate": round(interval.estimate, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
    }
