"""Adds what judge models and people say of samples to the sums of the hours of these samples.

A second opinion comes long after the sample was observed, often in another process. So the ledger keeps it, and a look
adds it to the sums: whether the answer had a fault, for cohorts and changes; and, for answers that state how sure they
are, whether they were right. Its weight is 1 divided by both probabilities with which it was drawn.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from detectors.monitors.sketch import Sketch, Stated, cells_of
from gateway.trust.ledger import HOUR, Entry, LedgerError
from gateway.trust.moments import labels_by
from gateway.trust.second_opinion import KINDS, WRONG, Kind, SecondOpinion

log = logging.getLogger("assay")

# The measure in which cohorts are compared: the worst label of the answer.
FAULT: Mapping[Kind, str] = {"judge": "fault_by_judge", "person": "fault_by_people"}
SOURCE: Mapping[Kind, str] = {"judge": "judge", "person": "people"}  # who says what was right
_NO_FAULT = frozenset({"refusal"})
_MOST_AN_HOUR = 5_000

Given = tuple[SecondOpinion, Entry]


class Opinions(Protocol):
    """Where second opinions are: a store of the ledger."""

    async def opinions(
        self, since: float, until: float, most: int, kind: Kind | None = None, *, scores: bool = True
    ) -> list[Given]:
        """See `gateway.trust.ledger.Store.opinions`. Raises LedgerError."""
        ...


async def add_opinions(hours: Mapping[int, Sequence[Sketch]], sums: Mapping[int, Sketch], opinions: Opinions) -> None:
    """Add the opinions on the samples of each hour to the hour's sum in `sums`. `hours` has the sketches of all
    processes by the hour's start. Where the ledger cannot be read, nothing is added."""
    try:
        for start in sorted(hours):
            given = await opinions.opinions(start, start + HOUR, _MOST_AN_HOUR, scores=False)
            add_given(sums[start], hours[start], given)
    except LedgerError as error:
        log.warning("the monitors look without second opinions: %s", error)


def add_given(sums: Sketch, parts: Sequence[Sketch], given: Iterable[Given]) -> None:
    """Add the opinions on the samples of one hour; `parts` are the hour's sketches, one of each process."""
    stated = {
        sample: (each, share) for known, share in map(Sketch.known_stated, parts) for sample, each in known.items()
    }
    by_sample: dict[str, tuple[Entry, list[SecondOpinion]]] = {}
    for opinion, entry in given:
        by_sample.setdefault(entry.id, (entry, []))[1].append(opinion)
    for sample, (entry, said) in by_sample.items():
        for kind in KINDS:
            _add(sums, kind, entry, said, stated.get(sample))


def _add(
    sums: Sketch, kind: Kind, entry: Entry, said: Sequence[SecondOpinion], stated: tuple[Stated, float] | None
) -> None:
    labels = {slug: value for (slug, side), value in labels_by(kind, said).items() if side == "response"}
    faults = [value for slug, value in labels.items() if slug not in _NO_FAULT]
    if not faults:
        return
    weight = 1 / (entry.probability * next(each.probability for each in said if each.kind == kind))
    cells = cells_of(entry.route, entry.model, entry.language, entry.caller)
    sums.add_means(cells, {FAULT[kind]: max(faults)}, weight)
    wrong = [value for slug, value in labels.items() if slug in WRONG]
    if wrong and stated is not None:
        confidence, share = stated
        sums.add_confidence(entry.route, entry.model, SOURCE[kind], confidence, 1 - max(wrong), weight / share)
