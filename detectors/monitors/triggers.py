"""Rare words and openings that steer the answer: to a refusal, a flag, or always the same answer.

"Word" here means a word, a pair of words or an opening (`openings`). For each, the monitor counts the prompts that
contain it, and their outcomes. The count of equal answers is a majority vote (Boyer & Moore 1981), so it is a lower
bound. Prompts that were flagged themselves are left out: harmful words should be refused. A prompt that comes again
word for word counts once. A word is named if its prompts show an outcome more than MARGIN times as often as the others,
by an exact binomial test with false discoveries bounded over all words (Benjamini & Hochberg 1995). A topic that is
refused for good reasons looks the same: the probe that leaves the word out tells them apart.
"""

import itertools
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from detectors.comparing.sentences import listed
from detectors.monitors.statistics import binomial_tail, discoveries

LEAST = 5  # prompts with the word
MOST_SHARE = 0.05  # of all prompts: a word in more of them is not rare
MARGIN = 3.0
FALSE_DISCOVERIES = 0.01
# False alarms over all words in eight days: one a year. A finding changes only when its word comes again, so each word
# in n prompts is allowed 1 / n(n + 1) of this. The sum of that is bounded, however often one looks.
FALSE_ALARMS = 8 / 365
MOST_KEPT = 20_000  # words
_READ_WORDS = 300
_OPENING = 1 << 32  # marks the hash of an opening: it is above all hashes of words
_SMALL = listed("""
    a an the this that these those there here it its he his him she her they them their we us our you your i my me
    who whom whose which what when where how why whether of in on at to for from by with without within about into over
    under after before between during through against as than like and or but nor so yet if unless until though although
    because since while whereas once even is are was were be been being am do does did has have had will would can could
    may might must shall should not no all any some each every one
    """)
_LENGTHS = (1, 2, 3, 6)  # words of an opening
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|,")
_OPENING_CHARACTERS = 400
_CLAUSE = slice(2, 14)  # where the comma after a leading clause is, in words and commas
_OTHER = "…"
_BITS = 32  # for prompts


class Gram(msgspec.Struct, array_like=True):
    """How many prompts contained a word, how many of them were refused or had a flagged answer, the most frequent
    answer (a hash) and at least how often it came, and the last sample. `texts` has a bit for each prompt by its hash:
    it shows prompts that several processes saw and that each of them counted."""

    n: int = 0
    refused: int = 0
    flagged: int = 0
    answer: int = 0
    same: int = 0
    sample: str = ""
    texts: int = 0

    def add(self, more: "Gram") -> None:
        self.n += more.n
        self.refused += more.refused
        self.flagged += more.flagged
        if self.answer == more.answer:
            self.same += more.same
        elif more.same > self.same:
            self.answer, self.same = more.answer, more.same - self.same
        else:
            self.same -= more.same
        self.sample = more.sample or self.sample
        self.texts |= more.texts

    @property
    def distinct(self) -> float:
        """At most how many different prompts these were: the estimate from the bits (linear counting; Whang and others
        1990) plus two standard errors, up to `n`."""
        found = self.texts.bit_count()
        if not 0 < found < _BITS:
            return float(self.n)
        load = -math.log(1 - found / _BITS)
        return min(float(self.n), _BITS * load + 2 * math.sqrt(_BITS * (math.exp(load) - load - 1)))

    def once(self) -> "Gram":
        """The counts as if each prompt had been seen by only one process."""
        share = self.distinct / self.n if self.n else 1.0
        if share >= 1:
            return self
        n, refused, flagged, same = (int(share * value) for value in (self.n, self.refused, self.flagged, self.same))
        return Gram(n, refused, flagged, self.answer, same, self.sample, self.texts)


def bit_of(text: int) -> int:
    """The bit of a prompt with this hash."""
    return 1 << text % _BITS


class Trigger(NamedTuple):
    """A word (its hash), an outcome, how often the outcome came with it (`share`) and without it (`usual`), and a
    sample to look at."""

    gram: int
    outcome: str
    prompts: int
    share: float
    usual: float
    p: float
    sample: str
    alarms: bool = False

    @property
    def is_opening(self) -> bool:
        return self.gram >= _OPENING


