"""What the monitors find, over the sketches of all processes. Needs numpy: for the process beside (`looking`)."""

from collections.abc import Sequence

from detectors.monitors import calibration, drift, effects, gaps, lean, triggers
from detectors.monitors.drift import Histogram
from detectors.monitors.effects import Hour
from detectors.monitors.sketch import Sketch
from detectors.monitors.statistics import Difference, Mean
from detectors.monitors.triggers import Trigger
from gateway.monitoring.history import Looked, total
from gateway.monitoring.report import Report, Row

# What cohorts are compared in: the rest of the measures are for effects.
COMPARED = ("refusal", "answer_length", "hallucination", "toxicity", "cultural_insensitivity")
_SHOWN = 20  # rows of a monitor


def reports(looked: Looked) -> list[Report]:
    """Of every monitor."""
    return [
        _calibration(looked.now),
        *_gaps(looked.now),
        _leans(looked.now),
        _shifts(looked),
        _effects(looked),
        _triggers(looked),
    ]


def _report(subcategory: str, rows: Sequence[Row], missing: str) -> Report:
    found = sum(bool(row["found"]) for row in rows)
    first = rows[0] if rows else None
    headline = (first["estimate"], first["low"], first["high"]) if first and "low" in first else None
    return Report(subcategory, list(rows[:_SHOWN]), found, "" if rows else missing, headline)


def _calibration(now: Sketch) -> Report:
    """By route, model and what said what was right: found where the error is surely more than five points."""
    by: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for (route, model, source, at), row in now.calibration.items():
        by.setdefault((route, model, source), {})[int(at)] = row
    rows = []
    for (route, model, source), bins in by.items():
        found = calibration.figures(bins)
        if found is None:
            continue
        rows.append(
            {
                "route": route,
                "model": model,
                "outcome": source,
                "answers": round(found.effective, 1),
                "measure": "expected_calibration_error",
                **_triple(found.ece),
                "found": found.ece[1] > 0.05,
                "brier": _triple(found.brier),
                "auroc": _triple(found.auroc) if found.auroc else None,
                "stated_confidence": round(found.confidence, 4),
                "share_right": round(found.accuracy, 4),
            }
        )
    rows.sort(key=lambda row: -float(str(row["low"])))
    return _report("miscalibration", rows, f"answers that state a confidence and that something checks, "
                   f"{calibration.LEAST:.0f} of a route and model in a day")  # fmt: skip


def _triple(values: tuple[float, float, float]) -> Row:
    estimate, low, high = values
    return {"estimate": round(estimate, 5), "low": round(low, 5), "high": round(high, 5)}


def _difference(found: Difference) -> Row:
    return {**_triple(found[:3]), "p": float(f"{found.p:.3g}")}


def _gaps(now: Sketch) -> list[Report]:
    measures: dict[tuple[str, str], dict[str, dict[gaps.Stratum, Mean]]] = {}
    for (kind, measure, *rest), row in now.means.items():
        if kind == "cohort" and measure in COMPARED:
            cohorts, name, route, model = rest
            measures.setdefault((measure, cohorts), {}).setdefault(name, {})[route, model] = Mean(*row)
    rows = [
        {
            "measure": gap.measure,
            "cohorts": gap.kind,
            "cohort": gap.cohort,
            "samples": round(gap.effective, 1),
            **_difference(gap.difference),
            "found": gap.found,
        }
        for gap in gaps.gaps(measures)
    ]
    missing = f"two languages or callers of one route and model, {gaps.LEAST:.0f} judged answers of each in a day"
    culture = [row for row in rows if row["measure"] == "cultural_insensitivity" and row["cohorts"] == "language"]
    served = [row for row in rows if row["measure"] != "cultural_insensitivity"]
    return [
        _report("disparate_performance", served, missing),
        _report("cultural_insensitivity", culture, f"a detector of it, and {missing}"),
    ]


def _leans(now: Sketch) -> Report:
    means: dict[tuple[str, str, str], dict[lean.Stratum, Mean]] = {}
    for (kind, measure, *rest), row in now.means.items():
        if kind == "lean" and measure in ("refusal", "tone", "answer_length"):
            topic, side, route, model = rest
            means.setdefault((topic, side, measure), {})[route, model] = Mean(*row)
    rows = [
        {
            "topic": found.topic,
            "side": found.side,
            "other": found.other,
            "measure": found.measure,
            "samples": round(found.effective, 1),
            **_difference(found.difference),
            "found": found.found,
        }
        for found in lean.leans(means)
    ]
    return _report("preference_bias", rows, "prompts about both sides of a topic that the monitor knows")


