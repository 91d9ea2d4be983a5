"""What probes do, find and cost."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_NONE = "no request is sent again here: set `probes`; with Redis, `assay worker` does it and has this page"


def probes_route(report: Callable[[], dict[str, Any] | None]) -> Route:
    """`/trust/v1/probes`, of this process."""

    async def page(_: Request) -> Response:
        found = report()
        return JSONResponse({"probes": found} if found else {"probes": None, "note": _NONE})

    return Route("/trust/v1/probes", page)
