"""The dashboard `Assay`, as a table of rows and panels. `python -m grafana.assay` writes dashboards/assay.json."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from grafana.panels import DATASOURCE, Json, Panel, Query, Row, lay_out
from grafana.queries import ROUTE, SUBCATEGORY, buckets, estimate, or_none, per_subcategory, percentiles, rate, share

TARGET = Path(__file__).parent / "dashboards" / "assay.json"

BANDS = (("prompt at most", "prompt at least"), ("response at most", "response at least"))
ALL = rate("assay_requests_total", window="5m")
FAILING = 'outcome=~"upstream_failed|internal"'

NOW = Row(
    "Now",
    [
        Panel(
            "Gateways up",
            "Does every gateway answer its scrape? Red: none does, and nothing else on this page is current.",
            [Query('sum(up{job="assay"})')],
            "stat",
            width=3,
            height=4,
            steps=((0, "red"), (1, "green")),
            no_value="no target",
        ),
        Panel(
            "Alerts firing",
            "Which alert rules fire now? Start here: Prometheus shows at /alerts what each of them says to do.",
            [
                Query(
                    'max by (alertname) (ALERTS{alertname=~"Assay.+", alertstate="firing"}) or on() vector(0)',
                    "{{alertname}}",
                )
            ],
            "stat",
            width=6,
            height=4,
            steps=((0, "green"), (1, "red")),
            words={"0": "none", "1": "firing"},
            text_mode="value_and_name",
        ),
        Panel(
            "Requests",
            "How much traffic came in the last five minutes? A sudden zero is as bad as errors.",
            [Query(ALL)],
            "stat",
            "reqps",
            width=3,
            height=4,
            decimals=1,
        ),
        Panel(
            "Failing",
            "Which share of requests failed in the last five minutes for reasons that are not the caller's? "
            "Blocked and rejected requests do not count. The alert fires at 5 %.",
            [Query(share(rate("assay_requests_total", where=FAILING, window="5m"), ALL))],
            "stat",
            "percentunit",
            width=3,
            height=4,
            decimals=1,
            steps=((0, "green"), (0.01, "yellow"), (0.05, "red")),
            no_value="no traffic",
        ),
        Panel(
            "Added p99",
            "How much of the time to the first byte was ours, for the slowest hundredth of the last five minutes? "
            "The alert fires at 50 ms.",
            percentiles("assay_added_latency_seconds", window="5m")[1:],
            "stat",
            "s",
            width=3,
            height=4,
            steps=((0, "green"), (0.02, "yellow"), (0.05, "red")),
            no_value="no traffic",
        ),
        Panel(
            "Blocked",
            "Which share of requests did the policy end in the last five minutes? Compare with its usual level, in "
            "the row Decisions: a jump is an attack, a new app, or a rule that misfires.",
            [Query(share(rate("assay_requests_total", where='outcome="blocked"', window="5m"), ALL))],
            "stat",
            "percentunit",
            width=3,
            height=4,
            decimals=1,
            steps=((0, "blue"),),
            no_value="no traffic",
        ),
        Panel(
            "Samples judged",
            "Which share of the chosen samples got a verdict in the last 15 minutes? Trust rates describe these "
            "only. The alert fires below 90 %.",
            [
                Query(
                    "clamp_max("
                    + share(
                        rate("assay_samples_total", where='fate="judged"', window="15m"),
                        rate("assay_samples_offered_total", window="15m"),
                    )
                    + ", 1)"
                )
            ],
            "stat",
            "percentunit",
            width=3,
            height=4,
            decimals=1,
            steps=((0, "red"), (0.9, "yellow"), (0.99, "green")),
            no_value="no samples",
        ),
    ],
)

TRAFFIC = Row(
    "Traffic",
    [
        Panel(
            "Requests by outcome",
            "How did exchanges end? Every one has exactly one outcome. Orange and red are ours or the upstream's; "
            "blue is a caller's mistake; purple the policy. Filtered by route.",
            [Query(rate("assay_requests_total", "outcome", ROUTE), "{{outcome}}")],
            "stacked",
            "reqps",
            width=12,
        ),
        Panel(
            "Requests by status",
            "What did callers see? 4xx: their mistake or a block; 5xx: the upstream or us. Filtered by route.",
            [Query(rate("assay_requests_total", "status", ROUTE), "{{status}}")],
            "stacked",
            "reqps",
            width=12,
        ),
        Panel(
            "Errors by source and reason",
            "Whose fault were the exchanges that did not complete? client: tell the caller; policy: see Decisions; "
            "upstream: see Upstreams; internal: our log. `none` at zero: nothing went wrong.",
            [Query(or_none(rate("assay_errors_total", "source, reason"), "reason"), "{{source}} {{reason}}")],
            unit="reqps",
        ),
        Panel(
            "In flight",
            "How many exchanges are open now? A line that climbs and stays up: the upstream is slow or hangs.",
            [Query("sum(assay_requests_in_flight)", "open")],
        ),
        Panel(
            "Duration by mode",
            "How long did exchanges take, from the first header to the last byte? Mostly the upstream's time: "
            "read it beside First byte. Streams last as long as the answer is written.",
            percentiles("assay_request_duration_seconds", "mode"),
            unit="s",
        ),
    ],
)

ADDED = Row(
    "Added latency",
    [
        Panel(
            "Added to the first byte",
            "How much of the time to the first byte was ours, guards included? The dashed line is where the alert "
            "fires. p99 far above p50: some requests wait for CPU or for a guard.",
            percentiles("assay_added_latency_seconds"),
            unit="s",
            steps=((0, "transparent"), (0.05, "red")),
        ),
        Panel(
            "Added latency, distribution",
            "Is it all requests or only some? A second band above the first one is a group of requests that is "
            "slower, often those that are judged inline. Colour: number of requests.",
            buckets("assay_added_latency_seconds"),
            "heatmap",
            "s",
        ),
        Panel(
            "Inline judging",
            "How long did inline judging hold exchanges, before the upstream (prompt) and before the caller "
            "(response)? It is part of the added latency. Lines end where nothing was judged inline.",
            percentiles("assay_guard_duration_seconds", "direction"),
            unit="s",
        ),
    ],
)

UPSTREAMS = Row(
    "Upstreams",
    [
        Panel(
            "First byte",
            "How long did each upstream take to its first byte? This is theirs, not ours: if it rises while the "
            "added latency stays, the model server is slow.",
            percentiles("assay_upstream_first_byte_seconds", "upstream"),
            unit="s",
        ),
        Panel(
            "Failures",
            "How many calls failed, and why? Each try counts, also one that another upstream then saved. "
            "`none` at zero: no call failed.",
            [
                Query(
                    or_none(rate("assay_upstream_failures_total", "upstream, reason"), "reason"),
                    "{{upstream}} {{reason}}",
                )
            ],
            unit="reqps",
        ),
        Panel(
            "Connections",
            "How many connections are open? Busy near the configured maximum: calls wait for one, and "
            "pool_timeout follows.",
            [
                Query(
                    "sum by (upstream, state) (assay_upstream_connections)",
                    "{{upstream}} {{state}}",
                )
            ],
            "stacked",
        ),
        Panel(
            "Tries",
            "How many calls were made, and did an answer begin? Lines that come apart: that upstream fails while "
            "another one answers for it.",
            [Query(rate("assay_upstream_tries_total", "upstream, result"), "{{upstream}} {{result}}")],
            unit="reqps",
        ),
        Panel(
            "Fail-overs",
            "How many requests went on to this upstream because another one had failed? Filtered by route.",
            [Query(or_none(rate("assay_upstream_failovers_total", "upstream", ROUTE), "upstream"), "{{upstream}}")],
            unit="reqps",
        ),
        Panel(
            "State",
            "In how many gateway processes is each upstream up, set aside after failures, or being probed?",
            [Query("sum by (upstream, state) (assay_upstream_state)", "{{upstream}} {{state}}")],
            "stacked",
        ),
    ],
)

SAMPLES = Row(
    "Samples",
    [
        Panel(
            "Samples by fate",
            "What became of samples? judged is good; dropped: the queue was full; expired: it waited too long; "
            "failed: no detector could judge it. Traffic is never delayed by any of these.",
            [Query(rate("assay_samples_total", "fate, reason"), "{{fate}} {{reason}}")],
            "stacked",
            "cps",
        ),
        Panel(
            "Samples chosen by route",
            "How many exchanges were chosen? If this and the judged samples drift apart, samples wait or are "
            "lost. Filtered by route.",
            [Query(rate("assay_samples_offered_total", "route", ROUTE), "{{route}}")],
            "stacked",
            "cps",
            width=5,
        ),
        Panel(
            "Queue",
            "How many samples wait, and how much memory do they hold? A queue that only grows ends in drops: "
            "lower the sampling or give the workers more CPU.",
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
            "Was everything looked at that should have been? truncated: only the beginning was read; "
            "unreadable: in a script it was not made for; errored, absent and timed_out: not judged at all; skipped: "
            "nothing in it to judge, which is fine.",
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
            [Query(or_none(rate("assay_unread_total", "channel, reason"), "reason"), "{{channel}} {{reason}}")],
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
    ],
)

VERDICTS = Row(
    "Verdicts",
    [
        Panel(
            "Flagged share of traffic, last 30 minutes",
            "Where does it burn? Shares of all exchanges, estimated from the weighted samples, with a 95 % "
            "interval (Wilson, effective sample size). Sorted by `at least`: what is surely there comes first. "
            "A wide interval means few samples, not much harm. `Corrected` takes off the detector's measured "
            "errors (Rogan-Gladen): zero when no more is flagged than false alarms explain. Its bounds carry the "
            "sampling error only.",
            [
                Query(per_subcategory("assay:trust_flagged:ratio_30m"), "Flagged"),
                Query(per_subcategory("assay:trust_flagged_lower:ratio_30m"), "at least"),
                Query(per_subcategory("assay:trust_flagged_upper:ratio_30m"), "at most"),
                Query(per_subcategory("assay:trust_corrected:ratio_30m"), "Corrected"),
                Query(per_subcategory("assay:trust_corrected_lower:ratio_30m"), "corrected at least"),
                Query(per_subcategory("assay:trust_corrected_upper:ratio_30m"), "corrected at most"),
                Query(per_subcategory("assay:trust_effective_samples:count_30m"), "Effective samples"),
                Query(per_subcategory("assay_detector_true_positive_rate_ratio"), "Detector finds"),
                Query(per_subcategory("assay_detector_false_positive_rate_ratio"), "Detector false alarms"),
            ],
            "table",
            "percentunit",
            width=24,
            height=11,
            decimals=2,
            units={"Effective samples": "short"},
            sort_by="at least",
        ),
    ],
)

DECISIONS = Row(
    "Decisions",
    [
        Panel(
            "Decisions by action and effect",
            "What did the policy do? enforced: it happened, counted on all traffic. monitored: it would have "
            "happened; leaked: seen only after the answer had left: both counted among the samples only. "
            "`none` at zero: nothing matched.",
            [
                Query(
                    or_none(rate("assay_decisions_total", "action, effect"), "action"),
                    "{{action}} {{effect}}",
                )
            ],
            unit="cps",
        ),
        Panel(
            "Decisions by rule",
            "Which rule acts? One rule that jumps while traffic does not is worth a look at what it caught. "
            "`none` at zero: no rule matched.",
            [
                Query(
                    or_none(rate("assay_decisions_total", "rule, action", 'action!="allow"'), "rule"),
                    "{{rule}} {{action}}",
                )
            ],
            unit="cps",
        ),
        Panel(
            "Guard bypasses",
            "Did anything pass unjudged because a guard failed and its rule says on_error allow? Anything but "
            "`none` at zero is a hole in the enforcement.",
            [
                Query(
                    or_none(rate("assay_guard_bypasses_total", "direction, reason"), "reason"),
                    "{{direction}} {{reason}}",
                )
            ],
            unit="cps",
            width=5,
        ),
        Panel(
            "Policy in force",
            "Which policy revision and mode does each gateway apply? More than one for longer than a roll-out: "
            "a gateway did not take the new one.",
            [Query("max by (revision, mode) (assay_policy_info == 1)", "{{revision}} {{mode}}")],
            "stat",
            width=3,
            steps=((0, "blue"),),
            text_mode="name",
        ),
    ],
)

AUDIT = Row(
    "Audit",
    [
        Panel(
            "Audit and ledger",
            "Is every decision on record? Any dropped line is a gap in the record: the disk is full, read-only or "
            "too slow. `none` at zero: nothing was written, or no audit file is configured.",
            [
                Query(or_none(rate("assay_audit_lines_total", "result"), "result"), "{{result}}"),
                Query(or_none(rate("assay_ledger_samples_total", "result"), "result"), "ledger {{result}}"),
            ],
            "stacked",
            "cps",
            width=9,
        ),
        Panel(
            "Moderations that requests asked for",
            "What do the callers' own moderations say (`moderation` in a request)? `failed`: not judged. `none` "
            "at zero: nobody asks.",
            [Query(or_none(rate("assay_moderations_total", "side, result"), "result"), "{{side}} {{result}}")],
            "stacked",
            "cps",
            width=9,
        ),
        Panel(
            "Version",
            "Which version serves? Two of them: a roll-out is under way, or stuck.",
            [Query("max by (version) (assay_build_info)", "{{version}}")],
            "stat",
            width=6,
            steps=((0, "blue"),),
            text_mode="name",
        ),
    ],
)

PROCESS = Row(
    "Process",
    [
        Panel(
            "Background tasks started again",
            "Does what runs beside the traffic (judge, audit, policy, ...) keep running? A task that ends again and "
            "again makes /healthz answer 503; the log says why it ended. `none` at zero: all is well.",
            [Query(or_none(rate("assay_background_restarts_total", "task"), "task"), "{{task}}")],
            "stacked",
            "cps",
            width=12,
        ),
        Panel(
            "Changed keys",
            "Were keys that changed in their file taken up? `refused`: the file has a fault, the log says which, and "
            "the keys before it stay in force. `none` at zero: no key changed.",
            [Query(or_none(rate("assay_key_loads_total", "result"), "result"), "{{result}}")],
            "stacked",
            "cps",
            width=12,
        ),
    ],
)

ONE = Row(
    "Sub-category: $subcategory",
    [
        Panel(
            "Flagged share, estimate",
            "Which share of all exchanges do the detectors flag, over 30 minutes? Line: weighted estimate; band: "
            "95 % interval. Two moments differ when their bands do not overlap. Gaps: nothing was sampled.",
            estimate("flagged"),
            unit="percentunit",
            width=6,
            bands=BANDS,
        ),
        Panel(
            "Flagged share, corrected for detector error",
            "Which share is really there, given how often the detector misses and raises false alarms "
            "(Rogan-Gladen)? Zero: no more than false alarms explain. The band carries the sampling error only. "
            "Empty: the detector's error was not measured here.",
            estimate("corrected"),
            unit="percentunit",
            width=6,
            bands=BANDS,
        ),
        Panel(
            "Scores, distribution",
            "Where do the calibrated scores lie (the highest of an exchange)? A band that moves up before anything "
            "is flagged is an early sign; a sudden new shape means a new detector or other traffic.",
            buckets("assay_verdict_score_ratio", SUBCATEGORY),
            "heatmap",
            "percentunit",
            width=6,
        ),
        Panel(
            "Flagged samples, counts",
            "How many samples were flagged at the default operating point? Counts of samples, not a rate of harm: "
            "they grow with traffic and with the sampling rate.",
            [
                Query(
                    "sum by (direction) "
                    f'(increase(assay_verdicts_total{{{SUBCATEGORY}, flagged="1"}}[$__rate_interval]))'
                    f" or 0 * sum by (direction) (increase(assay_verdicts_total{{{SUBCATEGORY}}}[$__rate_interval]))",
                    "{{direction}}",
                )
            ],
            "stacked",
            width=6,
        ),
    ],
    repeat="subcategory",
)

ROWS: Sequence[Row] = (
    NOW,
    TRAFFIC,
    ADDED,
    UPSTREAMS,
    SAMPLES,
    DETECTORS,
    VERDICTS,
    DECISIONS,
    AUDIT,
    PROCESS,
    ONE,
)


def _choice(name: str, label: str, metric: str) -> Json:
    query = f"label_values({metric}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def dashboard() -> Json:
    """The dashboard in Grafana's classic JSON, schema 39."""
    return {
        "uid": "assay",
        "title": "Assay",
        "description": "What passes through the gateway, what it costs, and what the detectors and the policy say.",
        "tags": ["assay"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [],
        "annotations": {
            "list": [
                {
                    "name": "New policy revision",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "iconColor": "purple",
                    "expr": "max by (revision) (assay_policy_info == 1)"
                    " unless max by (revision) (assay_policy_info offset 5m == 1)",
                    "step": "60s",
                    "titleFormat": "Policy {{revision}}",
                }
            ]
        },
        "templating": {
            "list": [
                {
                    "name": "DS_PROMETHEUS",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "refresh": 1,
                },
                _choice("route", "Route", "assay_requests_total"),
                _choice("subcategory", "Sub-category", "assay_verdicts_total"),
            ]
        },
        "panels": lay_out(ROWS),
    }


def text() -> str:
    """The file's content."""
    return msgspec.json.format(msgspec.json.encode(dashboard()), indent=2).decode() + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
