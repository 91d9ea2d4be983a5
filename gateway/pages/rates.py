"""Estimated rates, comparisons of them, and what is known of the detectors' errors, as JSON."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors import manifest
from gateway.telemetry import metrics
from gateway.trust import card, estimates
from gateway.trust.card import shipped_errors
from gateway.trust.comparing.clusters import (
    MOST,
    NOBODY,
    NONE,
    Callers,
    LabelledColumn,
    Widening,
    flagged_by_caller,
    labels_by_caller,
    stretch,
)
from gateway.trust.comparing.together import joint_level
from gateway.trust.estimates import estimate, has_rate, probed, weights
from gateway.trust.intervals import Interval, Mean
from gateway.trust.ledger import WINDOWS, Entry, Ledger, LedgerError, LedgerWindow
from gateway.trust.moments import cell_named
from gateway.trust.second_opinion import KINDS

DEFAULT_WINDOW = "24h"
_NOTE = (
    "Shares of traffic with 95 % intervals, over the window and over all processes that share the ledger; 24h and 7d "
    "count whole hours. flagged_share is what the detectors flag, not a rate of harm. rate is the rate of harm, and "
    "basis is what it rests on: labels of people; a judge model; a probe (how often the answer differs when the "
    "request is sent again, or with one change, over the requests to which that applies); the card (a range that fits "
    "the flags by the error rates on public benchmarks, no promise); or flags alone (then there is no rate)."
)
_COMPARE_NOTE = (
    "The first group's rate minus the second's. Without second opinions on both sides the flagged shares are compared, "
    "if the same detectors judged both. All rows of an answer are looked at together: at most 5 % of the differences "
    "shown are expected to be false, and the intervals have the level that this needs. Ask for one subcategory (and "
    "direction) to look at it alone. A difference is shown only if it stands out from how callers differ: stretch is "
    "the factor by which its interval grows for that, callers the effective number of callers on the side with fewer."
)
_PIVOTS = ("route", "model", "language", "caller")


@cache  # the files ship with the release: read once, not for every look at /trust
def _error_rates() -> dict[tuple[str, str], tuple[float, float]]:
    found = error_rates(manifest.load(weights=False).values())
    return {column: rates for column, rates in found.items() if not card.is_shared(column)}


def error_rates(infos: Iterable[manifest.DetectorInfo]) -> dict[tuple[str, str], tuple[float, float]]:
    """Measured (true, false) positive rates by (sub-category, direction), where a single detector judges it.

    Of several detectors the combined rates were not measured, so there is no correction for them.
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
    """`/trust/v1/rates?window=24h`, of all traffic, of one `route`, `model`, `language` or `caller`, or of a route and
    a model."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        window, about = asked.get("window", DEFAULT_WINDOW), {name: asked.get(name) for name in _PIVOTS}
        try:
            found = await ledger.window(known_window(window), cell_named(**about))
        except (ValueError, LedgerError) as error:
            return refusal(error)
        return JSONResponse({"note": _NOTE, "window": window, **about, "rates": await asyncio.to_thread(rates, found)})

    return Route("/trust/v1/rates", page)


def compare_route(ledger: Ledger) -> Route:
    """`/trust/v1/compare?window=24h`: `model=a&other_model=b`, the same with any other pivot, or `other=before` for
    the window before this one; of one `subcategory` and `direction`, or of all."""

    async def page(request: Request) -> Response:
        asked = request.query_params
        window = asked.get("window", DEFAULT_WINDOW)
        one = {name: asked.get(name) for name in _PIVOTS}
        other = {name: asked.get("other_" + name, one[name]) for name in _PIVOTS}
        before = asked.get("other") == "before"
        try:
            if (one == other) != before:
                raise ValueError("name two groups, as in model=a&other_model=b, or one group and other=before")
            first = await ledger.window(known_window(window), cell_named(**one))
            second = await ledger.window(window, cell_named(**other), before=before)
            given = await _given(ledger, window, ((one, first), (other, second)), before=before)
        except (ValueError, LedgerError) as error:
            return refusal(error)
        groups = {"one": one, "other": {**other, "before": before}}
        wanted = {name: asked[name] for name in ("subcategory", "direction") if name in asked}
        rows = await asyncio.to_thread(compared, first, second, given, **wanted)
        return JSONResponse({"note": _COMPARE_NOTE, "window": window, **groups, "rates": rows})

    return Route("/trust/v1/compare", page)


_Given = tuple[Mapping[LabelledColumn, Callers], Mapping[LabelledColumn, Callers]]
_NOT_GIVEN: _Given = ({}, {})
_Group = tuple[Mapping[str, str | None], LedgerWindow]  # the values of its pivots, and its sums


async def _given(ledger: Ledger, window: str, groups: tuple[_Group, _Group], *, before: bool) -> _Given:
    """The labels of two groups by caller and, if some rows lack labels so that flags are compared, the latest flags by
    caller. Nothing if a group is a single caller. Raises LedgerError."""
    (one, first), (other, second) = groups
    if one["caller"] or other["caller"]:
        return _NOT_GIVEN
    labels = await ledger.callers(window, cell_named(**one))
    earlier = await ledger.callers(window, cell_named(**other), before=before)
    lacking = not all(has_rate(of) for found in (first, second) for of in found.evidence.values())
    entries = await ledger.entries(MOST) if lacking and not before else []
    return await asyncio.to_thread(
        lambda: (
            {**labels_by_caller(labels, first.evidence), **flagged_by_caller(entries, are_of(one))},
            {**labels_by_caller(earlier, second.evidence), **flagged_by_caller(entries, are_of(other))},
        )
    )


def are_of(about: Mapping[str, str | None]) -> Callable[[Entry], bool]:
    wanted = [(name, value) for name, value in about.items() if value is not None]
    return lambda entry: all(getattr(entry, name) == value for name, value in wanted)


def groups_route(ledger: Ledger) -> Route:
    """`/trust/v1/groups?window=24h`: the routes, models, languages and callers that have rates."""

    async def page(request: Request) -> Response:
        window = request.query_params.get("window", DEFAULT_WINDOW)
        try:
            cells = await ledger.cells(known_window(window))
        except (ValueError, LedgerError) as error:
            return refusal(error)
        named = {pivot: sorted({cell[1] for cell in cells if cell[0] == pivot} - {""}) for pivot in _PIVOTS}
        return JSONResponse({"window": window, **named})

    return Route("/trust/v1/groups", page)


def known_window(window: str) -> str:
    if window not in WINDOWS:
        raise ValueError(f"there is no window {window[:20]!r}; ask for one of {', '.join(WINDOWS)}")
    return window


def refusal(error: Exception) -> Response:
    if isinstance(error, LedgerError):
        return JSONResponse({"error": {"message": f"the ledger cannot be read now: {error}"}}, 503)
    return JSONResponse({"error": {"message": str(error)}}, 400)


def rates(window: LedgerWindow) -> list[dict[str, Any]]:
    """A row for each sub-category and direction that was judged or labelled."""
    measured, errors = _error_rates(), shipped_errors()
    rows = []
    for key, of in sorted(window.evidence.items()):
        found = estimate(of, errors.get(key), window.newest)
        if found is None:
            continue
        known = measured.get(key)
        rows.append(
            {
                "subcategory": key[0],
                "direction": key[1],
                "effective_samples": round(weights(of).effective_samples, 1),
                "flagged_share": shown(found.flagged),
                "basis": found.basis,
                "rate": _rate(found),
                "estimated_rate": shown(found.interval),
                "labels": {source: round(of.labels(source).n) for source in KINDS},
                "detectors": found.detectors,
                "probes": {name: _rate(each) for name, each in probed(of).items()},
                "detector": known and {"true_positive_rate": known[0], "false_positive_rate": known[1]},
            }
        )
    return rows


def compared(
    one: LedgerWindow, other: LedgerWindow, given: _Given = _NOT_GIVEN, *, subcategory: str = "", direction: str = ""
) -> list[dict[str, Any]]:
    """A row for each sub-category and direction that both windows have, or only for those asked for. The intervals of
    the differences have the joint level of all rows. `given` has the labels of each caller, in both windows."""
    firsts, seconds = one.evidence, other.evidence
    pairs: list[tuple[tuple[str, str], _Pair]] = []
    for key in sorted(firsts.keys() & seconds.keys()):
        if subcategory not in ("", key[0]) or direction not in ("", key[1]):
            continue
        errors = shipped_errors().get(key)
        first, second = estimate(firsts[key], errors, one.newest), estimate(seconds[key], errors, other.newest)
        if first is not None and second is not None:
            pairs.append((key, _Pair(first, second, _stretch(key, first, second, given))))
    level = joint_level([pair.differs for _, pair in pairs if pair.of])
    return [{"subcategory": key[0], "direction": key[1], **pair.shown(level)} for key, pair in pairs]


def _stretch(key: tuple[str, str], one: estimates.Estimate, other: estimates.Estimate, given: _Given) -> Widening:
    means = [_mean(one), _mean(other)]
    if one.interval is None or other.interval is None:  # the flagged shares are compared instead
        means = [_flagged(one), _flagged(other)]
    (first, one_basis), (second, other_basis) = means
    if first is None or second is None:
        return NONE
    return stretch(given[0].get((*key, one_basis), NOBODY), given[1].get((*key, other_basis), NOBODY), (first, second))


def _mean(of: estimates.Estimate) -> tuple[Mean | None, str]:
    return of.mean, of.basis


def _flagged(of: estimates.Estimate) -> tuple[Mean | None, str]:
    if of.weights is None or not (size := of.weights.effective_samples):
        return None, "flags"
    share = of.weights.share
    return Mean(share, share * (1 - share) / size, 1 / size), "flags"


class _Pair:
    """Two estimates; `of` says what of them can be compared: "rate", "flagged_share", or nothing (empty)."""

    def __init__(self, one: estimates.Estimate, other: estimates.Estimate, stretch: Widening = NONE) -> None:
        self._both = (one, other)
        self._stretch = stretch
        self.of = ""
        # A probe's result is not a rate of harm, and each probe counts something else.
        alike = "probe" not in (one.basis, other.basis) or one.detectors == other.detectors
        if one.interval is not None and other.interval is not None and alike:
            self.of = "rate"
        elif one.flagged is not None and other.flagged is not None and one.detectors == other.detectors:
            self.of = "flagged_share"

    def _difference(self, level: float) -> estimates.Difference | None:
        one, other = (each.rate_at(level) if self.of == "rate" else each.flagged_at(level) for each in self._both)
        return self._stretch.of(estimates.difference(one, other)) if self.of and one and other else None

    def differs(self, level: float) -> bool:
        found = self._difference(level)
        return found is not None and self._stretch.by is not None and (found.low > 0 or found.high < 0)

    def shown(self, level: float) -> dict[str, Any]:
        one, other = self._both
        found = self._difference(level)
        about = {
            "difference": shown(found),
            "level": round(level, 6),
            "of": self.of or None,
            "words": self._words(found),
        }
        by = self._stretch.by
        about |= {"stretch": by and round(by, 3), "callers": round(self._stretch.callers, 1)}
        return {"one": _rate(one), "other": _rate(other), **about}

    def _words(self, found: estimates.Difference | None) -> str:
        if found is None:
            return "cannot be compared"
        return found.words if self._stretch.by else "too few callers to tell"


def _rate(found: estimates.Estimate) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 6)

    figures = {"estimate": rounded(found.estimate), "low": rounded(found.low), "high": rounded(found.high)}
    return {**figures, "effective_samples": round(found.effective_samples, 1), "basis": found.basis}


def shown(interval: Interval | estimates.Difference | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {
        "estimate": round(interval.estimate, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
    }
