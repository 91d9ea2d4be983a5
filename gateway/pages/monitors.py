"""What the monitors find, and the changes whose effects they measure, as JSON."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.monitoring.changes import Change, ChangeError, told
from gateway.monitoring.findings import SUBCATEGORIES, Report
from gateway.monitoring.store import MonitorError
from gateway.monitoring.watching import Reports
from gateway.pages.posted import PostedError, posted, refused

_NOTE = (
    "Statistics over the judged samples of the last 24 hours, each with a 95 % interval; over the rows of a "
    "sub-category at most 5 % of what is found is expected to be false. See docs/monitors.md."
)
_MOST_BYTES = 10_000


def monitor_routes(
    reports: Reports, routes: frozenset[str], clock: Callable[[], float], *, may_post: bool
) -> list[Route]:
    """`/trust/v1/monitors`, and `/trust/v1/changes` to read and, with `may_post`, to post. `clock` gives Unix
    seconds."""

    async def monitors(_: Request) -> Response:
        found = [_shown(reports.latest.get(slug, Report(slug, missing="a first look"))) for slug in SUBCATEGORIES]
        return JSONResponse({"note": _NOTE, "monitors": found})

    async def changes(request: Request) -> Response:
        try:
            if request.method != "POST":
                return JSONResponse({"changes": [_change(change) for change in await reports.changes()]})
            change = told(await posted(request, _MOST_BYTES, may_post=may_post), clock(), routes)
            await reports.tell(change)
        except PostedError as error:
            return refused(error.status, str(error))
        except ChangeError as error:
            return refused(400, str(error))
        except MonitorError as error:
            return refused(503, f"changes cannot be stored or read now: {error}")
        return JSONResponse(_change(change), 201)

    return [
        Route("/trust/v1/monitors", monitors),
        Route("/trust/v1/changes", changes, methods=["GET", "POST"]),
    ]


def _shown(report: Report) -> dict[str, Any]:
    return {
        "subcategory": report.subcategory,
        "found": report.found if report.rows else None,
        "missing": report.missing or None,
        "rows": list(report.rows),
        "alarms": list(report.alarms),
    }


def _change(change: Change) -> dict[str, Any]:
    shown = {"at": change.at, "kind": change.kind, "what": change.what, "route": change.route or None}
    return {**shown, "until": change.until} if change.kind == "reference" else shown
