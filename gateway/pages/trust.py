"""Everything about trust as JSON; `page` shows it to people."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors.manifest import DetectorInfo
from gateway.enforcement.policy_file import PolicyFile
from gateway.pages.callers import callers_route
from gateway.pages.policy import policy_route
from gateway.pages.rates import compare_route, groups_route, rates_route
from gateway.pages.status import Facts, status_route
from gateway.pages.taxonomy import taxonomy_route
from gateway.telemetry.audit import Audit
from gateway.trust.ledger import Ledger

_RECENT = 100
_BELOW = "/trust/v1/"


def trust_pages(
    policy: PolicyFile,
    audit: Audit,
    ledger: Ledger,
    facts: Facts,
    more: Sequence[Route] = (),
    own: Sequence[DetectorInfo] = (),
) -> list[Route]:
    """`/trust` and everything below it; `more` are further pages, `own` the operator's detectors."""

    async def flags(_: Request) -> Response:
        """The latest flagged samples and decisions, from the audit file, which all workers write."""
        if audit.path is None:
            return JSONResponse({"flags": [], "note": "set `audit_path` to keep flags"})
        found = await asyncio.to_thread(audit.recent, _RECENT, frozenset({"flag", "decision"}))
        return JSONResponse({"flags": found})

    listed = [
        taxonomy_route(own),
        rates_route(ledger),
        compare_route(ledger),
        callers_route(ledger),
        groups_route(ledger),
        Route(_BELOW + "flags", flags),
        policy_route(policy),
        status_route(facts, lambda: ledger.problem),
        *more,
    ]
    return [_index(list(dict.fromkeys(route.path.removeprefix(_BELOW) for route in listed))), *listed]


def _index(names: list[str]) -> Route:
    """`/trust`: an index of the pages below it."""

    async def index(request: Request) -> Response:
        base = str(request.base_url).rstrip("/") + _BELOW
        return JSONResponse({name: base + name for name in names}, headers={"vary": "accept"})

    return Route("/trust", index)
