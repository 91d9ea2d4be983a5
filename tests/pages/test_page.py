"""The page for people: what it is served as, and that it needs nothing from elsewhere."""

import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from gateway.pages.page import Page
from tests.support.running.together import together

STATIC = Path(__file__).parents[2] / "gateway" / "pages" / "static"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PAGE = Page()

Headers = dict[str, str]


def scope(path: str, headers: Headers, method: str = "GET") -> MutableMapping[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": raw}


async def get(path: str, headers: Headers) -> tuple[int, Headers, bytes]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await PAGE(scope(path, headers), receive, send)
    start, body = sent
    return start["status"], {key.decode(): value.decode() for key, value in start["headers"]}, body["body"]


@pytest.mark.parametrize("path", ["/", "/trust"])
def test_who_asks_for_html_gets_the_page_and_who_asks_for_json_does_not(path: str) -> None:
    assert PAGE.serves(scope(path, BROWSER))
    assert not PAGE.serves(scope(path, {"accept": "application/json"}))
    assert not PAGE.serves(scope(path, {"accept": "*/*"}))
    assert not PAGE.serves(scope(path, {}))
    assert not PAGE.serves(scope(path, BROWSER, "POST"))


@pytest.mark.parametrize("path", ["/trust/v1/rates", "/metrics", "/readyz", "/nothing"])
def test_the_other_pages_are_not_its_own(path: str) -> None:
    assert not PAGE.serves(scope(path, BROWSER))


async def test_it_is_served_under_a_strict_content_policy() -> None:
    status, headers, body = await get("/trust", BROWSER)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert body == (STATIC / "page.html").read_bytes()
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    _, headers, _ = await get("/trust/static/views/overview.js", {})
    status, again, body = await get("/trust/static/views/overview.js", {"if-none-match": headers["etag"]})
    assert (status, body) == (304, b"")
    assert again["etag"] == headers["etag"]


@pytest.mark.parametrize("name", ["nothing.js", "../page.py", "..%2fpage.py", ""])
async def test_a_file_that_is_not_the_pages_own_is_not_served(name: str) -> None:
    status, _, _ = await get(f"/trust/static/{name}", {})
    assert status == 404


@together("path", sorted(path for path in STATIC.rglob("*") if path.is_file()))
def test_a_file_takes_nothing_from_elsewhere(path: Path) -> None:
    """No CDN, no inline script or style, no way to put traffic into the page as markup."""
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, never fetched
    assert not re.search(r"https?://|//\w+\.\w+|@import|url\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", text)


def test_every_module_that_is_imported_is_there() -> None:
    for path in STATIC.rglob("*.js"):
        imported = re.findall(r'^import .*? from "(.*)";$', path.read_text("utf-8"), re.MULTILINE)
        for name in imported:
            assert (path.parent / name).exists(), f"{path.name} imports {name}"
        assert imported or path.name in ("api.js", "dom.js"), f"{path.name} imports nothing"
