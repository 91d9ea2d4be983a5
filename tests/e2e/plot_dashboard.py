"""Draw a dashboard as one PNG, without Grafana: `python -m tests.e2e.plot_dashboard http://127.0.0.1:9090 out.png`.

Asks a running Prometheus for the queries of the panels and puts them where the dashboard has them. The row that
Grafana repeats for every sub-category is drawn for those named with `--subcategory`. Needs matplotlib.
"""

import argparse
import importlib
import importlib.util
import math
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.queries import dashboards
from tests.support.servers.prometheus_server import Prometheus, PrometheusError

Json = dict[str, Any]

STEPS = 120  # points along a line
LEGENDS = 9  # of a panel, for which there is room
UNIT_INCHES = (0.72, 0.42)  # one column, one row of Grafana's grid
INK, PAPER, FRAME = "#24292f", "#f4f5f5", "#ffffff"
NAMED = {
    "green": "#56a64b",
    "light-green": "#96d98d",
    "blue": "#3274d9",
    "purple": "#8f3bb8",
    "orange": "#ff780a",
    "red": "#c4162a",
    "yellow": "#e0b400",
    "gray": "#8e8e8e",
    "transparent": "none",
}
WHEEL = ("#3274d9", "#ff780a", "#56a64b", "#8f3bb8", "#e0b400", "#c4162a", "#37872d", "#5794f2", "#a16a3a")
# The columns of a table, in order.
LABELS = ("rule", "category", "subcategory", "direction", "route", "model", "language", "basis")
UNITS = {"reqps": " req/s", "cps": " /s", "short": ""}


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its legend, times (Unix seconds), values, and its labels."""

    legend: str
    times: list[float]
    values: list[float]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for: the last `seconds`, with Grafana's variables filled in."""

    prometheus: Prometheus
    seconds: float
    variables: Mapping[str, str]


def legend(template: str, labels: Mapping[str, str]) -> str:
    """Grafana's legend format: `{{label}}` filled in."""
    return " ".join(re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), template).split())


