"""Sums of judged exchanges, which all monitors read. They contain no text.

Sketches are added over samples, hours and processes. The caller bounds their keys: routes, models, languages and
callers must come from closed or bounded sets.
"""

import math
import operator
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from detectors.comparing.nearness import stems
from detectors.monitors import confidence, cultures, gaps, lean, triggers
from detectors.monitors.cultures import culture_of
from detectors.monitors.lean import sides_of, tone
from detectors.monitors.shape import Shaper, buckets_of, empty
from detectors.monitors.statistics import Mean
from detectors.monitors.texts import Rows, Text, add_row, heaviest, text_of
from detectors.monitors.triggers import Gram, bit_of, grams_of, hash_of, openings_of, pruned
from detectors.rules.arithmetic import may_state_results

ANSWERS_KEPT = 5_000  # hashes of answers, to recognise one that came before; as many of prompts
STATED_KEPT = 500  # answers of a sketch whose confidence is kept until somebody says whether they were right
# These measures are logarithms to the base 2, divided by these numbers: of an answer's words, and of its duration in
# units of 10 milliseconds.
POWERS: Mapping[str, float] = {"answer_length": 12.0, "latency": 16.0}
_LATENCY_UNIT = 0.01  # seconds
TEXTS_SEEN = 20_000  # texts that a process counts, to find those that come often
TEXTS_KEPT = 200  # in a sketch, up to twice as many: the others go into its sums, as if they never came again
_TEXTS_ADDED = 1_000  # the same for sketches that are added up
_COHORT, _LEAN, _CULTURE, _ALL = "cohort", "lean", "culture", "all"
_COMPARED: Mapping[str, frozenset[str]] = {
    _COHORT: frozenset(gaps.MEASURES),
    _LEAN: frozenset(lean.MEASURES),
    _CULTURE: frozenset(cultures.MEASURES),
}
Key = tuple[str, ...]
Scores = Mapping[tuple[str, str], tuple[float, bool, str]]  # (direction, slug) → score, flagged, detector@version
TOKENS = " of token probabilities"  # added to the source's name: the confidence is the tokens', not the stated one
_BANDS = (0.01, 0.1, 0.3, 0.6, 0.9)
_OUTCOMES = ("limited_logical_reasoning", "hallucination")  # an exact check goes before groundedness


@dataclass(frozen=True, slots=True)
class Observation:
    """A judged exchange as the monitors see it. Its texts are read but not kept."""

    id: str
    weight: float
    route: str
    model: str
    caller: str
    language: str
    prompt: str
    answer: str
    scores: Scores
    right: float | None = None  # was the answer right, 0 to 1; None if only the detectors say so
    agreed_source: str = ""  # who says whether it was right
    seconds: float | None = None  # how long the answer took; None if unknown, or if it broke off
    echo: bool | None = None  # does the prompt repeat earlier answers; None if that was not checked
    token_confidence: float | None = None  # mean probability of the answer's tokens, if the answer carries them
    orders: bool | None = None  # does a retrieved passage give orders; None if there is no passage
    repeats: bool | None = None  # does a passage repeat the question; None if there is no passage or no question
    passages: str = ""  # retrieved passages that came separately from the prompt


class Stated(msgspec.Struct, array_like=True):
    """How sure an answer said it was, and how sure its tokens were; None if unknown. `number`, from 0 to 1, follows
    from the sample's id alone: the answers with the smallest are kept. `text` names the prompt; 0 means none."""

    number: float
    said: float | None
    tokens: float | None
    text: int = 0


