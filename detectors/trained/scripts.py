"""Which texts the trained networks can read, by their letters. The rest is told from clean text.

The vocabulary knows single letters of many scripts, so word pieces alone do not tell. Scripts are told by code point
after NFKC (Unicode Standard Annexes 15 and 24).
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from detectors.trained.bounds import LIMIT

MAX_SHARE = 0.2  # of a text's letters in other scripts
MIN_LETTERS = 3  # in other scripts: fewer are symbols
MAX_PASSAGE = 40  # letters of other scripts with no known one between them: some six words
MIN_REST = 3  # words in known letters that must be left for a verdict on the rest
DENSE = 3  # letters that one ideograph or syllable says

_LATIN = "A-Za-zªºÀ-ÖØ-öø-ʸ\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\uab30-\uab6f"
# Cyrillic, Arabic, Devanagari, Bengali, Thai, Hangul, Kana, ideographs, with the marks that combine with them.
_TESTED = (
    "\u0400-\u052f\u0600-\u06ff\u0750-\u077f\u0900-\u09ff\u0e00-\u0e7f\u1100-\u11ff\u3005-\u3007\u3040-\u30ff"
    "\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(r"[^\W\d_]+")
_DENSE = re.compile(r"[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]")
# Greek, Cyrillic, Armenian, Cherokee: their letters stand in for Latin ones within a word, which `hiding` undoes.
_LOOKALIKE = re.compile(r"[\u0370-\u058f\u13a0-\u13ff\uab70-\uabbf]")


@dataclass(frozen=True)
class Scripts:
    """The letters that a network knows, as the inside of a regular expression's character class."""

    letters: str

    @cached_property
    def _other(self) -> re.Pattern[str]:
        return re.compile(rf"(?![{self.letters}])[^\W\d_]")

    @cached_property
    def _other_run(self) -> re.Pattern[str]:
        return re.compile(rf"((?:(?![{self.letters}])[^\W\d_][\W\d_]*)+)")

    @cached_property
    def _known(self) -> re.Pattern[str]:
        return re.compile(f"[{self.letters}]")

    @cached_property
    def _known_word(self) -> re.Pattern[str]:
        return re.compile(f"[{self.letters}]{{2,}}")

    def readable_part(self, text: str) -> str | None:
        """None for a text that can be read; else what of it can be, the rest blanked, and "" for next to nothing."""
        text = text[:LIMIT]
        if text.isascii():
            return None
        clean = unicodedata.normalize("NFKC", text)
        if self._other.search(clean) is None:
            return None
        words = list(self._words(clean))
        other = sum(weight for _, _, weight in words)
        known = len(self._known.findall(clean))
        if other < MIN_LETTERS or (
            other <= MAX_SHARE * (other + known) and max(self._passages(clean, words), default=0) < MAX_PASSAGE
        ):
            return None
        rest = self._other.sub(" ", clean)
        return rest if len(self._known_word.findall(rest)) >= MIN_REST else ""

    def has_only(self, word: str) -> bool:
        """Whether all letters of a word are known."""
        return word.isascii() or self._other.search(word) is None

    def runs(self, text: str) -> list[str]:
        """The text, where it mixes scripts so that not all can be read, cut between known and other letters."""
        if self.readable_part(text) is None:
            return [text]
        return [run for run in self._other_run.split(text) if run.strip()]

    def is_mostly_other(self, clean: str) -> bool:
        """Whether most of the letters of a text after NFKC are in other scripts."""
        other = sum(weight for _, _, weight in self._words(clean))
        return other >= MIN_LETTERS and other > len(self._known.findall(clean))

    def _words(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Start, end and letters of each word in another script.

        A known word with a lookalike in it is known, and a lookalike that stands alone is a symbol.
        """
        for found in _WORD.finditer(text):
            word = found[0]
            others = self._other.findall(word)
            is_known = (len(others) < len(word) or len(word) == 1) and all(map(_LOOKALIKE.match, others))
            if others and not is_known:
                dense = len(_DENSE.findall(word))
                yield found.start(), found.end(), len(others) + (DENSE - 1) * dense

    def _passages(self, text: str, words: list[tuple[int, int, int]]) -> Iterator[int]:
        """The letters of each run of words in other scripts with no known letter between them."""
        total = end = 0
        for start, stop, weight in words:
            if self._known.search(text, end, start):
                yield total
                total = 0
            total, end = total + weight, stop
        yield total


LATIN = Scripts(_LATIN)
MANY = Scripts(_LATIN + _TESTED)


def readable_part(text: str) -> str | None:
    """What the English networks can read of a text, as `Scripts.readable_part` tells it."""
    return LATIN.readable_part(text)
