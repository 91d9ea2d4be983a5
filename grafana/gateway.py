"""The dashboard of the gateway: traffic, what it costs, upstreams, samples, detectors, the judge model."""

from grafana.board import Board, choice
from grafana.panels import Panel, Query, Row
from grafana.queries import ROUTE, buckets, counted, or_none, percentiles, rate, share
from grafana.shapes import alerts, samples_judged, tile

ALL = rate("assay_requests_total", window="5m")
FAILING = 'outcome=~"upstream_failed|internal"'

NOW = Row(
    "Now",
    [
        tile(
            "Gateways up",
            "Does every gateway answer its scrape? Red: none does, and nothing else on this page is current.",
            'sum(up{job="assay"})',
            width=3,
            steps=((0, "red"), (1, "green")),
            no_value="no target",
        ),
        alerts(
            "Alerts firing",
            "Which alert rules fire now? Start here: Prometheus shows at /alerts what each of them says to do.",
            "Assay.+",
            width=6,
        ),
        tile(
            "Requests",
            "How much traffic came in the last five minutes? A sudden zero is as bad as errors.",
            ALL,
            "reqps",
            width=3,
            decimals=1,
        ),
        tile(
            "Failing",
            "Which share of requests failed in the last five minutes for reasons that are not the caller's? Blocked "
            "and rejected requests do not count. The alert fires at 5 %.",
            share(rate("assay_requests_total", where=FAILING, window="5m"), ALL),
            "percentunit",
            width=3,
            decimals=1,
            steps=((0, "green"), (0.01, "yellow"), (0.05, "red")),
            no_value="no traffic",
        ),
        tile(
            "Added p99",
            "How much of the time to the first byte was ours, for the slowest hundredth of the last five minutes? The "
            "alert fires at 50 ms.",
            percentiles("assay_added_latency_seconds", window="5m")[1:],
            "s",
            width=3,
            steps=((0, "green"), (0.02, "yellow"), (0.05, "red")),
            no_value="no traffic",
        ),
        tile(
            "Blocked",
            "Which share of requests did the policy end in the last five minutes? Compare with its usual level, in the "
            "dashboard Policy: a jump is an attack, a new app, or a rule that misfires.",
            share(rate("assay_requests_total", where='outcome="blocked"', window="5m"), ALL),
            "percentunit",
            width=3,
            decimals=1,
            steps=((0, "blue"),),
            no_value="no traffic",
        ),
        samples_judged(width=3),
    ],
)

