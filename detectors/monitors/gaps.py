"""Is one cohort served worse than the others?

A cohort (a language, a caller) is compared with all others within each route and model, so that it is no gap where a
cohort only uses another model. Over all cohorts and measures false discoveries are bounded; an interval that is shown
beside a finding is that of the single comparison.
"""

from collections.abc import Mapping
from typing import NamedTuple

from detectors.monitors.statistics import FALSE_DISCOVERIES, Difference, Mean, within_strata

# What a sketch keeps of each cohort.
MEASURES = ("refusal", "answer_length", "latency", "hallucination", "toxicity", "cultural_insensitivity")
LEAST = 20.0  # effective samples of a cohort
Stratum = tuple[str, str]  # route and model
By = Mapping[str, Mapping[Stratum, Mean]]  # cohort → stratum → mean


class Gap(NamedTuple):
    """A cohort's mean less that of the others, over so many effective samples of it."""

    measure: str
    kind: str
    cohort: str
    effective: float
    difference: Difference
    found: bool


def gaps(measures: Mapping[tuple[str, str], By]) -> list[Gap]:
    """By (measure, kind of cohort); the clearest first.

    Step by step: the clearest gap is found, its cohort leaves the comparison, and the rest is compared again, so that
    one cohort that is served worse does not make all others look served better.
    """
    left = {key: dict(by) for key, by in measures.items()}
    named: list[Gap] = []
    while True:
        gaps_now = _compared(left, 1 + len(named))
        if not gaps_now or not gaps_now[0].found:
            return named + gaps_now
        first = gaps_now[0]
        named.append(first)
        del left[first.measure, first.kind][first.cohort]


def differences(measures: Mapping[tuple[str, str], By]) -> dict[tuple[str, str, str], Difference]:
    """Of each (measure, kind of cohort, cohort) with enough samples, against all others. Of two cohorts that are
    compared with each other alone the smaller stands for both."""
    found: dict[tuple[str, str, str], Difference] = {}
    for (measure, kind), by in measures.items():
        sizes = {cohort: sum(mean.effective for mean in own.values()) for cohort, own in by.items()}
        named = [cohort for cohort in by if sizes[cohort] >= LEAST]
        if len(by) == 2:
            named = [cohort for cohort in named if cohort == min(by, key=lambda each: (sizes[each], each))]
        for cohort in named:
            if (against := _against(by[cohort], by)) is not None:
                found[measure, kind, cohort] = against
    return found


def _compared(measures: Mapping[tuple[str, str], By], step: int) -> list[Gap]:
    """All that can be compared now, the clearest first; found is at most the first, with `step` - 1 found before."""
    compared = [
        (measure, kind, cohort, own, against)
        for (measure, kind), by in measures.items()
        for cohort, own in by.items()
        if (against := _against(own, by)) is not None and sum(mean.effective for mean in own.values()) >= LEAST
    ]
    # Of two that are compared with each other alone the smaller is the cohort, and the larger the rest.
    compared.sort(key=lambda row: (float(f"{row[-1].p:.6g}"), sum(mean.effective for mean in row[3].values())))
    # As Benjamini and Hochberg's procedure counts them, those that were found before being the clearest.
    limit = FALSE_DISCOVERIES * step / (len(compared) + step - 1) if compared else 0.0
    return [
        Gap(
            measure, kind, cohort, sum(mean.effective for mean in own.values()), against, at == 0 and against.p <= limit
        )
        for at, (measure, kind, cohort, own, against) in enumerate(compared)
    ]


def _against(own: Mapping[Stratum, Mean], by: By) -> Difference | None:
    return within_strata((mean, _others(stratum, mean, by)) for stratum, mean in own.items())


def _others(stratum: Stratum, own: Mean, by: By) -> Mean:
    total = Mean()
    for cohort in by.values():
        total = total.plus(cohort.get(stratum, Mean()))
    return total.plus(own, -1)
