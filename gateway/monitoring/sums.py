"""The sums of sketches, as each monitor reads them. Needs numpy."""

from detectors.monitors import drift, gaps, lean
from detectors.monitors.drift import Histogram, Shift
from detectors.monitors.effects import Hour
from detectors.monitors.sketch import Sketch
from detectors.monitors.statistics import Mean
from gateway.monitoring.history import Looked, total
from gateway.monitoring.opinions import FAULT

# What cohorts are compared in: the rest of the measures are for effects.
COMPARED = (
    "refusal", "answer_length", "latency", "hallucination", "toxicity", "cultural_insensitivity", *FAULT.values()
)  # fmt: skip
_OF_SIDES = ("refusal", "tone", "answer_length")
_Series = dict[tuple[str, str], list[Hour]]


def prompts_seen(looked: Looked) -> Sketch:
    """Now and the reference, in which triggers are looked for; now alone where another version of a detector judged in
    the reference: what it flagged is no measure for what this one flags."""
    now, before = _versions(looked.now), _versions(looked.reference)
    is_same = all(now[name] == before[name] for name in now.keys() & before.keys())
    return total([looked.reference, looked.now] if is_same else [looked.now])


def _versions(of: Sketch) -> dict[str, set[str]]:
    """Of each detector, by name."""
    found: dict[str, set[str]] = {}
    for detector in of.detectors:
        found.setdefault(detector.partition("@")[0], set()).add(detector)
    return found


def calibrations(of: Sketch) -> dict[tuple[str, str, str], dict[int, list[float]]]:
    """By route, model and what said what was right, the bins."""
    by: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for (route, model, source, at), row in of.calibration.items():
        by.setdefault((route, model, source), {})[int(at)] = row
    return by


def cohorts(of: Sketch) -> dict[tuple[str, str], dict[str, dict[gaps.Stratum, Mean]]]:
    """By measure and kind of cohort, then by cohort and stratum."""
    by: dict[tuple[str, str], dict[str, dict[gaps.Stratum, Mean]]] = {}
    for (kind, measure, *rest), row in of.means.items():
        if kind == "cohort" and measure in COMPARED:
            which, name, route, model = rest
            by.setdefault((measure, which), {}).setdefault(name, {})[route, model] = Mean(*row)
    return by


def sides(of: Sketch) -> dict[tuple[str, str, str], dict[lean.Stratum, Mean]]:
    """By topic, side and measure."""
    by: dict[tuple[str, str, str], dict[lean.Stratum, Mean]] = {}
    for (kind, measure, *rest), row in of.means.items():
        if kind == "lean" and measure in _OF_SIDES:
            topic, side, route, model = rest
            by.setdefault((topic, side, measure), {})[route, model] = Mean(*row)
    return by


def moved(reference: Sketch, now: Sketch) -> list[Shift]:
    """Of every feature that both have, the clearest shift first."""
    features = {key[0] for key in now.bins} & {key[0] for key in reference.bins}
    histograms = {feature: (_histogram(reference, feature), _histogram(now, feature)) for feature in features}
    return drift.shifts(histograms, (reference.array(), now.array()))


def _histogram(sketch: Sketch, feature: str) -> Histogram:
    return {key[1]: row for key, row in sketch.bins.items() if key[0] == feature}


def series(looked: Looked) -> tuple[dict[str, tuple[float, str]], _Series, _Series]:
    """The changes by name, and by route and measure the hours of the route's own traffic and of all other traffic."""
    routes = {key[2] for _, sketch in looked.all_hours for key in sketch.means if key[0] == "all"}
    changes = {f"{change.kind}: {change.what}": (change.at, change.route) for change in looked.changes}
    own: _Series = {}
    others: _Series = {}
    for start, sketch in looked.all_hours:
        totals, by_route = _means_by_route(sketch)
        for measure, all_routes in totals.items():
            own.setdefault(("", measure), []).append(_hour(start, all_routes))
            for route in routes:
                mean = by_route.get((route, measure), Mean())
                own.setdefault((route, measure), []).append(_hour(start, mean))
                others.setdefault((route, measure), []).append(_hour(start, all_routes.plus(mean, -1)))
    return changes, own, others


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
