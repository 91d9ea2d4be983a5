"""What the gateway did since it started: how much traffic was sampled, judged or left unread, as JSON."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.exchange import Outcome
from gateway.samples.sampling import JUDGED
from gateway.telemetry import metrics

_NOTE = "Counts since the start, over all processes of this gateway. What is unread is not clean."
# Name in the answer → the counter, and the labels by which it is divided.
_COUNTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("assay_requests_total", ("outcome",)),
    "offered": ("assay_samples_offered_total", ("route",)),
    "samples": ("assay_samples_total", ("fate", "reason")),
    "texts": ("assay_detector_texts_total", ("detector", "state")),
    "unread": ("assay_unread_total", ("channel", "reason")),
    "bypasses": ("assay_guard_bypasses_total", ("direction", "reason")),
    "probes": ("assay_probe_items_total", ("probe", "fate")),
    "probe_calls": ("assay_probe_calls_total", ("result",)),
    "probe_tokens": ("assay_probe_tokens_total", ("side",)),
    "probe_cost": ("assay_probe_cost_total", ()),
    "decisions": ("assay_decisions_total", ("rule", "action", "effect")),
}


_NEVER_SAMPLED = (Outcome.REJECTED, Outcome.INTERNAL)


class Facts(NamedTuple):
    """What does not change while the gateway runs."""

    version: str
    callers_need_a_key: bool
    keeps_texts: bool
    workers_judge: bool  # samples wait in Redis: `assay worker` judges them and counts their fates
    routes: tuple[str, ...]


def status_route(facts: Facts, ledger_problem: Callable[[], str]) -> Route:
    """`/trust/v1/status`."""

    async def status(_: Request) -> Response:
        counts = await asyncio.to_thread(counted)
        about = {**facts._asdict(), "ledger_problem": ledger_problem()}
        return JSONResponse({"note": _NOTE, **about, **counts})

    return Route("/trust/v1/status", status)


def counted() -> dict[str, list[dict[str, Any]]]:
    """For each counter its sums by its labels, without those at zero. Reads files, so call it off the event loop.

    `sampleable` counts the requests that could become samples: not those that were refused before they had a route, nor
    those of operations that no detector reads.
    """
    sums = {name: _sums(metric, labels) for name, (metric, labels) in _COUNTS.items()}
    kinds = _sums("assay_requests_total", ("route", "operation", "outcome"))
    sampleable = sum(kind["count"] for kind in kinds if _is_sampleable(kind))
    return {**sums, "sampleable": [{"count": sampleable}] if sampleable else []}


def _is_sampleable(kind: Mapping[str, Any]) -> bool:
    return kind["route"] != "none" and kind["operation"] in JUDGED and kind["outcome"] not in _NEVER_SAMPLED


def _sums(metric: str, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, ...], float] = {}
    for pairs, value in metrics.samples(metric).items():
        own = dict(pairs)
        key = tuple(own.get(label, "") for label in labels)
        sums[key] = sums.get(key, 0.0) + value
    rows = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return [{**dict(zip(labels, key, strict=True)), "count": _whole(value)} for key, value in rows if value]


def _whole(value: float) -> float:
    """Counts are whole; money is not."""
    return round(value) if value.is_integer() else round(value, 6)
