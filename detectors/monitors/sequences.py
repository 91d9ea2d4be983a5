"""Evidence that stays valid however often one looks at it.

A p-value is valid for one look. Here the monitors bet against the hypothesis "nothing there"; while it is true, the
expected value of the bets is at most 1 (e-values; Ramdas and others 2023). The bet on a difference is a mixture of
normal likelihood ratios over its size (Robbins 1970). It is valid at any time on data that grows from a fixed start, as
far as means are normal (Waudby-Smith and others 2024). The sum over starts, one a day, is a Shiryaev-Roberts e-detector
(Shin, Ramdas & Rinaldo 2023): it grows by one a day on average, so its mean time to RUN_LENGTH_DAYS is at least that
many days. Alarms are chosen over all series by e-BH (Wang & Ramdas 2022), which holds however they depend on each
other.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from detectors.monitors.statistics import Difference

RUN_LENGTH_DAYS = 365.0
FALSE_DISCOVERIES = 0.05
EXPECTED_SIZE = 0.1  # of a difference that matters, on measures from 0 to 1
_MOST = 600.0  # of an exponent
_Key = TypeVar("_Key")


class Evidence(NamedTuple, Generic[_Key]):
    """The evidence against "nothing there" in one series: the detector's value, how many starts it adds up, and the
    start with the most evidence (`since`, in Unix seconds)."""

    key: _Key
    value: float
    starts: int
    since: float
    difference: Difference

    @property
    def e_value(self) -> float:
        return self.value / self.starts


def e_of_difference(estimate: float, variance: float, size: float = EXPECTED_SIZE) -> float:
    """The e-value against no difference, for a normal estimate."""
    if not 0 < variance < math.inf:
        return 1.0
    gain = size * size / (size * size + variance)
    return math.sqrt(1 - gain) * math.exp(min(_MOST, gain * estimate * estimate / variance / 2))


def e_of_p(p_value: float) -> float:
    """A p-value as a bet: the mixture of all powers (Vovk & Wang 2021, section 2)."""
    p = min(max(p_value, 1e-250), 1 - 1e-9)
    log = math.log(p)
    return (1 - p + p * log) / (p * log * log)


def detector(key: _Key, by_start: Mapping[float, Difference], starts: int) -> Evidence[_Key] | None:
    """The evidence in one series, or None. `by_start` has, for each start with enough samples, the difference over all
    samples since then."""
    if not by_start:
        return None
    bets = {since: e_of_difference(found.estimate, found.variance) for since, found in by_start.items()}
    since = max(bets, key=lambda at: bets[at])
    return Evidence(key, sum(bets.values()), starts, since, by_start[since])


def chosen(series: Iterable[Evidence[_Key]], value: float = RUN_LENGTH_DAYS) -> list[Evidence[_Key]]:
    """Those that raise an alarm, the clearest first: their evidence is enough by itself, and among all series."""
    ranked = sorted(series, key=lambda each: -each.e_value)
    enough = [rank for rank, each in enumerate(ranked, 1) if each.e_value >= len(ranked) / (FALSE_DISCOVERIES * rank)]
    return [each for each in ranked[: max(enough, default=0)] if each.value >= value]


def e_at_looks(p_values: Sequence[float | None], looks: int) -> float:
    """The e-value of looks at growing data, whose times were fixed before. Each look has the same share of one bet; a
    look that has not happened counts as lost. The sum only grows, so it is valid at any time, however the looks depend
    on each other."""
    return sum(e_of_p(p) for p in p_values if p is not None) / looks
