"""Which encoder reads which passage of a text: told by letters and small words, English where nobody can tell.

Passages are sentences put together until they have some words. What is in letters that no encoder knows, or in a
language that none was measured on, is for nobody. Small words outvote each other by how few languages share them; a
long text that has hardly any, of English or of another language, is in none that is known if the English vocabulary
does not have its words either.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import chain

from detectors.manifest import MODELS
from detectors.trained.bounds import LIMIT
from detectors.trained.scripts import LATIN, MANY
from detectors.trained.words import ENGLISH, READ, UNREAD

EN, MANY_LANGUAGES, NOBODY = "en", "many", "nobody"  # who reads a passage
Groups = frozenset[str]

_PASSAGE = 6  # words: fewer are told together with what follows
_FEW, _SHARE = 12, 0.2  # so many words of another language, or less than that share of a text, go with the rest of it
_SHORT = 6  # words: of so few a single one is enough
_ONE, _ENOUGH = 0.3, 0.8  # weight of small words that tell a short passage, and a longer one
_FEWEST_UNREAD = 2  # small words of a language that is not read
_LOOKED_UP = 0.15  # what any other long word counts: for English where its vocabulary has it, else against
_AHEAD = 1.3  # times the weight of the languages that are read, for one that is not
_ACCENTED = 0.35  # what a word with an accented letter weighs, for English has borrowed some, and names have them
_LONG = 3  # letters, of words that are looked up in the vocabulary
_FEWEST, _RARE, _STRANGE = 7, 0.08, 0.35  # long words; share of small words; share of words in the vocabulary
_CODE = 0.08  # share of a program's characters, spaces aside, that are _SIGNS
_SIGNS = re.compile(r"[(){}\[\]=;<>\\/|_$#@*+]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ADDRESS = re.compile(r"@|://|\w[._/]\w")  # in a word: addresses, dotted names, names of files
_END = re.compile(r"(?<=[.!?:;])\s+|\n+|(?<=[。！？।：])|(?<=[\"“”«»„])")


def _weights() -> Mapping[str, tuple[tuple[str, float], ...]]:
    """By word the languages that have it, each with what it counts for it."""
    lists = {EN: ENGLISH, **READ, **UNREAD}
    sharing: defaultdict[str, list[str]] = defaultdict(list)
    for language, words in lists.items():
        for word in dict.fromkeys(words.split()):
            sharing[word].append(language)
    out = {}
    for word, languages in sharing.items():
        is_letter = len(word) == 1 and word.isascii()  # what chats shorten words to, and programs
        each = (0.2 if is_letter else 1.0) / len(languages)
        out[word] = tuple((language, max(each, 0.4) if language == EN else each) for language in languages)
    return out


_WEIGHTS = _weights()


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a text: its words counted, and who reads it, empty where that cannot be told of it alone."""

    text: str
    words: int
    group: str
    is_by_script: bool = False  # told by its letters, which leave no doubt


@lru_cache(maxsize=128)
def groups(text: str) -> Groups:
    """Who reads something of the text, EN or MANY_LANGUAGES, and NOBODY where some of it is for neither."""
    return frozenset(passage.group for passage in _told(text))


def part_for(group: str, text: str) -> str | None:
    """None for a text that is wholly for this group; else what of it is, in its order, and "" for nothing."""
    told = _told(text)
    if all(passage.group == group for passage in told):
        return None
    return " ".join(passage.text for passage in told if passage.group == group).strip()


@lru_cache(maxsize=128)
def _told(text: str) -> tuple[Passage, ...]:
    """The passages of a text; what is too little to be told goes with the rest."""
    found = list(_passages(text[:LIMIT]))
    words: Counter[str] = Counter()
    for passage in found:
        words[passage.group] += passage.words
    total = max(words.total(), 1)
    untold = words.pop("", 0)
    most = max(words, key=words.__getitem__, default=EN)
    if most == EN and untold > _SHARE * total and _is_strange(text[:LIMIT]):
        most = NOBODY
    kept = {group for group, count in words.items() if count >= _FEW or count > _SHARE * total}
    kept |= {most, *(passage.group for passage in found if passage.is_by_script and passage.words >= _PASSAGE)}
    out, last = [], most
    for passage in found:
        last = passage.group if passage.group in kept else most if passage.group else last
        out.append(replace(passage, group=last))
    return tuple(out) or (Passage(text, 0, EN),)


