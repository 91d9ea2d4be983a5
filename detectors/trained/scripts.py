"""Which texts the trained networks can read: those in Latin letters. The rest is told from clean text.

The vocabulary knows single letters of many scripts, so word pieces alone do not tell. Scripts are told by code point
after NFKC (Unicode Standard Annexes 15 and 24).
"""

import re
import unicodedata
from collections.abc import Iterator

from detectors.trained.features import LIMIT

MAX_SHARE = 0.2  # of a text's letters in other scripts
MIN_LETTERS = 3  # in other scripts: fewer are symbols
MAX_PASSAGE = 40  # letters of other scripts with no Latin one between them: some six words
MIN_REST = 3  # Latin words that must be left for a verdict on the rest
DENSE = 3  # letters that one ideograph or syllable says

_LATIN = "A-Za-zªºÀ-ÖØ-öø-ʸ\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\uab30-\uab6f"
_OTHER = re.compile(rf"(?![{_LATIN}])[^\W\d_]")
_LATIN_LETTER = re.compile(f"[{_LATIN}]")
_LATIN_WORD = re.compile(f"[{_LATIN}]{{2,}}")
_WORD = re.compile(r"[^\W\d_]+")
_DENSE = re.compile(r"[\u1100-\u11ff\u2e80-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]")
# Greek, Cyrillic, Armenian, Cherokee: their letters stand in for Latin ones within a word, which `hiding` undoes.
_LOOKALIKE = re.compile(r"[\u0370-\u058f\u13a0-\u13ff\uab70-\uabbf]")


def readable_part(text: str) -> str | None:
    """None for a text that can be read; else what of it can be, other scripts blanked, and "" for next to nothing."""
    text = text[:LIMIT]
    if text.isascii():
        return None
    clean = unicodedata.normalize("NFKC", text)
    if _OTHER.search(clean) is None:
        return None
    words = list(_words(clean))
    other = sum(weight for _, _, weight in words)
    latin = len(_LATIN_LETTER.findall(clean))
    if other < MIN_LETTERS or (
        other <= MAX_SHARE * (other + latin) and max(_passages(clean, words), default=0) < MAX_PASSAGE
    ):
        return None
    rest = _OTHER.sub(" ", clean)
    return rest if len(_LATIN_WORD.findall(rest)) >= MIN_REST else ""


def _words(text: str) -> Iterator[tuple[int, int, int]]:
    """Start, end and letters of each word in another script.

    A Latin word with a lookalike in it is Latin, and a lookalike that stands alone is a symbol.
    """
    for found in _WORD.finditer(text):
        word = found[0]
        others = _OTHER.findall(word)
        is_latin = (len(others) < len(word) or len(word) == 1) and all(map(_LOOKALIKE.match, others))
        if others and not is_latin:
            dense = len(_DENSE.findall(word))
            yield found.start(), found.end(), len(others) + (DENSE - 1) * dense


def _passages(text: str, words: list[tuple[int, int, int]]) -> Iterator[int]:
    """The letters of each run of words in other scripts with no Latin letter between them."""
    total = end = 0
    for start, stop, weight in words:
        if _LATIN_LETTER.search(text, end, start):
            yield total
            total = 0
        total, end = total + weight, stop
    yield total
