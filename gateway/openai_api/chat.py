"""What is read of chat and of plain completions: requests, whole answers, and streams of chunks."""

from collections.abc import Collection, Iterator
from typing import Any

from gateway.openai_api.document import Path, map_entries, parse
from gateway.openai_api.passages import (
    ARGUMENTS,
    ASKED,
    SAID,
    THOUGHT,
    EventRead,
    Passage,
    Said,
    Schema,
    Turn,
    channel_of,
    choice_number,
    find,
)

MESSAGE = Schema(
    content=SAID,
    refusal=SAID,
    reasoning_content=THOUGHT,
    reasoning=THOUGHT,
    reasoning_details=THOUGHT,
    audio=Schema(transcript=SAID),
    function_call=Schema(arguments=ARGUMENTS),
    tool_calls=Schema(function=Schema(arguments=ARGUMENTS), custom=Schema(input=ARGUMENTS)),
)
_PLAIN = Schema(prompt=ASKED, input=ASKED, suffix=ASKED)
CHOICE = Schema(message=MESSAGE, delta=MESSAGE, text=SAID)


def chat_turns(body: dict[str, Any]) -> list[Turn]:
    """The messages of a request of chat."""
    messages = body.get("messages")
    turns = []
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        channel = channel_of(message, "user")
        schema = MESSAGE if isinstance(message, dict) else SAID
        turns.append(Turn(find(message, schema, ("messages", i), channel), channel == "assistant"))
    return turns


def plain_turns(body: dict[str, Any]) -> list[Turn]:
    """The texts of a request that has no roles: one turn."""
    return [Turn(find(body, _PLAIN, (), "user"), False)]


def read_choices(body: dict[str, Any]) -> list[Passage]:
    """Every text of a whole answer, choice by choice."""
    entries = body.get("choices")
    found = []
    for i, entry in enumerate(entries if isinstance(entries, list) else ()):
        number = choice_number(entry, i)
        pieces = find(entry, CHOICE, ("choices", i), "assistant")
        found += [Passage("response", channel, text, at, number) for channel, at, text in pieces]
    return found


def read_chunk(value: dict[str, Any]) -> EventRead:
    """One event of a stream of chunks."""
    entries = value.get("choices")
    numbers, ends, with_logprobs = [], list[Path](), []
    for i, entry in enumerate(entries if isinstance(entries, list) else ()):
        numbers.append(choice_number(entry, i))
        if isinstance(entry, dict) and entry.get("finish_reason") is not None:
            ends.append(("choices", numbers[-1]))
        if isinstance(entry, dict) and entry.get("logprobs"):
            with_logprobs.append(numbers[-1])
    return EventRead(value, list(_in_chunk(value)), numbers, ends, with_logprobs)


def without_choices(data: bytes, numbers: Collection[int]) -> bytes | None:
    """An event of chat or completions without its entries for these choices; None when nothing else is in it."""
    told = map_entries(data, "choices", lambda i, entry: None if choice_number(entry, i) in numbers else entry)
    return None if says_nothing(told) else told


def without_logprobs(data: bytes, numbers: Collection[int]) -> bytes:
    """An event of chat or completions without the token log-probabilities of these choices."""

    def silent(i: int, entry: Any) -> Any:
        tells = isinstance(entry, dict) and entry.get("logprobs") and choice_number(entry, i) in numbers
        return {**entry, "logprobs": None} if tells else entry

    return map_entries(data, "choices", silent)


_ENVELOPE_KEYS = {"id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation"}


def says_nothing(data: bytes) -> bool:
    """Whether nothing is left in an event of chat or completions but names and numbers of places."""
    todo = [value for key, value in parse(data).items() if key not in _ENVELOPE_KEYS]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += [below for key, below in value.items() if key != "index"]
        elif value is not None and value != "":
            return False
    return True


def _in_chunk(event: dict[str, Any]) -> Iterator[Said]:
    """Texts of a chunk of chat or completions; the entries of its lists are known by their `index`."""
    choices = event.get("choices")
    for i, entry in enumerate(choices if isinstance(choices, list) else ()):
        choice = choice_number(entry, i)
        pieces = find(entry, CHOICE, ("choices", i), "assistant") if isinstance(entry, dict) else ()
        for channel, at, text in pieces:
            field, *below = at[2:]
            if below[:1] == ["tool_calls"] and len(below) > 1:
                calls = entry[field]["tool_calls"]
                if isinstance(calls, list) and isinstance(below[1], int):
                    below[1] = choice_number(calls[below[1]], below[1])
            name = "message" if field == "delta" else field
            yield Said(channel, at, ("choices", choice, name, *below), text, field == "message", choice)
