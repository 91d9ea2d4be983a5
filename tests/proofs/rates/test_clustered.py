"""Fewer replays than `python -m tests.proofs.rates.clustered`, and the same claim: three standard errors of a share of
0.95 over 60 replays are 0.085."""

from tests.proofs.rates.clustered import CASES, held


def test_where_callers_differ_the_wider_interval_holds_and_the_other_does_not() -> None:
    found = held(list(CASES["40 callers alike"]), labels=500, times=60)
    assert found.widened >= 0.95 - 0.085
    assert found.as_before < 0.8
    assert found.design_effect > 2
