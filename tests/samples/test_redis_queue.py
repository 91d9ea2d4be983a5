"""What is special about samples that wait in Redis: many processes, and a server that may go away."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from gateway.samples.redis_queue import RedisQueue
from gateway.samples.redis_stream import ASIDE, GROUP, STREAM
from gateway.stores.breaker import Breaker
from tests.support.fakes import sample
from tests.support.running.patience import PATIENCE_SECONDS, until
from tests.support.servers.redis_server import RedisServer, needs_redis

pytestmark = pytest.mark.real_time
PLENTY = 10**9
DOWN_URL = "redis://127.0.0.1:1/0"  # nothing listens on port 1


@pytest.fixture(scope="module")
def running_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running_server: RedisServer) -> Iterator[RedisServer]:
    running_server.empty()
    yield running_server
    running_server.revive()


class Member:
    """A process's end of the queue, and what it was told about fates."""

    def __init__(self, url: str, most_items: int = 10_000, **options: Any) -> None:
        self.fates: Counter[tuple[str, str]] = Counter()
        options.setdefault("answer_seconds", PATIENCE_SECONDS)  # a server on a busy machine is not down
        self.queue = RedisQueue(url, most_items, PLENTY, on_fate=self._count, **options)

    def _count(self, fate: str, reason: str, samples: int) -> None:
        self.fates[fate, reason] += samples

    def offer(self, *ids: str) -> list[bool]:
        return [self.queue.offer(sample(id)) for id in ids]

    async def take(self, most: int = 1000, wait_seconds: float = 0.0) -> dict[str, str]:
        """Sample id → receipt, in order."""
        return {item.sample.id: item.receipt for item in await self.queue.take(most, wait_seconds)}

    async def finish(self, most: int = 1000, wait_seconds: float = 0.0) -> list[str]:
        taken = await self.take(most, wait_seconds)
        await self.queue.acknowledge([*taken.values()])
        return [*taken]

    async def finish_all(self, wanted: int) -> list[str]:
        """Take until this many came; the test's own timeout is the judge when they do not."""
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(seen) < wanted:
                seen += await self.finish(wait_seconds=0.05)
        return seen + await self.finish()


@asynccontextmanager
async def member(url: str, most_items: int = 10_000, **options: Any) -> AsyncIterator[Member]:
    """One that runs, as in a gateway or a worker."""
    one = Member(url, most_items, **options)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(one.queue.run())
        yield one
        running.cancel()
    await one.queue.close()


def ids(count: int, prefix: str = "s") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


# --- many processes


@pytest.mark.server
@needs_redis
async def test_what_one_process_offers_another_takes(server: RedisServer) -> None:
    async with member(server.url) as gateway, member(server.url) as worker:
        gateway.offer(*ids(100))
        assert await worker.finish_all(100) == ids(100)
        await until(lambda: gateway.queue.depth() == (0, 0))
        assert worker.queue.depth() == (0, 0)
    assert server.client.xlen(STREAM) == 0


@pytest.mark.server
@needs_redis
async def test_workers_share_the_samples(server: RedisServer) -> None:
    async with member(server.url) as gateway, member(server.url) as one, member(server.url) as other:
        gateway.offer(*ids(20))
        await until(lambda: server.client.xlen(STREAM) == 20)
        assert await one.finish(10) + await other.finish(100) == ids(20)


@pytest.mark.server
@needs_redis
async def test_the_bound_holds_over_all_gateways_and_every_sample_has_one_fate(server: RedisServer) -> None:
    async with member(server.url, 10) as one, member(server.url, 10) as other:
        accepted = [sum(gateway.offer(*ids(8, prefix))) for gateway, prefix in ((one, "a"), (other, "b"))]
        assert accepted == [8, 8]  # neither knew of the other
        await until(lambda: not one.fates.total() + other.fates.total() < 6)
        assert server.client.xlen(STREAM) == 10
        assert one.fates + other.fates == Counter({("dropped", "queue_full"): 6})
        await until(lambda: one.queue.depth()[0] == other.queue.depth()[0] == 10)
        assert one.offer("late") == other.offer("late") == [False]  # now they know
        assert len(await one.finish_all(10)) == 10
        assert one.offer("again") == [True]


# --- workers that end


