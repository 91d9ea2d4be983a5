"""Large bodies before the guard: offered and settled one in a turn of the loop, though all come and end together."""

import asyncio
from collections import Counter

import pytest

from gateway.access.request_reading import Head, read_body
from gateway.enforcement.guard import Guard
from gateway.exchange import Asked, Exchange, Principal, Route, Stretch
from gateway.openai_api import Operation
from gateway.serving.bodies import BodyBounds
from gateway.turns import LARGE_BYTES
from tests.support.fakes import ENFORCE, Journal, JudgingHere, World, chat, completion, policy, upstream

CALLERS = 50
MOST = 2  # that are seen in a turn: one before the watch in its turn, one behind it
LARGE = chat("word " * LARGE_BYTES)


def guard_over(judge: JudgingHere) -> Guard:
    return Guard(policy(ENFORCE), judge, Journal(), timeout_seconds=1, routes=["default"], forwards=lambda _name: True)


def exchange(number: int) -> Exchange:
    found = Exchange(f"req_{number}", Asked("POST", "/v1/chat/completions"))
    found.asked.operation = Operation.CHAT
    found.route = Route("default", (upstream(9),), 1.0)
    found.principal = Principal(f"caller {number}")
    return found


class Seen:
    """By turn of the loop, how many judgings were asked for and how many were settled."""

    def __init__(self, judge: JudgingHere) -> None:
        self.turn = 0
        self.asked: Counter[int] = Counter()
        self.settled: Counter[int] = Counter()
        self._judge = judge

    async def watch(self) -> None:
        before = 0
        while True:
            await asyncio.sleep(0)
            self.turn += 1
            self.asked[self.turn] += len(self._judge.requests) - before
            before = len(self._judge.requests)

    async def settle(self, guard: Guard, number: int, body: bytes) -> None:
        await guard.prompt(exchange(number), body)
        self.settled[self.turn] += 1


async def judged_at_once(body: bytes) -> Seen:
    """Fifty bodies that come together, and whose time runs out together."""
    judge = JudgingHere()
    judge.pause = asyncio.Event()
    guard, seen = guard_over(judge), Seen(judge)
    watching = asyncio.get_running_loop().create_task(seen.watch())
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(seen.settle(guard, number, body))
        for _ in range(2 * CALLERS):
            await asyncio.sleep(0)
        judge.error = "timed_out"
        judge.pause.set()
    watching.cancel()
    assert len(judge.requests) == seen.settled.total() == CALLERS
    return seen


async def test_large_prompts_are_offered_and_settled_one_in_a_turn() -> None:
    seen = await judged_at_once(LARGE)
    assert max(seen.asked.values()) <= MOST
    assert max(seen.settled.values()) <= MOST


async def test_small_prompts_wait_for_no_turn() -> None:
    seen = await judged_at_once(chat("word"))
    assert max(seen.asked.values()) == CALLERS
    assert max(seen.settled.values()) == CALLERS


@pytest.mark.parametrize("large", [True, False])
async def test_only_whole_answers_take_turns(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stretch of a stream goes at once, whatever was said before it."""
    judge = JudgingHere()
    guard = guard_over(judge)
    taken: list[str] = []
    take = guard.turns.take

    async def counted(caller: str) -> None:
        taken.append(caller)
        await take(caller)

    monkeypatch.setattr(guard.turns, "take", counted)
    asked = exchange(1)
    asked.asked.body = LARGE if large else chat("word")
    inspection = guard.inspection(asked)
    await inspection.judge([Stretch(0, "assistant", "word " * LARGE_BYTES)])
    assert taken == []
    await inspection.whole(completion("word"))
    inspection.close()
    assert taken == ["caller 1"] * 2 * large


async def test_large_requests_are_read_one_in_a_turn_on_the_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each gets its answer, here a refusal."""
    evil = chat("grenade " + "word " * LARGE_BYTES)
    async with World(9, rules=ENFORCE, bounds=BodyBounds(each=10**6, all=10**8, seconds=5.0)) as world:
        seen, read = Seen(world.judge), Counter[int]()

        def counted(asked: Asked, head: Head, *, moderates: bool) -> bytes:
            read[seen.turn] += 1
            return read_body(asked, head, moderates=moderates)

        monkeypatch.setattr("gateway.pipeline.read_body", counted)
        watching = asyncio.get_running_loop().create_task(seen.watch())
        answers = await asyncio.gather(*(world.ask("/v1/chat/completions", evil) for _ in range(20)))
        watching.cancel()
    assert [answer.status for answer in answers] == [400] * 20
    assert read.total() == 20
    assert max(read.values()) <= MOST
    assert max(seen.asked.values()) <= MOST
