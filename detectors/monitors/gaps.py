"""Is one cohort served worse than the others?

A cohort (a language, a caller) is compared with all others within each route and model: a cohort that only uses another
model shows no gap. False discoveries are bounded over all cohorts and measures. The interval shown beside a finding is
that of the single comparison.
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
    """A cohort's mean less that of the others. `effective` is the cohort's effective samples."""

    measure: str
    kind: str
    cohort: str
    effective: float
    difference: Difference
    found: bool


def gaps(measures: Mapping[tuple[str, str], By]) -> list[Gap]:
    """The gaps, the clearest first, of `measures` by (measure, kind of cohort).

    When the clearest gap is found, its cohort leaves the comparison, and the rest is compared again: otherwise one
    cohort that is served worse would make all others look better served.
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
    """The difference of each (measure, kind of cohort, cohort) with enough samples from all others. If there are only
    two cohorts, the smaller stands for both."""
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
    """All gaps that can be compared now, the clearest first. At most the first is marked as found; `step` - 1 were
    found before it."""
    compared = [
        (measure, kind, cohort, own, against)
        for (measure, kind), by in measures.items()
        for cohort, own in by.items()
        if (against := _against(own, by)) is not None and sum(mean.effective for mean in own.values()) >= LEAST
    ]
    # If there are only two cohorts, their p-values are equal: the smaller comes first, and the larger is the rest.
    compared.sort(key=lambda row: (float(f"{row[-1].p:.6g}"), sum(mean.effective for mean in row[3].values())))
    # The limit of Benjamini and Hochberg's procedure for this rank, counting those that were found before.
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