@pytest.mark.server
@needs_redis
async def test_what_a_dead_worker_held_another_judges(server: RedisServer) -> None:
    async with member(server.url) as gateway:
        gateway.offer(*ids(3))
        dead, patient, heir = (Member(server.url, idle_seconds=seconds) for seconds in (120, 120, 0.05))
        held = await dead.take(wait_seconds=60)
        assert [*held] == ids(3)
        await dead.queue.acknowledge([held["s0"]])
        assert await patient.take() == {}  # not yet: the other may still be at work
        await asyncio.sleep(0.1)
        assert await heir.take() == {id: receipt for id, receipt in held.items() if id != "s0"}
        await heir.queue.acknowledge([held["s1"], held["s2"]])
        await dead.queue.acknowledge([held["s1"]])  # it was only slow
        assert heir.queue.depth() == (0, 0)
        for worker in (dead, patient, heir):
            await worker.queue.close()


@pytest.mark.server
@needs_redis
async def test_a_worker_that_leaves_hands_back_what_it_did_not_finish(server: RedisServer) -> None:
    async with member(server.url) as gateway:
        gateway.offer(*ids(3))
        leaving = Member(server.url)
        held = await leaving.take(wait_seconds=60)
        await leaving.queue.acknowledge([held["s0"]])
        await leaving.queue.close()
        async with member(server.url) as worker:  # it would wait two minutes for what a dead one held
            assert await worker.finish() == ["s1", "s2"]
    assert server.client.xinfo_groups(STREAM)[0]["pending"] == 0


@pytest.mark.server
@needs_redis
async def test_workers_of_the_past_are_forgotten(server: RedisServer) -> None:
    def workers() -> int:
        return len(server.client.xinfo_consumers(STREAM, GROUP))

    leaving, dead = Member(server.url), Member(server.url)
    for worker in (leaving, dead):
        worker.offer("s0")
        assert await worker.finish() == ["s0"]
    assert workers() == 2
    await leaving.queue.close()
    assert workers() == 1
    await asyncio.sleep(0.05)
    async with member(server.url, idle_seconds=0.01) as alive:
        assert await alive.take() == {}
        assert workers() == 0  # who never had a sample is not known either
    await dead.queue.close()


@pytest.mark.server
@needs_redis
async def test_a_take_looks_again_until_its_time_is_over(server: RedisServer) -> None:
    """A look waits half as long as the server may be silent."""
    async with member(server.url) as gateway, member(server.url, answer_seconds=0.4) as worker:
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(worker.take(wait_seconds=PATIENCE_SECONDS))
            await asyncio.sleep(0.5)
            assert not taking.done()
            gateway.offer("late")
        assert [*taking.result()] == ["late"]


async def until_one_look_is_enough(server: RedisServer, worker: Member) -> None:
    """Nothing can come late any more: then the worker reads what is new, and no longer what it may hold."""

    def looks() -> int:
        stats: Any = server.client.info("commandstats")
        return int(stats["cmdstat_xreadgroup"]["calls"])

    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            before = looks()
            assert await worker.take() == {}
            if looks() == before + 1:
                return
            await asyncio.sleep(0.01)


@pytest.mark.server
@needs_redis
async def test_what_was_on_its_way_when_a_take_was_cut_off_comes_with_the_next(server: RedisServer) -> None:
    async with member(server.url) as gateway, member(server.url, answer_seconds=0.2) as worker:
        gateway.offer("s0")
        assert await worker.finish_all(1) == ["s0"]
        (known,) = server.client.xinfo_consumers(STREAM, GROUP)
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(worker.take(wait_seconds=30))
            await asyncio.sleep(0.05)
            taking.cancel()
        for number in (1, 2):  # also when it reaches Redis after the next take has looked
            gateway.offer(f"s{number}")
            await until(lambda: server.client.xlen(STREAM) == 1)
            assert server.client.xreadgroup(GROUP, known["name"], {STREAM: ">"})
            assert await worker.finish_all(1) == [f"s{number}"]
        await until(lambda: worker.queue.depth() == (0, 0))
        await until_one_look_is_enough(server, worker)


# --- a server that goes away


@pytest.mark.server
@needs_redis
@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_killed_and_started_again(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "assay")
    async with member(server.url, local_items=50) as gateway, member(server.url) as worker:
        gateway.offer("before")
        assert await worker.finish_all(1) == ["before"]
        await until(lambda: gateway.queue.depth() == (0, 0))
        server.kill()
        assert gateway.offer("first") == [True]
        await until(lambda: not gateway.queue.is_up)
        assert all(gateway.offer(*ids(500)))  # none waits, none is refused: the oldest make room
        assert gateway.queue.depth()[0] == 50
        assert await worker.take(wait_seconds=0.05) == {}
        server.start()
        arrived = await worker.finish_all(50)
        assert arrived == ["first", *ids(500)[-49:]]  # `first` was already on its way
        assert gateway.fates == Counter({("dropped", "redis_down"): 501 - len(arrived)})
        await until(lambda: gateway.queue.is_up)
    said = Counter(record.getMessage().split(":")[0] for record in caplog.records)
    assert (said["Redis gives no samples"], said["Redis gives samples again"]) == (1, 1)
    # The worker, which only asks how full it is, need not have noticed.
    assert said["Redis takes no samples; the newest wait in this process"] == said["Redis takes samples again"] <= 2
    assert said.total() <= 6


