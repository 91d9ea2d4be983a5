"""The engine of the pattern rules: a table of patterns in, spans with a confidence out, in linear time.

Every pattern has literal hints that must stand in the text before its expression runs, bounded or possessive
repeats, and an anchor that a long run of like characters cannot re-enter; no text makes it quadratic.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from detectors.base import Role, Span
from detectors.rules.rule import BOTH, Found, Rule

NEAR = 48  # code points before a finding in which a context word must stand
AROUND = 400  # code points on either side of a finding that `around` and `unless` look at


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of finding.

    `hints`: one of these must occur in the text (lower-cased when `fold`). `confidence` is our documented
    estimate of how often a match is the real thing. Group 1 is the finding where there is one, else the whole match.
    `accept` may refuse a match. `near`: words of which one must stand in the NEAR code points before it. `around`:
    words of which one must stand within AROUND code points of it, `unless`: of which none may. All words lower-case.
    """

    label: str
    hints: tuple[str, ...]
    expression: re.Pattern[str]
    confidence: float
    accept: Callable[[str], bool] = bool
    near: tuple[str, ...] = ()
    fold: bool = False
    around: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


def pattern_rule(slug: str, patterns: Sequence[Pattern], roles: tuple[Role, ...] = BOTH) -> Rule:
    """The rule that finds what any of the patterns finds."""
    levels = tuple(sorted({pattern.confidence for pattern in patterns}))
    labels = frozenset(pattern.label for pattern in patterns)
    return Rule(slug, roles, levels, labels, partial(scan, patterns=patterns))


def scan(text: str, patterns: Sequence[Pattern]) -> Found:
    """Spans with their confidence. Where two overlap the surer one stands, then the longer one."""
    lowered = text.lower()
    found: list[tuple[float, int, int, str]] = []
    for pattern in patterns:
        if not any(hint in (lowered if pattern.fold else text) for hint in pattern.hints):
            continue
        group = min(pattern.expression.groups, 1)
        for match in pattern.expression.finditer(text):
            start, end = match.span(group)
            if pattern.accept(text[start:end]) and _fits(text, start, end, pattern):
                found.append((pattern.confidence, start, end, pattern.label))
    return _without_overlaps(found)


def entropy(value: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _fits(text: str, start: int, end: int, pattern: Pattern) -> bool:
    """The words that must or must not stand beside a finding."""
    if pattern.near:
        before = text[max(start - NEAR, 0) : start].lower()
        if not any(word in before for word in pattern.near):
            return False
    if not (pattern.around or pattern.unless):
        return True
    beside = text[max(start - AROUND, 0) : end + AROUND].lower()
    return (not pattern.around or any(word in beside for word in pattern.around)) and not any(
        word in beside for word in pattern.unless
    )


def _without_overlaps(found: list[tuple[float, int, int, str]]) -> dict[Span, float]:
    """One sweep from the left: of overlapping findings the best so far is kept."""
    kept: list[tuple[float, int, int, str]] = []
    for candidate in sorted(found, key=lambda entry: (entry[1], -entry[2])):
        if not kept or candidate[1] >= kept[-1][2]:
            kept.append(candidate)
        elif _rank(candidate) > _rank(kept[-1]):
            kept[-1] = candidate
    return {Span(start, end, label): confidence for confidence, start, end, label in kept}


def _rank(entry: tuple[float, int, int, str]) -> tuple[float, int]:
    return entry[0], entry[2] - entry[1]
