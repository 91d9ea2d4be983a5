"""Claims made from a text's own sentences: reworded, they hold; with one thing changed or added, they do not.

The rules follow Kryściński et al. 2020 (arXiv 1910.12840): numbers, names, negation and opposites are exchanged, each
for one that stands elsewhere in the same text, so that no word alone gives the label away. What holds and what does
not are reworded alike, so that a new word alone does not either.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from detectors.comparing.details import OPPOSITE
from detectors.comparing.sentences import claims, listed

SET, CONCLUSIONS = "assay_edits", "assay_conclusions"
CONTEXT_SENTENCES = 6  # around the sentence that is changed
A_TEXT = 2  # claims from one text
REWORDED = 0.7  # share of claims that are reworded, whether they hold or not

_NUMBER = re.compile(r"\b\d[\d,]*(?:\.\d+)?\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_NOUN = re.compile(r"(?<=\b(?:the|our|his|her|its) )[a-z]{4,}(?=[ ,.])|(?<=\bof )[a-z]{5,}(?=[ ,.])")
_VERB = re.compile(r"\b(is|are|was|were|has|have|can|will|should|does|do)\b(?! not\b|n't)")
_NOT = re.compile(r"\b(is|are|was|were|has|have|can|will|should|does|do) ?(?:not|n't)\b ?")
_ASIDE = re.compile(
    r" ?\([^()]{2,60}\)|, (?:which|who|where)[^,.]{3,80},|"
    r"^(?:However|Also|Moreover|In addition|For example), "
)
_TAIL = re.compile(r",? (?:because|although|while|so that|and then|but|as well as)\b[^.]*(?=\.?$)")
_DETAIL = re.compile(
    r",? (?:in (?:\d{4}|[A-Z][a-z]+)|because|by [a-z]+ing|for (?:the|more)|with (?:a|the)|during|after|"
    r"according to|to (?:the|avoid|make))\b[^,.;]{3,60}(?=[.]?$)"
)
_FILLER = re.compile(r"\b(?:very|also|really|quite|simply|additionally),? ")
_SYNONYMS = [
    pair.split("/")
    for pair in sorted(
        listed("""
    big/large begin/start begins/starts began/started help/assist helps/assists buy/purchase bought/purchased
    many/numerous important/significant show/demonstrate shows/demonstrates showed/demonstrated quick/fast
    quickly/rapidly create/build creates/builds created/built ensure/guarantee ensures/guarantees allow/permit
    allows/permits allowed/permitted provide/offer provides/offers provided/offered enough/sufficient
    choose/select chose/selected end/finish ended/finished hard/difficult easy/simple also/additionally but/yet
    often/frequently about/approximately around/roughly nearly/almost kids/children people/individuals
    build/construct built/constructed keep/maintain keeps/maintains kept/maintained increase/raise
    increases/raises reduce/lower reduces/lowers enhance/improve enhances/improves goal/aim goals/aims
    method/approach methods/approaches problem/issue problems/issues company/firm companies/firms job/occupation
    car/automobile film/movie films/movies doctor/physician famous/well-known main/primary major/principal
    entire/whole various/several different/distinct because/since however/nevertheless therefore/thus
    happen/occur happens/occurs happened/occurred try/attempt tries/attempts tried/attempted get/receive
    got/received answer/response ask/request asked/requested think/believe thinks/believes thought/believed
    country/nation countries/nations city/town area/region areas/regions explain/describe explains/describes
    explained/described contain/include contains/includes contained/included consider/regard considers/regards
    complex/complicated essential/crucial crucial/vital effective/efficient specific/particular boost/increase
    """)
    )
]
_SYNONYM: Mapping[str, str] = dict(_SYNONYMS) | {other: one for one, other in _SYNONYMS}
_DIGITS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WRITTEN: Mapping[str, str] = {str(value): word for value, word in enumerate(_DIGITS, 2)} | {
    word: str(value) for value, word in enumerate(_DIGITS, 2)
}
_SURER: Mapping[str, str] = {
    **dict.fromkeys(("may", "might", "could", "can"), "will"),
    **dict.fromkeys(("some", "many", "most", "several"), "all"),
    **dict.fromkeys(("often", "usually", "sometimes", "generally", "typically"), "always"),
    **dict.fromkeys(("likely", "possibly", "probably", "potentially"), "certainly"),
}
_CONCLUDES = re.compile(
    r"(?:In (?:conclusion|summary|short|essence|brief)|To (?:summari[sz]e|sum up|conclude)|Overall|Ultimately|"
    r"All in all|Therefore|Thus|Hence),? (?:I |we )?"
)
_LEADS = ("According to the text, ", "It says that ", "I think ", "Yes, ", "Well, ", "i know that ", "In short, ")


def _any_of(words: Mapping[str, str]) -> re.Pattern[str]:
    return re.compile(r"\b(" + "|".join(sorted(words)) + r")\b")


_OPPOSED, _MEANT, _COUNTED, _HEDGED = map(_any_of, (OPPOSITE, _SYNONYM, _WRITTEN, _SURER))


class Made(NamedTuple):
    """A source, a claim about it, and what is true of them. `nli` is None where it could be either."""

    source: str
    claim: str
    nli: int | None
    grounded: int


class Broken(NamedTuple):
    """A claim that a source does not hold."""

    claim: str
    nli: int | None


def edited(text: str, rng: random.Random) -> Iterator[Made]:
    """Some claims about the text, as many that hold as that do not where it can be so."""
    found = [sentence.text for sentence in claims(text) if 6 <= len(sentence.text.split()) <= 40]
    if len(found) < 3:
        return
    for place in rng.sample(range(len(found)), min(A_TEXT, len(found))):
        start = max(0, place - rng.randrange(CONTEXT_SENTENCES))
        shown = found[start : start + CONTEXT_SENTENCES]
        elsewhere = [sentence for sentence in found if sentence not in shown]
        yield from _both(found[place], shown, elsewhere, rng)


def concluded(text: str, rng: random.Random) -> Iterator[Made]:
    """What a text concludes, beside all that it says before: in other words than the text's own sentences."""
    found = [sentence.text for sentence in claims(text)]
    for place in range(3, len(found)):
        match = _CONCLUDES.match(found[place])
        own = found[place][match.end() :] if match else ""
        if 6 <= len(own.split()) <= 40:
            yield from _both(own[:1].upper() + own[1:], found[:place], found[place + 1 :], rng)


