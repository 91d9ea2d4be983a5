"""What may be posted to the operator's pages, and how much of it is read."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from starlette.applications import Starlette

from gateway.monitoring.changes import Change
from gateway.monitoring.store import SqliteSketches
from gateway.monitoring.watching import Reports
from gateway.pages.monitors import monitor_routes

NOW = 1_790_000_000.0
CHANGE = {"kind": "deployment", "what": "a new index"}


def reports_on(folder: Path) -> Reports:
    async def look(_: float) -> list[object]:
        raise AssertionError("nobody looks here")

    return Reports(SqliteSketches(folder / "monitors.db"), look, clock=lambda: NOW)  # type: ignore[arg-type]


def client(reports: Reports, *, may_post: bool) -> httpx.AsyncClient:
    app = Starlette(routes=monitor_routes(reports, frozenset(), lambda: NOW, may_post=may_post))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pages")


async def test_changes_are_read_by_all_and_posted_by_the_operator(tmp_path: Path) -> None:
    """They decide what shifts are measured against, so whoever may call models may not post them."""
    reports = reports_on(tmp_path)
    async with client(reports, may_post=False) as others:
        refused = await others.post("/trust/v1/changes", json=CHANGE)
        assert refused.status_code == 403
        assert "operator_key" in refused.json()["error"]["message"]
        assert (await others.get("/trust/v1/changes")).json() == {"changes": []}
    async with client(reports, may_post=True) as operator:
        assert (await operator.post("/trust/v1/changes", json=CHANGE)).status_code == 201
    assert await reports.changes() == [Change(NOW, "deployment", "a new index")]


async def test_no_more_is_read_than_a_change_needs(tmp_path: Path) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 10_000_000:
            read += 4096
            yield b" " * 4096

    async with client(reports_on(tmp_path), may_post=True) as operator:
        refused = await operator.post("/trust/v1/changes", content=endless())
    assert refused.status_code == 400
    assert "larger than" in refused.json()["error"]["message"]
    assert read < 100_000
