"""The engine of the pattern rules: a table of patterns in, spans with a confidence out, in linear time.

Every pattern has literal hints that must stand in the text before its expression runs, bounded or possessive
repeats, and an anchor that a long run of like characters cannot re-enter; no text makes it quadratic.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from detectors.base import Judgement, Span, State, Text, Verdict
from detectors.manifest import DetectorInfo

SLUG = "privacy_violation"
LIMIT = 1_000_000  # code points searched; what lies beyond is not, and the judgement says so
NEAR = 48  # code points before a finding in which a context word must stand


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of finding.

    `hints`: one of these must occur in the text (lower-cased when `fold`). `confidence` is our documented
    estimate of how often a match is the real thing. Group 1 is the finding where there is one, else the whole match.
    `accept` may refuse a match. `near`: words of which one must stand in the NEAR code points before it.
    """

    label: str
    hints: tuple[str, ...]
    expression: re.Pattern[str]
    confidence: float
    accept: Callable[[str], bool] = bool
    near: tuple[str, ...] = ()
    fold: bool = False


class PatternRule:
    """A Detector over a table of patterns; the score is the surest finding's confidence, 0 when there is none."""

    def __init__(self, info: DetectorInfo, patterns: Sequence[Pattern]) -> None:
        self.id = info.id
        self.slugs = info.slugs
        self._patterns = patterns

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order; spans count code points of the text as given."""
        return [self._judge(text.text) for text in texts]

    def _judge(self, text: str) -> Judgement:
        if not text or text.isspace():
            return Judgement(State.SKIPPED)
        found = scan(text[:LIMIT], self._patterns)
        spans = tuple(sorted(found, key=lambda span: span.start))
        verdict = Verdict(self.id, SLUG, max(found.values(), default=0.0), spans)
        return Judgement(State.TRUNCATED if len(text) > LIMIT else State.SCANNED, (verdict,))


def scan(text: str, patterns: Sequence[Pattern]) -> Mapping[Span, float]:
    """Spans with their confidence. Where two overlap the surer one stands, then the longer one."""
    lowered = text.lower()
    found: list[tuple[float, int, int, str]] = []
    for pattern in patterns:
        if not any(hint in (lowered if pattern.fold else text) for hint in pattern.hints):
            continue
        group = min(pattern.expression.groups, 1)
        for match in pattern.expression.finditer(text):
            start, end = match.span(group)
            if pattern.accept(text[start:end]) and _is_near(text, start, pattern.near):
                found.append((pattern.confidence, start, end, pattern.label))
    return _without_overlaps(found)


def entropy(value: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _is_near(text: str, start: int, words: tuple[str, ...]) -> bool:
    before = text[max(start - NEAR, 0) : start].lower() if words else ""
    return not words or any(word in before for word in words)


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
