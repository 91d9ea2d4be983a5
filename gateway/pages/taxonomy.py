"""The 29 sub-categories, with what stands behind each and what is missing where nothing does."""

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
    """`/trust/v1/taxonomy`, the rows with a headline for each detector; `?subcategory=…`, one with all its figures.
    `own` are the operator's detectors."""
    rows = cache(
        lambda: taxonomy_rows(weights=False, own=own)
    )  # neither the release nor the configuration changes while this runs

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
    """How many detectors stand behind each of the 29, and its codes in other lists, as metrics."""
    for row in taxonomy_rows(weights=False, own=own):
        metrics.SUBCATEGORY_INFO.labels(row["category"], row["slug"], *codes(row["slug"]).values()).set(1)
        metrics.SUBCATEGORY_DETECTORS.labels(row["category"], row["slug"]).set(len(row["detectors"]))


def _short(row: dict[str, Any]) -> dict[str, Any]:
    detectors = [
        {"id": each["id"], "kind": each["kind"], "roles": each["roles"], "headline": headline(each["measured"])}
        for each in row["detectors"]
    ]
    return {**row, "detectors": detectors}