@pytest.mark.server
@needs_redis
@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_a_reply_that_is_lost_doubles_nothing(server: RedisServer) -> None:
    """Frozen, the server gets the samples and answers when nobody listens any more."""
    async with member(server.url, answer_seconds=0.3) as gateway, member(server.url, answer_seconds=0.3) as worker:
        gateway.offer("before")
        assert await worker.finish_all(1) == ["before"]
        server.freeze()
        gateway.offer(*ids(10))
        await until(lambda: not gateway.queue.is_up)
        server.thaw()
        assert await worker.finish_all(10) == ids(10)
        await until(lambda: gateway.queue.is_up and gateway.queue.depth() == (0, 0))
        assert await worker.finish(wait_seconds=0.05) == []
        assert gateway.fates == Counter()


@pytest.mark.server
@needs_redis
async def test_a_worker_survives_that_the_stream_is_gone(server: RedisServer) -> None:
    async with member(server.url) as gateway, member(server.url) as worker:
        gateway.offer("s0")
        held = await worker.take(wait_seconds=60)
        server.empty()
        await worker.queue.acknowledge([*held.values()])
        gateway.offer("s1")
        assert await worker.finish_all(1) == ["s1"]
        assert worker.queue.depth() == (0, 0)


@pytest.mark.server
@needs_redis
async def test_acknowledged_while_it_was_away(server: RedisServer) -> None:
    async with member(server.url, answer_seconds=0.2) as worker:
        worker.offer("s0")
        held = await worker.take(wait_seconds=60)
        server.freeze()
        await worker.queue.acknowledge([*held.values()])
        server.thaw()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while server.client.xlen(STREAM):
                assert await worker.finish(wait_seconds=0.05) == []


async def test_a_server_that_was_never_there() -> None:
    async with member(DOWN_URL, local_items=5) as gateway:
        await until(lambda: not gateway.queue.is_up)
        assert all(gateway.offer(*ids(20)))
        assert await gateway.take(wait_seconds=0.05) == {}
        await gateway.queue.acknowledge(["1-0"])
        assert gateway.queue.depth()[0] == 5
    assert gateway.fates == Counter({("dropped", "redis_down"): 20})  # those that waited at the end as well
    assert gateway.offer("late") == [False]


async def test_what_is_larger_than_the_buffer_is_refused_also_while_it_is_away() -> None:
    async with member(DOWN_URL, local_bytes=2000) as gateway:
        await until(lambda: not gateway.queue.is_up)
        assert gateway.offer("small") == [True]
        assert not gateway.queue.offer(sample("big", answer=b"x" * 3000))
        assert gateway.queue.depth()[1] <= 2000


@pytest.mark.server
@needs_redis
async def test_a_server_without_memory_refuses_and_the_gateway_counts(server: RedisServer) -> None:
    async with member(server.url) as gateway:
        await until(lambda: bool(server.client.script_exists(gateway.queue._stream._append.sha)[0]))
        server.client.config_set("maxmemory", "1")
        gateway.offer(*ids(3))
        await until(lambda: gateway.fates.total() == 3)
        assert gateway.fates == Counter({("dropped", "queue_full"): 3})
        server.client.config_set("maxmemory", "0")
        gateway.offer("s3")
        assert await gateway.finish_all(1) == ["s3"]


# --- what stands in the stream


@pytest.mark.server
@needs_redis
@pytest.mark.parametrize(
    "fields", [{"other": "x"}, {"size": "9", "sample": b"\xc1"}, {"size": "many", "sample": b"\x80"}]
)
async def test_what_cannot_be_decoded_fails_once_and_is_gone(server: RedisServer, fields: dict[str, bytes]) -> None:
    async with member(server.url) as worker:
        server.client.xadd(STREAM, fields)
        worker.offer("good")
        assert await worker.finish_all(1) == ["good"]
        assert worker.fates == Counter({("failed", "undecodable"): 1})
        assert server.client.xlen(STREAM) == 0


@pytest.mark.server
@needs_redis
async def test_a_name_that_utf8_cannot_hold(server: RedisServer) -> None:
    async with member(server.url) as queue:
        assert queue.queue.offer(sample("s0", model="half \ud800"))
        (taken,) = await queue.queue.take(1, 5)
        assert taken.sample.model == "half ?"


# --- the breaker