def _both(sentence: str, shown: Sequence[str], elsewhere: Sequence[str], rng: random.Random) -> Iterator[Made]:
    """A claim that holds and one that does not, each reworded on its own."""
    source = " ".join(shown)
    own = shortened(sentence, rng) if rng.random() < 0.6 else sentence
    if rng.random() < 0.2:
        own = _joined(own, rng.choice(shown))
    yield Made(source, _perhaps_reworded(own, rng), 0, 1)
    changed = broken(own, source, elsewhere, rng)
    if changed is not None:
        yield Made(source, _perhaps_reworded(changed.claim, rng), changed.nli, 0)


def shortened(sentence: str, rng: random.Random) -> str:
    """The sentence without an aside or its last clause, where it has one: it still follows from the whole."""
    for pattern in rng.sample((_ASIDE, _TAIL), 2):
        short = pattern.sub("", sentence, count=1).strip()
        if short != sentence and len(short.split()) >= 5:
            return short[:1].upper() + short[1:]
    return sentence


def reworded(sentence: str, rng: random.Random) -> str:
    """The same in other words: synonyms, numbers in digits or letters, no fillers, a lead, small letters."""
    out = _MEANT.sub(lambda match: _SYNONYM[match[1]] if rng.random() < 0.6 else match[1], sentence)
    if rng.random() < 0.5:
        out = _COUNTED.sub(lambda match: _WRITTEN[match[1]], out)
    if rng.random() < 0.5:
        out = _FILLER.sub("", out)
    chance = rng.random()
    if chance < 0.15:
        out = rng.choice(_LEADS) + _lower_first(out)
    elif chance < 0.25:
        out = out.lower().rstrip(".")
    return out


def _perhaps_reworded(sentence: str, rng: random.Random) -> str:
    return reworded(sentence, rng) if rng.random() < REWORDED else sentence


