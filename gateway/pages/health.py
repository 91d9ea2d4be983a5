"""Whether the process is healthy and ready, for load balancers and supervisors; and its metrics."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.serving.background import Background
from gateway.telemetry import metrics
from gateway.telemetry.gauges import Gauges


class Detectors(Protocol):
    """What is reported about the detector processes."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def detectors(self) -> Sequence[str]: ...

    @property
    def absent(self) -> Mapping[str, str]: ...


class Readiness:
    """`needs_detectors` and `needs_redis` say whether traffic must wait for these; `redis_is_up` is None without Redis.

    `wants_detectors` says whether there are detector processes at all, `is_ending` whether this process was told to
    stop.
    """

    def __init__(
        self,
        detectors: Detectors,
        *,
        wants_detectors: bool,
        needs_detectors: Callable[[], bool],
        redis_is_up: Callable[[], bool] | None,
        needs_redis: bool,
        is_ending: Callable[[], bool],
    ) -> None:
        self._detectors = detectors
        self._wants_detectors = wants_detectors
        self._needs_detectors = needs_detectors
        self._redis_is_up = redis_is_up
        self._needs_redis = needs_redis
        self._is_ending = is_ending

    def report(self) -> dict[str, Any]:
        """The body of `/readyz`."""
        detectors = self._detectors
        state = "off"
        if self._wants_detectors:
            state = "ready" if detectors.is_ready else "loading"
        ready = state != "loading" or not self._needs_detectors()
        body: dict[str, Any] = {"detectors": "degraded" if detectors.absent else state}
        body["loaded"] = list(detectors.detectors)
        if self._redis_is_up is not None:
            body["redis"] = "up" if self._redis_is_up() else "down"
            ready = ready and not (self._needs_redis and body["redis"] == "down")
        if detectors.absent:
            body["absent"] = dict(detectors.absent)
        if self._is_ending():
            return {"ready": False, "ending": True, **body}
        return {"ready": ready, **body}


def health_routes(background: Background, readiness: Readiness, gauges: Gauges) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`."""

    async def healthz(_: Request) -> Response:
        """Whether the process works; if not (a background task keeps failing) a supervisor should restart it."""
        healthy, failing = background.is_healthy, background.failing
        body = {"ok": healthy, **({"failing": failing} if failing else {})}
        return JSONResponse(body, 200 if healthy else 503)

    async def readyz(_: Request) -> Response:
        body = readiness.report()
        return JSONResponse(body, 200 if body["ready"] else 503)

    async def exposition(request: Request) -> Response:
        gauges.read()
        body, content_type = await asyncio.to_thread(metrics.render, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
