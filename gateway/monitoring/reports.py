"""What the monitors find over the sketches of all processes. Needs numpy, so only the process `looking` loads it."""

from collections.abc import Mapping, Sequence, Set

from detectors.monitors import calibration, drift, effects, gaps, lean, triggers
from detectors.monitors.sketch import POWERS, Sketch
from detectors.monitors.statistics import Difference, Mean
from gateway.monitoring.alarms import alarms, trigger_row
from gateway.monitoring.findings import Report, Row
from gateway.monitoring.history import Looked
from gateway.monitoring.sums import INSENSITIVITY, calibrations, cultures, moved, prompts_seen, series, served, sides

_SHOWN = 20  # rows of a monitor at most


def reports(looked: Looked) -> list[Report]:
    """The report of every monitor, with its alarms."""
    found = [
        _calibration(looked.now),
        *_gaps(looked.now),
        _leans(looked.now),
        _shifts(looked),
        _effects(looked),
        _triggers(looked),
    ]
    raised = alarms(looked)
    for report in found:
        report.alarms = raised.get(report.subcategory, [])[:_SHOWN]
    return found


def _report(subcategory: str, rows: Sequence[Row], missing: str) -> Report:
    found = sum(bool(row["found"]) for row in rows)
    first = rows[0] if rows else None
    headline = (first["estimate"], first["low"], first["high"]) if first and "low" in first else None
    return Report(subcategory, list(rows[:_SHOWN]), found, "" if rows else missing, headline)


def _calibration(now: Sketch) -> Report:
    """A row by route, model and source of what was right; it is a finding where the error is surely above 0.05."""
    rows = []
    for (route, model, source), bins in calibrations(now).items():
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


def _times(measure: str, by: float) -> Row:
    """For a measure that is a logarithm: the difference as a factor."""
    return {"times": round(2.0 ** (POWERS[measure] * by), 3)} if measure in POWERS else {}


def _gaps(now: Sketch) -> list[Report]:
    """Those of who asks, and of which culture is asked about: false discoveries are bounded in each by itself."""
    enough = f"of one route and model, {gaps.LEAST:.0f} judged answers of each in a day"
    return [
        _report("disparate_performance", _compared(served(now)), f"two languages or callers {enough}"),
        _report(INSENSITIVITY, _compared(cultures(now)), f"prompts that name one culture, two such cultures {enough}"),
    ]


def _compared(by: Mapping[tuple[str, str], gaps.By]) -> list[Row]:
    return [
        {
            "measure": gap.measure,
            "cohorts": gap.kind,
            "cohort": gap.cohort,
            "samples": round(gap.effective, 1),
            **_difference(gap.difference),
            **_times(gap.measure, gap.difference.estimate),
            "found": gap.found,
        }
        for gap in gaps.gaps(by)
    ]


def _leans(now: Sketch) -> Report:
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
        for found in lean.leans(sides(now))
    ]
    return _report("preference_bias", rows, "prompts about both sides of a topic that the monitor knows")


def _shifts(looked: Looked) -> Report:
    old, new = looked.reference.detectors.keys(), looked.now.detectors.keys()
    rows: list[Row] = [
        {
            "feature": shift.feature,
            "distance": round(shift.distance, 5),
            "p": float(f"{shift.p:.3g}"),
            "before": round(shift.before, 1),
            "now": round(shift.now, 1),
            "found": shift.found,
        }
        for shift in moved(looked.reference, looked.now)
    ]
    rows += _not_compared(old, new)
    value = drift.detector(_hourly(looked))
    if value > 0:
        rows.append({"feature": "topics, hour by hour", "evidence": float(f"{value:.4g}"),
                     "found": value >= drift.RUN_LENGTH_HOURS})  # fmt: skip
    missing = "judged traffic of the day, and of the seven days before it or of a pinned reference"
    if looked.is_pinned and not old:
        missing = "judged traffic in the window of the pinned reference: it holds none, or none any more; pin another"
    return _report("distribution_shift", rows, missing)


def _not_compared(old: Set[str], new: Set[str]) -> list[Row]:
    """A row for each reason why the scores of detectors (name@version) that judged before are not compared; none where
    nothing was judged now."""
    names = {detector.partition("@")[0] for detector in new}
    by_why: dict[str, list[str]] = {}
    for detector in sorted(old - new) if new else ():
        is_replaced = detector.partition("@")[0] in names
        why = "another version judges now" if is_replaced else "it has judged nothing in the last 24 hours"
        by_why.setdefault(why, []).append(detector)
    return [
        {"feature": f"scores of {', '.join(gone)}", "found": False, "note": f"not compared: {why}"}
        for why, gone in by_why.items()
    ]


def _hourly(looked: Looked) -> list[float]:
    """The p-values of the latest hours against the reference, of those with enough samples."""
    reference = looked.reference.array()
    tests = (drift.topics_test(reference, sketch.array()) for _, sketch in looked.hours)
    return [test[1] for test in tests if test]


def _effects(looked: Looked) -> Report:
    changes, own, others = series(looked)
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


_IN_PASSAGES = ("orders_in_passages", "question_in_passages")


def _triggers(looked: Looked) -> Report:
    both = prompts_seen(looked)
    named = triggers.triggers(both.grams, both.total)
    rows = [{**trigger_row(alike), "found": True} for alike in triggers.together(named)]
    rows += [row for measure in _IN_PASSAGES if (row := _in_passages(looked.now, measure))]
    if not rows and both.total.n >= 500:
        return Report("poisoning_attacks", [{"looked_at": both.total.n, "words": len(both.grams), "found": False}])
    return _report("poisoning_attacks", rows, "500 judged prompts that were not flagged themselves")


def _in_passages(now: Sketch, measure: str) -> Row | None:
    """How often a retrieved passage gave orders, or repeated its question, where there were any passages."""
    mean = Mean()
    for (kind, name, *_), row in now.means.items():
        if kind == "all" and name == measure:
            mean = mean.plus(Mean(*row))
    if mean.effective < 2:
        return None
    found = Difference.normal(mean.value, mean.variance)
    counted = {"outcome": measure, "prompts": round(mean.effective, 1)}
    return {**counted, **_triple(found[:3]), "found": found.low > 0}
