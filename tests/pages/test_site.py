"""The site's own answers: what is not there, what is asked in a way that a page does not offer, what comes first."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.pages.site import Site
from gateway.serving.background import Background


async def _page(_: Request) -> Response:
    return Response("here")


async def _nothing() -> None: ...


def site(**more: Any) -> Site:
    return Site(
        [Route("/page", _page)],
        version="0",
        doors=[],
        background=Background([]),
        on_hangup=lambda: None,
        finish=_nothing,
        close=_nothing,
        **more,
    )


async def asked(method: str, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": []}
    await site()(
        {**scope, "query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}, receive, send
    )
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("OPTIONS", "/page", 405, "method_not_allowed"),
        ("OPTIONS", "/", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
    ],
)
async def test_errors_have_the_shape_of_openais(method: str, path: str, status: int, code: str) -> None:
    found, headers, body = await asked(method, path)
    assert found == status
    assert headers[b"content-type"] == b"application/json"
    assert json.loads(body)["error"]["code"] == code
    assert (b"allow" in headers) == (status == 405)


async def test_nothing_is_served_before_it_has_begun() -> None:
    may_begin, told, ends = asyncio.Event(), asyncio.Event(), asyncio.Event()

    said: list[str] = []

    async def receive() -> Any:
        if not said:
            return {"type": "lifespan.startup"}
        await ends.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        assert may_begin.is_set()
        said.append(message["type"])
        told.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(site(begin=may_begin.wait)({"type": "lifespan"}, receive, send))
        await asyncio.sleep(0.1)
        assert not told.is_set()
        may_begin.set()
        await told.wait()
        ends.set()
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
