"""Finds the passages about a claim by the words they share with it, and how much of the claim they contain.

Words weigh more if they are rare among the passages (Spärck Jones 1972). No model is used: a passage takes
microseconds.
"""

import itertools
import math
from collections import Counter
from collections.abc import Container, Sequence
from typing import NamedTuple

from detectors.comparing.quantities import quantities
from detectors.comparing.sentences import content_stem, words_of

MOST_PASSAGES = 3_000  # of one source that are looked at
WINDOW_WORDS = 120  # of the passages that are shown beside one claim, about 160 word pieces


class Overlap(NamedTuple):
    """How much of a claim its source contains: shares from 0 to 1 of its content words, pairs of neighbouring words,
    numbers and names. If the claim has none of a kind, the share is 1."""

    words: float
    pairs: float
    numbers: float
    names: float


class Passages:
    """The passages of a source, in order, indexed to find those near a claim and how much of it they contain."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts: list[str] = []
        self._stems: list[frozenset[str]] = []
        self._sizes: list[int] = []
        self._seen: Counter[str] = Counter()
        self._pairs: set[tuple[str, str]] = set()
        self._said: set[str] = set()
        self.numbers: list[float] = []  # each once, rising
        self.add(texts)

    def add(self, texts: Sequence[str]) -> None:
        """Append passages. Those beyond MOST_PASSAGES are ignored."""
        numbers = set(self.numbers)
        for text in texts[: MOST_PASSAGES - len(self.texts)]:
            own = stems(text)
            self.texts.append(text)
            self._stems.append(frozenset(own))
            self._sizes.append(max(len(text.split()), 1))
            self._seen.update(self._stems[-1])
            self._pairs.update(itertools.pairwise(own))
            self._said.update(word.lower() for word in words_of(text))
            numbers.update(each.value for each in quantities(text))
        self.numbers = sorted(numbers)

    def ranked(self, claim: str) -> list[tuple[float, int]]:
        """(nearness from 0 to 1, place) of each passage, the nearest first; of equals, the earlier one first."""
        weights = {stem: math.log(1 + len(self.texts) / max(self._seen[stem], 1)) for stem in frozenset(stems(claim))}
        own, most = weights.keys(), sum(weights.values()) or 1.0
        found = [(sum(weights[stem] for stem in own & there) / most, place) for place, there in enumerate(self._stems)]
        return sorted(found, key=lambda pair: (-pair[0], pair[1]))

    def window(self, claim: str, words: int = WINDOW_WORDS) -> str:
        """As many of the nearest passages as fit into `words` words, in the order of the source."""
        return self.shown(claim, words)[0]

    def shown(self, claim: str, words: int = WINDOW_WORDS) -> tuple[str, str]:
        """The window, and the nearest passage alone, cut to the size of a window."""
        chosen: list[int] = []
        left = words
        for _, place in self.ranked(claim):
            if self._sizes[place] <= left:
                chosen.append(place)
                left -= self._sizes[place]
            elif not chosen:
                alone = _around(self.texts[place], claim, words)
                return alone, alone
        nearest = self.texts[chosen[0]] if chosen else ""
        return " ".join(self.texts[place] for place in sorted(chosen)), nearest

    def overlap(self, claim: str) -> Overlap:
        """How much of the claim the passages contain."""
        return _held(claim, self._seen, self._pairs, self._said)


def stems(text: str) -> list[str]:
    """The content words in small letters without their endings; numbers stay as they are."""
    return [stem for word in words_of(text) if (stem := content_stem(word)) is not None]


def overlap(claim: str, source: str) -> Overlap:
    """How much of the claim the source contains, word for word."""
    there = stems(source)
    return _held(
        claim,
        frozenset(there),
        frozenset(itertools.pairwise(there)),
        frozenset(word.lower() for word in words_of(source)),
    )


def _held(claim: str, known: Container[str], pairs: Container[tuple[str, str]], said: Container[str]) -> Overlap:
    """The overlap with a source of these stems, pairs of neighbouring stems, and words in small letters (`said`)."""
    own, words = stems(claim), words_of(claim)
    numbers = [word for word in words if any(map(str.isdigit, word))]
    names = [word.lower() for word in words[1:] if word[:1].isupper() and content_stem(word) is not None]
    return Overlap(
        _share([stem in known for stem in own]),
        _share([pair in pairs for pair in itertools.pairwise(own)]),
        _share([number.lower() in said for number in numbers]),
        _share([name in said for name in names]),
    )


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found) if found else 1.0


def _around(passage: str, claim: str, words: int) -> str:
    """The `words` neighbouring words of a longer passage that contain most of the claim's words."""
    own = frozenset(stems(claim))
    split = passage.split()
    hits = [not own.isdisjoint(stems(word)) for word in split]
    total = sum(hits[:words])
    best, at = total, 0
    for start in range(1, len(split) - words + 1):
        total += hits[start + words - 1] - hits[start - 1]
        if total > best:
            best, at = total, start
    return " ".join(split[at : at + words])
