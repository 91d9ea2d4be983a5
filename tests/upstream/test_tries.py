"""What is tried after what, told to whom, in which form: several upstreams, redirects, headers, models and time limits.

Against real servers on loopback; pauses and cool-downs in virtual time.
"""

import asyncio
import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import UpstreamError
from gateway.exchange import Asked, Exchange, Route
from gateway.upstream.calls import Tries
from gateway.upstream.headers import downstream
from gateway.upstream.health import Cooldown
from gateway.upstream.outgoing import retry_after_seconds, with_query
from gateway.upstream.transport import Limits
from tests.support.servers.scripted_server import Peer, Script, always, answer, hang
from tests.support.worlds.tries_world import BODY, CHAT, world

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])
# Where a limit is reached, a machine that stands still for longer must not decide which one.
IN_VIRTUAL_TIME = pytest.mark.asyncio(loop_factories=["virtual"])

OK = always(answer(b"ok"))


def saying(status: int, *lines: bytes) -> Script:
    return always(answer(b"{}", *lines, status=b"%d Status" % status))


async def resetting(peer: Peer) -> None:
    await peer.request()
    peer.abort()


# --- failing over


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
async def test_statuses_that_another_upstream_may_better(status: int) -> None:
    async with world(saying(status), OK) as at:
        assert await at.call() == 200
        assert at.asked == [1, 1]
        assert at.seen.failures == [("up0", "status")]
        assert at.seen.failovers == [("r", "up1")]
        assert at.seen.answers == ["up0", "up1"]
        assert at.pauses == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 501, 507])
async def test_statuses_that_are_the_answer(status: int) -> None:
    async with world(saying(status), OK) as at:
        assert await at.call() == status
        assert at.asked == [1, 0]


async def test_the_statuses_are_a_setting() -> None:
    async with world(saying(418), saying(503), OK, tries=Tries(statuses={418})) as at:
        assert await at.call() == 503
        assert at.asked == [1, 1, 0]


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"retry-after: 5", 200), (b"retry-after: 3600", 429), (b"retry-after-ms: 900000", 429), (b"retry-after: x", 200)],
)
async def test_a_429_that_asks_to_wait_long_is_the_answer(line: bytes, status: int) -> None:
    async with world(saying(429, line), OK) as at:
        assert await at.call() == status


async def test_a_dead_first_upstream_is_asked_once_a_cooldown() -> None:
    async with world(resetting, OK, cooldown=Cooldown(1, 4)) as at:
        for round_ in range(4):
            for _ in range(20):
                assert await at.call() == 200
            assert at.asked == [round_ + 1, 20 * (round_ + 1)]
            assert at.calls.states() == {"up0": "aside", "up1": "up"}
            at.now += 4


@IN_VIRTUAL_TIME
async def test_one_that_does_not_answer_in_time_keeps_only_one_request_waiting() -> None:
    """It too goes on to the next one."""
    async with world(hang, OK, limits=Limits(first_byte_seconds=0.05)) as at:
        assert [await at.call() for _ in range(20)] == [200] * 20
        assert at.seen.failures == [("up0", "first_byte_timeout")]
        assert at.seen.failovers == [("r", "up1")]
        assert len(at.servers[0].peers) == 1


@IN_VIRTUAL_TIME
async def test_requests_at_once_do_not_all_wait_for_one_that_never_answered() -> None:
    async with world(hang, OK, limits=Limits(first_byte_seconds=0.05)) as at:

        async def later() -> list[int]:
            return [await at.call() for _ in range(20)]

        assert tuple(await asyncio.gather(at.call(), later())) == (200, [200] * 20)
        assert len(at.servers[0].peers) == 1
        assert at.seen.failovers == [("r", "up1")]


async def test_one_that_answers_badly_again_and_again_is_left_alone() -> None:
    async with world(saying(503), OK) as at:
        for _ in range(50):
            assert await at.call() == 200
        assert at.asked == [3, 50]


# --- the same upstream again


@IN_VIRTUAL_TIME
async def test_the_same_upstream_is_tried_again_after_a_drawn_pause() -> None:
    async with world(resetting, tries=Tries(retries=3, pause_seconds=0.1)) as at:
        with pytest.raises(UpstreamError):
            await at.call()
        assert at.asked == [4]
        assert at.pauses == [0.1, 0.2, 0.4]


async def test_with_everything_down_tries_do_not_multiply() -> None:
    async with world(resetting, tries=Tries(retries=2, budget=0.1)) as at:
        for _ in range(200):
            with pytest.raises(UpstreamError):
                await at.call()
        assert 200 + 20 <= at.asked[0] <= 200 + 20 + 10


# --- what goes upstream


async def test_azure() -> None:
    own: dict[str, Any] = {
        "base_path": "/openai/deployments/gpt-x",
        "query": "api-version=2024-10-21",
        "headers": (("api-key", "azure-1"), ("OpenAI-Beta", "ours")),
        "model": "deployed",
    }
    async with world(OK, **own) as at:
        assert await at.call((b"openai-beta", b"theirs"), (b"user-agent", b"x")) == 200
        [request] = at.servers[0].requests
    assert request.target == b"/openai/deployments/gpt-x/chat/completions?api-version=2024-10-21"
    assert json.loads(request.body)["model"] == "deployed"
    assert request.get(b"api-key") == [b"azure-1"]
    assert request.get(b"openai-beta") == [b"ours"]
    assert request.get(b"user-agent") == [b"x"]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (b"/x", b"/x?v=1&w=2"),
        (b"/x?a=b", b"/x?a=b&v=1&w=2"),
        (b"/x?v=9&a=b", b"/x?a=b&v=1&w=2"),
        (b"/x?%76=9&a", b"/x?a&v=1&w=2"),
        (b"/x?", b"/x?v=1&w=2"),
    ],
)
async def test_an_upstreams_own_parameters_win(tail: bytes, expected: bytes) -> None:
    assert with_query(tail, "v=1&w=2") == expected


