"""What did a change do?

Interrupted time series: a line, the hour of the day and a step at the change are fitted to the hourly means before and
after it. Each hour is weighted by its samples, and the standard errors allow for neighbouring hours being alike. With
three days before the change, each hour of the day has its own level, and hours of the day that never occurred before
the change are left out. A smooth daily wave that does not fit would show an effect where people only came at other
hours after the change.

Difference in differences: the same fit to the difference between the route's means and those of the traffic without
the change. Neither design knows what else happened in the same hour.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.monitors.sequences import e_at_looks
from detectors.monitors.statistics import Difference, discoveries, p_of_student

LEAST_BEFORE, LEAST_AFTER = 24, 6  # hours with samples
# Hours before the change that are needed to fit the time of day: as a wave, and as a level for each hour.
_WAVE_HOURS, _LEVELS_HOURS = 48, 72
LOOKS = (7, 12, 24, 48, 96, 144)  # hours after a change
_HOUR = 3600
_Array = npt.NDArray[np.float64]


class Hour(NamedTuple):
    """The mean of a measure in the hour from `start` (Unix seconds). `size` is its effective samples."""

    start: int
    mean: float
    size: float


class Effect(NamedTuple):
    """The step in a measure at a change. `design` names what it was compared with."""

    change: str
    measure: str
    route: str
    design: str
    difference: Difference
    hours: int
    found: bool


def step(hours: Sequence[Hour], at: float) -> Difference | None:
    """The step of a series at this time, with its interval; None if there are too few hours before or after it."""
    known = [hour for hour in hours if hour.size > 0 and not hour.start <= at < hour.start + _HOUR]
    before = sum(hour.start < at for hour in known)
    if before >= _LEVELS_HOURS:
        times = {_time_of_day(hour) for hour in known if hour.start < at}
        known = [hour for hour in known if _time_of_day(hour) in times]
    if before < LEAST_BEFORE or len(known) - before < LEAST_AFTER:
        return None
    return _fit(known, at)


def _time_of_day(hour: Hour) -> int:
    return hour.start // _HOUR % 24


def _columns(hours: Sequence[Hour], when: _Array) -> list[_Array]:
    """The columns of the fit: the step first, then the line and the time of day, if there are enough hours for them."""
    step_, before = (when >= 0).astype(float), int(np.sum(when < 0))
    if before < _WAVE_HOURS:
        return [step_, np.ones_like(when)]
    if before < _LEVELS_HOURS:
        angle = 2 * np.pi * when / 24
        return [step_, np.ones_like(when), when / 24, np.sin(angle), np.cos(angle)]
    times = np.array([_time_of_day(hour) for hour in hours])
    return [step_, when / 24, *((times == time).astype(float) for time in np.unique(times))]


def _fit(hours: Sequence[Hour], at: float) -> Difference:
    when = (np.array([hour.start for hour in hours], dtype=float) - at) / _HOUR
    values = np.array([hour.mean for hour in hours])
    weights = np.sqrt(np.array([hour.size for hour in hours]))
    design = np.column_stack(_columns(hours, when)) * weights[:, None]
    answer, *_ = np.linalg.lstsq(design, values * weights, rcond=None)
    left = values * weights - design @ answer
    free = len(hours) - design.shape[1]
    variance = float(left @ left) / free * float(np.linalg.pinv(design.T @ design)[0, 0])
    alike, estimate = _alike(left), float(answer[0])
    variance = max(variance, 1e-18) * alike
    p = p_of_student(estimate / math.sqrt(variance), free / alike)
    # Student's quantile over the normal one, squared, is about this.
    return Difference.normal(estimate, variance * (1 + 2.4 / free))._replace(p=p)


def _alike(left: _Array) -> float:
    """How many times larger the variance is because neighbouring hours are alike: (1 + r) / (1 - r), at least 1. The
    first autocorrelation r is estimated too low by about (1 + 4 r) / n (Marriott & Pope 1954), which is added."""
    found = float(left[1:] @ left[:-1]) / max(float(left @ left), 1e-18)
    alike = min(0.95, max(0.0, found + (1 + 4 * found) / len(left)))
    return (1 + alike) / (1 - alike)


def less(treated: Sequence[Hour], control: Sequence[Hour]) -> list[Hour]:
    """The treated hours less the control's. The size is that of a difference of two means."""
    by_start = {hour.start: hour for hour in control if hour.size > 0}
    return [
        Hour(hour.start, hour.mean - other.mean, hour.size * other.size / (hour.size + other.size))
        for hour in treated
        if hour.size > 0 and (other := by_start.get(hour.start))
    ]


def designed(hours: Sequence[Hour], control: Sequence[Hour], at: float) -> tuple[str, list[Hour]]:
    """The design and its series: compared with the traffic without the change if there is enough of it, else only with
    the past."""
    compared = less(hours, control)
    if step(compared, at) is not None:
        return "difference_in_differences", compared
    return "interrupted_time_series", list(hours)


def evidence(hours: Sequence[Hour], control: Sequence[Hour], at: float, now: float) -> float:
    """The evidence for a step at this change, valid whenever one looks: the series is tested LOOKS hours after it."""
    p_values = []
    for after in LOOKS:
        if at + after * _HOUR > now:
            break
        known = [hour for hour in hours if hour.start + _HOUR <= at + after * _HOUR]
        found = step(designed(known, control, at)[1], at)
        p_values.append(None if found is None or math.isnan(found.estimate) else found.p)
    return e_at_looks(p_values, len(LOOKS))


def effects(
    changes: Mapping[str, tuple[float, str]],
    series: Mapping[tuple[str, str], Sequence[Hour]],
    others: Mapping[tuple[str, str], Sequence[Hour]],
) -> list[Effect]:
    """The effects of the changes, the clearest first. `changes` has the time and the route of each by its name (an
    empty route: the series of all routes). `series` and `others` have, by (route, measure), the route's own traffic and
    all other traffic."""
    rows: list[tuple[str, str, str, str, Difference, int]] = []
    for name, (at, changed) in changes.items():
        for (route, measure), hours in series.items():
            if route != changed:
                continue
            design, used = designed(hours, others.get((route, measure), ()), at)
            found = step(used, at)
            if found is not None and not math.isnan(found.estimate):
                rows.append((name, measure, route, design, found, len(used)))
    sure = discoveries([row[4].p for row in rows])
    return sorted((Effect(*row, is_sure) for row, is_sure in zip(rows, sure, strict=True)),
                  key=lambda effect: effect.difference.p)  # fmt: skip
