"""The rows of the gateway's dashboard about judging: samples, detectors, second opinions, probes."""

from grafana.panels import Panel, Query, Row
from grafana.queries import ROUTE, counted, or_none, percentiles, rate
from grafana.shapes import UNREAD

SAMPLES = Row(
    "Samples",
    [
        Panel(
            "Samples by fate",
            "What became of samples? judged is good; dropped: the queue was full; expired: it waited too long; failed: "
            "no detector could judge it. Traffic is never delayed by any of these.",
            [counted("assay_samples_total", "fate, reason", none="fate")],
            "stacked",
            "cps",
        ),
        Panel(
            "Samples chosen by route",
            "How many exchanges were chosen? If this and the judged samples drift apart, samples wait or are lost. "
            "Filtered by route.",
            [counted("assay_samples_offered_total", "route", ROUTE)],
            "stacked",
            "cps",
            width=5,
        ),
        Panel(
            "Share of the sample rates in force",
            "Is sampling lowered to keep to `samples_per_second` or `sample_cpu_share`? At 1 it is not. Rates stay "
            "right, with wider intervals.",
            [Query("min(assay_sampling_share)", "share")],
            unit="percentunit",
            width=5,
        ),
        Panel(
            "Queue",
            "How many samples wait, and how much memory do they hold? A queue that only grows ends in drops: lower the "
            "sampling or give the workers more CPU.",
            [Query("sum(assay_sample_queue_items)", "items"), Query("sum(assay_sample_queue_bytes)", "bytes")],
            units={"bytes": "bytes"},
            width=6,
        ),
        Panel(
            "Age at verdict",
            "How old was a sample when its verdicts came? This is how far the trust rates lag behind traffic.",
            percentiles("assay_sample_age_seconds"),
            unit="s",
            width=5,
        ),
    ],
)

DETECTORS = Row(
    "Detectors",
    [
        Panel(
            "Texts by state",
            "Was everything looked at that should have been? truncated: only the beginning was read; unreadable: in a "
            "script it was not made for; errored, absent and timed_out: not judged at all; skipped: nothing in it to "
            "judge, which is fine.",
            [
                Query(
                    rate("assay_detector_texts_total", "state")
                    + " / scalar("
                    + rate("assay_detector_texts_total")
                    + " > 0)",
                    "{{state}}",
                )
            ],
            "stacked",
            "percentunit",
            width=8,
            maximum=1,
        ),
        Panel(
            "Unread",
            "How much of the traffic was shown to no detector, and why? Images, files, unknown fields and scripts that "
            "the detectors do not know are not clean: `on_error` of each rule decides.",
            [UNREAD],
            "stacked",
            "cps",
            width=8,
        ),
        Panel(
            "Unjudged by detector",
            "Which detector fails? Share of its texts that errored, timed out or found it absent. The dashed line is "
            "where the alert fires.",
            [
                Query(
                    "("
                    + rate("assay_detector_texts_total", "detector", 'state=~"errored|timed_out|absent"')
                    + " or 0 * "
                    + rate("assay_detector_texts_total", "detector")
                    + ") / ("
                    + rate("assay_detector_texts_total", "detector")
                    + " > 0)",
                    "{{detector}}",
                )
            ],
            unit="percentunit",
            width=8,
            steps=((0, "transparent"), (0.01, "red")),
        ),
        Panel(
            "Judged before",
            "How many texts were the same as one judged shortly before, so that no detector was asked again?",
            [Query(rate("assay_detector_remembered_total") + " / (" + rate("assay_detector_texts_total") + " > 0)")],
            "stat",
            "percentunit",
            width=4,
        ),
        Panel(
            "Ready",
            "In how many gateway processes are the detectors loaded and answering? Red: nothing is judged.",
            [Query("sum(assay_detectors_ready)")],
            "stat",
            width=4,
            steps=((0, "red"), (1, "green")),
        ),
        Panel(
            "Own guards",
            "Do the guards behind HTTP answer? Texts without an answer are left to `on_error`. `none` at zero: there "
            "is no such guard.",
            [counted("assay_detector_calls_total", "detector, result", none="result")],
            unit="cps",
        ),
        Panel(
            "Own guards answer in",
            "How long do the guards behind HTTP take to answer?",
            percentiles("assay_detector_call_duration_seconds"),
            unit="s",
        ),
    ],
)

