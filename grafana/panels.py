"""Panels in Grafana's classic JSON, and their places: rows of 24 columns filled from left to right.

A `Panel` holds what differs between panels; everything that is the same for all of a kind is said once here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
COLUMNS = 24

# The values of a closed label keep their colour on every panel that has one line for each of them.
COLOURS = {
    "outcome": {
        "completed": "green",
        "rejected": "blue",
        "blocked": "purple",
        "client_gone": "gray",
        "upstream_failed": "orange",
        "internal": "red",
    },
    "status": {"2xx": "green", "3xx": "light-green", "4xx": "blue", "5xx": "red"},
    "state": {
        "scanned": "green",
        "skipped": "gray",
        "truncated": "yellow",
        "unreadable": "light-yellow",
        "timed_out": "orange",
        "errored": "red",
        "absent": "dark-red",
    },
    "result": {"written": "green", "dropped": "red"},
    "direction": {"prompt": "blue", "response": "orange", "none": "gray"},
}


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; `legend` is Grafana's legend format (a table's column name)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `description` says which question it answers and how to read it.

    `kind` is a key of `KINDS`, `unit` one of Grafana's. `steps` are thresholds: (from this value on, colour), the
    first from minus infinity. `bands` are (upper, lower) pairs of legends between which the area is filled.
    `units` gives single legends a unit (and, among lines, an axis) of their own, `words` replaces values by words,
    `no_value` is shown where there is nothing; `text_mode` is that of a stat: `name` shows
    the legend in place of the value.
    """

    title: str
    description: str
    queries: Sequence[Query]
    kind: str = "lines"
    unit: str = "short"
    width: int = 8
    height: int = 8
    decimals: int | None = None
    maximum: float | None = None
    steps: Sequence[tuple[float, str]] = ()
    bands: Sequence[tuple[str, str]] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    no_value: str = ""
    text_mode: str = "auto"
    sort_by: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading. `repeat` names the variable that the row is repeated for."""

    title: str
    panels: Sequence[Panel]
    repeat: str | None = None


def lay_out(rows: Sequence[Row]) -> list[Json]:
    """Every row heading and panel with its id and its place. Raises ValueError when a panel is wider than a row."""
    placed: list[Json] = []
    y = 0
    for row in rows:
        heading = {"type": "row", "title": row.title, "collapsed": False, "panels": []}
        if row.repeat:
            heading["repeat"] = row.repeat
        placed.append(heading | {"gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if panel.width > COLUMNS:
                raise ValueError(f"panel {panel.title!r} is {panel.width} columns wide, a row has {COLUMNS}")
            if x + panel.width > COLUMNS:
                y, x, tallest = y + tallest, 0, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            placed.append(_panel(panel) | {"gridPos": place})
            x, tallest = x + panel.width, max(tallest, panel.height)
        if 0 < x < COLUMNS and placed[-1]["type"] != "stat":  # the last one takes what is left, instead of a gap
            placed[-1]["gridPos"]["w"] += COLUMNS - x
        y += tallest
    return [entry | {"id": number} for number, entry in enumerate(placed, 1)]


def _panel(panel: Panel) -> Json:
    return {
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [_target(query, panel.kind, chr(ord("A") + number)) for number, query in enumerate(panel.queries)],
    } | KINDS[panel.kind](panel)


def _target(query: Query, kind: str, ref: str) -> Json:
    now = kind in ("stat", "table")
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
        "instant": now,
        "range": not now,
    }


def _defaults(panel: Panel) -> Json:
    steps = panel.steps or ((0.0, "green"),)
    defaults: Json = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [
                {"color": colour, "value": value if number else None} for number, (value, colour) in enumerate(steps)
            ],
        },
    }
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.no_value:
        defaults["noValue"] = panel.no_value
    if panel.words:
        options = {value: {"text": text, "index": n} for n, (value, text) in enumerate(panel.words.items())}
        defaults["mappings"] = [{"type": "value", "options": options}]
    return defaults


def _override(legend: str, **properties: object) -> Json:
    return {
        "matcher": {"id": "byName", "options": legend},
        "properties": [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()],
    }


def _lines(panel: Panel) -> Json:
    hidden = {"legend": True, "tooltip": False, "viz": False}
    overrides = []
    for upper, lower in panel.bands:
        thin = {"custom__lineWidth": 0, "custom__hideFrom": hidden}
        overrides.append(_override(upper, custom__fillBelowTo=lower, custom__fillOpacity=20, **thin))
        overrides.append(_override(lower, custom__fillOpacity=0, **thin))
        # One colour for a line and its band: the first word of the three legends.
        family = upper.split()[0]
        colour = {"mode": "fixed", "fixedColor": COLOURS["direction"][family]}
        overrides += [_override(legend, color=colour) for legend in (family, upper, lower)]
    overrides += [_override(legend, custom__axisPlacement="right", unit=unit) for legend, unit in panel.units.items()]
    overrides += [
        _override(value, color={"mode": "fixed", "fixedColor": colour})
        for label, colours in COLOURS.items()
        if any(query.legend == "{{" + label + "}}" for query in panel.queries)
        for value, colour in colours.items()
    ]
    custom = {
        "lineWidth": 2,
        "fillOpacity": 60 if panel.kind == "stacked" else 0 if panel.bands else 8,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.kind == "stacked" else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }
    return {
        "type": "timeseries",
        "fieldConfig": {"defaults": _defaults(panel) | {"custom": custom}, "overrides": overrides},
        "options": {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _stat(panel: Panel) -> Json:
    return {
        "type": "stat",
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": {
            "colorMode": "background",
            "graphMode": "none",
            "textMode": panel.text_mode,
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def _heatmap(panel: Panel) -> Json:
    return {
        "type": "heatmap",
        "fieldConfig": {"defaults": {"custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}}},
        "options": {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "steps": 64},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
            "yAxis": {"axisPlacement": "left", "unit": panel.unit, "reverse": False},
        },
    }


def _table(panel: Panel) -> Json:
    """The queries become columns, joined on the labels they share."""
    columns = {f"Value #{chr(ord('A') + number)}": query.legend for number, query in enumerate(panel.queries)}
    return {
        "type": "table",
        "fieldConfig": {
            "defaults": _defaults(panel) | {"custom": {"align": "auto", "filterable": True}},
            "overrides": [_override(name, unit=unit, decimals=0) for name, unit in panel.units.items()],
        },
        "options": {
            "showHeader": True,
            "cellHeight": "sm",
            "sortBy": [{"displayName": panel.sort_by, "desc": True}],
        },
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": columns}},
        ],
    }


KINDS = {
    "lines": _lines,
    "stacked": _lines,
    "stat": _stat,
    "heatmap": _heatmap,
    "table": _table,
}