TRAFFIC = Row(
    "Traffic",
    [
        Panel(
            "Requests by outcome",
            "How did exchanges end? Every one has exactly one outcome. Orange and red are ours or the upstream's; blue "
            "is a caller's mistake; purple the policy. Filtered by route.",
            [counted("assay_requests_total", "outcome", ROUTE)],
            "stacked",
            "reqps",
            width=12,
        ),
        Panel(
            "Requests by status",
            "What did callers see? 4xx: their mistake or a block; 5xx: the upstream or us. Filtered by route.",
            [counted("assay_requests_total", "status", ROUTE)],
            "stacked",
            "reqps",
            width=12,
        ),
        Panel(
            "Errors by source and reason",
            "Whose fault were the exchanges that did not complete? client: tell the caller; policy: see the dashboard "
            "Policy; upstream: see Upstreams; internal: our log. `none` at zero: nothing went wrong.",
            [counted("assay_errors_total", "source, reason", none="reason")],
            unit="reqps",
        ),
        Panel(
            "In flight",
            "How many exchanges are open now? A line that climbs and stays up: the upstream is slow or hangs.",
            [Query("sum(assay_requests_in_flight)", "open")],
        ),
        Panel(
            "Duration by mode",
            "How long did exchanges take, from the first header to the last byte? Mostly the upstream's time: read it "
            "beside First byte. Streams last as long as the answer is written.",
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
            "Is it all requests or only some? A second band above the first one is a group of requests that is slower, "
            "often those that are judged inline. Colour: number of requests.",
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

TOKENS = Row(
    "Tokens and cost",
    [
        Panel(
            "Tokens",
            "How many tokens a second did models take in and give out, as their answers say? Filtered by route.",
            [counted("assay_tokens_total", "model, direction", ROUTE, none="model")],
        ),
        Panel(
            "Cost per hour",
            "What do tokens cost at the present rate, by the price table of the settings? Filtered by route. `none` at "
            "zero: no price is configured, or nothing was used.",
            [
                Query(
                    or_none("3600 * " + rate("assay_cost_total", "model, currency", ROUTE), "model"),
                    "{{model}} {{currency}}",
                )
            ],
        ),
        Panel(
            "Answers without usage",
            "How many answers told no usage, so that their tokens are in no count? Chat streams tell it only to "
            "clients that ask for it. Filtered by route.",
            [counted("assay_answers_without_usage_total", "route", ROUTE, none="route")],
            unit="reqps",
        ),
    ],
)

UPSTREAMS = Row(
    "Upstreams",
    [
        Panel(
            "First byte",
            "How long did each upstream take to its first byte? This is theirs, not ours: if it rises while the added "
            "latency stays, the model server is slow.",
            percentiles("assay_upstream_first_byte_seconds", "upstream"),
            unit="s",
        ),
        Panel(
            "Failures",
            "How many calls failed, and why? Each try counts, also one that another upstream then saved. `none` at "
            "zero: no call failed.",
            [counted("assay_upstream_failures_total", "upstream, reason", none="reason")],
            unit="reqps",
        ),
        Panel(
            "Connections",
            "How many connections are open? Busy near the configured maximum: calls wait for one, and pool_timeout "
            "follows.",
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
            [counted("assay_upstream_tries_total", "upstream, result")],
            unit="reqps",
        ),
        Panel(
            "Fail-overs",
            "How many requests went on to this upstream because another one had failed? Filtered by route.",
            [counted("assay_upstream_failovers_total", "upstream", ROUTE, none="upstream")],
            unit="reqps",
        ),
        Panel(
            "Second tries",
            "Where hedging is on: what came of second tries beside a slow first one? Filtered by route.",
            [counted("assay_upstream_hedges_total", "result", ROUTE, none="result")],
            unit="reqps",
        ),
        Panel(
            "State",
            "In how many gateway processes is each upstream up, suspected because it is silent, set aside after "
            "failures, or being probed?",
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
            "What became of samples? judged is good; dropped: the queue was full; expired: it waited too long; failed: "
            "no detector could judge it. Traffic is never delayed by any of these.",
            [counted("assay_samples_total", "fate, reason")],
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
            [counted("assay_unread_total", "channel, reason", none="reason")],
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
            [
                Query(
                    or_none(rate("assay_detector_calls_total", "detector, result"), "result"),
                    "{{detector}} {{result}}",
                )
            ],
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
            "Does the judge model answer? A failed call costs an opinion, never traffic: a sample in its place is "
            "asked of later. `none` at zero: no judge is configured, or nothing was drawn for it.",
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
            "Of what it was asked, how often does the judge say yes? One that always says the same tells nothing. "
            "`none` at zero: it was asked nothing.",
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
            "By what were the answers of probes compared: verdicts, refusals, contradiction, the words they share, or "
            "the panel?",
            [counted("assay_probe_comparisons_total", "by", none="by")],
            "stacked",
            "cps",
            width=12,
        ),
    ],
)

AUDIT = Row(
    "Audit",
    [
        Panel(
            "Audit and ledger",
            "Is every decision on record? Any dropped line is a gap in the record: the disk is full, read-only or too "
            "slow. `none` at zero: nothing was written, or no audit file is configured.",
            [
                counted("assay_audit_lines_total", "result", none="result"),
                counted("assay_ledger_samples_total", "result", none="result", prefix="ledger "),
            ],
            "stacked",
            "cps",
            width=9,
        ),
        Panel(
            "Moderations that requests asked for",
            "What do the callers' own moderations say (`moderation` in a request)? `failed`: not judged. `none` at "
            "zero: nobody asks.",
            [counted("assay_moderations_total", "side, result", none="result")],
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
            [counted("assay_background_restarts_total", "task", none="task")],
            "stacked",
            "cps",
            width=12,
        ),
        Panel(
            "Changed keys",
            "Were keys that changed in their file taken up? `refused`: the file has a fault, the log says which, and "
            "the keys before it stay in force. `none` at zero: no key changed.",
            [counted("assay_key_loads_total", "result", none="result")],
            "stacked",
            "cps",
            width=12,
        ),
        Panel(
            "Processor",
            "How many cores do the processes take: gateway, detectors, worker? A gateway that takes a whole core is at "
            "its limit: add `workers`.",
            [Query("sum by (process) (rate(assay_process_cpu_seconds[$__rate_interval]))", "{{process}}")],
            "stacked",
        ),
        Panel(
            "Memory",
            "How much memory do the processes hold? A line that climbs for days under steady traffic is a leak.",
            [Query("sum by (process) (assay_process_resident_memory_bytes)", "{{process}}")],
            "stacked",
            "bytes",
        ),
        Panel(
            "File descriptors",
            "Which share of its file descriptors does the fullest process use? At 100 % connections fail.",
            [
                Query(
                    "max by (process) (assay_process_open_fds) / on() group_left() min(assay_process_max_fds)",
                    "{{process}}",
                )
            ],
            unit="percentunit",
        ),
    ],
)

BOARD = Board(
    "assay",
    "Assay: gateway",
    "What passes through the gateway and what it costs, upstreams, samples and detectors.",
    (NOW, TRAFFIC, ADDED, TOKENS, UPSTREAMS, SAMPLES, DETECTORS, OPINIONS, PROBES, AUDIT, PROCESS),
    (choice("route", "Route", "assay_requests_total"),),
)
