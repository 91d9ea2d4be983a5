"""The confidence that an answer states, in numbers or in words, and what it adds to its bin."""

import re
from collections.abc import Sequence

BINS = 20

_BEFORE = r"(?:confidence|certainty|probability(?: that (?:this|it) is (?:right|correct))?)"
_NUMBER = r"(?P<{0}>\d{{1,3}}(?:\.\d+)?|\.\d+)\s?(?P<{0}p>%|percent\b|/\s?10\b|out of 10\b)?"
_STATED = re.compile(
    rf"\b{_BEFORE}(?: (?:level|score))?\W{{0,3}}(?:is|of|:|=|at)?\W{{0,4}}{_NUMBER.format('a')}"
    rf"|{_NUMBER.format('b')} (?:sure|certain|confident|confidence|certainty)\b",
    re.IGNORECASE,
)
# What people take such words to mean: rounded medians of published surveys (Wallsten and others 1986; Vogel and others
# 2022). They are searched in this order, because "not sure" contains "sure".
_HEDGES: Sequence[tuple[str, float]] = (
    (r"i (?:do not|don't|don’t) know|i have no idea", 0.1),
    (r"(?:i am|i'm|i’m) (?:not|un)(?: entirely| completely| really| at all)? ?(?:sure|certain)|it is unclear", 0.35),
    (r"(?:i am|i'm|i’m) (?:almost|nearly|pretty|quite|fairly|very) (?:sure|certain|confident)|almost certainly", 0.9),
    (
        r"(?:i am|i'm|i’m) (?:absolutely |completely |100 % )?(?:sure|certain|confident)|"
        r"\b(?:definitely|undoubtedly|without (?:a )?doubt)\b",
        0.97,
    ),
    (r"\b(?:very|highly|most) likely\b", 0.85),
    (r"\b(?:probably|likely)\b|i (?:think|believe)\b", 0.7),
    (r"\b(?:perhaps|maybe|possibly|might be|may be|could be)\b|i guess\b", 0.45),
)
_HEDGED = [(re.compile(pattern, re.IGNORECASE), value) for pattern, value in _HEDGES]
_READ_CHARACTERS = 20_000


def stated_confidence(text: str) -> float | None:
    """The confidence that an answer states, from 0 to 1: the last number in it, else the first hedge of the list that
    it contains; None if it states none. A hedge counts whether it is about the answer or about the world."""
    text = text[-_READ_CHARACTERS:]
    numbers = [value for match in _STATED.finditer(text) if (value := _share(match)) is not None]
    if numbers:
        return numbers[-1]
    return next((value for pattern, value in _HEDGED if pattern.search(text)), None)


def _share(match: re.Match[str]) -> float | None:
    value, unit = float(match["a"] or match["b"]), (match["ap"] or match["bp"] or "").lower()
    if "10" in unit:
        value /= 10
    elif unit or value > 1:
        value /= 100
    return value if value <= 1 else None


def bin_of(confidence: float) -> int:
    return min(BINS - 1, int(confidence * BINS))


def row_of(confidence: float, right: float, weight: float) -> list[float]:
    """What an answer adds to its bin: n, Σw, Σw², Σw·confidence, Σw·right, Σw·(confidence - right)²."""
    return [1.0, weight, weight**2, weight * confidence, weight * right, weight * (confidence - right) ** 2]
