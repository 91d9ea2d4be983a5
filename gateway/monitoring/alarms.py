"""Alarms: findings that last. A finding of one look may be chance, and there are looks every few minutes.

So an alarm does not rest on the p-values of one look. For differences (gaps, leans, calibration errors) evidence adds
up from each of the last days on, and is valid whenever one looks. A shift is tested once a day, over the last whole
day. An effect is tested at times that are fixed beforehand. A trigger's bound counts every prompt with the trigger as a
look (`detectors.monitors.sequences`). Each series by itself then raises a false alarm once a year or more rarely, and
at most 5 % of all alarms of a monitor are expected to be false. Needs numpy.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from detectors.monitors import calibration, effects, gaps, lean, sequences, triggers
from detectors.monitors.sequences import Evidence
from detectors.monitors.sketch import Sketch
from detectors.monitors.statistics import Difference
from detectors.monitors.triggers import Trigger
from gateway.monitoring.findings import Row
from gateway.monitoring.history import Looked, total
from gateway.monitoring.store import HOUR
from gateway.monitoring.sums import INSENSITIVITY, calibrations, cultures, moved, prompts_seen, series, served, sides

DAY = 24 * HOUR
_SHOWN = 20  # words of a trigger
TOLERATED = 0.05  # a calibration error up to this is no alarm
_Key = TypeVar("_Key", bound=tuple[str, ...])
_Compare = Callable[[Sketch], Mapping[_Key, Difference]]


def alarms(looked: Looked) -> dict[str, list[Row]]:
    """The alarms by sub-category, the clearest first."""
    since = _since_days(looked)
    return {
        "miscalibration": _miscalibration(since),
        "disparate_performance": _gaps(since, served),
        INSENSITIVITY: _gaps(since, cultures),
        "preference_bias": _leans(since),
        "distribution_shift": _shift(looked),
        "interventional_effect": _effects(looked),
        "poisoning_attacks": _triggers(looked),
    }


def _since_days(looked: Looked) -> dict[float, Sketch]:
    """By the beginning of each day that is kept: the sum of everything since then."""
    days: dict[int, Sketch] = {}
    for start, sketch in looked.all_hours:
        days.setdefault(start // DAY * DAY, Sketch()).add(_without_words(sketch))
    since: dict[float, Sketch] = {}
    later = Sketch()
    for start in sorted(days, reverse=True):
        since[float(start)] = later = total([later, days[start]])
    return since


def _lasting(since: Mapping[float, Sketch], compare: _Compare[_Key]) -> list[Evidence[_Key]]:
    """The series that raise an alarm. The evidence of each adds up from the beginning of each day that is kept."""
    by_key: dict[_Key, dict[float, Difference]] = {}
    for start, sketch in since.items():
        for key, difference in compare(sketch).items():
            by_key.setdefault(key, {})[start] = difference
    found = (sequences.detector(key, by_start, len(since)) for key, by_start in by_key.items())
    return sequences.chosen([each for each in found if each is not None])


def _without_words(sketch: Sketch) -> Sketch:
    return Sketch(means=sketch.means, calibration=sketch.calibration, texts=sketch.texts)


def _first_of(found: Iterable[Evidence[_Key]], parts: int) -> list[Evidence[_Key]]:
    """Only the first for each beginning of a key: where one cohort stands out, the others stand out against it."""
    seen: dict[tuple[str, ...], Evidence[_Key]] = {}
    for each in found:
        seen.setdefault(each.key[:parts], each)
    return list(seen.values())


def _row(of: Evidence[_Key], **about: object) -> Row:
    estimate, low, high, _ = of.difference
    figures = {"estimate": round(estimate, 5), "low": round(low, 5), "high": round(high, 5)}
    return {**about, **figures, "since": of.since, "evidence": float(f"{of.value:.4g}")}


def _miscalibration(since: Mapping[float, Sketch]) -> list[Row]:
    def compare(of: Sketch) -> dict[tuple[str, ...], Difference]:
        found: dict[tuple[str, ...], Difference] = {}
        for key, bins in calibrations(of).items():
            figures = calibration.figures(bins)
            if figures is not None:
                over = max(0.0, figures.ece[0] - TOLERATED)
                found[key] = Difference.normal(over, max(figures.deviation, 1e-6) ** 2)
        return found

    return [
        _row(each, route=each.key[0], model=each.key[1], outcome=each.key[2], measure="calibration_error_over_5_points")
        for each in _lasting(since, compare)
    ]


def _gaps(since: Mapping[float, Sketch], of_each: Callable[[Sketch], Mapping[tuple[str, str], gaps.By]]) -> list[Row]:
    found = _first_of(_lasting(since, lambda of: gaps.differences(of_each(of))), 2)
    return [_row(each, measure=each.key[0], cohorts=each.key[1], cohort=each.key[2]) for each in found]


def _leans(since: Mapping[float, Sketch]) -> list[Row]:
    found = _lasting(since, lambda of: lean.differences(sides(of)))
    sided = {topic: dict(zip(("side", "other"), names, strict=True)) for topic, names in lean.TOPICS.items()}
    return [_row(each, topic=each.key[0], **sided[each.key[0]], measure=each.key[1]) for each in found]


def _shift(looked: Looked) -> list[Row]:
    """The last whole day against the time before it: one test of each feature a day."""
    today = looked.at // DAY * DAY
    day = total(sketch for start, sketch in looked.all_hours if today - DAY <= start < today)
    before = looked.reference if looked.is_pinned else _before(looked.all_hours, today - DAY)
    shifts = moved(before, day)
    tested = [
        Evidence((shift.feature,), sequences.e_of_p(shift.p), 1, today - DAY, Difference(shift.distance, 0, 0, shift.p))
        for shift in shifts
    ]
    noteworthy = {(shift.feature,) for shift in shifts if shift.found}
    return [
        {
            "feature": each.key[0],
            "distance": round(each.difference.estimate, 5),
            "since": each.since,
            "evidence": float(f"{each.value:.4g}"),
        }
        for each in sequences.chosen(tested)
        if each.key in noteworthy
    ]


def _before(hours: Sequence[tuple[int, Sketch]], end: float) -> Sketch:
    return total(sketch for start, sketch in hours if start < end)


def _effects(looked: Looked) -> list[Row]:
    changes, own, others = series(looked)
    tested = []
    for name, (at, changed) in changes.items():
        for (route, measure), hours in own.items():
            if route != changed:
                continue
            control = others.get((route, measure), ())
            difference = effects.step(effects.designed(hours, control, at)[1], at)
            if difference is not None and not math.isnan(difference.estimate):
                value = effects.evidence(hours, control, at, looked.at)
                tested.append(Evidence((name, route, measure), value, 1, at, difference))
    # An effect is looked at a fixed number of times, so there is no mean time to a false alarm to ask for.
    return [
        _row(each, change=each.key[0], route=each.key[1] or None, measure=each.key[2])
        for each in sequences.chosen(tested, value=0.0)
    ]


def _triggers(looked: Looked) -> list[Row]:
    both = prompts_seen(looked)
    named = [found for found in triggers.triggers(both.grams, both.total) if found.alarms]
    return [trigger_row(alike) for alike in triggers.together(named)]


def trigger_row(alike: Sequence[Trigger]) -> Row:
    """The row of words and openings that came together; they are shown by their hashes."""
    first = alike[0]
    return {
        "grams": [f"{found.gram & 0xFFFFFFFF:08x}" for found in alike[:_SHOWN]],
        "words": sum(not found.is_opening for found in alike),
        "openings": sum(found.is_opening for found in alike),
        "outcome": first.outcome,
        "prompts": first.prompts,
        "estimate": round(first.share, 4),
        "usual": round(first.usual, 4),
        "p": float(f"{first.p:.3g}"),
        "sample": first.sample,
    }
