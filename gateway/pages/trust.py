"""What can be seen of trust: the taxonomy, the latest flags, the policy in force."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors import taxonomy
from gateway.enforcement.policy_file import PolicyFile, described
from gateway.pages.rates import rates_route
from gateway.telemetry.audit import Audit
from gateway.trust.ledger import Ledger

_RECENT = 100
_PAGES = ("taxonomy", "rates", "flags", "policy")


def trust_pages(policy: PolicyFile, audit: Audit, ledger: Ledger) -> list[Route]:
    """`/trust` and what is below it."""

    async def flags(_: Request) -> Response:
        """The latest flagged samples and decisions, from the audit file, which all workers write."""
        if audit.path is None:
            return JSONResponse({"flags": [], "note": "set audit_path to keep flags"})
        found = await asyncio.to_thread(audit.recent, _RECENT, frozenset({"flag", "decision"}))
        return JSONResponse({"flags": found})

    async def in_force(_: Request) -> Response:
        return JSONResponse(policy_in_force(policy))

    return [
        Route("/trust", _index),
        Route("/trust/v1/taxonomy", _taxonomy),
        rates_route(ledger),
        Route("/trust/v1/flags", flags),
        Route("/trust/v1/policy", in_force),
    ]


async def _index(request: Request) -> Response:
    base = str(request.base_url).rstrip("/") + "/trust/v1/"
    return JSONResponse({name: base + name for name in _PAGES})


async def _taxonomy(_: Request) -> Response:
    return JSONResponse(
        [
            {
                "slug": entry.slug,
                "category": entry.category,
                "definition": entry.definition,
                "kinds": entry.kinds,
                "honest_line": entry.honest_line,
            }
            for entry in taxonomy.SUBCATEGORIES
        ]
    )


def policy_in_force(file: PolicyFile) -> dict[str, Any]:
    """The policy with its rules, and why the newest state of its file is not in force, if it is not."""
    return {**described(file), "warnings": list(file.current.warnings), "refused": file.refusal}
