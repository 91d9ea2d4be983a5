"""Finds the pairs of a premise and a claim in an exchange: a bounded number, the most telling ones."""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from detectors.base import Steps, Turn
from detectors.comparing.details import Details, details
from detectors.comparing.misconceptions import Misconception
from detectors.comparing.nearness import Overlap, Passages, overlap, stems
from detectors.comparing.sentences import Sentence, claims, sentences
from detectors.comparing.sources import Given

MOST_CLAIMS = 12  # of an answer that are judged against its source
LOOKED_AT = 60  # claims of an answer for which passages are looked up
MOST_EARLIER = 6  # pairs of an answer's claim and an earlier one
MOST_STEPS = 4
MOST_MYTHS = 3
LIKELY_MYTHS = 3  # of the nearest to a claim, the first that is near enough counts
EARLIER_TURNS = 50  # of the assistant that are looked at, the latest
EARLIER_CLAIMS = 400
NEAR_EARLIER, NEAR_STEP, NEAR_MYTH = 0.3, 0.5, 0.5  # nearness from which two claims may be about the same
STEP_CHARACTERS = 30_000  # of a source that are made ready in one piece of work: some 10 ms


class StoppedError(Exception):
    """The work was asked to stop before its end."""


def pause() -> Steps[None]:
    """The end of one piece of work. Raises StoppedError where no further one is wanted."""
    if (yield):
        raise StoppedError


class Pairing(NamedTuple):
    """A premise and a claim of the answer; `near` is how much of the claim the premise contains."""

    premise: str
    claim: Sentence
    near: Overlap


class Sourced(NamedTuple):
    """A claim of the answer and its source: the nearest passages (`premise`), the nearest alone, how much of the claim
    the premise (`near`) and the whole source contain, and the details in which they differ."""

    premise: str
    nearest: str
    claim: Sentence
    near: Overlap
    whole: Overlap
    details: Details


def against_source(given: Given, answer: str) -> Steps[list[Sourced]]:
    """Each claim of the answer with the nearest passages; of many claims, those that the source contains least of."""
    passages = yield from _passages(given)
    found = []
    for claim in claims(answer)[:LOOKED_AT]:
        found.append(sourced(passages, claim))
        yield from pause()
    return sorted(found, key=lambda each: (each.near.words + each.near.pairs, each.claim.start))[:MOST_CLAIMS]


def sourced(passages: Passages, claim: Sentence) -> Sourced:
    """A claim with the passages nearest to it."""
    premise, nearest = passages.shown(claim.text)
    differ = details(claim.text, premise, nearest, passages.numbers)
    return Sourced(premise, nearest, claim, overlap(claim.text, premise), passages.overlap(claim.text), differ)


def against_earlier(turns: Sequence[Turn], answer: str) -> list[Pairing]:
    """Claims of the answer, each with the nearest claim of the assistant's earlier turns."""
    earlier = [turn.text for turn in turns if turn.channel == "assistant"][-EARLIER_TURNS:]
    said = [claim.text for text in reversed(earlier) for claim in claims(text[:20_000])][:EARLIER_CLAIMS]
    return _nearest(said, claims(answer), NEAR_EARLIER, MOST_EARLIER)


def among_steps(answer: str) -> list[Pairing]:
    """Claims of the answer, each with the nearest claim before it, if both are about the same matter."""
    own = claims(answer)[:LOOKED_AT]
    found: list[Pairing] = []
    for place, claim in enumerate(own):
        found += _nearest([each.text for each in own[:place]], [claim], NEAR_STEP, 1)
    return sorted(found, key=lambda pairing: -pairing.near.words)[:MOST_STEPS]


class Met(NamedTuple):
    """A claim of the answer that is near a known misconception."""

    myth: Misconception
    claim: Sentence
    near: Overlap


def against_myths(myths: "Myths", answer: str) -> Steps[list[Met]]:
    """Claims of the answer that are near a known misconception, the nearest first."""
    found = []
    for claim in claims(answer):
        found += [Met(myth, claim, overlap(myth.claim, claim.text)) for myth in myths.near(claim.text)]
        yield from pause()
    return sorted(found, key=lambda met: -met.near.words)[:MOST_MYTHS]


class Myths:
    """The misconceptions, indexed to find the one near a claim. The index is built at the first question; a question
    looks only at rows that share a content word with it, weighed as in `Passages`."""

    def __init__(self, known: Sequence[Misconception]) -> None:
        self._known = known

    def near(self, claim: str) -> Iterator[Misconception]:
        """The misconception nearest to a claim, if the claim contains enough of its words."""
        if not any(map(str.islower, claim.split())):  # a name alone claims nothing
            return
        nearness: defaultdict[int, float] = defaultdict(float)
        for stem in dict.fromkeys(stems(claim)):
            places = self._places.get(stem, [])
            for place in places:
                nearness[place] += math.log(1 + len(self._known) / len(places))
        for _, place in heapq.nsmallest(LIKELY_MYTHS, ((-near, place) for place, near in nearness.items())):
            if overlap(self._known[place].claim, claim).words >= NEAR_MYTH:
                yield self._known[place]
                return

    @cached_property
    def _places(self) -> Mapping[str, Sequence[int]]:
        """The rows in whose claim a content word stands."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, myth in enumerate(self._known):
            for stem in dict.fromkeys(stems(myth.claim)):
                places[stem].append(place)
        return dict(places)


def _nearest(said: Sequence[str], own: Sequence[Sentence], least: float, most: int) -> list[Pairing]:
    if not said:
        return []
    passages = Passages(said)
    found = []
    for claim in own:
        nearness, place = passages.ranked(claim.text)[0]
        premise = said[place]
        if nearness >= least and premise != claim.text:
            found.append((nearness, Pairing(premise, claim, overlap(claim.text, premise))))
    found.sort(key=lambda pair: -pair[0])
    return [pairing for _, pairing in found[:most]]


def _passages(given: Given) -> Steps[Passages]:
    passages = Passages([])
    for source in (*given.sources, *given.said):
        for start in range(0, len(source), STEP_CHARACTERS):
            passages.add([sentence.text for sentence in sentences(source[start : start + STEP_CHARACTERS])])
            yield from pause()
    return passages