def broken(sentence: str, source: str, elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    """The sentence with one thing changed, so that it does not follow any more; None where there is nothing."""
    for way in rng.sample(_WAYS, len(_WAYS)):
        changed = way(sentence, source, elsewhere, rng)
        if changed is not None and changed.claim != sentence and changed.claim not in source:
            return changed
    return None


def _number(sentence: str, source: str, _elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    others = [*_NUMBER.findall(source), str(rng.randrange(2, 2_000))]
    return _exchanged(_NUMBER, sentence, others, rng, 2)


def _name(sentence: str, source: str, _elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    return _exchanged(_NAME, sentence, _NAME.findall(source), rng, 2)


def _noun(sentence: str, source: str, _elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    return _exchanged(_NOUN, sentence, _NOUN.findall(source), rng, None)


def _foreign(sentence: str, _source: str, elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    """A name that the source does not hold at all."""
    return _exchanged(_NAME, sentence, _NAME.findall(" ".join(elsewhere)), rng, None)


def _exchanged(
    pattern: re.Pattern[str], sentence: str, others: Sequence[str], rng: random.Random, nli: int | None
) -> Broken | None:
    there = list(pattern.finditer(sentence))
    fitting = [other for other in others if other not in sentence]
    if not there or not fitting:
        return None
    match = rng.choice(there)
    return Broken(sentence[: match.start()] + rng.choice(fitting) + sentence[match.end() :], nli)


def _turned(sentence: str, _source: str, _elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    """Two names, numbers or nouns of the sentence in each other's place: all words stay."""
    for pattern in rng.sample((_NAME, _NUMBER, _NOUN), 3):
        there = list(pattern.finditer(sentence))
        for one, other in itertools.pairwise(there):
            between = sentence[one.end() : other.start()]
            if one[0] != other[0] and between.strip(" ,") not in ("", "and", "or", "and the", "or the"):
                turned = sentence[: one.start()] + other[0] + between + one[0] + sentence[other.end() :]
                return Broken(turned, None)
    return None


def _negated(sentence: str, _source: str, _elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    if _NOT.search(sentence):
        return Broken(_NOT.sub(r"\1 ", sentence, count=1), 2)
    match = _VERB.search(sentence)
    if match is None:
        return None
    written = " not" if rng.random() < 0.7 or match[1] in ("will", "can") else "n't"
    return Broken(sentence[: match.end()] + written + sentence[match.end() :], 2)


def _opposed(sentence: str, _source: str, _elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    return _instead(_OPPOSED, OPPOSITE, sentence, rng, 2)


def _surer(sentence: str, _source: str, _elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    """More than the source says: a chance becomes a certainty, some become all."""
    return _instead(_HEDGED, _SURER, sentence, rng, 1)


def _instead(
    pattern: re.Pattern[str], words: Mapping[str, str], sentence: str, rng: random.Random, nli: int
) -> Broken | None:
    there = list(pattern.finditer(sentence))
    if not there:
        return None
    match = rng.choice(there)
    return Broken(sentence[: match.start()] + words[match[1]] + sentence[match.end() :], nli)


def _added(sentence: str, _source: str, elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    """A detail, or a whole clause, from another place of the text."""
    if not elsewhere:
        return None
    details = [match[0] for other in elsewhere if (match := _DETAIL.search(other))]
    if details and rng.random() < 0.7:
        return Broken(sentence.rstrip(".") + rng.choice(details) + ".", 1)
    return Broken(_joined(sentence, rng.choice(elsewhere)), 1)


def _elsewhere(_sentence: str, _source: str, elsewhere: Sequence[str], rng: random.Random) -> Broken | None:
    """A sentence from another place of the text, which the source does not speak of."""
    return Broken(rng.choice(elsewhere), 1) if elsewhere else None


_WAYS: Sequence[Callable[[str, str, Sequence[str], random.Random], Broken | None]] = (
    _number,
    _name,
    _noun,
    _foreign,
    _turned,
    _negated,
    _opposed,
    _surer,
    _added,
    _elsewhere,
)


def _joined(one: str, other: str) -> str:
    return one if one == other else f"{one.rstrip('.')}, and {_lower_first(other)}"


def _lower_first(sentence: str) -> str:
    """With a small first letter where the word is a common one."""
    first = sentence.split(" ", 1)[0]
    return sentence[:1].lower() + sentence[1:] if first in _COMMON else sentence


_COMMON = listed("""
    The A An This These Those That It They He She We You There In On At By For With As If When While Many Some Most
    All Each Both After Before During His Her Its Their Our Your
    """)
