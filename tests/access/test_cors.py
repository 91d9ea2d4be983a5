"""What browsers are told: a preflight before any key, headers on every answer, nothing to pages of other origins."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.access.cors import Cors, Origins

Message = MutableMapping[str, Any]
APP = b"https://app.example"
OWN = [(b"content-type", b"text/plain"), (b"access-control-allow-origin", b"*")]  # as an upstream may answer


class Inner:
    """Answers everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        self.asked.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 401, "headers": list(OWN)})
            await send({"type": "http.response.body", "body": b"no"})


async def ask(cors: Cors, method: str, *headers: tuple[bytes, bytes]) -> tuple[int, list[tuple[bytes, bytes]]]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is to be received")

    scope = {"type": "http", "method": method, "path": "/v1/chat/completions", "headers": list(headers)}
    await cors(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], sent[0]["headers"]


def around(inner: Inner, *origins: str, credentials: bool = False) -> Cors:
    return Cors(inner, Origins(origins or ["https://app.example"]), exposed=["x-request-id"], credentials=credentials)


async def test_a_preflight_is_answered_without_asking_anybody() -> None:
    inner = Inner()
    wanted = (b"access-control-request-headers", b"authorization, content-type, x-stainless-os")
    status, headers = await ask(
        around(inner), "OPTIONS", (b"origin", APP), (b"access-control-request-method", b"POST"), wanted
    )
    named = dict(headers)
    assert status == 204
    assert named[b"access-control-allow-origin"] == APP
    assert b"POST" in named[b"access-control-allow-methods"]
    assert named[b"access-control-allow-headers"] == wanted[1]
    assert named[b"vary"] == b"Origin"
    assert b"access-control-allow-credentials" not in named
    assert inner.asked == []


async def test_every_answer_tells_the_page_that_it_may_read_it() -> None:
    inner = Inner()
    status, headers = await ask(around(inner, credentials=True), "POST", (b"origin", APP))
    assert status == 401  # errors too: else the page could not tell one from a lost connection
    assert headers.count((b"access-control-allow-origin", APP)) == 1
    assert [name for name, _ in headers].count(b"access-control-allow-origin") == 1
    assert (b"access-control-expose-headers", b"x-request-id") in headers
    assert (b"access-control-allow-credentials", b"true") in headers
    assert (b"content-type", b"text/plain") in headers


@pytest.mark.parametrize(
    "origin", [b"https://evil.example", b"null", b"https://app.example:8443", b"http://app.example"]
)
async def test_a_page_of_another_origin_is_told_nothing(origin: bytes) -> None:
    inner = Inner()
    for method in ("GET", "OPTIONS"):
        status, headers = await ask(
            around(inner), method, (b"origin", origin), (b"access-control-request-method", b"POST")
        )
        assert (status, headers) == (401, OWN)
    assert len(inner.asked) == 2  # where it is refused: see Admission


async def test_who_is_no_browser_sees_no_difference() -> None:
    assert await ask(around(Inner()), "POST") == (401, OWN)


async def test_any_origin_may_be_listed() -> None:
    _, headers = await ask(around(Inner(), "*"), "GET", (b"origin", b"https://anywhere.example"))
    assert (b"access-control-allow-origin", b"https://anywhere.example") in headers


async def test_what_cannot_be_a_list_of_headers_is_not_repeated() -> None:
    bad = (b"access-control-request-headers", b"x\x00y")
    _, headers = await ask(
        around(Inner()), "OPTIONS", (b"origin", APP), (b"access-control-request-method", b"GET"), bad
    )
    assert b"access-control-allow-headers" not in dict(headers)


async def test_an_options_request_that_is_no_preflight_goes_its_way() -> None:
    inner = Inner()
    await ask(around(inner), "OPTIONS", (b"origin", APP))
    assert inner.asked == ["http"]


async def test_the_start_of_the_server_passes() -> None:
    inner = Inner()
    await around(inner)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert inner.asked == ["lifespan"]


async def test_no_answer_leaves_by_a_way_that_passes_the_headers_by() -> None:
    offered: list[list[str]] = []

    async def inner(scope: Message, receive: Any, send: Any) -> None:
        offered.append(list(scope["extensions"]))

    async def nothing(*_: Any) -> Any:
        return {}

    cors = Cors(inner, Origins(["https://app.example"]), exposed=[], credentials=False, bypasses=["at once"])
    for headers in ([(b"origin", APP)], []):
        scope = {"type": "http", "method": "POST", "headers": headers, "extensions": {"at once": 1, "gone": 2}}
        await cors(scope, nothing, nothing)
    assert offered == [["gone"], ["at once", "gone"]]
