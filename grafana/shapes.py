"""Panels that several dashboards have, and shapes that several panels have."""

from collections.abc import Sequence
from typing import Any

from grafana.panels import Panel, Query
from grafana.queries import counted, rate, share

_WORTH = "Tells as much as"
# Nothing but the reasons for which something was not read.
UNREAD = counted("assay_unread_total", "channel, reason", none="reason")


def tile(title: str, question: str, queries: str | Sequence[Query], unit: str = "short", **more: Any) -> Panel:
    """A figure of now on a coloured ground; `more` are fields of Panel."""
    queries = [Query(queries)] if isinstance(queries, str) else queries
    return Panel(title, question, queries, "stat", unit, height=4, **more)


def shares(title: str, question: str, columns: Sequence[Query], **more: Any) -> Panel:
    """A table of shares of the traffic. A column of effective sample sizes is a number beside them."""
    units = {_WORTH: "short"} if any(column.legend == _WORTH for column in columns) else {}
    return Panel(title, question, columns, "table", "percentunit", decimals=2, units=units, **more)


def alerts(title: str, question: str, names: str, **more: Any) -> Panel:
    """Which alert rules fire whose names match the pattern."""
    firing = f'max by (alertname) (ALERTS{{alertname=~"{names}", alertstate="firing"}}) or on() vector(0)'
    return tile(
        title,
        question,
        [Query(firing, "{{alertname}}")],
        steps=((0, "green"), (1, "red")),
        words={"0": "none", "1": "firing"},
        text_mode="value_and_name",
        **more,
    )


def samples_judged(**more: Any) -> Panel:
    judged = share(
        rate("assay_samples_total", where='fate="judged"', window="15m"),
        rate("assay_samples_offered_total", window="15m"),
    )
    return tile(
        "Samples judged",
        "Which share of the chosen samples got a verdict in the last 15 minutes? Trust rates describe these only. The "
        "alert fires below 90 %.",
        f"clamp_max({judged}, 1)",
        "percentunit",
        decimals=1,
        steps=((0, "red"), (0.9, "yellow"), (0.99, "green")),
        no_value="no samples",
        **more,
    )
