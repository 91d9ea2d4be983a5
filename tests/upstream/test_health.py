"""Which upstream is tried, and when one that failed is tried again: in virtual time, without a network."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from gateway.exchange import Balance, Upstream
from gateway.upstream.health import TRANSITIONS, Cooldown, Event, Health, HealthBook, RetryBudget, State

A, B, C = (Upstream(name, "http", "h", 1, "/v1") for name in "abc")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class World:
    """A book of health whose cool-downs are drawn at their longest."""

    def __init__(self, first: float = 1.0, most: float = 8.0) -> None:
        self.clock = Clock()
        self.book = HealthBook(Cooldown(first, most), clock=self.clock, draw=lambda: 1.0)

    def order(self, *upstreams: Upstream, balance: Balance = "order") -> list[str]:
        return [upstream.name for upstream in self.book.order(upstreams, balance)]

    def fail(self, upstream: Upstream) -> None:
        health = self.book.of(upstream)
        health.chosen()
        health.failed(self.clock.now, self.clock.now)

    def answer(self, upstream: Upstream, seconds: float = 0.1) -> None:
        self.book.of(upstream).chosen()
        self.book.of(upstream).answered(self.clock.now, seconds)


def test_every_state_knows_every_event() -> None:
    assert TRANSITIONS.keys() == set(Event)
    assert all(row.keys() == set(State) for row in TRANSITIONS.values())


def test_one_that_failed_is_set_aside_and_probed_by_one_request() -> None:
    world = World()
    assert world.order(A, B) == ["a", "b"]
    world.fail(A)
    assert world.order(A, B) == ["b"]
    world.clock.now += 0.99
    assert world.order(A, B) == ["b"]
    world.clock.now += 0.01
    assert world.order(A, B) == ["a", "b"]
    world.book.of(A).chosen()
    assert world.order(A, B) == ["b"]  # the probe is under way
    world.book.of(A).answered(world.clock.now, 0.1)
    assert world.order(A, B) == ["a", "b"]


def test_cooldowns_grow_up_to_a_bound_and_an_answer_makes_them_short_again() -> None:
    world = World(first=1, most=5)
    waited = []
    for _ in range(5):
        world.fail(A)
        began = world.clock.now
        while not world.book.of(A).may_be_tried(world.clock.now):
            world.clock.now += 0.25
        waited.append(world.clock.now - began)
    assert waited == [1, 2, 4, 5, 5]
    world.answer(A)
    world.fail(A)
    assert world.book.of(A).ready_at() == world.clock.now + 1


def test_cooldowns_are_drawn_from_half_to_whole() -> None:
    chance = random.Random(1)
    drawn = []
    for _ in range(200):
        health = Health(Cooldown(10, 60), chance.random)
        health.chosen()
        health.failed(0, 0)
        drawn.append(health.ready_at())
    assert 5 <= min(drawn) < 5.5
    assert 9.5 < max(drawn) <= 10


def test_many_that_fail_together_count_as_one_failure() -> None:
    world = World()
    health = world.book.of(A)
    for _ in range(50):
        health.chosen()
    for _ in range(50):
        health.failed(world.clock.now - 5, world.clock.now)
    assert health.ready_at() == world.clock.now + 1
    assert health.under_way == 0


def test_a_dead_first_upstream_costs_one_request_a_cooldown() -> None:
    world = World(first=1, most=8)
    asked: Counter[str] = Counter()
    for _ in range(1000):  # ten requests a second for 100 s
        for upstream in world.book.order((A, B), "order"):
            asked[upstream.name] += 1
            if upstream is A:
                world.fail(A)
            else:
                world.answer(B)
                break
        world.clock.now += 0.1
    assert asked["b"] == 1000
    assert asked["a"] <= 4 + 100 / 8 + 1


def test_a_probe_that_was_given_up_leaves_the_next_one_to_find_out() -> None:
    world = World()
    world.fail(A)
    world.clock.now += 1
    world.book.of(A).chosen()
    world.book.of(A).left()
    assert world.order(A, B) == ["a", "b"]


def test_when_all_are_aside_the_one_that_is_ready_first_is_tried() -> None:
    world = World()
    world.fail(A)
    world.clock.now += 0.5
    world.fail(B)
    assert world.order(B, A) == ["a"]
    assert world.order(B) == ["b"]  # the only one is always tried


def test_bad_answers_in_a_row_set_aside_and_a_good_one_between_does_not() -> None:
    world = World()
    health = world.book.of(A)
    for outcome in "bbgbbb":
        assert world.order(A, B) == ["a", "b"]
        health.chosen()
        if outcome == "b":
            health.answered_badly(world.clock.now, world.clock.now, 0)
        else:
            health.answered(world.clock.now, 0.1)
    assert world.order(A, B) == ["b"]


@pytest.mark.parametrize(("asks", "waits"), [(0, 1), (0.5, 1), (3, 3), (1000, 8)])
def test_a_wait_that_is_asked_for_is_kept_within_the_longest_cooldown(asks: float, waits: float) -> None:
    world = World()
    health = world.book.of(A)
    for _ in range(3):
        health.chosen()
        health.answered_badly(world.clock.now, world.clock.now, asks)
    assert health.ready_at() == world.clock.now + waits


@pytest.mark.parametrize("weights", [(1, 1, 1), (8, 1, 1), (0.5, 0.25, 0.25)])
def test_weights_are_shares(weights: Sequence[float]) -> None:
    chance = random.Random(7)
    book = HealthBook(Cooldown(), clock=Clock(), draw=chance.random)
    upstreams = [Upstream(name, "http", "h", 1, "/v1", weight=w) for name, w in zip("abc", weights, strict=True)]
    orders = [book.order(upstreams, "weights") for _ in range(4000)]
    assert all(len(order) == 3 for order in orders)
    firsts = Counter(order[0].name for order in orders)
    for name, weight in zip("abc", weights, strict=True):
        assert abs(firsts[name] / 4000 - weight / sum(weights)) < 0.03


def test_the_soonest_is_first_and_those_that_wait_there_count() -> None:
    world = World()
    assert world.order(A, B, balance="latency") == ["a", "b"]
    world.answer(A, 0.4)
    world.answer(B, 0.1)
    assert world.order(A, B, C, balance="latency") == ["c", "b", "a"]  # nothing is known of c yet
    for _ in range(5):
        world.book.of(B).chosen()
    assert world.order(A, B, balance="latency") == ["a", "b"]


def test_a_slow_one_is_looked_at_again_after_a_while() -> None:
    world = World()
    world.answer(A, 5.0)
    for _ in range(60):
        world.clock.now += 1
        world.answer(B, 0.2)
    assert world.order(A, B, balance="latency") == ["a", "b"]


def test_the_budget_is_a_share_of_traffic_with_a_few_to_begin_with() -> None:
    budget = RetryBudget(0.1, most=3)
    taken = 0
    for _ in range(1000):
        budget.request()
        while budget.take():
            taken += 1
    assert 100 <= taken <= 103
    assert not RetryBudget(0.0, most=0).take()
