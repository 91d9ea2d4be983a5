"""What is shown as a rate, and where no correction is offered."""

from collections.abc import Mapping
from dataclasses import replace

from detectors import manifest
from detectors.base import Role
from gateway.pages.rates import error_rates, rates
from gateway.trust.estimates import Weights

INFO = manifest.load(weights=False)["secrets"]
KEY: tuple[str, Role] = ("privacy_violation", "prompt")


def detector(name: str, rates: tuple[float, float] | None) -> manifest.DetectorInfo:
    measured: Mapping[tuple[str, Role], tuple[float, float]] = {} if rates is None else {KEY: rates}
    return replace(INFO, name=name, operating={KEY: ((0.01, 0.5),)}, rates=measured)


def test_error_rates_are_offered_where_one_detector_alone_speaks() -> None:
    assert error_rates([detector("a", (0.8, 0.01))]) == {KEY: (0.8, 0.01)}


def test_no_error_rates_where_several_speak_whichever_was_measured() -> None:
    """What several flag together was not measured: the rates of one of them would be wrong for all."""
    assert error_rates([detector("a", (0.8, 0.01)), detector("b", (0.9, 0.02))]) == {}
    assert error_rates([detector("a", (0.8, 0.01)), detector("b", None)]) == {}
    assert error_rates([detector("a", None), detector("b", (0.8, 0.01))]) == {}


def test_no_error_rates_where_a_detector_separates_nothing() -> None:
    assert error_rates([detector("a", (0.5, 0.5))]) == {}
    assert error_rates([detector("a", None)]) == {}


def test_a_row_for_each_subcategory_and_direction() -> None:
    rows = rates({("violence", "response"): Weights(100, 100, 10, 10), ("hate", "prompt"): Weights(50, 500, 0, 0)})
    assert [(row["subcategory"], row["direction"]) for row in rows] == [("hate", "prompt"), ("violence", "response")]
    assert rows[1]["flagged_share"]["estimate"] == 0.1
    assert rows[0]["effective_samples"] == 5.0
