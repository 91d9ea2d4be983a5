"""What the judge model does and costs."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_NONE = "no judge model is asked here: set `judge`; with Redis, `assay worker` asks it and has this page"


def judge_route(report: Callable[[], dict[str, Any] | None]) -> Route:
    """`/trust/v1/judge`, of this process."""

    async def page(_: Request) -> Response:
        found = report()
        return JSONResponse({"judge": found} if found else {"judge": None, "note": _NONE})

    return Route("/trust/v1/judge", page)
