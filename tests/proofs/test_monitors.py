"""Fewer series than `python -m tests.proofs.monitors`, and the same claims."""

import numpy as np
import pytest

from detectors.monitors.shape import Shaper, empty
from tests.proofs import repeats
from tests.proofs.monitors import (
    cohorts,
    effect_alarm,
    fault_alarm,
    faults,
    gap_alarm,
    latencies,
    latency_alarm,
    shift_alarm,
    steps,
)
from tests.proofs.public_sets import shape_of


def test_alarms_are_quiet_where_nothing_changes() -> None:
    """The promise is at most one false alarm in 365 days of a series, so one in 45 of eight days."""
    chance = np.random.default_rng(3)
    assert sum(gap_alarm(chance) for _ in range(12)) == 0
    assert sum(effect_alarm(chance) for _ in range(60)) <= 3
    assert sum(shift_alarm(chance) for _ in range(300)) <= 1


def test_gaps_and_steps_are_found_and_none_where_there_are_none() -> None:
    none, _, large = cohorts(30)
    assert none.found <= 0.2
    assert large.found >= 0.8
    no_step, *_, step = list(steps(30))[:4]
    assert no_step.found <= 0.2
    assert step.found >= 0.9
    assert min(line.holds or 0 for line in (none, large, no_step, step)) >= 0.8


def test_latency_and_faults_of_one_cohort_are_found_and_alarms_are_quiet() -> None:
    none, *_, large = latencies(20)
    assert none.found <= 0.2
    assert large.found >= 0.9
    none, *_, large = faults(20)
    assert none.found <= 0.2
    assert large.found >= 0.9
    chance = np.random.default_rng(4)
    assert not any(latency_alarm(chance) or fault_alarm(chance) for _ in range(3))


def test_repeats_of_prompts_are_no_evidence_and_prompts_are() -> None:
    """Before they counted as one, a gap or a lean was found in seven to eight of ten."""
    days = [repeats.observed(np.random.default_rng(run), repeats.Traffic(30, 30, 20)) for run in range(5)]
    assert sum(repeats.gap_found(day) or repeats.lean_found(day) or repeats.gap_alarm(day) for day in days) <= 1
    worse = [repeats.observed(np.random.default_rng(run), repeats.Traffic(60, 150, 2, 0.4)) for run in range(4)]
    assert sum(repeats.gap_found(day) for day in worse) >= 3


def test_texts_are_added_up_as_the_product_does() -> None:
    texts = [frozenset(map(int, np.random.default_rng(seed).integers(0, 300, 12))) for seed in range(40)]
    shape, shaper = empty(), Shaper()
    for text in texts:
        shaper.add(shape, text, 1.0)
    assert shape_of(texts) == pytest.approx(np.array(shape), abs=1e-4)
