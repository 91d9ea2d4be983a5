"""What this process asks of models besides the traffic, and what that costs: the judge model, and probes."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_NO_JUDGE = "no judge model is asked here: set `judge`; with Redis, `assay worker` asks it and has this page"
_NO_PROBES = "no request is sent again here: set `probes`; with Redis, `assay worker` does it and has this page"
_Report = Callable[[], dict[str, Any] | None]


def judge_route(report: _Report) -> Route:
    """`/trust/v1/judge`, of this process."""
    return _route("judge", report, _NO_JUDGE)


def probes_route(report: _Report) -> Route:
    """`/trust/v1/probes`, of this process."""
    return _route("probes", report, _NO_PROBES)


def _route(name: str, report: _Report, none: str) -> Route:
    async def page(_: Request) -> Response:
        found = report()
        return JSONResponse({name: found} if found else {name: None, "note": none})

    return Route(f"/trust/v1/{name}", page)
