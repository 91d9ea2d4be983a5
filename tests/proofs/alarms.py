"""False alarms over 10,000 days of series in which nothing changes, and the delay after a real rise, beside a rule
with a fixed threshold and a daily z-test on the same streams.

    python -m tests.proofs.alarms [--series 1430]
"""

import argparse
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.trust.moments import Row
from gateway.trust.watching.alarms import BASELINE_HOURS, RUN_LENGTH_HOURS, Hour, rise

BASE = BASELINE_HOURS // 24
DAYS = BASE + 7
HOURS = 24 * DAYS
CHANGE = BASELINE_HOURS + 24 * 3
Floats = npt.NDArray[np.float64]


class Streams(NamedTuple):
    """Weighted sums by series and hour: Σw, Σw², Σwy, Σw²y; `judged` is the weight of all that was judged."""

    w: Floats
    ww: Floats
    wy: Floats
    wwy: Floats
    judged: Floats


DOUBTFUL = 0.1  # the share of the traffic that scores high
_THEIRS = 0.4  # of the harm is in it
_NEED = 5.0  # as often a label is drawn there once that was learned


def streams(series: int, *, usual: float, raised: float, an_hour: float, seed: int) -> Streams:
    """Labels of doubtful and of clear texts, more by day than by night. In the baseline both are drawn alike, after it
    as the gateway has learned by then, a fifth still evenly: so the weights change. From the hour CHANGE on the rate
    is another."""
    chance = np.random.default_rng(seed)
    at = np.arange(HOURS)
    by_hour = an_hour * (1 + 0.5 * np.sin(at * 2 * np.pi / 24))
    rate = np.where(at < CHANGE, usual, raised)
    mean_need = 1 - DOUBTFUL + DOUBTFUL * _NEED
    sums = np.zeros((4, series, HOURS))
    for share, harm, need in ((1 - DOUBTFUL, 1 - _THEIRS, 1.0), (DOUBTFUL, _THEIRS, _NEED)):
        drawn = np.where(at < BASELINE_HOURS, 1.0, 0.2 + 0.8 * need / mean_need)
        n = chance.poisson(by_hour * share * drawn, size=(series, HOURS))
        k = chance.binomial(n, rate * harm / share)
        sums += np.stack([n / drawn, n / drawn**2, k / drawn, k / drawn**2])
    w, ww, wy, wwy = sums
    return Streams(w, ww, wy, wwy, np.broadcast_to(by_hour, (series, HOURS)))


def ours(of: Streams) -> list[int | None]:
    """The hour of each series' first alarm by its own bound on the run length."""
    return [_first(of, number) for number in range(len(of.w))]


def _first(of: Streams, number: int) -> int | None:
    hours: list[Hour] = []
    for hour in range(HOURS):
        w, ww, wy, wwy, judged = (float(part[number, hour]) for part in of)
        row = Row(0, w, ww, wy, wwy, wwy)
        hours.append(Hour(hour * 3600, row.mean, row.effective, wy / judged))
    # The detector's value is that of the last hour given: one look a day finds the day, looks within it the hour.
    for day in range(BASE + 1, DAYS + 1):
        found = rise([hour for hour in hours if hour.start < day * 24 * 3600])
        if found and found.value >= RUN_LENGTH_HOURS:
            return _within(hours, day)
    return None


def _within(hours: list[Hour], day: int) -> int:
    for last in range((day - 1) * 24, day * 24):
        found = rise([hour for hour in hours if hour.start <= last * 3600])
        if found and found.value >= RUN_LENGTH_HOURS:
            return last
    return day * 24 - 1


def threshold(of: Streams) -> list[int | None]:
    """A rule on the rate of the last hour: more than twice that of the baseline."""
    usual = of.wy[:, :BASELINE_HOURS].sum(axis=1) / of.w[:, :BASELINE_HOURS].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        over = of.wy[:, BASELINE_HOURS:] / of.w[:, BASELINE_HOURS:] > 2 * usual[:, None]
    return _firsts(over, 1)


def z_test(of: Streams) -> list[int | None]:
    """Each day against the baseline, at 5 % two-sided, as if the weighted labels were so many."""
    days = [part.reshape(len(part), DAYS, 24).sum(axis=2) for part in of[:4]]
    first = [part[:, :BASE].sum(axis=1, keepdims=True) for part in days]
    size, size_before = (w * w / ww for w, ww, _, _ in (days, first))
    p, p_before = (wy / w for w, _, wy, _ in (days, first))
    pooled = (p * size + p_before * size_before) / (size + size_before)
    spread = np.sqrt(np.maximum(1e-12, pooled * (1 - pooled) * (1 / size + 1 / size_before)))
    return _firsts(((p - p_before) / spread)[:, BASE:] > 1.96, 24)


def _firsts(over: npt.NDArray[np.bool_], width: int) -> list[int | None]:
    return [BASELINE_HOURS + int(np.argmax(row)) * width + width - 1 if row.any() else None for row in over]


RULES: dict[str, Callable[[Streams], list[int | None]]] = {
    "e-detector": ours,
    "threshold, 2 × the baseline": threshold,
    "daily z-test": z_test,
}


class Line(NamedTuple):
    rule: str
    false: float  # share of series with an alarm though nothing changed
    found: float  # share of series in which the rise raised an alarm, and none was raised before
    delay: float  # median hours from the rise to the alarm


def measured(series: int, usual: float, factor: float, an_hour: float) -> list[Line]:
    still = streams(series, usual=usual, raised=usual, an_hour=an_hour, seed=51)
    rising = streams(max(50, series // 5), usual=usual, raised=factor * usual, an_hour=an_hour, seed=52)
    lines = []
    for name, rule in RULES.items():
        delays = [at - CHANGE for at in rule(rising) if at is not None and at >= CHANGE]
        false = float(np.mean([at is not None for at in rule(still)]))
        found = len(delays) / len(rising.w)
        lines.append(Line(name, false, found, float(np.median(delays)) if delays else float("nan")))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1430, help="of seven days after the baseline, each")
    asked = parser.parse_args()
    out = sys.stdout
    out.write(
        "| rate, rise, labels an hour | rule | series with a false alarm in 7 days | rises found | delay, hours |\n"
    )
    out.write("|---|---|---|---|---|\n")
    for usual, factor, an_hour in ((0.02, 3.0, 40.0), (0.1, 2.0, 20.0), (0.005, 5.0, 100.0)):
        for line in measured(asked.series, usual, factor, an_hour):
            out.write(
                f"| {usual:.1%}, × {factor:g}, {an_hour:g} | {line.rule} | {line.false:.2%} | {line.found:.0%} | "
            )
            out.write(f"{line.delay:.0f} |\n")


if __name__ == "__main__":
    main()
