"""Claims made from a text's own sentences: kept or shortened, they hold; with one thing changed, they do not.

The rules follow Kryściński et al. 2020 (arXiv 1910.12840): numbers, names, negation and opposites are exchanged, each
for one that stands elsewhere in the same text, so that no word alone gives the label away.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from detectors.comparing.sentences import claims, listed

SET = "assay_edits"
CONTEXT_SENTENCES = 6  # around the sentence that is changed
A_TEXT = 2  # claims from one text

_NUMBER = re.compile(r"\b\d[\d,]*(?:\.\d+)?\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_VERB = re.compile(r"\b(is|are|was|were|has|have|can|will|should|does|do)\b(?! not\b|n't)")
_NOT = re.compile(r"\b(is|are|was|were|has|have|can|will|should|does|do) ?(?:not|n't)\b ?")
_ASIDE = re.compile(
    r" ?\([^()]{2,60}\)|, (?:which|who|where)[^,.]{3,80},|"
    r"^(?:However|Also|Moreover|In addition|For example), "
)
_TAIL = re.compile(r",? (?:because|although|while|so that|and then|but|as well as)\b[^.]*(?=\.?$)")
_OPPOSITES = [
    pair.split("/")
    for pair in sorted(
        listed("""
    increase/decrease increased/decreased increases/decreases more/less higher/lower high/low large/small
    larger/smaller before/after first/last early/late always/never all/none most/few with/without old/new
    better/worse best/worst strong/weak hot/cold safe/dangerous public/private north/south east/west rise/fall
    rose/fell gain/lose won/lost win/lose accept/reject accepted/rejected allow/forbid allows/forbids
    include/exclude includes/excludes open/closed opened/closed start/end started/ended above/below
    inside/outside positive/negative possible/impossible true/false same/different easy/difficult common/rare
    maximum/minimum buy/sell bought/sold male/female daughter/son father/mother brother/sister man/woman
    morning/evening reduce/raise reduces/raises improve/worsen improves/worsens supported/opposed
    support/oppose short/long
    """)
    )
]
_OPPOSITE = dict(_OPPOSITES) | {other: one for one, other in _OPPOSITES}
_OPPOSED = re.compile(r"\b(" + "|".join(sorted(_OPPOSITE)) + r")\b")


class Made(NamedTuple):
    """A source, a claim about it, and what is true of them."""

    source: str
    claim: str
    nli: int | None
    grounded: int


def edited(text: str, rng: random.Random) -> Iterator[Made]:
    """Some claims about the text, as many that hold as that do not where it can be so."""
    found = [sentence.text for sentence in claims(text) if 6 <= len(sentence.text.split()) <= 40]
    if len(found) < 3:
        return
    for place in rng.sample(range(len(found)), min(A_TEXT, len(found))):
        start = max(0, place - rng.randrange(CONTEXT_SENTENCES))
        shown = found[start : start + CONTEXT_SENTENCES]
        source = " ".join(shown)
        own = shortened(found[place], rng) if rng.random() < 0.6 else found[place]
        yield Made(source, own, 0, 1)
        changed = broken(own, source, rng)
        if changed is not None:
            yield Made(source, changed, 2, 0)
        elif elsewhere := [sentence for sentence in found if sentence not in shown]:
            yield Made(source, rng.choice(elsewhere), 1, 0)


def shortened(sentence: str, rng: random.Random) -> str:
    """The sentence without an aside or its last clause, where it has one: it still follows from the whole."""
    for pattern in rng.sample((_ASIDE, _TAIL), 2):
        short = pattern.sub("", sentence, count=1).strip()
        if short != sentence and len(short.split()) >= 5:
            return short[:1].upper() + short[1:]
    return sentence


def broken(sentence: str, source: str, rng: random.Random) -> str | None:
    """The sentence with one thing changed, so that it does not follow any more; None where there is nothing."""
    ways: Sequence[Callable[[str, str, random.Random], str | None]] = (_number, _name, _negated, _opposed)
    for way in rng.sample(ways, len(ways)):
        changed = way(sentence, source, rng)
        if changed is not None and changed != sentence:
            return changed
    return None


def _number(sentence: str, source: str, rng: random.Random) -> str | None:
    return _exchanged(_NUMBER, sentence, [*_NUMBER.findall(source), str(rng.randrange(2, 2_000))], rng)


def _name(sentence: str, source: str, rng: random.Random) -> str | None:
    return _exchanged(_NAME, sentence, _NAME.findall(source), rng)


def _exchanged(pattern: re.Pattern[str], sentence: str, others: Sequence[str], rng: random.Random) -> str | None:
    there = list(pattern.finditer(sentence))
    fitting = [other for other in others if other not in sentence]
    if not there or not fitting:
        return None
    match = rng.choice(there)
    return sentence[: match.start()] + rng.choice(fitting) + sentence[match.end() :]


def _negated(sentence: str, _source: str, rng: random.Random) -> str | None:
    if _NOT.search(sentence):
        return _NOT.sub(r"\1 ", sentence, count=1)
    match = _VERB.search(sentence)
    if match is None:
        return None
    written = " not" if rng.random() < 0.7 or match[1] in ("will", "can") else "n't"
    return sentence[: match.end()] + written + sentence[match.end() :]


def _opposed(sentence: str, _source: str, rng: random.Random) -> str | None:
    there = list(_OPPOSED.finditer(sentence))
    if not there:
        return None
    match = rng.choice(there)
    return sentence[: match.start()] + _OPPOSITE[match[1]] + sentence[match.end() :]