def _passages(text: str) -> Iterator[Passage]:
    waiting, count = "", 0
    for sentence in chain.from_iterable(map(LATIN.runs, _END.split(text))):
        if waiting and (length := _length(sentence)) >= _PASSAGE:
            yield _passage(waiting, count)
            waiting, count = sentence, length
        else:
            waiting, count = f"{waiting} {sentence}" if waiting else sentence, count + _length(sentence)
        if count >= _PASSAGE:
            yield _passage(waiting, count)
            waiting, count = "", 0
    if waiting:
        yield _passage(waiting, count)


def _length(text: str) -> int:
    """Words; of writing without spaces, a word for every three letters."""
    if text.isascii():
        return len(_WORD.findall(text))
    return sum(1 if word.isascii() else max(1, len(word) // 3) for word in _WORD.findall(text))


def _passage(text: str, count: int) -> Passage:
    if not text.isascii():
        clean = unicodedata.normalize("NFKC", text)
        if LATIN.is_mostly_other(clean):
            return Passage(text, count, NOBODY if MANY.is_mostly_other(clean) else MANY_LANGUAGES, is_by_script=True)
    return Passage(text, count, _group_by_words(text))


def _group_by_words(text: str) -> str:
    if _is_code(text):
        return ""
    words = _words(text)
    weight: defaultdict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
    rest: list[str] = []
    for word in words:
        known_of = _WEIGHTS.get(word)
        if known_of is None:
            if len(word) >= _LONG and LATIN.has_only(word):
                rest.append(word)
            continue
        for language, value in known_of:
            weight[language] += value
            count[language] += 1
    known = len(_vocabulary().intersection(rest))
    english = weight.pop(EN, 0.0) + _LOOKED_UP * known
    marked = 0 if text.isascii() else sum(not word.isascii() for word in rest)
    if not (weight or marked):  # the rule: nothing speaks for another language
        return EN if english else ""
    accented = _ACCENTED * marked if marked > 1 or weight else 0.0
    read = max((value for language, value in weight.items() if language in READ), default=0.0) + accented
    unread, which = max(
        ((value, language) for language, value in weight.items() if language in UNREAD), default=(0.0, EN)
    )
    is_unread = unread + accented > _AHEAD * read + 0.5 and count[which] >= _FEWEST_UNREAD
    small = unread + accented if is_unread else read
    if small < (_ENOUGH if len(words) > _SHORT else _ONE) or small + _LOOKED_UP * (len(rest) - known) <= english:
        return EN if english else ""
    return NOBODY if is_unread else MANY_LANGUAGES


def _words(text: str) -> frozenset[str]:
    """Each once: "la la la" says no more than "la"."""
    plain = (text if text.isascii() else unicodedata.normalize("NFKC", text)).lower()
    if _ADDRESS.search(plain) is not None:
        plain = " ".join(token for token in plain.split() if _ADDRESS.search(token) is None)
    return frozenset(_WORD.findall(plain.replace("’", "'")))


def _is_code(text: str) -> bool:
    return len(_SIGNS.findall(text)) > _CODE * len("".join(text.split()))


def _is_strange(text: str) -> bool:
    """Whether a text in Latin letters has neither small words nor words that the English vocabulary knows."""
    words = _words(text)
    long = [word for word in words if len(word) >= _LONG]
    if len(long) < _FEWEST or _is_code(text):
        return False
    small = sum(any(language not in UNREAD for language, _ in _WEIGHTS.get(word, ())) for word in words)
    return small <= _RARE * len(words) and sum(map(_is_in_vocabulary, long)) < _STRANGE * len(long)


def _is_in_vocabulary(word: str) -> bool:
    return word in _vocabulary()


@cache
def _vocabulary() -> frozenset[str]:
    """The whole words of the English encoder's vocabulary."""
    return frozenset((MODELS / "vocab.txt").read_text("utf-8").split())
