"""Stated confidence, and how well it fits."""

import numpy as np
import pytest

from detectors.monitors.calibration import Figures, figures
from detectors.monitors.confidence import bin_of, row_of, stated_confidence
from tests.support.running.together import together


@together(
    ("text", "confidence"),
    [
        ("Paris.\nConfidence: 0.8", 0.8),
        ("Paris. Confidence: 85%", 0.85),
        ("My confidence is 7/10.", 0.7),
        ("**Confidence level:** 90 percent", 0.9),
        ("I am 95% sure that it is Paris.", 0.95),
        ("I'm 100 percent certain.", 1.0),
        ("Confidence: 0.2 at first, but now Confidence: 0.9", 0.9),
        ("I'm not sure, perhaps Paris.", 0.35),
        ("I am almost certain it is Paris.", 0.9),
        ("It is probably Paris.", 0.7),
        ("I don't know.", 0.1),
        ("It is Paris.", None),
        ("Confidence: 300", None),
        ("The probability of rain in 1999 was high", None),
        ("", None),
    ],
)
def test_confidence_is_read_as_people_write_it(text: str, confidence: float | None) -> None:
    assert stated_confidence(text) == confidence


def answers(size: int, gap: float, seed: int, weight: float = 1.0) -> Figures | None:
    """Of a model whose share right is its stated confidence less `gap`."""
    rng = np.random.default_rng(seed)
    bins: dict[int, list[float]] = {}
    stated_all = rng.choice([0.5, 0.6, 0.7, 0.8, 0.9, 0.95], size)
    right_all = rng.random(size) < stated_all - gap
    for stated, right in zip(stated_all.tolist(), right_all.tolist(), strict=True):
        row = row_of(stated, float(right), weight)
        known = bins.setdefault(bin_of(stated), [0.0] * 6)
        bins[bin_of(stated)] = [a + b for a, b in zip(known, row, strict=True)]
    return figures(bins)


@pytest.mark.slow
def test_the_interval_of_the_error_holds_the_truth() -> None:
    held = {0.0: 0, 0.15: 0}
    for gap in held:
        for seed in range(25):
            found = answers(400, gap, seed)
            assert found is not None
            held[gap] += found.ece[1] <= gap <= found.ece[2]
    assert min(held.values()) >= 22


def test_too_few_answers_give_no_figure() -> None:
    assert answers(40, 0.2, 1) is None
    assert figures({}) is None
    assert answers(100, 0.2, 1, weight=10.0) is not None


def test_confidence_that_tells_nothing_has_an_auroc_of_one_half() -> None:
    bins = {bin_of(stated): [100.0, 100.0, 100.0, 100 * stated, 60.0, 30.0] for stated in (0.6, 0.8)}
    found = figures(bins)
    assert found is not None
    assert found.auroc is not None
    assert found.auroc[0] == pytest.approx(0.5)
    assert found.auroc[1] < 0.5 < found.auroc[2]


def test_where_all_were_right_there_is_no_auroc() -> None:
    found = figures({15: [100.0, 100.0, 100.0, 80.0, 100.0, 4.0]})
    assert found is not None
    assert found.auroc is None
    assert found.accuracy == 1.0
