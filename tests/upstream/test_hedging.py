"""A second try beside a slow first one: who wins, what becomes of the loser, and what it may cost."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from gateway.errors import UpstreamError
from gateway.exchange import HedgeAfter, Route
from gateway.upstream.calls import Tries
from gateway.upstream.hedging import Delays
from tests.support.fakes import upstream
from tests.support.running.patience import until
from tests.support.servers.scripted_server import Peer, Script, always, answer
from tests.support.worlds.tries_world import World, world

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

OK = always(answer(b"ok"))
HEDGED = Tries(hedge_after=0.5)
BUSY = always(answer(b"{}", status=b"503 Busy"))


class Slow:
    """Answers when it is let, and tells when the client left before."""

    def __init__(self, reply: bytes = answer(b"slow")) -> None:
        self.asked = asyncio.Event()
        self.let = asyncio.Event()
        self.left = asyncio.Event()
        self._reply = reply

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        self.asked.set()
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(self._leaves(peer))
            await self.let.wait()
            leaving.cancel()
        await peer.send(self._reply)

    async def _leaves(self, peer: Peer) -> None:
        await peer.client_left()
        self.left.set()
        self.let.set()


async def test_the_second_try_wins_and_the_first_is_given_up() -> None:
    slow = Slow()
    async with world(slow, OK, tries=HEDGED) as at:
        assert await at.call() == 200
        assert at.asked == [1, 1]
        assert at.pauses == [0.5]
        assert at.seen.hedges == ["won"]
        assert at.seen.failures == []
        assert at.last.upstream is not None
        assert at.last.upstream.name == "up1"
        await slow.left.wait()  # its connection is closed: it need not go on generating


async def test_the_first_try_wins_when_it_answers_first_after_all() -> None:
    first, second = Slow(), Slow()
    async with world(first, second, tries=HEDGED) as at:
        call = asyncio.get_running_loop().create_task(at.call())
        await second.asked.wait()
        first.let.set()
        assert await call == 200
        assert at.seen.hedges == ["lost"]
        assert at.seen.answers == ["up0"]
        assert at.last.upstream is not None
        assert at.last.upstream.name == "up0"
        await second.left.wait()


async def test_a_first_try_that_is_quick_enough_stays_alone() -> None:
    async with world(OK, OK, tries=HEDGED) as at:
        at.waits = asyncio.Event()
        assert await at.call() == 200
        assert at.asked == [1, 0]
        assert at.seen.hedges == []


@pytest.mark.parametrize("bad", [BUSY, always(b"HTTP/1.1 nonsense\r\n\r\n")])
async def test_a_bad_answer_does_not_win(bad: Script) -> None:
    slow = Slow()
    async with world(slow, bad, tries=HEDGED) as at:
        call = asyncio.get_running_loop().create_task(at.call())
        await until(lambda: bool(at.seen.failures))
        assert not call.done()
        slow.let.set()
        assert await call == 200
        assert at.seen.hedges == ["lost"]


async def test_an_error_of_the_client_wins() -> None:
    async with world(Slow(), always(answer(b"{}", status=b"400 Bad Request")), tries=HEDGED) as at:
        assert await at.call() == 400
        assert at.seen.hedges == ["won"]


async def test_where_both_fail_the_next_upstream_is_tried() -> None:
    slow = Slow(answer(b"{}", status=b"500 Oh"))
    async with world(slow, BUSY, OK, tries=HEDGED) as at:
        call = asyncio.get_running_loop().create_task(at.call())
        await until(lambda: at.seen.failures == [("up1", "status")])
        slow.let.set()
        assert await call == 200
        assert at.asked == [1, 1, 1]
        assert at.seen.hedges == ["failed"]
        assert at.seen.failovers == [("r", "up2")]


async def test_where_all_fail_the_last_failure_is_told() -> None:
    async def reset(peer: Peer) -> None:
        await peer.request()
        peer.abort()

    slow = Slow(b"HTTP/1.1 nonsense\r\n\r\n")
    async with world(slow, reset, tries=Tries(hedge_after=0.5, retries=0)) as at:
        call = asyncio.get_running_loop().create_task(at.call())
        await until(lambda: at.seen.failures == [("up1", "reset")])
        slow.let.set()
        with pytest.raises(UpstreamError):
            await call
        assert at.asked == [1, 1]


async def test_a_first_try_that_fails_at_once_is_followed_by_the_next_alone() -> None:
    async with world(BUSY, OK, OK, tries=HEDGED) as at:
        at.waits = asyncio.Event()
        assert await at.call() == 200
        assert at.asked == [1, 1, 0]
        assert at.seen.hedges == []


async def test_second_tries_come_out_of_the_retry_budget() -> None:
    slow = Slow()
    async with world(slow, OK, tries=Tries(hedge_after=0.5, budget=0.0)) as at:
        for _ in range(10):  # what the budget begins with
            assert await at.call() == 200
        call = asyncio.get_running_loop().create_task(at.call())
        await until(lambda: "refused" in at.seen.hedges)
        slow.let.set()
        assert await call == 200
    assert at.seen.hedges == ["won"] * 10 + ["refused"]
    assert at.asked[1] == 10


async def _stream(at: World) -> None:
    await at.call(stream=True)


async def _upload(at: World) -> None:
    await at.call(path="/v1/files")


@pytest.mark.parametrize("ask", [_stream, _upload])
async def test_what_is_streamed_or_may_take_effect_twice_is_asked_once(ask: Callable[[World], Awaitable[None]]) -> None:
    slow = Slow()
    async with world(slow, OK, tries=HEDGED) as at:
        asking = asyncio.ensure_future(ask(at))  # noqa: TID251 - awaited below
        await slow.asked.wait()
        slow.let.set()
        await asking
        assert at.asked == [1, 0]
        assert at.pauses == []


async def test_a_client_that_leaves_ends_both_tries() -> None:
    first, second = Slow(), Slow()
    async with world(first, second, tries=HEDGED) as at:
        call = asyncio.get_running_loop().create_task(at.call())
        await second.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await first.left.wait()
        await second.left.wait()
        assert [health.value for health in at.calls.states().values()] == ["up", "up"]


async def test_two_tries_at_once_count_as_the_time_that_they_took_together() -> None:
    slow = Slow()
    async with world(slow, OK, tries=HEDGED) as at:
        at.waits = asyncio.Event()
        call = asyncio.get_running_loop().create_task(at.call())
        await slow.asked.wait()
        at.now = 3.0
        at.waits.set()
        assert await call == 200
        assert at.last.timing.upstream_seconds == 3.0


# --- after how long


def delays(general: HedgeAfter, *seen: float, own: HedgeAfter | None = None) -> float | None:
    first = upstream(1)
    route = Route("r", (first, upstream(2, "up1")), 1.0, hedge_after=own)
    known = Delays(general)
    for seconds in seen:
        known.saw(route, first, seconds)
    return known.of(route, first)


@pytest.mark.parametrize(
    ("general", "own", "delay"),
    [
        ("never", None, None),
        (2.0, None, 2.0),
        (2.0, 1.0, 1.0),
        (2.0, "never", None),
        ("never", 1.0, 1.0),
        ("p95", 3.0, 3.0),
    ],
)
async def test_a_route_comes_before_the_general_setting(
    general: HedgeAfter, own: HedgeAfter | None, delay: float | None
) -> None:
    assert delays(general, own=own) == delay


async def test_a_percentile_needs_enough_to_go_by() -> None:
    assert delays("p95", *[1.0] * 19) == math.inf
    assert delays("p95", *[1.0] * 20) == 1.0


async def test_the_95th_percentile_is_of_the_latest() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert delays("p95", *hundred) == 96.0
    assert delays("p95", *[50.0] * 1000, *[2.0] * 256) == 2.0


async def test_the_percentile_is_learned_from_traffic() -> None:
    slow = Slow()

    async def quick_then_slow(peer: Peer) -> None:
        for _ in range(20):
            await peer.request()
            await peer.send(answer(b"ok"))
        await slow(peer)

    async with world(quick_then_slow, OK, tries=Tries(hedge_after="p95")) as at:
        for _ in range(20):
            assert await at.call() == 200
        assert at.pauses == []
        assert await at.call() == 200
        assert at.seen.hedges == ["won"]
