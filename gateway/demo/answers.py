"""What the demo upstream answers: the reply of the conversation most like the prompt, a call of a tool, or JSON.

Nothing is random: the same request always gets the same answer.
"""

import math
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from gateway.demo.knobs import Knobs

CONVERSATIONS = Path(__file__).with_name("conversations.jsonl")
CARELESS = Path(__file__).with_name("careless.jsonl")  # answers of a bad model, to prompts of their own
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\s*\S+|\s+$")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z]\w+")
_COMMON = frozenset(("a", "and", "do", "for", "get", "in", "is", "make", "of", "set", "the", "to"))
# Topics whose answers are harmless to any prompt. With others, all prompts in a language could get the same insult.
_ANYTHING = frozenset(("everyday", "knowledge", "writing", "summary", "translation", "code"))
_ENOUGH = 0.25  # a conversation that shares less of the prompt's weight does not count as like it


def tokens(text: str) -> tuple[str, ...]:
    """The text in pieces that stand for tokens: words with the space before them. Joined they are the text."""
    return _known_tokens(text) if len(text) < 8192 else tuple(_TOKEN.findall(text))


@lru_cache(maxsize=512)
def _known_tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text))


@dataclass(frozen=True, slots=True)
class Conversation:
    """One written exchange: `prompt` is its last question, `reply` its last answer."""

    id: str
    topic: str
    prompt: str
    reply: str


class Library:
    """The conversations, searched by likeness to a prompt."""

    def __init__(self, source: bytes) -> None:
        self._all = [_conversation(msgspec.json.decode(line)) for line in source.splitlines()]
        self._anything = [each for each in self._all if each.topic in _ANYTHING] or self._all
        self._by_id = {conversation.id: conversation for conversation in self._all}
        self._by_word: dict[str, list[int]] = defaultdict(list)
        for number, conversation in enumerate(self._all):
            for word in _words(conversation.prompt):
                self._by_word[word].append(number)
        self.choose = lru_cache(maxsize=4096)(self._choose)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._all)

    def get(self, id: str) -> Conversation | None:
        return self._by_id.get(id)

    def _choose(self, prompt: str, number: int) -> Conversation:
        """The conversation most like the prompt, by the weight of shared words (rare ones weigh more). If none is like
        it, one of those in _ANYTHING, chosen by the prompt's checksum. `number` 1, 2, … gives the ones after it."""
        scores: dict[int, float] = defaultdict(float)
        total = 0.0
        for word in sorted(_words(prompt)):
            there = self._by_word.get(word, ())
            weight = math.log(1 + len(self._all) / (1 + len(there)))
            total += weight
            for found in there:
                scores[found] += weight
        best = max(scores, key=lambda found: (scores[found] / _norm(self._all[found]), -found), default=None)
        if best is None or scores[best] < _ENOUGH * total:
            return self._anything[(zlib.crc32(prompt.encode(errors="replace")) + number) % len(self._anything)]
        return self._all[(best + number) % len(self._all)]


def _conversation(row: Mapping[str, Any]) -> Conversation:
    said = row["messages"]
    prompt = next(message["content"] for message in reversed(said) if message["role"] == "user")
    return Conversation(row["id"], row["topic"], prompt, said[-1]["content"])


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text[:2000].lower()))


@lru_cache(maxsize=1024)
def _norm(conversation: Conversation) -> float:
    return math.sqrt(1 + len(_words(conversation.prompt)))


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, with its arguments as JSON."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice: a text, or a call when there is no text. `finish` as chat completions name it."""

    text: str
    call: Call | None = None
    finish: str = "stop"


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks for, whatever its surface."""

    prompt: str
    tool_result: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    must_call: str = ""
    schema: Mapping[str, Any] | None = None
    limit: int = 0


def answer(library: Library, question: Question, knobs: Knobs, number: int = 0) -> Answer:
    """The answer with this number to a question; the knobs may dictate its text."""
    if knobs.say or knobs.big:
        return Answer(knobs.say if not knobs.big else _stretched(knobs.say or "All work. ", knobs.big))
    if question.tool_result:
        return _limited(f"Here is what I found: {question.tool_result}", question.limit)
    call = _call(question)
    if call is not None:
        return Answer("", call, "tool_calls")
    conversation = library.get(knobs.pick) or library.choose(question.prompt, number)
    if question.schema is not None:
        schema = question.schema or {"properties": {"answer": {"type": "string"}}}
        return Answer(msgspec.json.encode(_example(schema, conversation.reply)).decode())
    return _limited(conversation.reply, question.limit)


def _stretched(text: str, size: int) -> str:
    return (text * (size // len(text) + 1))[:size]


def _limited(text: str, limit: int) -> Answer:
    pieces = tokens(text) if limit else ()
    return Answer("".join(pieces[:limit]), None, "length") if len(pieces) > limit else Answer(text)


def _call(question: Question) -> Call | None:
    """A call of the tool that the request demands, or of the first tool whose name has a word of the prompt."""
    words = _words(question.prompt) - _COMMON if question.tools else frozenset()
    for tool in question.tools:
        name = str(tool.get("name", ""))
        if name == question.must_call or question.must_call == "*" or _words(name.replace("_", " ")) & words:
            schema = tool.get("parameters")
            arguments = _example(schema if isinstance(schema, dict) else {}, question.prompt)
            return Call(name, msgspec.json.encode(arguments).decode())
    return None


def _example(schema: Mapping[str, Any], prompt: str, depth: int = 0) -> Any:
    """A value that fits a simple JSON Schema, as tools have, with words of the prompt in it."""
    options = schema.get("enum")
    if isinstance(options, list) and options:
        return options[0]
    properties = schema.get("properties")
    if isinstance(properties, dict) and depth < 8:
        return {
            name: _example(below if isinstance(below, dict) else {}, prompt, depth + 1)
            for name, below in properties.items()
        }
    names, numbers = _NAME.findall(prompt), _NUMBER.findall(prompt)
    examples: dict[str, Any] = {
        "string": (names or [prompt])[0] if depth else prompt,
        "integer": int(float(numbers[0])) if numbers else 1,
        "number": float(numbers[0]) if numbers else 1.0,
        "boolean": True,
        "array": [],
        "null": None,
    }
    kind = schema.get("type")
    return examples.get(kind, {}) if isinstance(kind, str) else {}
