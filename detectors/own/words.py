"""Words and phrases of a file, found in one pass over the text: Aho and Corasick 1975, over words instead of letters.

A text and the phrases are cut into symbols: words (runs of letters and digits), single marks, and white space, of which
any amount is the same. So a phrase is found between word boundaries only and across line ends. Case and the ways to
write an accented letter do not count. In scripts that put no space between words each letter is a symbol of its own.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from detectors.base import Role
from detectors.manifest import ModelError
from detectors.rules.rule import Rule, RuleFinding, Search

MOST_PHRASES = 200_000
MOST_CHARACTERS = 500  # of one phrase
SURE = 1.0
_PIECE = 4_096  # symbols read in one step: some 3 ms
# Scripts without spaces between words: kana, ideographs, Thai, Lao, Myanmar, Khmer, and what goes with them.
_DENSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_MARKS = "\u0300-\u036f"  # accents that stand for themselves behind their letter
_SYMBOL = re.compile(rf"\s+|[{_DENSE}]|(?:(?![{_DENSE}])[^\W_]|[{_MARKS}])+|.", re.DOTALL)
_ASCII_SYMBOL = re.compile(r"\s+|[^\W_]+|.", re.DOTALL | re.ASCII)
_DENSE_LETTER = re.compile(f"[{_DENSE}]")

Symbols = tuple[str, ...]


class PhraseError(Exception):
    """A phrase that cannot be searched for; the message says why, without the phrase."""


class Automaton:
    """Finds phrases in a text, all of them, also those that overlap. `phrases` are cut by `symbols_of`."""

    def __init__(self, phrases: Iterable[Symbols]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._lengths: list[tuple[int, ...]] = [()]  # in symbols, of the phrases that end in a state
        for phrase in phrases:
            self._add(phrase)
        self._fail = [0] * len(self._next)
        self._link()

    def _add(self, phrase: Symbols) -> None:
        state = 0
        for symbol in phrase:
            following = self._next[state].get(symbol)
            if following is None:
                following = self._next[state][symbol] = len(self._next)
                self._next.append({})
                self._lengths.append(())
            state = following
        self._lengths[state] = (len(phrase),)

    def _link(self) -> None:
        """Each state's longest proper suffix that is a state as well, breadth first."""
        todo = deque(self._next[0].values())
        while todo:
            state = todo.popleft()
            for symbol, following in self._next[state].items():
                self._fail[following] = self._step(self._fail[state], symbol)
                self._lengths[following] += self._lengths[self._fail[following]]
                todo.append(following)

    def _step(self, state: int, symbol: str) -> int:
        while True:
            following = self._next[state].get(symbol)
            if following is not None:
                return following
            if not state:
                return 0
            state = self._fail[state]

    def search(self, text: str) -> Iterator[tuple[int, int] | None]:
        """The (start, end) of each phrase found, None after each bounded piece of work."""
        state = 0
        starts: list[int] = []  # of the symbols read so far
        is_ascii = text.isascii()
        for number, found in enumerate((_ASCII_SYMBOL if is_ascii else _SYMBOL).finditer(text), 1):
            starts.append(found.start())
            state = self._step(state, _folded(found[0]))
            for length in self._lengths[state]:
                start, end = starts[-length], found.end()
                if is_ascii or not (_joins(text, start) or _joins(text, end)):
                    yield start, end
            if number % _PIECE == 0:
                yield None


def symbols_of(phrase: str) -> Symbols:
    """The symbols that stand for a phrase, without the white space around it."""
    return tuple(_folded(found[0]) for found in _SYMBOL.finditer(phrase.strip()))


def _folded(symbol: str) -> str:
    if symbol.isascii():
        return " " if symbol.isspace() else symbol.lower()
    return " " if symbol.isspace() else unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", symbol).casefold())


def _joins(text: str, at: int) -> bool:
    """Whether a word goes on at this place: a mark that no `\\w` knows stands there or before it."""
    if not 0 < at < len(text) or _DENSE_LETTER.match(text[at]) or _DENSE_LETTER.match(text[at - 1]):
        return False
    before, behind = (unicodedata.category(letter)[0] for letter in text[at - 1 : at + 1])
    return (behind == "M" and before in "LMN") or (before == "M" and behind in "LN")


def read_phrases(path: Path) -> list[Symbols]:
    """One phrase a line; blank lines and those that begin with `#` count for nothing. Raises ModelError."""
    phrases: list[Symbols] = []
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                phrases.append(_phrase(line.strip()))
            except PhraseError as error:
                raise ModelError(f"{path}:{number}: {error}") from None
    if not phrases:
        raise ModelError(f"{path}: there is no word in it; write one word or phrase a line")
    if len(phrases) > MOST_PHRASES:
        raise ModelError(f"{path}: has {len(phrases):,} phrases, the limit is {MOST_PHRASES:,}")
    return phrases


def _phrase(line: str) -> Symbols:
    if len(line) > MOST_CHARACTERS:
        raise PhraseError(f"has {len(line)} characters, a phrase may have {MOST_CHARACTERS}; write one phrase a line")
    if not any(map(str.isalnum, line)):
        raise PhraseError("has no letter and no digit, so it would be found everywhere")
    return symbols_of(line)


def rule(path: Path, subcategory: str, label: str, roles: tuple[Role, ...]) -> Rule:
    """The rule that finds the phrases of a file. Raises ModelError."""
    automaton = Automaton(read_phrases(path))

    def search(text: str) -> Search:
        for place in automaton.search(text):
            yield place and RuleFinding(*place, label, SURE)

    return Rule(subcategory, roles, (SURE,), frozenset({label}), search)
