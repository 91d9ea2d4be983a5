"""Cuts a text into sentences with their places, and tells which of them claim something that can be checked."""

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 600  # characters of a sentence; a longer one is cut at a space
_MOST_CLAIMS = 200

# An end of a sentence and its closing marks, a line break, or the mark of a list's entry.
# (It starts only where a run of dots does: else the time would grow with the square of the run.)
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s|$)|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|No|Fig|approx|Inc|Ltd|Co|Corp|U\.S|U\.K|Gen|Col|Sgt|Rev|Hon|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)|\b[A-Z])\.$"
)
_MARK = re.compile(r"\s*(?:[-*•–+]\s+|\(?\d{1,3}[.)]\s+|#{1,6}\s+|>\s*)*")  # of a list, a heading, a quotation
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")

_OPENERS = (
    r"sure|certainly|of course|absolutely|hello|hi|hey|thanks|thank you|great question|good question|you'?re welcome|"
    r"i hope|i'?m (?:sorry|afraid|happy|glad|here)|i apologi[sz]e|my apologies|please|let me|let'?s|here (?:is|are)|"
    r"here'?s|feel free|if you (?:have|need|want|would|'?d)|would you|do you|is there|could you|can you|i (?:can|could|"
    r"cannot|can'?t|don'?t|do not|would|will|'?ll|think|believe)|as an ai|unfortunately, i|no problem|good luck|"
    r"happy to|glad to|in (?:short|summary|conclusion)[:,]?$|note that i|based on (?:the|your) \w+[:,]?$"
)
_NO_CLAIM = re.compile(rf"(?:{_OPENERS})\b", re.IGNORECASE)
# "The source does not say" may be a right answer, so it is no claim.
_ABSTAINS = re.compile(
    r"\b(?:(?:is|are|was|were|does|do|did|has|have) ?n[o']t (?:mention|say|specif|provide|contain|include|state|give|"
    r"discuss|address|indicate|explicitly)|not (?:mentioned|stated|specified|provided|given|available|found|clear)|"
    r"no (?:information|mention|details?|indication)|(?:cannot|can't|can not) (?:be )?"
    r"(?:find|found|answer|determin|tell)|"
    r"(?:isn't|aren't) (?:mentioned|stated|specified|provided|given))",
    re.IGNORECASE,
)


class Sentence(NamedTuple):
    """A part of a text, from `start` to `end`, without the mark of a list entry."""

    text: str
    start: int
    end: int


def sentences(text: str) -> Iterator[Sentence]:
    """The sentences of a text, in order; together they are all of its words."""
    start = 0
    for match in _END.finditer(text):
        piece = text[start : match.end()]
        if match.group()[0] == "." and _ABBREVIATION.search(piece[-12:]):
            continue
        yield from _parts(text, start, match.end())
        start = match.end()
    yield from _parts(text, start, len(text))


def claims(text: str) -> list[Sentence]:
    """The sentences that claim something: no questions, greetings, offers, headings or code."""
    found = []
    for sentence in sentences(text):
        if is_claim(sentence.text):
            found.append(sentence)
            if len(found) == _MOST_CLAIMS:
                break
    return found


def is_claim(sentence: str) -> bool:
    """Whether a sentence states something that a source could support or contradict."""
    stripped = sentence.rstrip("\"'”’) ")
    if stripped.endswith(("?", ":")) or _NO_CLAIM.match(sentence) or _ABSTAINS.search(sentence):
        return False
    words = _WORD.findall(sentence)
    letters = sum(map(str.isalpha, sentence))
    return len(words) >= 3 and 2 * letters > len(sentence)


def listed(words: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(words.split())


_STOP = listed("""
    a an the of in on at to for from by with and or but if as is are was were be been being it its this that
    these those he she they his her their them we you i my your our not no so than then there here which who
    whom what when where how why do does did has have had will would can could may might must shall should
    also into over about after before between during more most some such only other any all each very just up
    out
    """)
_ENDING = re.compile(r"(?:'s|’s|ing|edly|ed|es|s|ly)$")


def content_stem(word: str) -> str | None:
    """A content word in small letters without its ending; a number as it is; None for a function word."""
    word = word.lower()
    if word in _STOP:
        return None
    return _ENDING.sub("", word) if len(word) > 4 else word


def words_of(text: str) -> list[str]:
    """The words, numbers among them, as they are written."""
    return _WORD.findall(text)


def _parts(text: str, start: int, end: int) -> Iterator[Sentence]:
    mark = _MARK.match(text, start, end)
    start = mark.end() if mark else start
    while end - start > LONGEST:
        cut = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = cut if cut > 0 else start + LONGEST
        yield Sentence(text[start:cut].strip(), start, cut)
        start = cut
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    piece = piece.strip()
    if piece:
        yield Sentence(piece, start, start + len(piece))
