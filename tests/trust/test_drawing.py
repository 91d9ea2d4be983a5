"""Which samples get a second opinion, and within which budget."""

import random

import pytest

from gateway.trust.drawing import BLIND, DrawBudget, draw_of, is_drawn


def test_what_needs_nothing_is_seen_too() -> None:
    assert DrawBudget(60, clock=Clock()).probability(0.0) > 0


@pytest.mark.parametrize("per_hour", [1, 20, 600])
def test_the_first_sample_is_drawn_for_certain_whatever_it_needs(per_hour: float) -> None:
    assert DrawBudget(per_hour, clock=Clock()).probability(0.0) == 1


@pytest.mark.slow
def test_draws_are_even_and_nested() -> None:
    ids = [f"sample {number}" for number in range(20_000)]
    for probability in (0.05, 0.3):
        drawn = sum(is_drawn(id, probability) for id in ids)
        assert drawn / len(ids) == pytest.approx(probability, rel=0.1)
    assert all(is_drawn(id, 0.3) for id in ids if is_drawn(id, 0.05))
    assert draw_of("sample 1") == draw_of("sample 1") != draw_of("sample 2")


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.mark.slow
@pytest.mark.parametrize("per_second", [0.05, 1, 50])
def test_the_budget_is_kept_however_many_come(per_second: float) -> None:
    """And the floor has its part of it. Traffic is 90 % clear."""
    clock, chance = Clock(), random.Random(5)
    budget = DrawBudget(600, clock=clock)
    spent = {0.01: 0.0, 1.0: 0.0}
    for _ in range(int(7200 * per_second)):
        clock.now += 1 / per_second
        wanted = 0.01 if chance.random() < 0.9 else 1.0
        probability = budget.probability(wanted)
        assert 0 < probability <= 1
        spent[wanted] += probability
    come, within = 7200 * per_second, 1200 + 100
    assert sum(spent.values()) <= within
    assert sum(spent.values()) >= 0.9 * min(1200, come)
    assert spent[0.01] > 0.8 * 0.9 * BLIND * sum(spent.values())


@pytest.mark.parametrize("per_hour", [10.0, 600.0])
def test_a_sample_is_drawn_in_proportion_to_its_need_also_by_a_small_budget(per_hour: float) -> None:
    """Ten times the need, about ten times the probability, beyond what is spent on everything alike."""
    clock, chance = Clock(), random.Random(6)
    budget = DrawBudget(per_hour, clock=clock)
    spent: dict[float, list[float]] = {0.5: [], 5.0: []}
    for number in range(20_000):
        clock.now += 1
        wanted = 5.0 if chance.random() < 0.1 else 0.5
        probability = budget.probability(wanted)
        if number > 5_000:
            spent[wanted].append(probability)
    low, high = (sum(found) / len(found) for found in spent.values())
    even = BLIND * per_hour / 3600
    assert (high - even) / (low - even) == pytest.approx(10, rel=0.15)


@pytest.mark.slow
def test_the_weights_stay_right_while_the_budget_adapts() -> None:
    """Harm that comes in bursts, each of them drawn with another probability: the weighted sum of what was drawn
    is right."""
    estimates = []
    for day in range(200):
        clock = Clock()
        budget = DrawBudget(120, clock=clock)
        total = 0.0
        for number in range(400):
            clock.now += 1 if number // 50 % 2 else 20
            harm = number % 50 < 20 and number % 3 == 0
            probability = budget.probability(1.0 if harm and number % 2 else 0.0)
            if is_drawn(f"{day} {number}", probability) and harm:
                total += 1 / probability
        estimates.append(total)
    truth = sum(number % 50 < 20 and number % 3 == 0 for number in range(400))
    spread = (sum((value - truth) ** 2 for value in estimates) / len(estimates)) ** 0.5
    assert sum(estimates) / len(estimates) == pytest.approx(truth, abs=3 * spread / len(estimates) ** 0.5)


def test_a_clock_that_jumps_back_gives_nothing_and_no_budget_draws_nothing() -> None:
    clock = Clock()
    budget = DrawBudget(60, clock=clock)
    for _ in range(100):
        budget.probability(1.0)
    low = budget.probability(1.0)
    clock.now -= 1e6
    assert budget.probability(1.0) <= low
    clock.now += 1e6  # no hour of budget comes of it: a burst is the most
    assert sum(budget.probability(1.0) for _ in range(1000)) <= 41
    assert DrawBudget(0, clock=clock).probability(1.0) == 0


def test_ten_minutes_of_budget_can_be_saved_and_no_more() -> None:
    """Of both parts together: they are the budget, not each of them."""
    clock = Clock()
    budget = DrawBudget(3600, clock=clock)
    clock.now += 1e5
    assert 400 < sum(budget.probability(1.0) for _ in range(5000)) < 600
