"""Local operating points: how the detectors do on this traffic, by second opinions, and the thresholds that follow.

A label counts as many exchanges as its sample stands for: 1/(probability of the sample × probability of the draw). For
each head the harmless exchanges, so weighted, give the share of them that reaches a score: the local false-alarm table.

How many labels are enough: a rate r is given only where the harmless samples are worth at least ENOUGH/r equally
weighted ones (Kish's effective size), so that ENOUGH of them are expected beyond the threshold. For 1 % that is 500.
Rates that are not given keep the card's threshold, raised to the local one of the smallest rate that is given: a
threshold never falls below what a higher rate needs here.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from gateway.trust.ledger import Entry
from gateway.trust.second_opinion import Kind, SecondOpinion

ENOUGH = 5
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
LEAST_FOR_RATES = 30  # effective samples of a kind, below which no error rate is shown
Table = tuple[tuple[float, float], ...]  # (false-alarm rate, score), rates ascending
Head = tuple[str, str, str]  # detector as name@version, sub-category, direction
Source = Literal["labels", "judge", "texts"]
_SOURCE_OF: Mapping[Kind, Source] = {"person": "labels", "judge": "judge"}


class Labelled(NamedTuple):
    """One sample as one head saw it: the score and flag, how harmful it is (0 to 1), and what it stands for."""

    score: float
    flagged: bool
    harmful: float
    weight: float


class Local(msgspec.Struct, frozen=True):
    """What second opinions say of one head. Rates are shares of exchanges, None where too few labels speak of them.

    `rows` is the false-alarm table as it would be adopted, `local_rates` those of its rates that come from here; the
    others are the card's. `harmless` and `harmful` are effective sizes.
    """

    detector: str
    subcategory: str
    direction: str
    source: Source
    labels: int
    harmless: float
    harmful: float
    true_positive_rate: float | None
    false_positive_rate: float | None
    rows: Table
    local_rates: tuple[float, ...]

    @property
    def head(self) -> Head:
        return self.detector, self.subcategory, self.direction


def locals_of(opinions: Iterable[tuple[SecondOpinion, Entry]], cards: Mapping[Head, Table]) -> list[Local]:
    """For each head that second opinions speak of, from people's labels where they give a table, else the judge's.

    `cards` are the tables in force for detectors that run now; what older versions said is left out.
    """
    by_kind: dict[tuple[Kind, Head], list[Labelled]] = defaultdict(list)
    for kind, head, labelled in _labelled(opinions):
        if head in cards:
            by_kind[kind, head].append(labelled)
    found = {
        key: _local(key[1], _SOURCE_OF[key[0]], labelled, cards[key[1]]) for key, labelled in sorted(by_kind.items())
    }
    return [
        _better(found.get(("person", head)), found.get(("judge", head))) for head in sorted({key[1] for key in found})
    ]


def _better(people: Local | None, judge: Local | None) -> Local:
    if people is None or judge is None:
        either = people or judge
        assert either is not None
        return either
    return people if people.local_rates or not judge.local_rates else judge


def _labelled(opinions: Iterable[tuple[SecondOpinion, Entry]]) -> Iterable[tuple[Kind, Head, Labelled]]:
    """Two people's labels on one sample are averaged: the sample counts once."""
    together: dict[tuple[str, Kind, str, str], list[float]] = defaultdict(list)
    about: dict[tuple[str, Kind], tuple[SecondOpinion, Entry]] = {}
    for opinion, entry in opinions:
        about[opinion.sample, opinion.kind] = opinion, entry
        for label in opinion.labels:
            together[opinion.sample, opinion.kind, label.direction, label.slug].append(label.value)
    for (sample, kind, direction, slug), values in together.items():
        opinion, entry = about[sample, kind]
        weight = 1 / (entry.probability * opinion.probability)
        for score in entry.scores:
            if (score.direction, score.slug) == (direction, slug):
                harmful = sum(values) / len(values)
                yield kind, (score.detector, slug, direction), Labelled(score.score, score.flagged, harmful, weight)


def _local(head: Head, source: Source, labelled: Sequence[Labelled], card: Table) -> Local:
    harmless = [(each.score, each.weight * (1 - each.harmful)) for each in labelled]
    size = effective(weight for _, weight in harmless)
    positive = effective(each.weight * each.harmful for each in labelled)
    rows, local_rates = merged_table(false_alarm_table(harmless), card)
    return Local(
        *head,
        source=source,
        labels=len(labelled),
        harmless=round(size, 1),
        harmful=round(positive, 1),
        true_positive_rate=_flagged(labelled, harmful=True) if positive >= LEAST_FOR_RATES else None,
        false_positive_rate=_flagged(labelled, harmful=False) if size >= LEAST_FOR_RATES else None,
        rows=rows,
        local_rates=local_rates,
    )


def _flagged(labelled: Sequence[Labelled], *, harmful: bool) -> float:
    weights = [(each.flagged, each.weight * (each.harmful if harmful else 1 - each.harmful)) for each in labelled]
    return round(sum(weight for flagged, weight in weights if flagged) / sum(weight for _, weight in weights), 4)


def effective(weights: Iterable[float]) -> float:
    """Kish's effective size: as many equally weighted samples would tell as much."""
    listed = list(weights)
    squares = sum(weight * weight for weight in listed)
    return sum(listed) ** 2 / squares if squares else 0.0


def false_alarm_table(harmless: Sequence[tuple[float, float]]) -> Table:
    """From (score, weight) of harmless samples: for each rate that they are enough for, the lowest score that no more
    than this share of them reaches."""
    size = effective(weight for _, weight in harmless)
    ordered = sorted(((score, weight) for score, weight in harmless if weight > 0), reverse=True)
    total = sum(weight for _, weight in ordered)
    reached: list[tuple[float, float]] = []  # a score, and the share of the harmless at or above it; falling scores
    above = 0.0
    for score, weight in ordered:
        above += weight
        if reached and reached[-1][0] == score:
            reached.pop()
        reached.append((score, above / total))
    shares = [share for _, share in reached]
    rows = []
    for rate in RATES:
        if size * rate >= ENOUGH:
            fitting = bisect_right(shares, rate * (1 + 1e-9))
            rows.append((rate, reached[fitting - 1][0] if fitting else math.nextafter(reached[0][0], math.inf)))
    return tuple(rows)


def merged_table(local: Table, card: Table) -> tuple[Table, tuple[float, ...]]:
    """The local rows, and the card's for rates below them; and which rates are local."""
    if not local:
        return card, ()
    lowest, score = local[0]
    below = tuple((rate, max(threshold, score)) for rate, threshold in card if rate < lowest * (1 - 1e-9))
    return (*below, *local), tuple(rate for rate, _ in local)