class Sketch(msgspec.Struct):
    """The sums of some exchanges.

    `means` has 6 sums by measure, cohort and stratum; `bins` has n, Σw and Σw² by feature; `calibration` has rows by
    bin; `shape` is that of the prompts' words (SHAPE numbers of four bytes); `grams` come with their `total`;
    `detectors` are those that judged. `stated`, by sample, belongs to one process and hour and is not added up.
    `texts`, by a hash of the prompt, has sums that are not yet in `means` and `calibration`: `counted_once` adds them,
    so that all exchanges with one prompt count as one."""

    means: dict[Key, list[float]] = {}
    bins: dict[Key, list[float]] = {}
    calibration: dict[Key, list[float]] = {}
    shape: bytes = b""
    grams: dict[int, Gram] = {}
    total: Gram = msgspec.field(default_factory=Gram)
    detectors: dict[str, int] = {}
    stated: dict[str, Stated] = {}
    texts: dict[int, Text] = {}

    def add(self, more: "Sketch") -> None:
        for own, theirs in ((self.means, more.means), (self.bins, more.bins), (self.calibration, more.calibration)):
            for key, row in theirs.items():
                add_row(own, key, row)
        for name, text in more.texts.items():
            self.texts.setdefault(name, Text()).add(text)
        self.bound_texts(_TEXTS_ADDED)
        if more.shape:
            self.shape = array("f", map(operator.add, self.array(), more.array())).tobytes()
        for gram, seen in more.grams.items():
            self.grams.setdefault(gram, Gram()).add(seen)
        same = self.total.same + more.total.same
        self.total.add(more.total)
        self.total.same = same
        self.detectors |= more.detectors

    def bound_texts(self, most: int) -> None:
        """If there are more than twice `most` texts, keep the `most` that came most often, and count the others."""
        if len(self.texts) > 2 * most:
            kept = heaviest(self.texts, most)
            for name in self.texts.keys() - kept.keys():
                self.texts[name].pour(self.means, self.calibration)
            self.texts = kept

    def counted_once(self) -> "Sketch":
        """A sketch with only the means and the calibration, where each remembered text counts as one exchange, however
        often it came: it adds the mean of its exchanges."""
        counted = Sketch(
            means={key: row[:] for key, row in self.means.items()},
            calibration={key: row[:] for key, row in self.calibration.items()},
        )
        for text in self.texts.values():
            text.pour(counted.means, counted.calibration)
        return counted

    def mean(self, *key: str) -> Mean:
        return Mean(*self.means.get(key, ()))

    def add_means(self, cells: Sequence[Key], measures: Mapping[str, float], weight: float) -> None:
        """Of one exchange, in all of its cells."""
        means = Means()
        means.add(cells, measures, weight)
        means.pour(self)

    def add_confidence(self, route: str, model: str, source: str, stated: Stated, right: float, weight: float) -> None:
        """Add the confidence of one answer; `source` says how far it was right."""
        for kind, value in (("", stated.said), (TOKENS, stated.tokens)):
            if value is not None:
                key = (route, model, source + kind, str(confidence.bin_of(value)))
                into = self.texts[stated.text].calibration if stated.text in self.texts else self.calibration
                add_row(into, key, confidence.row_of(value, right, weight))

    def known_stated(self) -> tuple[dict[str, Stated], float]:
        """The answers kept, by sample, and the probability that an answer is among them. With more than STATED_KEPT the
        largest number is that probability, and its own answer is left out (Duffield, Lund & Thorup 2007)."""
        if len(self.stated) <= STATED_KEPT:
            return self.stated, 1.0
        last = max(self.stated, key=lambda sample: self.stated[sample].number)
        return {sample: each for sample, each in self.stated.items() if sample != last}, self.stated[last].number

    def array(self) -> "array[float]":
        """A copy of `shape`."""
        return array("f", self.shape) if self.shape else empty()


