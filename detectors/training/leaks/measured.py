"""Finders measured on the labelled set: what they find, what they cut that is none, and how long they take."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from detectors.manifest import Measurement
from detectors.rules.rule import Found
from detectors.training.leaks import sets
from detectors.training.leaks.sets import Item

SET = "made-up secrets, and real code, documentation and logs without any; ours"
LABEL = "privacy_violation"

Ranges = Sequence[tuple[int, int]]  # half-open, of code points: what a finder would cut out of a text


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of texts.

    `whole`: those with a secret of which every character was cut; `touched`: of which anything was. `wrong`: those in
    which something was cut that is none, `files` those of them that are source files.
    """

    positives: int
    whole: int
    touched: int
    wrong: int
    files: int
    all_files: int
    negatives: int
    microseconds_per_kilobyte: float

    @property
    def recall(self) -> float:
        return self.whole / self.positives

    @property
    def touched_share(self) -> float:
        return self.touched / self.positives

    @property
    def precision(self) -> float:
        return self.touched / max(self.touched + self.wrong, 1)

    @property
    def per_thousand_files(self) -> float:
        return 1000 * self.files / max(self.all_files, 1)


def score(found: Sequence[Ranges], items: Sequence[Item], seconds: float) -> Score:
    """`found`: what was cut out of each item."""
    wrong = [item for item, ranges in zip(items, found, strict=True) if _is_wrong(item, ranges)]
    secret = [(item, ranges) for item, ranges in zip(items, found, strict=True) if item.secrets]
    size = sum(len(item.text.encode("utf-8", "replace")) for item in items) / 1024
    return Score(
        len(secret),
        sum(all(_is_cut(item.text, value, ranges) for value in item.secrets) for item, ranges in secret),
        sum(any(_touches(item, place) for place in ranges) for item, ranges in secret),
        len(wrong),
        sum(item.is_file for item in wrong),
        sum(item.is_file for item in items),
        len(items) - len(secret),
        1e6 * seconds / size,
    )


def ours(find: Callable[[str], Found], items: Sequence[Item]) -> tuple[list[Ranges], float]:
    """What a rule cuts out of each item, and the seconds of processor time it took."""
    started = time.process_time()
    found: list[Ranges] = [[(span.start, span.end) for span in find(item.text)] for item in items]
    return found, time.process_time() - started


def located(values: Sequence[str], text: str) -> Ranges:
    """Where the values that a finder reports stand in the text, each at every place."""
    places: list[tuple[int, int]] = []
    for value in set(values):
        at = text.find(value) if value else -1
        while at >= 0:
            places.append((at, at + len(value)))
            at = text.find(value, at + 1)
    return sorted(places)


def figures(find: Callable[[str], Found], date: str) -> list[Measurement]:
    """Recall and precision on the half that no rule was written against."""
    items = [*sets.positives(sets.HELD_OUT), *sets.negatives(sets.HELD_OUT)]
    found, seconds = ours(find, items)
    result = score(found, items, seconds)
    shown = {"recall, cut whole": result.recall, "precision": result.precision}
    return [
        Measurement(SET, LABEL, f"response: {name}", round(value, 4), len(items), date) for name, value in shown.items()
    ]


def _is_cut(text: str, value: str, ranges: Ranges) -> bool:
    """Every place at which the value stands lies within one range."""
    at = text.find(value)
    while at >= 0:
        if not any(start <= at and at + len(value) <= end for start, end in ranges):
            return False
        at = text.find(value, at + 1)
    return True


def _touches(item: Item, place: tuple[int, int]) -> bool:
    start, end = place
    return any(text_start < end and start < text_end for text_start, text_end in located(item.secrets, item.text))


def _is_wrong(item: Item, ranges: Ranges) -> bool:
    return any(not _touches(item, place) for place in ranges)
