"""The sums of sketches, arranged as each monitor needs them. Needs numpy."""

from detectors.monitors import drift, gaps, lean
from detectors.monitors.drift import Histogram, Shift
from detectors.monitors.effects import Hour
from detectors.monitors.sketch import Key, Sketch
from detectors.monitors.statistics import Mean
from gateway.monitoring.history import Looked, total
from gateway.monitoring.opinions import FAULT

# The measures in which cohorts are compared; the others are for effects.
COMPARED = (*gaps.MEASURES, *FAULT.values())
INSENSITIVITY = "cultural_insensitivity"
_Series = dict[tuple[str, str], list[Hour]]


def prompts_seen(looked: Looked) -> Sketch:
    """The sketch in which triggers are looked for: now and the reference together. Now alone where another version of a
    detector judged in the reference, because what that one flagged cannot be compared."""
    now, before = _versions(looked.now), _versions(looked.reference)
    is_same = all(now[name] == before[name] for name in now.keys() & before.keys())
    return total([looked.reference, looked.now] if is_same else [looked.now])


def _versions(of: Sketch) -> dict[str, set[str]]:
    """The versions of each detector, by its name."""
    found: dict[str, set[str]] = {}
    for detector in of.detectors:
        found.setdefault(detector.partition("@")[0], set()).add(detector)
    return found


def calibrations(of: Sketch) -> dict[tuple[str, str, str], dict[int, list[float]]]:
    """The bins by route, model and the source that says what was right."""
    by: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for (route, model, source, at), row in of.counted_once().calibration.items():
        by.setdefault((route, model, source), {})[int(at)] = row
    return by


def cohorts(of: Sketch) -> dict[tuple[str, str], dict[str, dict[gaps.Stratum, Mean]]]:
    """The means by measure and kind of cohort, then by cohort and stratum."""
    by: dict[tuple[str, str], dict[str, dict[gaps.Stratum, Mean]]] = {}
    alike = _alike(of)
    for (kind, measure, *rest), row in of.counted_once().means.items():
        if kind == "cohort" and measure in COMPARED:
            which, name, route, model = rest
            mean = Mean(*row)
            if measure in FAULT.values():
                mean = mean.spread(1 + max(0.0, mean.effective - 1) * alike.get(tuple(rest), 0.0))
            by.setdefault((measure, which), {}).setdefault(name, {})[route, model] = mean
    return by


def served(of: Sketch) -> dict[tuple[str, str], dict[str, dict[gaps.Stratum, Mean]]]:
    """Of `cohorts`, in what who asks may be served worse."""
    return {at: means for at, means in cohorts(of).items() if at[0] != INSENSITIVITY}


def cultures(of: Sketch) -> dict[tuple[str, str], dict[str, dict[gaps.Stratum, Mean]]]:
    """As `cohorts`, of the cultures that prompts are about; and by language what a detector of insensitivity says."""
    by = {at: means for at, means in cohorts(of).items() if at == (INSENSITIVITY, "language")}
    for (kind, measure, *rest), row in of.counted_once().means.items():
        if kind == "culture":
            name, route, model = rest
            by.setdefault((measure, kind), {}).setdefault(name, {})[route, model] = Mean(*row)
    return by


def _alike(of: Sketch) -> dict[Key, float]:
    """How likely two random exchanges of a cohort and stratum have the same prompt. Second opinions come without their
    prompts, so they are assumed to repeat prompts as often as the exchanges do."""
    sizes, pairs = {key: row[0] for key, row in of.means.items() if _counts(key)}, dict[Key, float]()
    for text in of.texts.values():
        for key, row in text.means.items():
            if _counts(key):
                sizes[key] = sizes.get(key, 0.0) + row[0]
                pairs[key] = pairs.get(key, 0.0) + row[0] * (row[0] - 1)
    return {key[2:]: found / (sizes[key] * (sizes[key] - 1)) for key, found in pairs.items() if found > 0}


def _counts(key: Key) -> bool:
    return key[:2] == ("cohort", "answer_length")  # every exchange has one


def sides(of: Sketch) -> dict[tuple[str, str, str], dict[lean.Stratum, Mean]]:
    """The means by topic, side and measure, then by stratum."""
    by: dict[tuple[str, str, str], dict[lean.Stratum, Mean]] = {}
    for (kind, measure, *rest), row in of.counted_once().means.items():
        if kind == "lean" and measure in lean.MEASURES:
            topic, side, route, model = rest
            by.setdefault((topic, side, measure), {})[route, model] = Mean(*row)
    return by


def moved(reference: Sketch, now: Sketch) -> list[Shift]:
    """The shift of every feature that both have, the clearest first."""
    features = {key[0] for key in now.bins} & {key[0] for key in reference.bins}
    histograms = {feature: (_histogram(reference, feature), _histogram(now, feature)) for feature in features}
    return drift.shifts(histograms, (reference.array(), now.array()))


def _histogram(sketch: Sketch, feature: str) -> Histogram:
    """The counts of a feature's values. A prompt counts once in each sketch, that is once an hour and process. If many
    sketches have the same prompt they tell less; Σw² grows by that design effect of clusters."""
    rows = {key[1]: row for key, row in sketch.bins.items() if key[0] == feature}
    total = sum(n for n, *_ in rows.values())
    again = sum(text.sketches * (text.sketches - 1) for text in sketch.texts.values())
    effect = 1 + again / total if total else 1.0
    return {name: (n, w, ww * effect) for name, (n, w, ww) in rows.items()}


def series(looked: Looked) -> tuple[dict[str, tuple[float, str]], _Series, _Series]:
    """The changes by name; and, by route and measure, the hours of the route's own traffic and those of all other
    traffic. The route "" is all traffic."""
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