class Means:
    """Sums of the means of exchanges, by the cells that they fall in. Most exchanges fall in the same cells: these of
    the sketch are then touched only once."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Key, ...], dict[str, list[float]]] = {}

    def add(self, cells: Sequence[Key], measures: Mapping[str, float], weight: float) -> None:
        """Of one exchange, in all of its cells."""
        sums = self._sums.setdefault(tuple(cells), {})
        square = weight * weight
        for measure, value in measures.items():
            add_row(sums, measure, [1.0, weight, square, weight * value, square * value, square * value * value])

    def pour(self, sketch: "Sketch") -> None:
        """Add the sums to the sketch, and start again from nothing."""
        for cells, sums in self._sums.items():
            for measure, row in sums.items():
                for kind, *cell in cells:
                    add_row(sketch.means, (kind, measure, *cell), row)
        self._sums = {}


class Observer:
    """Adds observations to sketches. It remembers hashes of earlier prompts and answers to recognise repeats."""

    def __init__(self) -> None:
        self._texts: dict[int, int] = {}
        self._prompts: dict[int, None] = {}
        self._answers: dict[int, None] = {}
        self._shaper = Shaper()

    def observe(self, sketch: Sketch, seen: Observation, means: Means | None = None) -> None:
        """Add one exchange. If `means` is given, its means go there, and the caller pours them into the sketch."""
        at, measures = (seen.route, seen.model), _measures(seen)
        (sketch.add_means if means is None else means.add)([(_ALL, seen.route)], measures, seen.weight)
        name = text_of(seen.prompt, seen.passages)
        is_new = name not in sketch.texts
        if name:
            text = sketch.texts.setdefault(name, Text(sketches=1))
            text.times = self._count(name)
        about: list[Key] = [(_LEAN, topic, side, *at) for topic, side in sides_of(seen.prompt)]
        if culture := culture_of(seen.prompt):
            about.append((_CULTURE, culture, *at))
        for cell in (*cohorts_of(*at, seen.language, seen.caller), *about):
            compared = {measure: value for measure, value in measures.items() if measure in _COMPARED[cell[0]]}
            _add_means(text.means if name else sketch.means, cell, compared, seen.weight)
        if is_new:  # a text that came before in this hour is no more evidence of a shift
            row = [1.0, seen.weight, seen.weight**2]
            for feature in _features(seen):
                add_row(sketch.bins, feature, row)
        words = stems(seen.prompt)
        shape = sketch.array()
        self._shaper.add(shape, buckets_of(words), seen.weight)
        sketch.shape = shape.tobytes()
        _calibrate(sketch, seen, name)
        sketch.bound_texts(TEXTS_KEPT)
        self._note_grams(sketch, seen, words)
        for _, _, detector in seen.scores.values():
            sketch.detectors[detector] = 1

    def _count(self, name: int) -> int:
        """Count a text, and return how often it came, as far as it is remembered."""
        self._texts[name] = times = self._texts.pop(name, 0) + 1
        if len(self._texts) > TEXTS_SEEN:
            del self._texts[next(iter(self._texts))]
        return times

    def _note_grams(self, sketch: Sketch, seen: Observation, words: Sequence[str]) -> None:
        if any(flagged for (direction, _), (_, flagged, _) in seen.scores.items() if direction == "prompt"):
            return
        # A repeated prompt brings a repeated answer, which tells nothing about its words.
        prompt = hash_of(" ".join(words))
        if words and self._came_before(self._prompts, prompt):
            return
        answer = hash_of(" ".join(seen.answer.split()).lower()) if seen.answer.strip() else 0
        outcome = Gram(
            1,
            int(_flagged(seen.scores, "refusal")),
            int(any(f for (way, slug), (_, f, _) in seen.scores.items() if way == "response" and slug != "refusal")),
            answer,
            1 if answer else 0,
            seen.id,
            bit_of(prompt),
        )
        for gram in (*grams_of(words), *openings_of(seen.prompt)):
            sketch.grams.setdefault(gram, Gram()).add(outcome)
        if len(sketch.grams) > 2 * triggers.MOST_KEPT:
            sketch.grams = pruned(sketch.grams)
        came_before = bool(answer) and self._came_before(self._answers, answer)
        same = sketch.total.same + int(came_before)
        sketch.total.add(outcome)
        sketch.total.same = same

    @staticmethod
    def _came_before(known: dict[int, None], value: int) -> bool:
        """Whether the value is known. From now on it is, as one of the latest."""
        found = value in known
        known.pop(value, None)
        known[value] = None
        if len(known) > ANSWERS_KEPT:
            del known[next(iter(known))]
        return found


def cells_of(route: str, model: str, language: str, caller: str) -> list[Key]:
    """The cells where the means of an exchange are added. The measure comes second in the key and is not in them."""
    return [*cohorts_of(route, model, language, caller), (_ALL, route)]


def cohorts_of(route: str, model: str, language: str, caller: str) -> list[Key]:
    """The cells of an exchange that are compared with each other."""
    both = (("language", language), ("caller", caller))
    return [(_COHORT, kind, name, route, model) for kind, name in both if name]


def _add_means(into: Rows, cell: Key, measures: Mapping[str, float], weight: float) -> None:
    kind, *rest = cell
    for measure, value in measures.items():
        add_row(into, (kind, measure, *rest), [*Mean.of(value, weight)])


def _flagged(scores: Scores, slug: str) -> bool:
    return scores.get(("response", slug), (0.0, False, ""))[1]


def _measures(seen: Observation) -> dict[str, float]:
    """The measures of an exchange, each from 0 to 1: those in which cohorts and sides are compared, and that a change
    may move."""
    words = len(seen.answer.split())
    found = {"answer_length": _power("answer_length", words), "tone": tone(seen.answer)}
    if seen.seconds is not None:
        found["latency"] = _power("latency", seen.seconds / _LATENCY_UNIT)
    for (direction, slug), (score, flagged, _) in seen.scores.items():
        if direction == "response":
            found[slug] = float(flagged) if slug == "refusal" else score
        elif slug == "prompt_attacks":
            found["prompt_attacks"] = score
    for measure, said in (
        ("echo", seen.echo),
        ("orders_in_passages", seen.orders),
        ("question_in_passages", seen.repeats),
    ):
        if said is not None:
            found[measure] = float(said)
    return found


def _power(measure: str, value: float) -> float:
    return min(1.0, math.log2(1 + value) / POWERS[measure])


def _features(seen: Observation) -> list[tuple[str, str]]:
    """The bins that an exchange falls in. Scores of two versions of a detector are not mixed."""
    found = [
        ("language", seen.language),
        ("prompt_length", str(len(seen.prompt.split()).bit_length())),
        ("answer_length", str(len(seen.answer.split()).bit_length())),
    ]
    for (direction, slug), (score, flagged, detector) in seen.scores.items():
        band = str(flagged) if slug == "refusal" else str(bisect_right(_BANDS, score))
        found.append((_feature(direction, slug, detector), band))
    return found


@lru_cache(maxsize=1024)
def _feature(direction: str, slug: str, detector: str) -> str:
    return f"{slug} in {direction}s by {detector}"


def _calibrate(sketch: Sketch, seen: Observation, text: int) -> None:
    stated = Stated(number_of(seen.id), confidence.stated_confidence(seen.answer), seen.token_confidence, text)
    if stated.said is None and stated.tokens is None:
        return
    sketch.stated[seen.id] = stated
    if len(sketch.stated) > STATED_KEPT + 1:
        del sketch.stated[max(sketch.stated, key=lambda sample: sketch.stated[sample].number)]
    outcome = _outcome(seen)
    if outcome is not None:
        right, source = outcome
        sketch.add_confidence(seen.route, seen.model, source, stated, right, seen.weight)


def number_of(sample: str) -> float:
    """A number from 0 up to 1 that follows from the id alone, and is independent of all other drawing."""
    return zlib.crc32(b"stated confidence " + sample.encode("utf-8", "replace")) / 2**32


def _outcome(seen: Observation) -> tuple[float, str] | None:
    """Whether the answer was right, and who says so."""
    if seen.right is not None:
        return seen.right, seen.agreed_source
    for slug in _OUTCOMES:
        opinion = seen.scores.get(("response", slug))
        if opinion is None:
            continue
        checked = opinion[2].startswith("arithmetic@") and (opinion[1] or may_state_results(seen.answer))
        if slug == "hallucination" or checked:
            return (0.0 if opinion[1] else 1.0), ("groundedness" if slug == "hallucination" else "exact_check")
    return None


def shingles(text: str, words: int = 8, one_in: int = 8) -> set[int]:
    """Hashes of one in `one_in` of the runs of `words` words. A run that is chosen is chosen wherever it occurs."""
    said = text.lower().split()
    runs = (" ".join(said[at : at + words]) for at in range(len(said) - words + 1))
    return {value for run in runs if (value := zlib.crc32(run.encode("utf-8", "replace"))) % one_in == 0}
