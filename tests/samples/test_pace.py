"""How samples keep to their budget, and that what is estimated from them stays right meanwhile."""

import random

import pytest

from gateway.samples.pace import LEAST, Pace
from gateway.telemetry import metrics


class Machine:
    """A clock, and detectors that use `each` processor seconds for a sample."""

    def __init__(self, each: float = 0.0) -> None:
        self.now = 100.0
        self.used = 0.0
        self.each = each

    def pace(self, samples: float | None = None, cores: float | None = None) -> Pace:
        return Pace(samples, cores, cpu_seconds=lambda: self.used, clock=lambda: self.now)

    def pass_by(self, pace: Pace, a_second: int, seconds: int, rate: float = 1.0) -> list[float]:
        """The probabilities of so many exchanges, and processor time for what is chosen of them on average."""
        found = []
        for _ in range(a_second * seconds):
            self.now += 1 / a_second
            found.append(pace.probability(rate))
            self.used += self.each * found[-1]
        return found


def test_within_the_budget_the_rate_is_in_force() -> None:
    machine = Machine()
    assert set(machine.pass_by(machine.pace(samples=20), 40, 60, rate=0.5)) == {0.5}


@pytest.mark.parametrize("a_second", [40, 400])
def test_samples_keep_to_their_number_a_second(a_second: int) -> None:
    machine = Machine()
    pace = machine.pace(samples=10)
    machine.pass_by(pace, a_second, 60)
    assert sum(machine.pass_by(pace, a_second, 60)) == pytest.approx(600, rel=0.05)


def test_the_share_stays_for_a_second_and_is_shown() -> None:
    machine = Machine()
    pace = machine.pace(samples=10)
    machine.pass_by(pace, 100, 60)
    assert len(set(machine.pass_by(pace, 100, 1))) <= 2
    assert metrics.samples("assay_sampling_share") == {(): pace.share}
    machine.pace()
    assert metrics.samples("assay_sampling_share") == {(): 1.0}


@pytest.mark.parametrize("idle_seconds", [0.5, 10.0])
def test_processor_time_bounds_nothing_before_any_was_asked_for_or_used(idle_seconds: float) -> None:
    machine = Machine(each=0.0)
    pace = machine.pace(cores=0.001)
    machine.now += idle_seconds
    assert pace.probability(1.0) == 1.0
    assert set(machine.pass_by(pace, 100, 5)) == {1.0}


@pytest.mark.parametrize(("a_second", "share"), [(20, 1.0), (40, 0.5), (200, 0.1)])
def test_the_first_second_counts_in_full(a_second: int, share: float) -> None:
    machine = Machine()
    pace = machine.pace(samples=20)
    machine.pass_by(pace, a_second, 2)
    assert pace.share == pytest.approx(share, rel=0.06)


def test_what_detectors_used_before_does_not_count() -> None:
    machine = Machine(each=0.001)
    machine.used = 1e6
    assert set(machine.pass_by(machine.pace(cores=0.5), 100, 10)) == {1.0}


def test_after_a_burst_the_rate_is_in_force_again() -> None:
    machine = Machine()
    pace = machine.pace(samples=10)
    machine.pass_by(pace, 500, 30)
    assert pace.share < 0.05
    machine.pass_by(pace, 5, 200)
    assert pace.share == 1.0


def test_routes_are_lowered_alike() -> None:
    machine = Machine()
    pace = machine.pace(samples=10)
    machine.pass_by(pace, 100, 60)
    assert pace.probability(0.5) / pace.probability(0.1) == pytest.approx(5)


def test_detectors_keep_to_their_processor_time() -> None:
    machine = Machine(each=0.02)  # 100 a second would take two cores
    pace = machine.pace(cores=0.5)
    machine.pass_by(pace, 100, 120)
    before = machine.used
    machine.pass_by(pace, 100, 120)
    assert (machine.used - before) / 120 == pytest.approx(0.5, rel=0.1)


def test_what_guards_use_is_not_there_for_samples() -> None:
    machine = Machine(each=0.01)
    pace = machine.pace(cores=0.5)
    for _ in range(200):
        machine.used += 0.25  # every second, by a guard
        machine.pass_by(pace, 100, 1)
    before = machine.used
    machine.used += 0.25
    machine.pass_by(pace, 100, 1)
    assert machine.used - before == pytest.approx(0.5, rel=0.15)


def test_something_is_sampled_whatever_the_load() -> None:
    machine = Machine(each=10.0)
    pace = machine.pace(samples=1e-6, cores=1e-6)
    machine.pass_by(pace, 1000, 30)
    assert pace.share == LEAST


def test_detectors_that_begin_anew_and_clocks_that_jump_change_nothing() -> None:
    machine = Machine(each=0.001)
    pace = machine.pace(samples=1000, cores=0.5)
    machine.pass_by(pace, 100, 10)
    machine.used = 0.0
    machine.now -= 3600
    assert set(machine.pass_by(pace, 100, 10)) == {1.0}


@pytest.mark.slow
def test_weighted_shares_stay_right_while_the_budget_adapts() -> None:
    """Harm comes in bursts, just when the budget takes less: 200 replays of two minutes. The share of what was chosen,
    unweighted, is far off; the weighted one is right."""
    chance = random.Random(16)
    weighted, plain = [], []
    for _ in range(200):
        machine = Machine()
        pace, harm, total, found, chosen = machine.pace(samples=10), 0.0, 0.0, 0, 0
        truth = []
        for second in range(120):
            burst = second // 20 % 2 == 1
            for _ in range(100 if burst else 10):
                machine.now += 1 / (100 if burst else 10)
                harmful = chance.random() < (0.3 if burst else 0.02)
                truth.append(harmful)
                p = pace.probability(1.0)
                if chance.random() < p:
                    total += 1 / p
                    harm += harmful / p
                    found += harmful
                    chosen += 1
        share = sum(truth) / len(truth)
        weighted.append(harm / total - share)
        plain.append(found / chosen - share)
    error = (sum(e * e for e in weighted) / len(weighted)) ** 0.5
    assert abs(sum(weighted) / 200) < 4 * error / 200**0.5
    assert abs(sum(plain) / 200) > 5 * abs(sum(weighted) / 200)
