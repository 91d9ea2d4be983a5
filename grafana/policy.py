"""The policy: what it decides, what it would do, what passes it by, and what it costs in false alarms."""

from grafana.board import Board
from grafana.panels import Panel, Query, Row
from grafana.queries import counted, or_none, rate, share
from grafana.shapes import UNREAD, shares

DECISIONS = Row(
    "Decisions",
    [
        Panel(
            "Decisions by action and effect",
            "What did the policy do? enforced: it happened, counted on all traffic. monitored: it would have happened; "
            "leaked: seen only after the answer had left: both counted among the samples only. `none` at zero: nothing "
            "matched.",
            [counted("assay_decisions_total", "action, effect", none="action")],
            unit="cps",
        ),
        Panel(
            "Decisions by rule",
            "Which rule acts? One rule that jumps while traffic does not is worth a look at what it caught. `none` at "
            "zero: no rule matched.",
            [counted("assay_decisions_total", "rule, action", 'action!="allow"', none="rule")],
            unit="cps",
        ),
        Panel(
            "Guard bypasses",
            "Did anything pass unjudged because a guard failed and its rule says on_error allow? Anything but `none` "
            "at zero is a hole in the enforcement.",
            [counted("assay_guard_bypasses_total", "direction, reason", none="reason")],
            unit="cps",
            width=5,
        ),
        Panel(
            "Policy in force",
            "Which policy revision and mode does each gateway apply? More than one for longer than a roll-out: a "
            "gateway did not take the new one.",
            [Query("max by (revision, mode) (assay_policy_info == 1)", "{{revision}} {{mode}}")],
            "stat",
            width=3,
            steps=((0, "blue"),),
            text_mode="name",
        ),
    ],
)

WOULD = Row(
    "What it would do",
    [
        Panel(
            "Would block",
            "What would the rules that only watch have done, among the samples? Turn a rule on when this is what you "
            "want, and no more. `none` at zero: nothing matched.",
            [counted("assay_decisions_total", "rule, action", 'effect=~"monitored|canary"', none="rule")],
            unit="cps",
        ),
        Panel(
            "Blocked share, by rule",
            "Which share of all requests does each rule end, over 10 minutes? The alert compares it with the day "
            "before.",
            [Query(or_none("assay:blocked_requests:ratio_10m", "rule"), "{{rule}}")],
            unit="percentunit",
        ),
        Panel(
            "Unread",
            "What reached the policy without having been read? `on_error` of each rule decides over it. `none` at "
            "zero: all was read.",
            [UNREAD],
            "stacked",
            "cps",
        ),
    ],
)

COST = Row(
    "What it costs",
    [
        Panel(
            "Cost in false alarms, by rule",
            "How many benign requests an hour may each threshold of a rule catch, at most, at the present traffic, by "
            "the detector's table? A rule with several conditions catches fewer. Your benign texts are not the "
            "table's: review tells what is true here. `none` at zero: no rule has a threshold.",
            [
                Query(
                    or_none(
                        "max by (rule) (assay_policy_false_alarm_ratio >= 0) * on() group_left () (3600 * "
                        + rate("assay_requests_total", window="5m")
                        + ")",
                        "rule",
                    ),
                    "{{rule}}",
                )
            ],
            width=8,
        ),
        shares(
            "Thresholds and their cost",
            "Which share of benign texts reaches each threshold, at most, in the detector's table?",
            [
                Query(
                    "max by (rule, subcategory, direction) (assay_policy_false_alarm_ratio >= 0)",
                    "False alarms at most",
                )
            ],
            width=8,
            height=8,
            sort_by="False alarms at most",
            no_value="no threshold",
        ),
        Panel(
            "Held for judging",
            "Which share of requests waited for inline judging? It is what an enforcing policy costs in time; the "
            "dashboard of the gateway says how long.",
            [
                Query(
                    share(
                        rate("assay_guard_duration_seconds_count", where='direction="prompt"', window="5m"),
                        rate("assay_requests_total", window="5m"),
                    )
                )
            ],
            "stat",
            "percentunit",
            width=4,
            decimals=1,
            steps=((0, "blue"),),
            no_value="no traffic",
        ),
        Panel(
            "Changes refused",
            "How many changed policy files were refused in the last day? The last good one stays in force; the log and "
            "/trust/v1/policy say why.",
            [Query('sum(increase(assay_policy_loads_total{result="refused"}[1d])) or on() vector(0)')],
            "stat",
            width=4,
            decimals=0,
            steps=((0, "green"), (1, "yellow")),
        ),
    ],
)

BOARD = Board(
    "assay-policy",
    "Assay: policy",
    "What the policy decides, what it would do, what passes it by, and what it costs.",
    (DECISIONS, WOULD, COST),
)
