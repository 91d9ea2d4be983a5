"""Nobody waits behind a probe that applies to nearly every request, or that is slow."""

import random
from collections import Counter, defaultdict
from functools import cache

from msgspec.structs import replace

from gateway.probes.changes.conversation import Conversation
from gateway.probes.drawn import DrawnForProbe
from gateway.probes.queue import ProbeQueue
from gateway.probes.replay import conversation_of
from gateway.probes.table import table
from gateway.trust.judged import Judged
from tests.support.worlds.replayed import World, chat_sample

PROBES = table()
ASKED = "Is the earth round?"


@cache
def asked() -> tuple[Judged, Conversation]:
    judged = chat_sample("", ASKED, "Yes.")
    assert judged.sample is not None
    conversation = conversation_of(judged.sample)
    assert not isinstance(conversation, str)
    return judged, conversation


def drawn(id: str, probe: str, route: str = "default") -> DrawnForProbe:
    judged, conversation = asked()
    return DrawnForProbe(replace(judged, id=id, route=route), conversation, PROBES[probe])


def served(turns: ProbeQueue, most: int) -> list[tuple[str, str]]:
    """Routes and probes in the order of their turns."""
    taken = [turns.take() for _ in range(most)]
    return [(each.judged.route, each.probe.name) for each, _ in filter(None, taken)]


def test_a_probe_that_comes_seldom_does_not_wait_behind_one_that_always_applies() -> None:
    turns = ProbeQueue(256, draw=lambda: 0.0)
    for number in range(100):
        turns.offer(drawn(f"s{number}", "again"), 1.0)
    for number in range(3):
        turns.offer(drawn(f"s{number}", "gender"), 1.0)
    assert [probe for _, probe in served(turns, 8)] == ["again", "gender"] * 3 + ["again"] * 2


def test_each_probe_gets_as_many_turns_as_the_others_while_it_has_something_waiting() -> None:
    turns = ProbeQueue(10_000, draw=lambda: 0.0)
    for number in range(200):
        for probe in ("again", "typos", "paraphrase", "gender", "names")[: 5 if number % 10 == 0 else 3]:
            turns.offer(drawn(f"s{number}", probe), 1.0)
    assert set(Counter(served(turns, 100)).values()) == {20}


def test_routes_take_turns_whatever_their_number_of_probes() -> None:
    turns = ProbeQueue(256, draw=lambda: 0.0)
    for number in range(20):
        for probe in ("again", "typos", "paraphrase"):
            turns.offer(drawn(f"s{number}", probe, "busy"), 1.0)
    for number in range(5):
        turns.offer(drawn(f"s{number}", "again", "quiet"), 1.0)
    assert Counter(route for route, _ in served(turns, 10)) == {"busy": 5, "quiet": 5}


def test_what_is_put_back_is_the_next_of_its_row_and_the_others_have_their_turn() -> None:
    turns = ProbeQueue(256, draw=lambda: 0.0)
    for name in ("again", "gender"):
        for number in range(2):
            turns.offer(drawn(f"s{number}", name), 1.0)
    first = turns.take()
    assert first is not None
    turns.put_back(*first)
    order = [turns.take() for _ in range(4)]
    assert [(each.judged.id, each.probe.name) for each, _ in filter(None, order)] == [
        ("s0", "gender"), ("s0", "again"), ("s1", "gender"), ("s1", "again")
    ]  # fmt: skip
    assert turns.take() is None


def test_of_too_many_the_longest_row_is_thinned_and_every_weight_stays_right() -> None:
    draw = random.Random(7).random
    weights, dropped = defaultdict[str, float](float), Counter[str]()
    for _ in range(400):
        turns = ProbeQueue(16, draw=draw)
        for number in range(40):
            dropped.update(turns.offer(drawn(f"s{number}", "again"), 0.5))
            if number % 10 == 0:
                dropped.update(turns.offer(drawn(f"s{number}", "gender"), 0.5))
            assert len(turns) <= 16
        while taken := turns.take():
            weights[taken[0].probe.name] += 1 / taken[1]
    assert dropped["again"] > 0
    assert dropped["gender"] == 0
    assert weights["gender"] == 400 * 4 * 2
    assert abs(weights["again"] / (400 * 40 * 2) - 1) < 0.05


async def test_a_slow_probe_holds_nobody_up_for_longer_than_its_own_call() -> None:
    world = World(lambda _: "Yes.", "again", "typos")
    for number in range(30):
        world.prober.take(chat_sample(f"s{number}", ASKED, "Yes."))
    for _ in range(20):
        await world.prober.step(world.lane)
    assert Counter(found.id.partition("/")[2] for found in world.found) == {"again": 10, "typos": 10}


async def test_who_must_wait_for_the_upstream_keeps_the_turn() -> None:
    world = World(lambda _: "Yes.", "again", "typos")
    for number in range(4):
        world.prober.take(chat_sample(f"s{number}", ASKED, "Yes."))
    for up in (False, True, False, False, True, False, True, True):
        world.up = up
        await world.prober.step(world.lane)
    assert [found.id.partition("/")[2] for found in world.found] == ["again", "typos", "again", "typos"]
