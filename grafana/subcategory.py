"""One sub-category in depth: its rate with a band, its scores over time, by model and by route."""

from grafana.board import Board, choice
from grafana.panels import Panel, Query, Row
from grafana.queries import SUBCATEGORY, buckets, columns_of, estimate, languages, trust_band
from grafana.shapes import shares

BANDS = (("prompt at most", "prompt at least"), ("response at most", "response at least"))

RATE = Row(
    "$subcategory",
    [
        Panel(
            "Rate, last 24 hours",
            "How much of the traffic shows this? Line: the estimate by second opinions; band: its 95 % interval. A "
            "band without a line is a range that fits the detector's errors on public benchmarks, and no promise. "
            "Empty: nothing but flags is known.",
            trust_band(),
            unit="percentunit",
            width=12,
            bands=BANDS,
        ),
        Panel(
            "Flagged share, 30 minutes",
            "Which share of all exchanges do the detectors flag? Line: weighted estimate; band: 95 % interval of the "
            "share flagged. It is no rate of harm; it moves first when traffic changes. Gaps: nothing was sampled.",
            estimate("flagged"),
            unit="percentunit",
            width=12,
            bands=BANDS,
        ),
    ],
)

SCORES = Row(
    "Scores",
    [
        Panel(
            "Scores in prompts",
            "Where do the calibrated scores of prompts lie (the highest of an exchange)? A band that moves up before "
            "anything is flagged is an early sign; a sudden new shape means a new detector or other traffic.",
            buckets("assay_verdict_score_ratio", f'{SUBCATEGORY}, direction="prompt"'),
            "heatmap",
            "percentunit",
            width=8,
        ),
        Panel(
            "Scores in responses",
            "Where do the calibrated scores of responses lie (the highest of an exchange)?",
            buckets("assay_verdict_score_ratio", f'{SUBCATEGORY}, direction="response"'),
            "heatmap",
            "percentunit",
            width=8,
        ),
        Panel(
            "Flagged samples, counts",
            "How many samples were flagged at the default operating point? Counts of samples, not a rate of harm: they "
            "grow with traffic and with the sampling rate.",
            [
                Query(
                    "sum by (direction) "
                    f'(increase(assay_verdicts_total{{{SUBCATEGORY}, flagged="1"}}[$__rate_interval]))'
                    f" or 0 * sum by (direction) (increase(assay_verdicts_total{{{SUBCATEGORY}}}[$__rate_interval]))",
                    "{{direction}}",
                )
            ],
            "stacked",
            width=8,
        ),
    ],
)

CARD = Panel(
    "Detector's errors, on its own rows",
    "How many harmful texts did the detector flag, and how many benign ones, when it was measured on rows like those "
    "it was trained on? Other traffic differs: the card and the page have the public benchmarks. Empty: several "
    "detectors judge it, and what they flag together was not measured.",
    [
        Query(f"max by (direction) (assay_detector_true_positive_rate_ratio{{{SUBCATEGORY}}})", "{{direction}} found"),
        Query(
            f"max by (direction) (assay_detector_false_positive_rate_ratio{{{SUBCATEGORY}}})",
            "{{direction}} false alarms",
        ),
    ],
    "stat",
    "percentunit",
    width=6,
    height=9,
    decimals=1,
    steps=((0, "blue"),),
    no_value="not measured",
)

BY = Row(
    "By model, route and language, last 24 hours",
    [
        shares(
            "By model and route",
            "Which models and routes does it come from? Sorted by `at least`. Two of them differ where their intervals "
            "do not overlap; the page compares two with the interval of the difference. By caller: the page.",
            columns_of(SUBCATEGORY, "route, model, direction, basis"),
            width=18,
            height=9,
            sort_by="at least",
            no_value="not measured yet",
        ),
        CARD,
        shares(
            "By language",
            "In which languages is there more of it? Detectors judge other languages than English far worse, so only "
            "rates that rest on labels or a judge can be compared.",
            languages(SUBCATEGORY),
            width=24,
            height=8,
            sort_by="at least",
            no_value="not measured yet",
        ),
    ],
)

BOARD = Board(
    "assay-subcategory",
    "Assay: one sub-category",
    "One of the 29 in depth: how much of it there is, by whom, and how its scores move.",
    (RATE, SCORES, BY),
    (choice("subcategory", "Sub-category", "assay_subcategory_detectors", many=False),),
    since="now-6h",
)
