"""How well the rates of all traffic would hold for other callers, as JSON."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.pages.rates import DEFAULT_WINDOW, known_window, refusal, shown
from gateway.trust.comparing.callers import among_callers
from gateway.trust.estimates import estimate
from gateway.trust.ledger import Ledger, LedgerError, LedgerWindow
from gateway.trust.per_caller import PerCaller

_NOTE = (
    "rate is that of the traffic that passed, however much of it one caller made. among_callers is for traffic by "
    "other callers like these: its interval is wider the more callers differ, callers is the number of equally busy "
    "callers that would tell as much, and busiest is the share of the traffic that the busiest caller made. Without "
    "second opinions, and with fewer than three callers, among_callers is empty."
)


def callers_route(ledger: Ledger) -> Route:
    """`/trust/v1/callers?window=24h`."""

    async def page(request: Request) -> Response:
        window = request.query_params.get("window", DEFAULT_WINDOW)
        try:
            whole, each = await ledger.window(known_window(window)), await ledger.callers(window)
        except (ValueError, LedgerError) as error:
            return refusal(error)
        rows = await asyncio.to_thread(callers_rows, whole, each)
        return JSONResponse({"note": _NOTE, "window": window, "rates": rows})

    return Route("/trust/v1/callers", page)


def callers_rows(whole: LedgerWindow, each: PerCaller) -> list[dict[str, Any]]:
    """A row for each sub-category and direction with a rate."""
    by_caller = [of.columns() for of in each.callers.values()]
    rows = []
    for key, of in sorted(whole.evidence.items()):
        found = estimate(of, None, whole.newest)
        if found is None or found.mean is None:
            continue
        own = [columns[key] for columns in by_caller if key in columns]
        among = among_callers(of, found.mean, own, "person" if found.basis == "labels" else "judge")
        about = among and {
            **(shown(among.interval) or {}),
            "effective_samples": round(among.effective_samples, 1),
            "callers": round(among.callers, 1),
            "busiest": round(among.busiest, 4),
            "design_effect": round(among.design_effect, 2),
        }
        rows.append(
            {
                "subcategory": key[0],
                "direction": key[1],
                "basis": found.basis,
                "rate": shown(found.interval),
                "among_callers": about,
            }
        )
    return rows
