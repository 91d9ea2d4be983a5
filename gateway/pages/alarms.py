"""Alarms on rates that have risen, and on findings of monitors that last, as JSON."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from detectors.monitors.sequences import RUN_LENGTH_DAYS
from gateway.monitoring.watching import Reports
from gateway.trust.intervals import Interval
from gateway.trust.watching.alarms import FALSE_DISCOVERIES, RUN_LENGTH_HOURS
from gateway.trust.watching.watch import Alarm, Watch

_NOTE = (
    "Rates that have risen above what was usual in the first three of the last ten days. For each series the mean time "
    "to a false alarm is at least run_length_hours; over all series at most the share false_discoveries of the alarms "
    "is expected to be false. samples are the ids of the latest samples that show the rise."
)


_MONITORS_NOTE = (
    "Findings of monitors that last; their evidence is valid however often one looks (docs/monitors.md). Each series "
    f"raises a false alarm once in {RUN_LENGTH_DAYS:g} days or more rarely."
)


def alarms_route(watch: Watch, reports: Reports | None = None) -> Route:
    """`/trust/v1/alarms`; `reports` are those of the monitors, if there are any."""

    async def page(_: Request) -> Response:
        promised = {"run_length_hours": RUN_LENGTH_HOURS, "false_discoveries": FALSE_DISCOVERIES}
        shown = [_shown(alarm) for alarm in watch.alarms]
        latest = reports.latest if reports else {}
        lasting = [{"subcategory": slug, **row} for slug, report in latest.items() for row in report.alarms]
        monitors = {"monitors_note": _MONITORS_NOTE, "monitors": lasting}
        return JSONResponse({"note": _NOTE, **promised, "series": watch.series, "alarms": shown, **monitors})

    return Route("/trust/v1/alarms", page)


def _shown(alarm: Alarm) -> dict[str, Any]:
    return {
        "subcategory": alarm.subcategory,
        "direction": alarm.direction,
        "route": alarm.route or None,
        "basis": alarm.basis,
        "of": "flagged_share" if alarm.basis == "flags" else "rate",
        "since": alarm.rise.since,
        "until": alarm.rise.until,
        "before": _interval(alarm.rise.before),
        "after": _interval(alarm.rise.after),
        "evidence": float(f"{alarm.rise.value:.4g}"),
        "samples": alarm.samples,
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"estimate": round(found.estimate, 6), "low": round(found.low, 6), "high": round(found.high, 6)}
