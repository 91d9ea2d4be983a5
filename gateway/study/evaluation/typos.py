"""Typing errors that do not make a question harder to understand: none in numbers, names or short words."""

import random
import re
from collections.abc import Callable

_LONG = 5  # letters; only words of this length and more can have an error
_EVERY = 4  # about one of this many long words has an error
_LEAST = 2  # words with an error, if there are so many long ones
_WORD = re.compile(r"[A-Za-z]+")
_NEAR = {
    "a": "s", "b": "v", "c": "x", "d": "f", "e": "r", "f": "g", "g": "h", "h": "j", "i": "o", "j": "k", "k": "l",
    "l": "k", "m": "n", "n": "m", "o": "p", "p": "o", "q": "w", "r": "t", "s": "d", "t": "y", "u": "i", "v": "b",
    "w": "e", "x": "c", "y": "u", "z": "x",
}  # fmt: skip


def with_typos(text: str, rng: random.Random) -> str:
    """The text with errors in some of its long words; unchanged if it has none."""
    words = [found for found in _WORD.finditer(text) if _can_err(found)]
    if not words:
        return text
    chosen = rng.sample(words, min(len(words), max(_LEAST, len(words) // _EVERY)))
    for found in sorted(chosen, key=lambda each: each.start(), reverse=True):
        text = text[: found.start()] + _misspelt(found[0], rng) + text[found.end() :]
    return text


def _can_err(found: re.Match[str]) -> bool:
    """Whether a word is neither short nor possibly a name: any word with a capital but the first may be one."""
    return len(found[0]) >= _LONG and (found[0].islower() or found.start() == 0)


def _misspelt(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    return rng.choice(_SLIPS)(word, at)


def _swapped(word: str, at: int) -> str:
    if word[at] == word[at + 1]:
        return _left_out(word, at)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _left_out(word: str, at: int) -> str:
    return word[:at] + word[at + 1 :]


def _doubled(word: str, at: int) -> str:
    return word[:at] + word[at] + word[at:]


def _neighbour(word: str, at: int) -> str:
    return word[:at] + _NEAR.get(word[at], word[at]) + word[at + 1 :]


_SLIPS: tuple[Callable[[str, int], str], ...] = (_swapped, _left_out, _doubled, _neighbour)
