"""Fewer replays than `python -m tests.proofs.rates.differences`, and the same claim: three standard errors of a share
of 0.05 over 100 replays are 0.065."""

import pytest

from tests.proofs.rates.differences import CASES, shown


@pytest.mark.parametrize("case", CASES)
def test_callers_who_differ_are_no_difference_between_models(case: str) -> None:
    assert shown(*CASES[case], factor=1.0, times=100).now <= 0.05 + 0.065


def test_one_busy_caller_was_taken_for_a_model_and_callers_of_both_models_still_tell() -> None:
    own, both = CASES["each has 40 of its own, equally busy"], CASES["20 use both, equally busy"]
    assert shown(*CASES["20 use both, one makes half of the first's"], factor=1.0, times=60).before > 0.3
    assert shown(*own, factor=3.0, times=60).now > 0.6
    assert shown(*both, factor=3.0, times=60).now > 0.9
