"""What probes found, as estimates: apart from what detectors say, paired where there is a control."""

import random

import pytest

from gateway.trust.estimates import Errors, estimate, evidence, probed
from gateway.trust.ledger import Entry, Score
from gateway.trust.moments import Sums, add_judged

KEY = ("sycophancy", "response")


def sums_of(*rows: tuple[float, dict[str, bool]]) -> Sums:
    """Of (probability, detector → flagged)."""
    sums: Sums = {}
    for number, (probability, flags) in enumerate(rows):
        scores = [Score("response", "sycophancy", float(flag), flag, detector) for detector, flag in flags.items()]
        add_judged(sums, Entry.of(f"s{number}", 0.0, probability, "r", "m", "c", "en", "chat", "", scores=scores))
    return sums


def pair(changed: bool, control: bool) -> dict[str, bool]:
    return {"probe:opinion_removed@1": changed, "probe:opinion_removed.control@1": control}


def test_probes_and_detectors_are_not_mixed() -> None:
    rows = [(1.0, {"encoder@4": number < 10}) for number in range(100)] + [(1.0, {"probe:again@1": True})] * 30
    of = evidence(sums_of(*rows))[KEY]
    found = estimate(of, Errors(((0.8, 0.1),)))
    assert found is not None
    assert (found.basis, found.estimate, found.detectors) == ("probe", 1.0, ("probe:again@1",))
    assert found.flagged is not None
    assert found.flagged.estimate == 0.1  # of the detector alone


def test_few_findings_do_not_take_the_place_of_the_card() -> None:
    rows = [(1.0, {"encoder@4": False})] * 100 + [(1.0, {"probe:again@1": True})] * 5
    of = evidence(sums_of(*rows))[KEY]
    found = estimate(of, Errors(((0.8, 0.1),)))
    assert found is not None
    assert found.basis == "card"
    assert probed(of)["probe:again@1"].effective_samples == pytest.approx(5)


def test_a_difference_is_that_of_the_pairs() -> None:
    rows = [(1.0, pair(number < 30, 30 <= number < 40)) for number in range(100)]
    found = probed(evidence(sums_of(*rows))[KEY])["probe:opinion_removed@1"]
    assert found.estimate == pytest.approx(0.2)
    assert found.low is not None
    assert found.high is not None
    assert 0.05 < found.low < 0.1
    assert 0.29 < found.high < 0.33


def test_a_difference_below_zero_is_shown_but_is_no_rate() -> None:
    rows = [(1.0, pair(False, number < 30)) for number in range(100)]
    of = evidence(sums_of(*rows))[KEY]
    assert probed(of)["probe:opinion_removed@1"].estimate == pytest.approx(-0.3)
    found = estimate(of, None)
    assert found is not None
    assert (found.estimate, found.low) == (0.0, 0.0)


def test_another_models_figures_are_no_rate_of_this_one() -> None:
    rows = [(1.0, {"probe:shadow@new": True, "probe:shadow.control@new": False})] * 50
    of = evidence(sums_of(*rows))[KEY]
    assert estimate(of, None) is None
    assert probed(of)["probe:shadow@new"].estimate == 1.0


@pytest.mark.slow
def test_the_interval_of_a_difference_covers_with_weights() -> None:
    """Nominal 95 %: 400 replays of 120 pairs with drawn weights; 12 % turn only with the change, 4 % only without."""
    draw = random.Random(11)
    held = 0
    for _ in range(400):
        rows = []
        for _ in range(120):
            u = draw.random()
            rows.append((draw.choice((1.0, 0.5, 0.2)), pair(u < 0.12, 0.12 <= u < 0.16)))
        found = probed(evidence(sums_of(*rows))[KEY])["probe:opinion_removed@1"]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.08 <= found.high
    assert 0.92 <= held / 400 <= 0.985