@IN_VIRTUAL_TIME
async def test_time_limits_of_route_and_upstream() -> None:
    async with world(hang, first_byte_seconds=0.05) as at:
        with pytest.raises(UpstreamError, match=r"within 0\.05 s"):
            await at.call()
    async with world(hang, first_byte_seconds=60.0) as at:
        exchange = Exchange("req_1", Asked("POST", CHAT, body=BODY))
        exchange.route = Route("r", tuple(at.upstreams), 1.0, first_byte_seconds=0.04)
        with pytest.raises(UpstreamError, match=r"within 0\.04 s"):
            await at.calls.call(exchange, BODY, b"/x")


PACKED = gzip.compress(BODY)


async def test_a_packed_body_goes_as_it_came() -> None:
    async with world(OK) as at:
        await at.call((b"content-encoding", b"gzip"), packed=PACKED)
        [request] = at.servers[0].requests
    assert (request.body, request.get(b"content-encoding")) == (PACKED, [b"gzip"])
    assert request.get(b"content-length") == [b"%d" % len(PACKED)]


async def test_a_packed_body_that_is_changed_goes_unpacked() -> None:
    async with world(OK, model="other") as at:
        await at.call((b"content-encoding", b"gzip"), packed=PACKED)
        [request] = at.servers[0].requests
    assert json.loads(request.body)["model"] == "other"
    assert request.get(b"content-encoding") == []


# --- redirects


def leading(*steps: bytes) -> Script:
    """Each request is redirected to the next of these; after the last comes an answer."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            number = int(dict([request.target.partition(b"?n=")[::2]]).get(request.target.partition(b"?")[0]) or 0)
            if number < len(steps):
                await peer.send(answer(b"", b"location: " + steps[number], status=b"307 Temporary Redirect"))
            else:
                await peer.send(answer(b"ok"))

    return script


async def test_a_redirect_on_the_same_origin_is_followed_with_method_and_body() -> None:
    async with world(leading(b"/v1/elsewhere?n=1", b"again?n=2")) as at:
        assert await at.call() == 200
        requests = at.servers[0].requests
    assert [request.target for request in requests] == [
        b"/v1/chat/completions",
        b"/v1/elsewhere?n=1",
        b"/v1/again?n=2",
    ]
    assert {(request.method, request.body) for request in requests} == {(b"POST", BODY)}


async def test_an_absolute_redirect_to_the_same_origin_is_followed() -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if b"?" in request.target:
                await peer.send(answer(b"ok"))
            else:
                host = request.get(b"host")[0]
                await peer.send(answer(b"", b"location: http://%b/v1/x?y" % host, status=b"308 Permanent Redirect"))

    async with world(script) as at:
        assert await at.call() == 200


@pytest.mark.parametrize(
    "location",
    [
        b"http://elsewhere.example/v1/x",
        b"//elsewhere.example/v1/x",
        b"https://127.0.0.1/v1/x",
        b"http://127.0.0.1:1/v1/x",
        b"http://me@127.0.0.1/v1/x",
        b"http://[::bad/v1",
        b"file:///etc/passwd",
        b"/v1/chat/completions",  # round and round
    ],
)
async def test_other_redirects_are_bad_answers(location: bytes) -> None:
    async with world(saying(307, b"location: " + location), tries=Tries(retries=0)) as at:
        with pytest.raises(UpstreamError) as caught:
            await at.call()
        assert caught.value.what.status == 502
        assert b"elsewhere" not in caught.value.message.encode()
        assert at.calls.counts()[at.upstreams[0].origin][1] == 0


@pytest.mark.parametrize("status", [300, 303, 305])
async def test_a_redirect_to_another_kind_of_request_is_a_bad_answer(status: int) -> None:
    async with world(saying(status, b"location: /v1/x"), tries=Tries(retries=0)) as at:
        with pytest.raises(UpstreamError):
            await at.call()


@pytest.mark.parametrize("name", [b"location", b"content-location", b"refresh", b"alt-svc"])
async def test_no_header_leads_a_client_elsewhere(name: bytes) -> None:
    assert downstream([(name, b"http://up/"), (b"x", b"y")]) == [(b"x", b"y")]


DATE = b"Fri, 31 Dec 1999 23:59:00 GMT"


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], 0),
        ([(b"retry-after", b"7")], 7),
        ([(b"retry-after", b"Fri, 31 Dec 1999")], 0),
        ([(b"retry-after", b"Fri, 31 Dec 1999 23:59:59 GMT")], 0),  # counted from when?
        ([(b"date", DATE), (b"retry-after", b"Fri, 31 Dec 1999 23:59:59 GMT")], 59),
        ([(b"retry-after", b"Friday, 31-Dec-99 23:59:59 GMT"), (b"date", DATE)], 59),
        ([(b"date", DATE), (b"retry-after", b"Fri Dec 31 23:59:59 1999")], 59),
        ([(b"date", DATE), (b"retry-after", b"Fri, 31 Dec 1999 23:00:00 GMT")], 0),  # over
        ([(b"date", b"today"), (b"retry-after", b"Fri, 31 Dec 1999 23:59:59 GMT")], 0),
        ([(b"date", DATE), (b"retry-after", b"Fri, 31 Dec 9999999999999999999 23:59:59 GMT")], 0),
        ([(b"retry-after", b"-1")], 0),
    ],
)
async def test_retry_after(lines: Sequence[tuple[bytes, bytes]], seconds: float) -> None:
    assert retry_after_seconds([*lines]) == seconds
