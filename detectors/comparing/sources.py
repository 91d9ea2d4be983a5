"""Finds the sources of an answer in an exchange, by who said a text and by the layout of the prompt.

Tool results and retrieved texts are sources as they are. In a system or user message a source is a part in one of the
usual layouts of retrieval prompts (a heading such as "Context:", tags such as <document>, numbered passages, JSON of
chunks, a block between rules or quotes), or the text that a request is about. A question alone is no source.
"""

import itertools
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from detectors.base import UNREAD, Turn
from detectors.comparing.sentences import claims, is_claim, sentences
from detectors.comparing.tongue import is_english

MOST_CHARACTERS = 200_000  # of sources in one exchange
_SOURCES = frozenset({"tool", "retrieved"})
_FEWEST_WORDS = 5  # of a source
_TEXT_WORDS = 40  # of a text that a request speaks of, without a layout

_KIND = (
    r"contexts?|documents?|docs?|passages?|sources?|chunks?|articles?|knowledge(?:[ _-]base)?|references?|excerpts?|"
    r"search[ _-]results?|results?|background|information|facts|transcripts?|data|content|text|evidence|snippets?|"
    r"report|story|email|materials?"
)
_OPENING = re.compile(rf"<({_KIND})\b[^<>]{{0,200}}>", re.IGNORECASE)
_CLOSING = re.compile(rf"</({_KIND})\s*>", re.IGNORECASE)
_HEADING = re.compile(
    rf"^[ \t]*(?:#{{1,6}} ?|\*\*|\[)?(?:relevant |retrieved |provided |given |additional |supporting |the |following )*"
    rf"(?:{_KIND})(?: information| text| below| \d{{1,3}}| is below| are below)*"
    rf"(?:\*\*)?\]?[ \t]*(?::|\.\s*\n)(?:\*\*)?",
    re.IGNORECASE | re.MULTILINE,
)
_ASKING = re.compile(
    r"^[ \t]*(?:#{1,6} ?|\*\*|\[)?(?:user(?:'s)?|human|question|query|answer|instructions?|task|request|assistant|"
    r"response|summary|claim|given the (?:context|above)|using the (?:context|above)|based on the (?:context|above))"
    r"(?: question| query| input)?\b[^\n:]{0,60}?[:,]",
    re.IGNORECASE | re.MULTILINE,
)
_RULE = re.compile(r"([-=])\1{4,}|([\"'])\2{2}")
_BLOCK_CHARACTERS = 40  # at least, between two rules
_NUMBERED = re.compile(r"^[ \t]*\[\d{1,3}\][ \t]*(?P<said>[^\n]{20,})", re.MULTILINE)
_TEXT_ASKED = re.compile(
    r"\b(?:summari[sz]e|summary of|paraphrase|tl;?dr|according to|based on|using only|from the|in the|read the|"
    r"following|below|above|attached|this)\b[^.?!\n]{0,60}?\b(?:text|article|passage|document|paragraph|story|report|"
    r"email|e-mail|transcript|excerpt|context|information|notes|review|post|abstract|paper|contract|minutes)\b"
    r"|\b(?:summari[sz]e|tl;?dr)\b",
    re.IGNORECASE,
)
_CHUNK_KEYS = ("text", "content", "page_content", "snippet", "passage", "body", "chunk", "document", "summary")
_OF_PEOPLE = re.compile(r"\b(?:i|i'm|i've|me|my|you|your|we|our)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Given:
    """The texts that an answer may be based on: `sources`, and `said`, the claims of people outside the sources.

    Without sources there is nothing to compare an answer with. `truncated`: some text was not read, because it was
    beyond MOST_CHARACTERS or was cut before it came here.
    """

    sources: tuple[str, ...]
    said: tuple[str, ...] = ()
    truncated: bool = False


def given(turns: Sequence[Turn]) -> Given:
    """The sources of an exchange. If they are too long, the latest are kept."""
    sources: list[str] = []
    said: list[str] = []
    left = MOST_CHARACTERS
    truncated = any(turn.channel == UNREAD for turn in turns)
    for turn in reversed(turns):
        if turn.channel not in _READERS:
            continue
        text = turn.text[:left]
        truncated = truncated or len(text) < len(turn.text)
        left -= len(text)
        found = [part for part in _READERS[turn.channel](text) if _says_something(part)]
        sources += reversed(found)
        if turn.channel not in _SOURCES:
            said += [claim.text for claim in claims(text[-4_000:])]
        if left <= 0:
            break
    return Given(tuple(reversed(sources)), tuple(said) if sources else (), truncated)


def _says_something(part: str) -> bool:
    """Whether there are enough words; in a script without spaces, enough letters."""
    return len(part.split()) >= _FEWEST_WORDS or (not part.isascii() and len(part) >= 2 * _FEWEST_WORDS)


def _of_tool(text: str) -> list[str]:
    """A tool's result as it is; of JSON, its strings."""
    value = _json(text)
    return [text] if value is None else ["\n".join(_strings(value))]


def _of_people(text: str) -> list[str]:
    """The parts in a layout; without any, the text that the request is about."""
    found = list(laid_out(text))
    if found or not _TEXT_ASKED.search(text):
        return found
    stated = [sentence.text for sentence in sentences(text) if is_claim(sentence.text)]
    return ["\n".join(stated)] if sum(len(part.split()) for part in stated) >= _TEXT_WORDS else []


def _of_context(text: str) -> list[str]:
    """The same as `_of_people`; without any, all claims that are not about persons."""
    found = _of_people(text)
    if found:
        return found
    if not is_english(text):
        return [text]
    stated = [claim.text for claim in claims(text) if not _OF_PEOPLE.search(claim.text)]
    return ["\n".join(stated)] if stated and not text.rstrip().endswith("?") else []


_READERS = {
    "tool": _of_tool,
    "retrieved": _of_tool,
    "system": _of_people,
    "user": _of_people,
    "given": _of_context,
}


def laid_out(text: str) -> Iterator[str]:
    """The parts of a text in one of the usual layouts of retrieval prompts."""
    tagged = list(_between(text, _OPENING, _CLOSING))
    if tagged:
        yield from tagged
        return
    chunks = _chunks(text)
    if chunks:
        yield from chunks
        return
    headed = list(_headed(text))
    if headed:
        yield from headed
        return
    numbered = [match["said"] for match in _NUMBERED.finditer(text)]
    if len(numbered) > 1:
        yield from numbered
        return
    yield from _between(text, _RULE, _RULE, _BLOCK_CHARACTERS)


def _between(text: str, opening: re.Pattern[str], closing: re.Pattern[str], fewest: int = 0) -> Iterator[str]:
    """The text between an opening mark and the next closing one of its kind, at least `fewest` characters.

    One expression with a back reference would do the same, in time that grows with the cube of the text's length.
    """
    ends: dict[str, list[tuple[int, int]]] = {}
    for mark in closing.finditer(text):
        ends.setdefault(_kind_of(mark), []).append(mark.span())
    done = 0
    for mark in opening.finditer(text):
        spans = ends.get(_kind_of(mark), [])
        place = bisect_left(spans, (mark.end() + fewest, 0))
        if mark.start() >= done and place < len(spans):
            end, done = spans[place]
            yield text[mark.end() : end]


def _kind_of(mark: re.Match[str]) -> str:
    return str(mark[mark.lastindex or 0]).lower()


def _headed(text: str) -> Iterator[str]:
    """The text below each heading, up to the next heading or the question."""
    marks = list(_HEADING.finditer(text))
    for mark, behind in itertools.zip_longest(marks, marks[1:]):
        end = behind.start() if behind else len(text)
        asking = _ASKING.search(text, mark.end(), end)
        part = text[mark.end() : asking.start() if asking else end].strip(" \n-=\"'*")
        if part:
            yield part


def _chunks(text: str) -> list[str]:
    """The texts of a JSON list of chunks within a text."""
    start, end = text.find("["), text.rfind("]")
    if start < 0 or '"' not in text:
        return []
    value = _json(text[start : end + 1]) or _json(text[text.find("{") : text.rfind("}") + 1])
    rows = value if isinstance(value, list) else [value]
    found = [
        next((row[key] for key in _CHUNK_KEYS if isinstance(row.get(key), str)), "")
        for row in rows
        if isinstance(row, dict)
    ]
    return [part for part in found if part]


def _json(text: str) -> Any:
    """The value of a text that is an object or a list in JSON; None for any other text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return None


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value; short texts and numbers have their key before them."""
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict):
            todo += reversed([(str(name), each) for name, each in value.items()])
        elif isinstance(value, list):
            todo += reversed([(key, each) for each in value])
        elif isinstance(value, str) and len(value.split()) > _FEWEST_WORDS:
            yield value
        elif value is not None:
            yield f"{key.replace('_', ' ')}: {value}"
