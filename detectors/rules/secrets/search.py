"""The whole search: the findings of every reader without specimens, with overlaps united."""

from collections.abc import Iterator

from detectors.base import Span
from detectors.rules.rule import BOTH, Rule, RuleFinding, Search
from detectors.rules.secrets import specimens
from detectors.rules.secrets.armour import blocks
from detectors.rules.secrets.candidate import Candidate
from detectors.rules.secrets.carriers import CARRIERS, carried
from detectors.rules.secrets.formats import FORMATS, tokens
from detectors.rules.secrets.named import in_a_cell, named
from detectors.rules.secrets.names import Family
from detectors.rules.secrets.tables import cells


def search(text: str) -> Search:
    """Findings that cover every secret whole."""
    for found in _candidates(text):
        if found is None:
            yield None
        elif not specimens.reason(found.value):
            yield RuleFinding(found.start, found.end, found.label, found.confidence)


def spared(text: str) -> dict[Span, str]:
    """The places that look like a secret but are a placeholder or a known test value, each with the reason."""
    reasons = ((candidate, specimens.reason(candidate.value)) for candidate in filter(None, _candidates(text)))
    return {Span(found.start, found.end, found.label): reason for found, reason in reasons if reason}


def _candidates(text: str) -> Iterator[Candidate | None]:
    lowered = _lowered(text)
    yield from blocks(text)
    yield from tokens(text)
    yield from carried(text, lowered)
    yield from named(text, lowered)
    yield from cells(text, lowered, in_a_cell)


def _lowered(text: str) -> str:
    """The text in lower case, with every code point at its old place."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


_ROWS = [(row.label, row.confidence) for row in (*FORMATS, *CARRIERS)]
_OTHERS = [(Family.KEY.value, 0.7), (Family.PASSWORD.value, 0.6), ("private_key", 0.99), ("cookie", 0.75)]

RULE = Rule(
    "privacy_violation",
    BOTH,
    tuple(sorted({confidence for _, confidence in (*_ROWS, *_OTHERS)})),
    frozenset(label for label, _ in (*_ROWS, *_OTHERS)),
    search,
    spared,
)
