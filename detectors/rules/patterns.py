"""The engine of the pattern rules: a table of patterns in, spans with a confidence out, in linear time.

Every pattern has literal hints that must be in the text before its expression runs, bounded or possessive
repeats, and an anchor that a long run of like characters cannot re-enter; no text makes it quadratic.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from detectors.base import Role, Span
from detectors.rules.rule import BOTH, Rule, RuleFinding, Search

_MATCHES_A_PIECE = 256
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


def pattern_rule(
    slug: str, patterns: Sequence[Pattern], roles: tuple[Role, ...] = BOTH, why: Callable[[str, str], str] | None = None
) -> Rule:
    """The rule that finds what any of the patterns finds.

    `why` gets the label and value of a refused match, and says which known specimen it is, or nothing.
    """
    levels = tuple(sorted({pattern.confidence for pattern in patterns}))
    labels = frozenset(pattern.label for pattern in patterns)
    search = partial(scan, patterns=patterns)
    if why is None:
        return Rule(slug, roles, levels, labels, search)
    return Rule(slug, roles, levels, labels, search, partial(_refused, patterns=patterns, why=why))


def scan(text: str, patterns: Sequence[Pattern]) -> Search:
    """The findings of the patterns."""
    for match in _matches(text, patterns):
        if match is None:
            yield None
            continue
        pattern, start, end = match
        if pattern.accept(text[start:end]):
            yield RuleFinding(start, end, pattern.label, pattern.confidence)


def _matches(text: str, patterns: Sequence[Pattern]) -> Iterator[tuple[Pattern, int, int] | None]:
    """Every place where a pattern's expression matches, with the words that it needs nearby; None for a pause."""
    lowered = text.lower()
    told: dict[tuple[tuple[str, ...], bool], bool] = {}  # many patterns have the same hints
    for pattern in patterns:
        hints = pattern.hints, pattern.fold
        if hints not in told:
            told[hints] = _has_any(lowered if pattern.fold else text, pattern.hints)
        if not told[hints]:
            continue
        group = min(pattern.expression.groups, 1)
        for number, match in enumerate(pattern.expression.finditer(text), 1):
            if _fits(text, *match.span(group), pattern):
                yield (pattern, *match.span(group))
            if not number % _MATCHES_A_PIECE:
                yield None
        yield None


def _has_any(text: str, hints: Sequence[str]) -> bool:
    for hint in hints:  # noqa: SIM110 - half as long as any() takes, which each text pays a hundred times
        if hint in text:
            return True
    return False


def _refused(text: str, patterns: Sequence[Pattern], why: Callable[[str, str], str]) -> dict[Span, str]:
    """The matches that a pattern's check refuses, if it is known what they are."""
    refused = {
        Span(start, end, pattern.label): why(pattern.label, text[start:end])
        for pattern, start, end in filter(None, _matches(text, patterns))
        if not pattern.accept(text[start:end])
    }
    return {span: reason for span, reason in refused.items() if reason}


def entropy(value: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _fits(text: str, start: int, end: int, pattern: Pattern) -> bool:
    """Whether the words near a finding are as the pattern asks."""
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
