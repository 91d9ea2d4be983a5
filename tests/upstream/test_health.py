"""Which upstream is tried, and when one that failed is tried again: in virtual time, without a network."""

import random
from collections import Counter
from collections.abc import Sequence
from math import inf

import pytest

from gateway.exchange import Balance, Upstream
from gateway.upstream.health import TRANSITIONS, Cooldown, Health, HealthBook, RequestResult, RetryBudget, UpstreamState

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
        health.chosen(self.clock.now)
        health.failed(self.clock.now, self.clock.now)

    def ask(self, upstream: Upstream) -> None:
        self.book.of(upstream).chosen(self.clock.now)

    def answer(self, upstream: Upstream, seconds: float = 0.1) -> None:
        self.ask(upstream)
        self.book.of(upstream).answered(self.clock.now, seconds)


def test_every_state_knows_every_event() -> None:
    assert TRANSITIONS.keys() == set(RequestResult)
    assert all(row.keys() == set(UpstreamState) - {UpstreamState.SUSPECTED} for row in TRANSITIONS.values())


def test_one_that_failed_is_set_aside_and_probed_by_one_request() -> None:
    world = World()
    assert world.order(A, B) == ["a", "b"]
    world.fail(A)
    assert world.order(A, B) == ["b"]
    world.clock.now += 0.99
    assert world.order(A, B) == ["b"]
    world.clock.now += 0.01
    assert world.order(A, B) == ["a", "b"]
    world.book.of(A).chosen(world.clock.now)
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
        health.chosen(0)
        health.failed(0, 0)
        drawn.append(health.ready_at())
    assert 5 <= min(drawn) < 5.5
    assert 9.5 < max(drawn) <= 10


def test_many_that_fail_together_count_as_one_failure() -> None:
    world = World()
    health = world.book.of(A)
    for _ in range(50):
        health.chosen(world.clock.now)
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
    world.book.of(A).chosen(world.clock.now)
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
        health.chosen(world.clock.now)
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
        health.chosen(world.clock.now)
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
        world.book.of(B).chosen(world.clock.now)
    assert world.order(A, B, balance="latency") == ["a", "b"]


def test_a_slow_one_is_looked_at_again_after_a_while() -> None:
    world = World()
    world.answer(A, 5.0)
    for _ in range(60):
        world.clock.now += 1
        world.answer(B, 0.2)
    assert world.order(A, B, balance="latency") == ["a", "b"]


# --- silence, before a failure is known


def test_one_that_has_not_answered_yet_gets_one_request_at_a_time() -> None:
    world = World()
    world.ask(A)
    assert world.order(A, B) == ["b", "a"]
    assert world.book.of(A).seen(world.clock.now) is UpstreamState.UP  # it may well answer
    world.book.of(A).answered(world.clock.now, 0.1)
    world.ask(A)
    assert world.order(A, B) == ["a", "b"]


def test_a_request_that_was_given_up_leaves_the_next_one_to_find_out_whether_it_answers() -> None:
    world = World()
    world.ask(A)
    world.book.of(A).left()
    assert world.order(A, B) == ["a", "b"]


@pytest.mark.parametrize(("slowest", "patience"), [(0.01, 0.25), (0.1, 0.3), (20.0, 60.0)])
def test_silence_for_much_longer_than_any_answer_took_brings_the_next_one_forward(
    slowest: float, patience: float
) -> None:
    world = World()
    world.answer(A, slowest)
    world.answer(A, slowest / 5)
    world.clock.now += 1000  # nobody asks: no silence
    world.ask(A)
    for _ in range(50):
        world.clock.now += patience / 51
        assert world.order(A, B) == ["a", "b"]
        world.ask(A)
    world.clock.now += patience / 50
    assert world.order(A, B) == ["b", "a"]
    assert world.book.states()["a"] is UpstreamState.SUSPECTED
    world.book.of(A).answered(world.clock.now, 5 * slowest)  # one byte, and it is believed
    assert world.order(A, B) == ["a", "b"]
    assert world.book.states()["a"] is UpstreamState.UP


def test_a_bad_answer_is_no_silence() -> None:
    world = World()
    world.answer(A, 0.1)
    for _ in range(2):
        world.ask(A)
    world.clock.now += 5
    world.book.of(A).answered_badly(100, world.clock.now, 0)
    assert world.order(A, B) == ["a", "b"]


def test_those_that_wait_in_vain_set_a_suspect_aside_once() -> None:
    world = World()
    world.answer(A, 0.1)
    for _ in range(8):
        world.ask(A)
    world.clock.now += 5
    for _ in range(8):
        world.book.of(A).failed(100, world.clock.now)
    assert world.order(A, B) == ["b"]
    assert world.book.of(A).ready_at() == world.clock.now + 1


def test_what_was_slow_once_is_forgotten_by_and_by() -> None:
    world = World()
    world.answer(A, 20.0)
    for _ in range(500):
        world.answer(A, 0.1)
    world.ask(A)
    world.clock.now += 1
    assert world.order(A, B) == ["b", "a"]


@pytest.mark.parametrize("balance", ["order", "weights", "latency"])
def test_when_all_are_silent_the_order_is_as_ever(balance: Balance) -> None:
    world = World()
    for each in (A, B):
        world.answer(each)
        world.ask(each)
    before = world.order(A, B, balance=balance)
    world.clock.now += 60
    assert world.order(A, B, balance=balance) == before


def test_an_upload_is_no_silence_and_says_nothing_of_how_slow_an_upstream_is() -> None:
    world = World()
    world.answer(A, 0.1)
    world.book.of(A).chosen(inf)
    world.clock.now += 600
    assert world.order(A, B) == ["a", "b"]
    world.book.of(A).answered(world.clock.now, None)
    world.ask(A)
    world.clock.now += 1
    assert world.order(A, B) == ["b", "a"]


def test_the_budget_is_a_share_of_traffic_with_a_few_to_begin_with() -> None:
    budget = RetryBudget(0.1, most=3)
    taken = 0
    for _ in range(1000):
        budget.request()
        while budget.take():
            taken += 1
    assert 100 <= taken <= 103
    assert not RetryBudget(0.0, most=0).take()