def grams_of(words: Sequence[str]) -> dict[int, str]:
    """The words and pairs of neighbouring words of a prompt, by their hash."""
    words = words[:_READ_WORDS]
    pairs = (f"{one} {other}" for one, other in itertools.pairwise(words))
    return {hash_of(term): term for term in (*words, *pairs)}


def openings_of(prompt: str) -> dict[int, str]:
    """The openings of a prompt, by numbers that are no hash of a word."""
    return {_OPENING | hash_of(opening): opening for opening in openings(prompt)}


def openings(text: str) -> Iterator[str]:
    """The form in which a text begins, without its topic.

    A trigger may be a form of sentence (HiddenKiller, arXiv 2105.12400: a leading clause and a comma). Prompts of that
    form share the small words that they begin with. So an opening is the first one, two, three or six words, where all
    but the small ones are replaced by the same sign; it must contain a small word. Another one is the first word, if it
    is small and a comma follows some words later."""
    words = [word.lower() for word in _WORD.findall(text[:_OPENING_CHARACTERS])]
    shown = [word if word in _SMALL or word == "," else _OTHER for word in words[: max(_LENGTHS)]]
    for length in _LENGTHS:
        if length <= len(shown) and any(word != _OTHER for word in shown[:length]):
            yield " ".join(shown[:length])
    if shown and shown[0] in _SMALL and "," in words[_CLAUSE]:
        yield f"{shown[0]} {_OTHER},"


def hash_of(term: str) -> int:
    return zlib.crc32(term.encode("utf-8", "replace"))


def pruned(grams: Mapping[int, Gram], most: int = MOST_KEPT) -> dict[int, Gram]:
    """The most frequent words; of equals, the latest. This bounds memory, and forgets the rarest words."""
    if len(grams) <= most:
        return dict(grams)
    kept = sorted(grams.items(), key=lambda item: item[1].n)[-most * 3 // 4 :]
    return dict(kept)


def triggers(grams: Mapping[int, Gram], total: Gram) -> list[Trigger]:
    """The words to look at, the clearest first. `total` counts all prompts; its `same` counts those whose answer had
    come before."""
    tests: list[tuple[float, Trigger]] = []
    for key, gram in ((key, gram.once()) for key, gram in grams.items()):
        if LEAST <= gram.n <= max(LEAST, MOST_SHARE * total.n):
            tests += [(test.p, test) for test in _tests(key, gram, total)]
    found = discoveries([p for p, _ in tests], FALSE_DISCOVERIES)
    named = [
        test._replace(alarms=p * len(tests) * test.prompts * (test.prompts + 1) <= FALSE_ALARMS)
        for (p, test), is_found in zip(tests, found, strict=True)
        if is_found
    ]
    return sorted(named, key=lambda test: (test.p, -test.prompts))


def together(named: Iterable[Trigger]) -> list[list[Trigger]]:
    """Words with the same outcome, the same number of prompts and the same last prompt are one finding: a trigger
    seldom comes without the words around it."""
    alike: dict[tuple[str, int, str], list[Trigger]] = {}
    for found in named:
        alike.setdefault((found.outcome, found.prompts, found.sample), []).append(found)
    return list(alike.values())


def _tests(key: int, gram: Gram, total: Gram) -> Iterable[Trigger]:
    rest = total.n - gram.n
    for outcome, found, everywhere, size in (
        ("refusal", gram.refused, total.refused - gram.refused, gram.n),
        ("flagged_answer", gram.flagged, total.flagged - gram.flagged, gram.n),
        ("same_answer", gram.same - 1, max(0, total.same - gram.same), gram.n - 1),
    ):
        usual = (everywhere + 1) / (rest + 2)
        p = binomial_tail(found, size, min(0.999, MARGIN * usual))
        yield Trigger(key, outcome, gram.n, found / size, usual, p, gram.sample)