OPINIONS = Row(
    "Second opinions",
    [
        Panel(
            "Judge calls",
            "Does the judge model answer? A failed call costs an opinion, never traffic: the judge is asked about "
            "another sample later. `none` at zero: no judge is configured, or nothing was drawn for it.",
            [
                counted("assay_opinion_calls_total", "result", none="result"),
                counted("assay_opinion_failures_total", "reason", none="reason", prefix="failed: "),
            ],
            unit="cps",
        ),
        Panel(
            "Drawn for the judge",
            "What became of the samples that were drawn for a second opinion, and how many wait? Dropped ones were "
            "thinned while the judge was behind: what is left weighs more, so the rates stay right and get wider.",
            [
                counted("assay_opinion_items_total", "fate", none="fate"),
                Query("sum(assay_opinion_waiting_items) or on() vector(0)", "waiting"),
            ],
            unit="cps",
            units={"waiting": "short"},
        ),
        Panel(
            "Judge's answer takes",
            "How long does the judge model take to answer? Nobody waits for it.",
            percentiles("assay_opinion_call_duration_seconds"),
            unit="s",
        ),
        Panel(
            "Judge cost",
            "What did the judge cost in the last hour, in the currency of the prices in `judge`, and in tokens?",
            [
                Query("sum(increase(assay_opinion_cost_total[1h])) or on() vector(0)", "cost"),
                Query("sum by (side) (increase(assay_opinion_tokens_total[1h]))", "tokens {{side}}"),
            ],
            units={"tokens input": "short", "tokens output": "short"},
        ),
        Panel(
            "Judge waits for its budget",
            "How often did a call wait because the hour's calls or tokens were spent? More budget makes the intervals "
            "narrower. `none` at zero: it never waited.",
            [counted("assay_opinion_budget_exhausted_total", "budget", none="budget")],
            unit="cps",
        ),
        Panel(
            "Judge says yes",
            "How often does the judge say yes? A judge that always gives the same answer tells nothing. `none` at "
            "zero: it was asked nothing.",
            [
                Query(
                    or_none(
                        'sum by (subcategory) (increase(assay_opinion_verdicts_total{flagged="1"}[1h])) / sum by '
                        "(subcategory) (increase(assay_opinion_verdicts_total[1h]))",
                        "subcategory",
                    ),
                    "{{subcategory}}",
                )
            ],
            unit="percentunit",
        ),
        Panel(
            "Judge says yes to harmless texts",
            "How many of the harmless texts that it is shown as a check does the judge call harmful? It should be next "
            "to none. `none` at zero: it was shown none.",
            [
                Query(
                    or_none(
                        'sum by (subcategory) (increase(assay_opinion_controls_total{flagged="1"}[24h])) / sum by '
                        "(subcategory) (increase(assay_opinion_controls_total[24h]))",
                        "subcategory",
                    ),
                    "{{subcategory}}",
                )
            ],
            unit="percentunit",
        ),
    ],
)

PROBES = Row(
    "Probes",
    [
        Panel(
            "Requests sent again",
            "What became of the sampled requests that were drawn to be sent again in the shadow, and how many wait? "
            "`probe` and `reason` at zero: no probe is turned on.",
            [
                counted("assay_probe_items_total", "fate", none="probe"),
                counted("assay_probe_passed_over_total", "reason", none="reason", prefix="passed over: "),
                Query("sum(assay_probe_waiting_items) or on() vector(0)", "waiting"),
            ],
            "stacked",
            "cps",
            width=8,
        ),
        Panel(
            "Calls of probes",
            "Do upstreams answer probes, and what stops them? No caller is charged for them; they stop first when an "
            "upstream is in trouble, and when the hour's budget is spent.",
            [
                counted("assay_probe_calls_total", "result", none="result"),
                counted("assay_probe_failures_total", "reason", none="reason", prefix="failed: "),
                counted("assay_probe_budget_exhausted_total", "budget", none="budget", prefix="spent: "),
            ],
            "stacked",
            "cps",
            width=8,
        ),
        Panel(
            "What probes cost an hour",
            "How many tokens and how much money, by `prices`, did probes take in the last hour?",
            [
                Query("sum(increase(assay_probe_cost_total[1h])) or on() vector(0)", "cost"),
                Query("sum by (side) (increase(assay_probe_tokens_total[1h]))", "tokens {{side}}"),
            ],
            units={"tokens input": "short", "tokens output": "short"},
            width=8,
        ),
        Panel(
            "What probes find",
            "Which share of the replays of a probe shows what it looks for? A rate with its interval is on the trust "
            "dashboards. `none` at zero: no probe has compared answers.",
            [
                Query(
                    or_none(
                        'sum by (probe, subcategory) (increase(assay_probe_findings_total{flagged="1"}[1h])) / sum by '
                        "(probe, subcategory) (increase(assay_probe_findings_total[1h]))",
                        "probe",
                    ),
                    "{{probe}} {{subcategory}}",
                )
            ],
            unit="percentunit",
            width=12,
        ),
        Panel(
            "How answers were compared",
            "How were the answers of probes compared: by verdicts, refusals, contradiction, the words they share, or "
            "the panel?",
            [counted("assay_probe_comparisons_total", "by", none="by")],
            "stacked",
            "cps",
            width=12,
        ),
    ],
)

JUDGING = (SAMPLES, DETECTORS, OPINIONS, PROBES)
