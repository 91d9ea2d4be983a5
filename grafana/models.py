"""Models beside each other: which of them shows more of what."""

from grafana.board import Board, choice
from grafana.panels import Panel, Query, Row
from grafana.queries import MODEL, SUBCATEGORY, TRUST, columns_of
from grafana.shapes import shares

_TIMES = f"max by (subcategory, direction, model) (assay_trust_model_times{{{MODEL}, {SUBCATEGORY}}} > 1)"

SIDE = Row(
    "Side by side, last 24 hours",
    [
        Panel(
            "Surely worse than another model",
            "Which models show more of a sub-category than another model, and at least how many times as much? All "
            "models and rows are compared at once: at most 5 % of the list is expected to be here by chance. Models "
            "that are not listed may differ, too: no difference is shown yet.",
            [Query(_TIMES, "Times")],
            "table",
            width=10,
            height=12,
            decimals=2,
            sort_by="Times",
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
            "For each model, the highest lower bound among the chosen sub-categories: how much is surely there?",
            [Query(f"max by (model) ({TRUST['low']}{{{MODEL}, {SUBCATEGORY}}} >= 0)", "{{model}}")],
            unit="percentunit",
            width=12,
        ),
        Panel(
            "Samples' or labels' worth, by model",
            "How much data do the figures of each model rest on? Little data means wide intervals, not little harm.",
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
