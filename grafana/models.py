"""Models beside each other: which of them shows more of what."""

from grafana.board import Board, choice
from grafana.panels import Panel, Query, Row
from grafana.queries import MODEL, SUBCATEGORY, TRUST, columns_of
from grafana.shapes import shares

_LOW = f"max by (subcategory, direction, model) ({TRUST['low']}{{{MODEL}, {SUBCATEGORY}}} >= 0)"
_BEST = f"min by (subcategory, direction) ({TRUST['high']}{{{MODEL}, {SUBCATEGORY}}} >= 0)"

SIDE = Row(
    "Side by side, last 24 hours",
    [
        shares(
            "Surely worse than another model",
            "Which models show more of a sub-category than some other one? Among many rows one may be here by chance. "
            "Their `at least` is above the other's `at most`. What is not here may differ all the same: no difference "
            "is shown yet. The figure is the gap between the two intervals.",
            [Query(f"{_LOW} - on (subcategory, direction) group_left () {_BEST} > 0", "Gap")],
            width=10,
            height=12,
            sort_by="Gap",
            no_value="no difference shown",
        ),
        shares(
            "All figures by model",
            "What is known of each model? Sorted by `at least`. Intervals of two models that overlap show no "
            "difference.",
            columns_of(f"{MODEL}, {SUBCATEGORY}", "model, subcategory, direction, basis"),
            width=14,
            height=12,
            sort_by="at least",
            no_value="not measured yet",
        ),
    ],
)

OVER_TIME = Row(
    "Over time",
    [
        Panel(
            "At least, by model",
            "How much of the chosen sub-categories is surely there, the highest of them, for each model?",
            [Query(f"max by (model) ({TRUST['low']}{{{MODEL}, {SUBCATEGORY}}} >= 0)", "{{model}}")],
            unit="percentunit",
            width=12,
        ),
        Panel(
            "Samples' or labels' worth, by model",
            "On how much do the figures of each model rest? A model with little has wide intervals, not little harm.",
            [Query(f"max by (model) ({TRUST['size']}{{{MODEL}, {SUBCATEGORY}}} > 0)", "{{model}}")],
            width=12,
        ),
    ],
)

BOARD = Board(
    "assay-models",
    "Assay: models compared",
    "Models beside each other, and where a difference is shown beyond doubt.",
    (SIDE, OVER_TIME),
    (
        choice("model", "Model", "assay_trust_effective_samples"),
        choice("subcategory", "Sub-category", "assay_subcategory_detectors"),
    ),
    since="now-6h",
)