def figure(value: float, unit: str) -> str:
    """A value with its unit, short enough for a tick."""
    if math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{round(100 * value, 3):.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "bytes":
        return _short(value, 1024, (" B", " KiB", " MiB", " GiB"))
    return (f"{value:,.4g}" if abs(value) < 100_000 else _short(value, 1000, ("", " K", " Mil", " Bil"))) + UNITS.get(
        unit, ""
    )


def _short(value: float, step: int, endings: Sequence[str]) -> str:
    """As Grafana does it: with the largest ending of which there is one at least."""
    power = max(0, min(len(endings) - 1, int(math.log(abs(value), step)))) if value else 0
    return f"{value / step**power:,.3g}{endings[power]}"


def ask(panel: Json, window: Window) -> Iterator[Series]:
    for target in panel["targets"]:
        question = dashboards.Question(panel["title"], target["refId"], target["expr"], target["legendFormat"])
        expr = question.ask(window.variables)
        if target["instant"]:
            found = [series | {"values": [series["value"]]} for series in window.prometheus.query(expr)]
        else:
            found = window.prometheus.query_range(expr, window.seconds, max(1.0, window.seconds / STEPS))
        for series in found:
            times, values = zip(*series["values"], strict=True)
            labels = series["metric"]
            name = question.legend if panel["type"] == "table" else legend(question.legend, labels)
            yield Series(name, [float(time) for time in times], [float(value) for value in values], labels)


def draw_lines(axes: Any, panel: Json, found: list[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    overrides: dict[str, Json] = {}
    for entry in panel["fieldConfig"]["overrides"]:
        own = overrides.setdefault(entry["matcher"]["options"], {})
        own.update({item["id"]: item["value"] for item in entry["properties"]})
    by_name = {series.legend: series for series in found}
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    floor = [0.0] * max((len(series.times) for series in found), default=0)
    right: Any = None
    for number, series in enumerate(sorted(found, key=lambda one: one.legend)):
        own = overrides.get(series.legend, {})
        colour = NAMED.get(own.get("color", {}).get("fixedColor", ""), WHEEL[number % len(WHEEL)])
        times = [datetime.fromtimestamp(time, UTC) for time in series.times]
        if "custom.fillBelowTo" in own:
            lower = by_name.get(own["custom.fillBelowTo"])
            if lower and len(lower.values) == len(series.values):
                axes.fill_between(times, lower.values, series.values, color=colour, alpha=0.2, linewidth=0)
        elif own.get("custom.lineWidth") == 0:
            continue
        elif stacked and len(series.values) == len(floor):
            top = [low + (0 if math.isnan(value) else value) for low, value in zip(floor, series.values, strict=True)]
            axes.fill_between(times, floor, top, color=colour, alpha=0.75, linewidth=0, label=series.legend)
            floor = top
        else:
            place = axes
            if own.get("custom.axisPlacement") == "right":
                right = place = right or axes.twinx()
                right.tick_params(labelsize=7, colors=INK, length=2)
                _ticks(right, own.get("unit", "short"))
            place.plot(times, series.values, color=colour, linewidth=1.6)
            axes.plot([], [], color=colour, label=series.legend)
    if right is not None:
        right.set_ylim(bottom=0)
    _ticks(axes, defaults["unit"])
    _limits(axes, defaults)
    _legend(axes)


def _limits(axes: Any, defaults: Json) -> None:
    top = axes.get_ylim()[1]
    for step in defaults["thresholds"]["steps"][1:]:
        # A line far above the data would press it flat.
        if defaults["custom"]["thresholdsStyle"]["mode"] == "dashed" and step["value"] < 3 * top:
            axes.axhline(step["value"], color=NAMED[step["color"]], linestyle="--", linewidth=1)
            top = max(top, 1.1 * step["value"])
    axes.set_ylim(0, defaults.get("max", top))


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > LEGENDS:  # Grafana scrolls there
        axes.text(1, -0.34, f"and {len(labels) - LEGENDS} more", fontsize=7, color="#8e8e8e", ha="right",
                  transform=axes.transAxes)  # fmt: skip
        handles, labels = handles[:LEGENDS], labels[:LEGENDS]
    if labels:
        axes.legend(
            handles,
            labels,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.14),
            ncols=min(3, len(labels)),
            frameon=False,
            fontsize=7,
            labelcolor=INK,
            handlelength=1.2,
            columnspacing=1.0,
        )


def _ticks(axes: Any, unit: str) -> None:
    axes.yaxis.set_major_formatter(lambda value, _: figure(value, unit))


def draw_stat(axes: Any, panel: Json, found: list[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axes.set_axis_off()
    words = {
        float(value): option["text"]
        for mapping in defaults.get("mappings", ())
        for value, option in mapping["options"].items()
    }
    value = max((series.values[-1] for series in found), default=math.nan)
    colour = "gray"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    if panel["options"]["textMode"] == "name":
        text = "\n".join(series.legend for series in found)
    else:
        named = panel["options"]["textMode"] == "value_and_name" or len(found) > 1
        text = "\n".join(
            f"{series.legend if named else ''} "
            f"{words.get(series.values[-1], '') or figure(series.values[-1], defaults['unit'])}".strip()
            for series in found
        )
    axes.text(
        0.5,
        0.5,
        text or defaults.get("noValue", "no data"),
        ha="center",
        va="center",
        fontsize=15 if len(text) < 14 else 10,
        fontweight="bold",
        color=NAMED.get(colour, INK),
        transform=axes.transAxes,
    )


def draw_heatmap(axes: Any, panel: Json, found: list[Series]) -> None:
    """Buckets are cumulative: a cell is the difference to the bucket below."""
    rows = sorted(found, key=lambda series: float(series.labels["le"]))
    times = sorted({time for series in rows for time in series.times})
    below = dict.fromkeys(times, 0.0)
    cells = []
    for series in rows:
        here = dict(zip(series.times, series.values, strict=True))
        cells.append([max(0.0, here.get(time, 0.0) - below[time]) ** 0.5 for time in times])
        below = {time: here.get(time, 0.0) for time in times}
    when = [datetime.fromtimestamp(time, UTC) for time in times]
    axes.pcolormesh(when, range(len(rows)), cells, cmap="Oranges", shading="nearest")
    unit = panel["options"]["yAxis"]["unit"]
    shown = range(0, len(rows), max(1, len(rows) // 6))
    axes.set_yticks([n + 0.5 for n in shown])
    bounds = [float(rows[n].labels["le"]) for n in shown]
    axes.set_yticklabels(["more" if math.isinf(bound) else figure(bound, unit) for bound in bounds])


def _units(panel: Json) -> dict[str, str]:
    """By column, where it is not the usual one."""
    return {
        entry["matcher"]["options"]: item["value"]
        for entry in panel["fieldConfig"]["overrides"]
        for item in entry["properties"]
        if item["id"] == "unit"
    }


def draw_table(axes: Any, panel: Json, found: list[Series]) -> None:
    axes.set_axis_off()
    columns = [target["legendFormat"] for target in panel["targets"]]
    names = [name for name in LABELS if any(name in series.labels for series in found)]
    cells: dict[tuple[str, ...], dict[str, float]] = {}
    for series in found:
        key = tuple(series.labels.get(name, "") for name in names)
        cells.setdefault(key, {})[series.legend] = series.values[-1]
    if not cells:
        nothing = panel["fieldConfig"]["defaults"].get("noValue", "no data")
        axes.text(0.5, 0.5, nothing, ha="center", va="center", color="#8e8e8e", transform=axes.transAxes)
        return
    order = panel["options"]["sortBy"][0]["displayName"]
    units = _units(panel)
    usual = panel["fieldConfig"]["defaults"]["unit"]
    # As many rows as the panel has room for; the head of the list is what matters.
    room = int(panel["gridPos"]["h"] / 0.55) - 3
    first = sorted(cells.items(), key=lambda item: -item[1].get(order, -1.0))[:room]
    table = axes.table(
        cellText=[
            [*key, *(figure(values.get(name, math.nan), units.get(name, usual)) for name in columns)]
            for key, values in first
        ],
        colLabels=[*names, *columns],
        colWidths=_widths(names, len(columns)),
        loc="upper center",
        cellLoc="left",
        edges="horizontal",
    )
    if left_out := len(cells) - len(first):
        axes.text(0.01, 0.0, f"and {left_out} more", fontsize=8, color="#8e8e8e", transform=axes.transAxes)
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1, 1.25)
    for cell in table.get_celld().values():
        cell.set_edgecolor("#d8d9da")


def _widths(names: list[str], figures: int) -> list[float]:
    """Of the columns, in parts of the panel: names take twice the room of figures."""
    parts = [2.0 if name in ("subcategory", "category", "rule", "model") else 1.1 for name in names] + [1.0] * figures
    return [part / sum(parts) for part in parts]


DRAW = {"timeseries": draw_lines, "stat": draw_stat, "heatmap": draw_heatmap, "table": draw_table}


def pages(dashboard: Json, rows: list[str], subcategories: list[str]) -> Iterator[tuple[str, list[Json]]]:
    """Row headings with their panels; the repeated row once for each sub-category, with the name filled in."""
    heading: Json = {}
    members: list[Json] = []
    for panel in [*dashboard["panels"], {"type": "row", "title": ""}]:
        if panel["type"] != "row":
            members.append(panel)
            continue
        if heading.get("repeat"):
            for slug in subcategories:
                yield heading["title"].replace("$subcategory", slug), members
        elif heading and (not rows or heading["title"] in rows):
            yield heading["title"].replace("$subcategory", ", ".join(subcategories)), members
        heading, members = panel, []


def draw(dashboard: Json, window: Window, rows: list[str], subcategories: list[str], target: Path) -> None:
    """Write the PNG. Raises PrometheusError when Prometheus does not answer."""
    pyplot = importlib.import_module("matplotlib.pyplot")
    chosen = list(pages(dashboard, rows, subcategories))
    tall = sum(1 + _height(members) for _, members in chosen) + 2
    across, down = UNIT_INCHES
    picture = pyplot.figure(figsize=(24 * across, tall * down), facecolor=PAPER)
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = f"{dashboard['title']} · last {window.seconds / 60:.0f} minutes to {stamp}"
    picture.text(0.008, 1 - 0.9 / tall, head, fontsize=14, fontweight="bold", color=INK)
    y = 1.6
    for title, members in chosen:
        picture.text(0.008, 1 - (y + 0.75) / tall, title, fontsize=11, fontweight="bold", color=INK)
        top = min(panel["gridPos"]["y"] for panel in members)
        slug = title.partition(": ")[2]
        asked = Window(window.prometheus, window.seconds, dict(window.variables) | _only(slug))
        for panel in members:
            place = panel["gridPos"]
            _draw_panel(picture, panel, asked, (place["x"], y + 1 + place["y"] - top, tall))
        y += 1 + _height(members)
    picture.savefig(target, dpi=100, facecolor=PAPER)
    pyplot.close(picture)


def _only(slug: str) -> dict[str, str]:
    return {"subcategory": slug} if slug else {}


def _height(members: list[Json]) -> int:
    ends = [panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in members]
    height: int = max(ends) - min(panel["gridPos"]["y"] for panel in members)
    return height


def _draw_panel(picture: Any, panel: Json, window: Window, place: tuple[float, float, float]) -> None:
    x, y, tall = place
    wide, high = panel["gridPos"]["w"], panel["gridPos"]["h"]
    frame = picture.add_axes(((x + 0.12) / 24, 1 - (y + high - 0.1) / tall, (wide - 0.24) / 24, (high - 0.2) / tall))
    frame.set_facecolor(FRAME)
    frame.set_xticks([])
    frame.set_yticks([])
    for spine in frame.spines.values():
        spine.set_color("#d8d9da")
    title = "\n".join(textwrap.wrap(panel["title"], max(12, int(wide * 6.5))))
    inset = 0.15 / (wide - 0.24), 1 - 0.2 / (high - 0.2)
    frame.text(*inset, title, fontsize=9, color=INK, va="top", transform=frame.transAxes)
    plain = panel["type"] in ("stat", "table")
    left, right, low, upper = (0.2, 0.2, 0.4, 1.1) if plain else (1.2, 1.2 if _has_right_axis(panel) else 0.4, 2.1, 1.2)
    axes = picture.add_axes(
        (
            (x + left) / 24,
            1 - (y + high - low) / tall,
            (wide - left - right) / 24,
            (high - low - upper) / tall,
        )
    )
    axes.set_facecolor("none")
    axes.tick_params(labelsize=7, colors=INK, length=2)
    for spine in axes.spines.values():
        spine.set_color("#d8d9da")
    found = list(ask(panel, window))
    if not found and not plain:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color="#8e8e8e", transform=axes.transAxes)
    else:
        DRAW[panel["type"]](axes, panel, found)
    if not plain:
        dates = importlib.import_module("matplotlib.dates")
        axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=5))
        axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S" if window.seconds <= 600 else "%H:%M"))
        axes.grid(axis="y", color="#e8e9ea", linewidth=0.6)


def _has_right_axis(panel: Json) -> bool:
    return any(
        item["id"] == "custom.axisPlacement"
        for entry in panel["fieldConfig"].get("overrides", ())
        for item in entry["properties"]
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="plot_dashboard", description=__doc__.partition("\n")[0])
    parser.add_argument("prometheus", help="base URL of a Prometheus that scrapes the gateway")
    parser.add_argument("target", type=Path, help="the PNG to write")
    parser.add_argument("--board", default="assay", help="the uid of the dashboard (default assay)")
    parser.add_argument("--minutes", type=float, default=15, help="how far back (default 15)")
    parser.add_argument("--rate", default="1m", help="window of the rates, at least four scrapes (default 1m)")
    parser.add_argument("--rows", default="", help="only these row headings, comma-separated")
    parser.add_argument("--subcategory", action="append", default=[], help="draw this one's own row; may be repeated")
    chosen = parser.parse_args(arguments)
    if importlib.util.find_spec("matplotlib") is None:
        sys.stderr.write("plot_dashboard: matplotlib is not installed; `pip install matplotlib`\n")
        return 2
    importlib.import_module("matplotlib").use("agg")
    window = Window(
        Prometheus(chosen.prometheus),
        60 * chosen.minutes,
        {
            "__rate_interval": chosen.rate,
            "__range": f"{round(60 * chosen.minutes)}s",
            "route": ".*",
            "model": ".+",
            "subcategory": chosen.subcategory[0] if chosen.subcategory else ".+",
        },
    )
    rows = [row.strip() for row in chosen.rows.split(",") if row.strip()]
    try:
        (path,) = (path for path in dashboards.DASHBOARDS if path.stem == chosen.board)
        draw(dashboards.load(path), window, rows, chosen.subcategory, chosen.target)
    except PrometheusError as error:
        sys.stderr.write(f"plot_dashboard: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
