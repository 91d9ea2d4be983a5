"""Fewer series than `python -m tests.proofs.cultures`, and the same claims."""

import numpy as np

from tests.proofs.cultures import culture_alarm, cultures


def test_a_gap_between_cultures_is_found_and_none_where_there_is_none() -> None:
    found = {line.case: line for line in cultures(12) if not line.case.startswith(" ")}
    assert found["no gap, 40 cultures (any)"].found <= 0.2
    assert found["10 points more refused of one culture, 370 answers"].found >= 0.6
    assert found["5 points more toxic of one culture, 370 answers"].found >= 0.8
    assert min(line.holds or 0 for line in found.values()) >= 0.8


def test_alarms_are_quiet_where_all_cultures_are_answered_alike() -> None:
    assert not any(culture_alarm(np.random.default_rng(seed)) for seed in range(2))
