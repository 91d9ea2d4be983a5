"""Has a rate risen? Alarms that stay valid however often one looks.

Each series (a sub-category and direction, of all traffic or of a route) is looked at hour by hour. Its first three days
say what is usual: the upper 95 % limit of their rate. After them each hour is a bet on a rise, 1 + λ(found / usual -
1). Here `found` is the hour's estimate over all that was judged, in which each finding is weighed by its inclusion
probability. It is never negative and is right on average however samples were drawn. So while the rate is at most the
usual one, no λ up to 1 wins on average (betting on a mean: arXiv 2010.09686, section 4), even while the allocation of
labels is learned anew. For each of several λ the bets multiply in a Shiryaev-Roberts e-detector (arXiv 2203.03532),
M = (M + 1) · bet, and the mean of these is an e-detector too: however often one looks, the mean time to a false alarm
of a series is RUN_LENGTH_HOURS or more. Over all series, alarms are chosen by e-BH (arXiv 2009.02824), which bounds the
share of false ones among them by FALSE_DISCOVERIES, whatever their dependence.

Both bounds hold as long as the true usual rate is below its limit; `tests/proofs/alarms.py` counts false alarms on
streams whose weights change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile

from gateway.trust.estimates import Evidence
from gateway.trust.intervals import Interval, Mean, beta_quantile
from gateway.trust.moments import NO, SAID, YES, Row

RUN_LENGTH_HOURS = 8760.0
FALSE_DISCOVERIES = 0.05
BASELINE_HOURS = 72
LEAST_BASELINE = 50.0  # effective samples
LEAST_FOUND = 5.0  # effective samples with the finding since the rise; with fewer there is no alarm
_STAKES = (0.05, 0.1, 0.2, 0.4, 0.8)
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour's effective sample: the `share` of it that shows the finding, and its `size`. `found` is the estimated
    share of everything judged, each finding weighed by its inclusion probability; by chance it may be above one."""

    start: int
    share: float
    size: float
    found: float


@dataclass(frozen=True, slots=True)
class Rise:
    """What was found of a series: when it rose (Unix seconds, from `since` to before `until`), the rate before and
    after, the e-detector's value and the hours over which it grew."""

    since: int
    until: int
    before: Interval
    after: Interval
    value: float
    hours: int

    @property
    def e_value(self) -> float:
        """The e-value against the hypothesis that nothing has risen, under which the value's expectation grows by one
        in each hour."""
        return self.value / self.hours


def hours_of(evidence: Iterable[tuple[int, Evidence]], detectors: frozenset[str]) -> tuple[str, list[Hour]]:
    """The basis and the hours of a series: people's labels or the judge's where there are enough, else the flags of
    these detectors alone."""
    known = list(evidence)
    for basis, source in (("labels", "person"), ("judge", "judge")):
        hours = [_hour(start, _labels(of, source), _judged(of)) for start, of in known]
        if sum(hour.size for hour in hours) >= 2 * LEAST_BASELINE:
            return basis, _from_the_first(hours)
    hours = []
    for start, of in known:
        rows = [row for (detector, _), row in of.detector.items() if detector in detectors]
        flags = _sum(rows)
        hours.append(_hour(start, flags, flags.w))
    return "flags", [hour for hour in hours if hour.size > 0]


def _from_the_first(hours: Sequence[Hour]) -> list[Hour]:
    """The hours from the first with labels on. Later hours without labels count too: nothing was found in them."""
    return list(dropwhile(lambda hour: hour.size <= 0, hours))


def _labels(of: Evidence, source: str) -> Row:
    by_place = of.person if source == "person" else of.judge
    kept = range(SAID) if source == "person" else (NO, YES)
    return _sum(rows[said] for rows in by_place.values() for said in kept)


def _judged(of: Evidence) -> float:
    return _sum(of.detector.values()).w


def _sum(rows: Iterable[Row]) -> Row:
    found = Row(0, 0, 0, 0, 0, 0)
    for row in rows:
        found = found + row
    return found


def _hour(start: int, row: Row, judged: float) -> Hour:
    """`judged` is the weight of all that was judged; 0 where no detector judges it: then the labels are the whole."""
    return Hour(start, row.mean, row.effective, row.wy / (judged or row.w or 1.0))


def rise(hours: Sequence[Hour]) -> Rise | None:
    """The latest state of a series; None while there is too little before or after the end of the baseline."""
    baseline, rest = _split(hours)
    size = sum(hour.size for hour in baseline)
    if size < LEAST_BASELINE or not rest:
        return None
    found = sum(hour.size * hour.share for hour in baseline)
    usual = max(1e-9, beta_quantile(0.95, found + 0.5, size - found + 0.5))
    if usual > 0.999:  # nothing is left to rise
        return None
    values, since_value, since = [0.0] * len(_STAKES), 0.0, rest[0].start
    for hour in rest:
        bets = [1 + stake * (hour.found / usual - 1) for stake in _STAKES]
        if since_value <= 1:
            since = hour.start
        since_value = min(1e300, max(1.0, since_value) * sum(bets) / len(bets))
        values = [min(1e300, (value + 1) * bet) for value, bet in zip(values, bets, strict=True)]
    after = [hour for hour in rest if hour.start >= since]
    span = (hours[-1].start - rest[0].start) // _HOUR + 1
    if not _enough(after):
        return None
    return Rise(since, hours[-1].start + _HOUR, _interval(baseline), _interval(after), sum(values) / len(values), span)


def _split(hours: Sequence[Hour]) -> tuple[Sequence[Hour], Sequence[Hour]]:
    if not hours:
        return (), ()
    end = hours[0].start + BASELINE_HOURS * _HOUR
    return [hour for hour in hours if hour.start < end], [hour for hour in hours if hour.start >= end]


def _enough(hours: Sequence[Hour]) -> bool:
    return sum(hour.size * hour.share for hour in hours) >= LEAST_FOUND


def _interval(hours: Sequence[Hour]) -> Interval:
    size = sum(hour.size for hour in hours)
    share = sum(hour.size * hour.share for hour in hours) / size
    return Mean(share, share * (1 - share) / size, 1 / size).interval()


def chosen(rises: Sequence[Rise | None]) -> list[int]:
    """The indices of the series that raise an alarm, of all series that are watched."""
    ranked = sorted((index for index, found in enumerate(rises) if found), key=lambda index: -_e(rises[index]))
    most = 0
    for rank, index in enumerate(ranked, start=1):
        if _e(rises[index]) >= len(rises) / (FALSE_DISCOVERIES * rank):
            most = rank
    return [index for index in ranked[:most] if _value(rises[index]) >= RUN_LENGTH_HOURS]


def _e(found: Rise | None) -> float:
    return found.e_value if found else 0.0


def _value(found: Rise | None) -> float:
    return found.value if found else 0.0
