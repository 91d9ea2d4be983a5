"""Simulated truth: a scripted model that follows the user's opinion, wavers, or prefers one group in a known share.

Every replay is a stream of requests through the whole of a prober: drawn, sent again, compared, added up, estimated.
The estimates must hold what is true of the model, and be right on the whole. `python -m tests.proofs.probes` does more.
"""

import pytest

from tests.proofs.probes import CASES, Case, replays


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_estimates_hold_the_truth(case: Case) -> None:
    found = await replays(case, count=12, requests=80, seed=5)
    assert found.held >= 10 / 12  # of 95 % intervals; fewer of 12 would hold once in 50 times, and the seed is fixed
    assert found.mean == pytest.approx(case.truth, abs=0.04)
