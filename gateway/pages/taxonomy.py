"""The 29 sub-categories, each with what measures it, or with what is missing where nothing does, as JSON."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors.behind import headline, taxonomy_rows
from detectors.manifest import DetectorInfo
from detectors.mappings import codes
from gateway.telemetry import metrics


def taxonomy_route(own: Sequence[DetectorInfo] = ()) -> Route:
    """`/trust/v1/taxonomy`: all rows, with a headline for each detector; with `?subcategory=…` one row with all its
    figures. `own` are the operator's detectors."""
    # Made once: neither the release nor the configuration changes while the process runs.
    rows = cache(lambda: taxonomy_rows(weights=False, own=own))

    async def page(request: Request) -> Response:
        wanted = request.query_params.get("subcategory")
        if wanted is None:
            return JSONResponse([_short(row) for row in rows()])
        for row in rows():
            if row["slug"] == wanted:
                return JSONResponse(row)
        return JSONResponse({"error": {"message": f"there is no sub-category {wanted[:60]!r}"}}, 404)

    return Route("/trust/v1/taxonomy", page)


def publish_detectors(own: Sequence[DetectorInfo] = ()) -> None:
    """As metrics: how many detectors judge each of the 29, and its codes in other lists."""
    for row in taxonomy_rows(weights=False, own=own):
        metrics.SUBCATEGORY_INFO.labels(row["category"], row["slug"], *codes(row["slug"]).values()).set(1)
        metrics.SUBCATEGORY_DETECTORS.labels(row["category"], row["slug"]).set(len(row["detectors"]))


def _short(row: dict[str, Any]) -> dict[str, Any]:
    detectors = [
        {"id": each["id"], "kind": each["kind"], "roles": each["roles"], "headline": headline(each["measured"])}
        for each in row["detectors"]
    ]
    return {**row, "detectors": detectors}
