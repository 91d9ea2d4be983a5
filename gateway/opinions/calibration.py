"""Local operating points: how well the detectors do on this traffic by second opinions, and thresholds that follow.

A label counts for as many exchanges as its sample stands for: 1/(probability of the sample × probability of the draw).
For each head the harmless exchanges, weighted in this way, give the share of them that reaches each score: this is the
local false-alarm table.

The table has a rate r only if the harmless samples are worth at least ENOUGH/r equally weighted ones (Kish's effective
size), so that ENOUGH of them are expected above the threshold. For 1 % that is 500. Smaller rates keep the card's
threshold, but at least the local threshold of the smallest rate that the table has: a smaller rate never has a lower
threshold.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from gateway.trust.ledger import Entry
from gateway.trust.moments import labels_by
from gateway.trust.second_opinion import Kind, SecondOpinion

ENOUGH = 5
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
LEAST_FOR_RATES = 30  # effective harmful or harmless samples; with fewer no error rate is shown
Table = tuple[tuple[float, float], ...]  # (false-alarm rate, score), rates ascending
Head = tuple[str, str, str]  # detector as name@version, sub-category, direction
Source = Literal["labels", "judge", "texts"]
_SOURCE_OF: Mapping[Kind, Source] = {"person": "labels", "judge": "judge"}


class Labelled(NamedTuple):
    """One sample as one head saw it: score and flag, how harmful it is by its labels (0 to 1), and its weight."""

    score: float
    flagged: bool
    harmful: float
    weight: float


class Local(msgspec.Struct, frozen=True):
    """What second opinions say of one head. Rates are shares of exchanges; None where there are too few labels.

    `rows` is the false-alarm table that would be adopted. Its `local_rates` come from second opinions, the others from
    the card. `harmless` and `harmful` are effective sizes.
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
    """The local operating points of each head that has second opinions: by people's labels if these are enough for a
    table, else by the judge's.

    `cards` are the tables in force of the detectors that run now; scores of older versions are left out.
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
    """A sample counts once for each kind: by the judge's latest opinion, and by the mean of what people say."""
    by_sample: dict[tuple[str, Kind], tuple[Entry, list[SecondOpinion]]] = {}
    for opinion, entry in opinions:
        by_sample.setdefault((opinion.sample, opinion.kind), (entry, []))[1].append(opinion)
    for (_, kind), (entry, given) in by_sample.items():
        weight = 1 / (entry.probability * given[0].probability)
        labels = labels_by(kind, given)
        for score in entry.scores:
            harmful = labels.get((score.slug, score.direction))
            if harmful is not None:
                head = score.detector, score.slug, score.direction
                yield kind, head, Labelled(score.score, score.flagged, harmful, weight)


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
    """Kish's effective size: the number of equally weighted samples that would tell as much."""
    listed = list(weights)
    squares = sum(weight * weight for weight in listed)
    return sum(listed) ** 2 / squares if squares else 0.0


def false_alarm_table(harmless: Sequence[tuple[float, float]]) -> Table:
    """From the (score, weight) of harmless samples: for each rate for which there are enough of them, the lowest score
    that at most this share of them reaches."""
    size = effective(weight for _, weight in harmless)
    ordered = sorted(((score, weight) for score, weight in harmless if weight > 0), reverse=True)
    total = sum(weight for _, weight in ordered)
    reached: list[tuple[float, float]] = []  # falling scores, each with the share of the harmless at or above it
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
    """The local rows together with the card's for smaller rates, and the rates that are local."""
    if not local:
        return card, ()
    lowest, score = local[0]
    below = tuple((rate, max(threshold, score)) for rate, threshold in card if rate < lowest * (1 - 1e-9))
    return (*below, *local), tuple(rate for rate, _ in local)
