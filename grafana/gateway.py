"""The dashboard of the gateway: traffic, what it costs, upstreams, samples, detectors, the judge model."""

from grafana.board import Board, choice
from grafana.judging import JUDGING
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
            "Which alert rules fire now? Start here: Prometheus shows at /alerts what to do about each of them.",
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
            "How many answers did not report their usage, so that their tokens are not counted? Chat streams report it "
            "only to clients that ask for it. Filtered by route.",
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
            "How many calls were made, and did an answer begin? If the lines of an upstream differ, it fails while "
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
            "If hedging is on: what came of second tries that were made while the first was slow? Filtered by route.",
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

AUDIT = Row(
    "Audit",
    [
        Panel(
            "Audit and ledger",
            "Is every decision on record? Any dropped line is a gap in the record: the disk is full, read-only or too "
            "slow. `none` at zero: nothing was written, or no audit file is configured. While the clock has jumped "
            "ahead the ledger forgets nothing by its age.",
            [
                counted("assay_audit_lines_total", "result", none="result"),
                counted("assay_ledger_samples_total", "result", none="result", prefix="ledger "),
                Query(rate("assay_ledger_clock_jumps_total"), "jumps of the ledger's clock"),
            ],
            "stacked",
            "cps",
            width=9,
        ),
        Panel(
            "Moderations that requests asked for",
            "How did the moderations end that callers asked for (`moderation` in a request)? `failed`: not judged. "
            "`none` at zero: nobody asks.",
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
            "Do the background tasks (judge, audit, policy, ...) keep running? A task that ends again and again makes "
            "/healthz answer 503; the log says why it ended. `none` at zero: all is well.",
            [counted("assay_background_restarts_total", "task", none="task")],
            "stacked",
            "cps",
            width=12,
        ),
        Panel(
            "Changed keys",
            "Does the gateway use keys that changed in their file? `refused`: the file has a fault, the log says "
            "which, and the earlier keys stay in force. `none` at zero: no key changed.",
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
    (NOW, TRAFFIC, ADDED, TOKENS, UPSTREAMS, *JUDGING, AUDIT, PROCESS),
    (choice("route", "Route", "assay_requests_total"),),
)