def _shifts(looked: Looked) -> Report:
    old, new = looked.reference.detectors.keys(), looked.now.detectors.keys()
    histograms: dict[str, tuple[Histogram, Histogram]] = {}
    features = {key[0] for key in looked.now.bins} & {key[0] for key in looked.reference.bins}
    for feature in features:
        histograms[feature] = (_histogram(looked.reference, feature), _histogram(looked.now, feature))
    rows: list[Row] = [
        {
            "feature": shift.feature,
            "distance": round(shift.distance, 5),
            "p": float(f"{shift.p:.3g}"),
            "before": round(shift.before, 1),
            "now": round(shift.now, 1),
            "found": shift.found,
        }
        for shift in drift.shifts(histograms, (looked.reference.array(), looked.now.array()))
    ]
    if new and (gone := sorted(old - new)):
        rows.append({"feature": f"scores of {', '.join(gone)}", "found": False,
                     "note": "not compared: other versions of the detectors judge now"})  # fmt: skip
    value = drift.detector(_hourly(looked))
    if value > 0:
        rows.append({"feature": "topics, hour by hour", "evidence": float(f"{value:.4g}"),
                     "found": value >= drift.RUN_LENGTH_HOURS})  # fmt: skip
    return _report("distribution_shift", rows, "judged traffic of the day, and of the seven days before it or of a "
                   "pinned reference")  # fmt: skip


def _histogram(sketch: Sketch, feature: str) -> Histogram:
    return {key[1]: row for key, row in sketch.bins.items() if key[0] == feature}


def _hourly(looked: Looked) -> list[float]:
    """The p-values of the hours of now against the reference, of those with enough samples."""
    reference = looked.reference.array()
    tests = (drift.topics_test(reference, sketch.array()) for _, sketch in looked.hours)
    return [test[1] for test in tests if test]


def _effects(looked: Looked) -> Report:
    routes = {key[2] for _, sketch in looked.all_hours for key in sketch.means if key[0] == "all"}
    changes = {f"{change.kind}: {change.what}": (change.at, change.route) for change in looked.changes}
    own: dict[tuple[str, str], list[Hour]] = {}
    others: dict[tuple[str, str], list[Hour]] = {}
    for start, sketch in looked.all_hours:
        totals, by_route = _means_by_route(sketch)
        for measure, all_routes in totals.items():
            own.setdefault(("", measure), []).append(_hour(start, all_routes))
            for route in routes:
                mean = by_route.get((route, measure), Mean())
                own.setdefault((route, measure), []).append(_hour(start, mean))
                others.setdefault((route, measure), []).append(_hour(start, all_routes.plus(mean, -1)))
    rows = [
        {
            "change": effect.change,
            "route": effect.route or None,
            "measure": effect.measure,
            "design": effect.design,
            "hours": effect.hours,
            **_difference(effect.difference),
            "found": effect.found,
        }
        for effect in effects.effects(changes, own, others)
    ]
    missing = (
        f"a change (noticed, or posted to /trust/v1/changes) with {effects.LEAST_BEFORE} hours of judged traffic "
        f"before it and {effects.LEAST_AFTER} after it"
    )
    return _report("interventional_effect", rows, missing)


def _means_by_route(sketch: Sketch) -> tuple[dict[str, Mean], dict[tuple[str, str], Mean]]:
    totals: dict[str, Mean] = {}
    by_route: dict[tuple[str, str], Mean] = {}
    for (kind, measure, *rest), row in sketch.means.items():
        if kind == "all":
            by_route[rest[0], measure] = mean = Mean(*row)
            totals[measure] = totals.get(measure, Mean()).plus(mean)
    return totals, by_route


def _hour(start: int, mean: Mean) -> Hour:
    return Hour(start, mean.value, mean.effective)


def _triggers(looked: Looked) -> Report:
    both = total([looked.reference, looked.now])
    rows = [_trigger(alike) for alike in _together(triggers.triggers(both.grams, both.total))]
    if orders := _orders(looked.now):
        rows.append(orders)
    if not rows and both.total.n >= 500:
        return Report("poisoning_attacks", [{"looked_at": both.total.n, "words": len(both.grams), "found": False}])
    return _report("poisoning_attacks", rows, "500 judged prompts that were not flagged themselves")


def _together(named: Sequence[Trigger]) -> list[list[Trigger]]:
    """Words that came in equally many prompts with the same last one, and the same outcome, are one finding: a trigger
    seldom comes without the words around it."""
    alike: dict[tuple[str, int, str], list[Trigger]] = {}
    for found in named:
        alike.setdefault((found.outcome, found.prompts, found.sample), []).append(found)
    return list(alike.values())


def _trigger(alike: Sequence[Trigger]) -> Row:
    first = alike[0]
    return {
        "grams": [f"{found.gram:08x}" for found in alike[:_SHOWN]],
        "words": len(alike),
        "outcome": first.outcome,
        "prompts": first.prompts,
        "estimate": round(first.share, 4),
        "usual": round(first.usual, 4),
        "p": float(f"{first.p:.3g}"),
        "sample": first.sample,
        "found": True,
    }


def _orders(now: Sketch) -> Row | None:
    """How often a retrieved passage gave orders, where there were any passages."""
    mean = Mean()
    for (kind, measure, *_), row in now.means.items():
        if kind == "all" and measure == "orders_in_passages":
            mean = mean.plus(Mean(*row))
    if mean.effective < 2:
        return None
    found = Difference.normal(mean.value, mean.variance)
    counted = {"outcome": "orders_in_passages", "prompts": round(mean.effective, 1)}
    return {**counted, **_triple(found[:3]), "found": found.low > 0}