def pauses_after(failures: Sequence[Exception], draw: float) -> list[float]:
    now = 1000.0
    breaker = Breaker("away", "back", clock=lambda: now, draw=lambda: draw)
    found = []
    for failure in failures:
        breaker.failed(failure)
        found.append(breaker.pause())
        now += found[-1]
        assert breaker.pause() == 0
    return found


def test_pauses_grow_to_a_bound_and_are_spread() -> None:
    failures = [OSError("away")] * 10
    longest = pauses_after(failures, 1.0)
    assert longest[:5] == sorted(longest[:5])
    assert longest[0] < 0.2
    assert longest[-1] == pytest.approx(longest[-2]) == pytest.approx(5)
    assert pauses_after(failures, 0.0) == pytest.approx([pause / 2 for pause in longest])


def test_an_answer_closes_it_and_the_next_pause_is_short_again(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker("away", "back", clock=lambda: 0.0, draw=lambda: 1.0)
    for _ in range(5):
        breaker.failed(OSError("lost"))
    breaker.answered()
    breaker.answered()
    assert (breaker.closed, breaker.pause()) == (True, 0.0)
    breaker.failed(OSError("lost"))
    assert breaker.pause() == pytest.approx(0.1)
    assert [record.getMessage() for record in caplog.records] == ["away: lost", "back", "away: lost"]


@pytest.mark.server
@needs_redis
@pytest.mark.parametrize(
    "poison",
    [
        {"probability": -1.0},
        {"probability": 0.0},
        {"probability": 1e-300},
        {"probability": 1.5},
        {"probability": math.nan},
        {"closed_at": math.inf},
        {"closed_at": math.nan},
        {"operation": "nothing that is known"},
    ],
)
async def test_what_no_estimate_can_stand_is_set_aside(server: RedisServer, poison: dict[str, float | str]) -> None:
    """It would end one worker after the other, and never be acknowledged."""
    async with member(server.url) as worker:
        packed = msgspec.msgpack.encode(sample("poison", **poison))
        server.client.xadd(STREAM, {"size": "100", "sample": packed})
        worker.offer("good")
        assert await worker.finish_all(1) == ["good"]
        assert worker.fates == Counter({("failed", "undecodable"): 1})
        ((_, aside),) = server.client.xrange(ASIDE)
        assert aside[b"sample"] == packed
        assert aside[b"why"]
        assert server.client.xlen(STREAM) == 0


@pytest.mark.server
@needs_redis
async def test_good_samples_are_handed_out_after_setting_bad_ones_aside_failed(server: RedisServer) -> None:
    """They were taken already: nobody else gets them, and Redis does not give them to this worker twice."""
    async with member(server.url) as worker:
        server.client.xadd(STREAM, {"size": "100", "sample": b"\xc1"})
        worker.offer("good")
        await until(lambda: server.client.xlen(STREAM) == 2)
        server.client.set(ASIDE, "in the way")
        assert await worker.finish() == []
        server.client.delete(ASIDE)
        assert await worker.finish_all(1) == ["good"]
        assert server.client.xlen(STREAM) == 0
        assert worker.fates == Counter({("failed", "undecodable"): 1})


@pytest.mark.server
@needs_redis
async def test_what_is_set_aside_is_bounded(server: RedisServer) -> None:
    async with member(server.url) as worker:
        for _ in range(150):
            server.client.xadd(STREAM, {"size": "100", "sample": b"\xc1" * 100_000})
        worker.offer("good")
        assert await worker.finish_all(1) == ["good"]
        assert worker.fates == Counter({("failed", "undecodable"): 150})
        aside = server.client.xrange(ASIDE)
        assert len(aside) == 100
        assert all(len(fields[b"sample"]) == 65_536 for _, fields in aside)
        assert 0 < server.client.ttl(ASIDE) <= 7 * 86_400


@pytest.mark.server
@needs_redis
async def test_a_sample_that_no_worker_comes_back_from_is_set_aside(server: RedisServer) -> None:
    async with member(server.url) as gateway:
        gateway.offer("deadly")
        await until(lambda: server.client.xlen(STREAM) == 1)
    server.client.xgroup_create(STREAM, GROUP, id="0") if not server.client.xinfo_groups(STREAM) else None
    server.client.xreadgroup(GROUP, "dead", {STREAM: ">"})
    ((receipt, _),) = server.client.xrange(STREAM)
    server.client.xclaim(STREAM, GROUP, "dead", 0, [receipt], idle=10**8, retrycount=5)
    async with member(server.url) as worker:
        worker.offer("good")
        assert await worker.finish_all(1) == ["good"]
        assert worker.fates == Counter({("failed", "undecodable"): 1})
        assert server.client.xlen(ASIDE) == 1
