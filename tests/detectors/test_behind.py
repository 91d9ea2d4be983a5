"""The figure that stands beside a detector in `assay taxonomy` and on the page."""

import pytest

from detectors.behind import headline

_RECALL = "response: recall at 1 % false alarms"


def _measured(set_name: str, value: float, metric: str = "prompt: AUROC", *, seen: bool = False) -> dict[str, object]:
    return {"set": set_name, "metric": metric, "value": value, "seen": seen}


@pytest.mark.parametrize(
    ("measured", "line"),
    [
        ([], ""),
        ([_measured("A", 0.812)], "AUROC 0.81 on 1 benchmark"),
        ([_measured("A", 0.812), _measured("B", 0.934)], "AUROC 0.81 to 0.93 on 2 benchmarks"),
        ([_measured("A", 0.9953)], "AUROC 0.995 on 1 benchmark"),
        ([_measured("A", 1.0)], "AUROC 1.00 on 1 benchmark"),
        ([_measured("A", 0.9, seen=True)], "not measured on a public set of another source"),
        ([_measured("held-out rows of the training sets", 0.99)], "not measured on a public set of another source"),
        (
            [_measured("A", 0.9, seen=True), _measured("left out of training: several sources", 0.964)],
            "AUROC 0.96 on sources left out of its training; no public benchmark has labels for it",
        ),
        ([_measured("left out of training: B", 0.99), _measured("A", 0.7)], "AUROC 0.70 on 1 benchmark"),
        ([_measured("A", 0.4, _RECALL)], "recall at 1 % false alarms 0.40 on 1 benchmark"),
    ],
)
def test_the_headline_is_of_sets_that_trained_nothing(measured: list[dict[str, object]], line: str) -> None:
    assert headline(measured) == line
