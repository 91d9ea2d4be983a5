"""A streamed answer, event by event: which texts each event carries, read as if they had not been streamed.

A text of a stream is named by its path in the reply that the stream amounts to, such as
("choices", 0, "message", "content") or ("output", 0, "content", 0, "text").
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from gateway.openai_api import sse
from gateway.openai_api.document import Path, map_entries, parse
from gateway.openai_api.operations import Operation
from gateway.openai_api.passages import (
    CHOICE,
    SAID,
    Channel,
    Passage,
    Piece,
    choice_number,
    find,
    find_in_item,
)

DONE = b"[DONE]"


class Said(NamedTuple):
    """A text in one event: where in the event, which text of the reply, and whether it is all of that text."""

    channel: Channel
    at: Path
    path: Path
    text: str
    whole: bool
    choice: int


class EventRead(NamedTuple):
    """An event as a JSON object, its texts, the choices it speaks of, and the paths below which no more text comes.

    `with_logprobs` are those of the choices of which it tells token log-probabilities.
    """

    value: dict[str, Any]
    said: list[Said]
    choices: list[int]
    ends: list[Path]
    with_logprobs: Sequence[int] = ()


def read_event(operation: Operation, data: bytes) -> EventRead | None:
    """What one event of a stream says; None when it is no JSON object, so that nobody knows."""
    data = data.strip()
    if not data.startswith(b"{"):
        return None
    try:
        value = parse(data)
    except (ValueError, RecursionError):
        return None
    reader = _READERS.get(operation)
    if reader is _in_event:
        return EventRead(value, list(_in_event(value)), [], _ends_of_event(value))
    if reader is None:
        return EventRead(value, [], [], [])
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


def read_stream(operation: Operation, transcript: bytes) -> list[Passage]:
    """The passages of a streamed answer, as `read_response` gives those of a whole one.

    The deltas of a text are joined; where an event repeats the whole text the longer of the two counts. A
    transcript that was cut short gives what had come. Events that cannot be read are skipped.
    """
    channels: dict[Path, tuple[Channel, int]] = {}
    deltas: dict[Path, list[str]] = {}
    wholes: dict[Path, str] = {}
    decoder = sse.Decoder(max_event_bytes=len(transcript))
    for event in decoder.feed(transcript) + decoder.close():
        read = read_event(operation, event.data)
        for said in read.said if read else ():
            channels.setdefault(said.path, (said.channel, said.choice))
            if not said.whole:
                deltas.setdefault(said.path, []).append(said.text)
            elif len(said.text) > len(wholes.get(said.path, "")):
                wholes[said.path] = said.text
    passages = []
    for path, (channel, choice) in channels.items():
        text = max("".join(deltas.get(path, ())), wholes.get(path, ""), key=len)
        passages.append(Passage("response", channel, text, path, choice))
    return passages


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


_THOUGHT_PARTS = {"reasoning_text", "summary_text"}
_OUTPUT = ("output", "#output_index")
_TEXT = (*_OUTPUT, "content", "#content_index", "text")
_REFUSAL = (*_OUTPUT, "content", "#content_index", "refusal")
_SUMMARY = (*_OUTPUT, "summary", "#summary_index", "text")
_COMMAND = (*_OUTPUT, "action", "commands", "#command_index")
_SHELL = (*_OUTPUT, "output", "#command_index")


class _Place(NamedTuple):
    """Where an event of the Responses API holds a text, and which text of the reply that is.

    A "#name" in `path` stands for the number which the event has under that name.
    """

    channel: Channel
    at: Path
    path: Path
    whole: bool


def _pair(channel: Channel, path: Path, field: str) -> tuple[list[_Place], list[_Place]]:
    return [_Place(channel, ("delta",), path, False)], [_Place(channel, (field,), path, True)]


PAIRS = {
    "response.output_text": _pair("assistant", _TEXT, "text"),
    "response.refusal": _pair("assistant", _REFUSAL, "refusal"),
    "response.reasoning_text": _pair("reasoning", _TEXT, "text"),
    "response.reasoning_summary_text": _pair("reasoning", _SUMMARY, "text"),
    "response.function_call_arguments": _pair("arguments", (*_OUTPUT, "arguments"), "arguments"),
    "response.mcp_call_arguments": _pair("arguments", (*_OUTPUT, "arguments"), "arguments"),
    "response.custom_tool_call_input": _pair("arguments", (*_OUTPUT, "input"), "input"),
    "response.code_interpreter_call_code": _pair("arguments", (*_OUTPUT, "code"), "code"),
    "response.shell_call_command": _pair("arguments", _COMMAND, "command"),
    "response.audio.transcript": _pair("assistant", ("audio", "transcript"), "transcript"),
}
_PLACES = {f"{name}.delta": delta for name, (delta, _) in PAIRS.items()}
_PLACES |= {f"{name}.done": done for name, (_, done) in PAIRS.items()}
_PLACES["response.shell_call_output_content.delta"] = [
    _Place("tool", ("delta", key), (*_SHELL, key), False) for key in ("stdout", "stderr")
]

# Events that repeat a piece of the reply: the field it is in, and where in the reply it belongs.
_SNAPSHOTS: dict[str, tuple[str, Path]] = {
    "response.content_part.added": ("part", (*_OUTPUT, "content", "#content_index")),
    "response.content_part.done": ("part", (*_OUTPUT, "content", "#content_index")),
    "response.reasoning_summary_part.added": ("part", (*_OUTPUT, "summary", "#summary_index")),
    "response.reasoning_summary_part.done": ("part", (*_OUTPUT, "summary", "#summary_index")),
    "response.output_item.added": ("item", _OUTPUT),
    "response.output_item.done": ("item", _OUTPUT),
}
for _state in ("created", "queued", "in_progress", "completed", "incomplete", "failed"):
    _SNAPSHOTS[f"response.{_state}"] = ("response", ())


def _in_event(event: dict[str, Any]) -> Iterator[Said]:
    """Texts of an event of the Responses API."""
    type_ = event.get("type")
    if not isinstance(type_, str):
        return
    for channel, at, path, whole in _PLACES.get(type_, ()):
        value: Any = event
        for key in at:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            yield Said(channel, at, _number(path, event), value, whole, 0)
    if type_ in _SNAPSHOTS:
        field, base = _SNAPSHOTS[type_]
        prefix = _number(base, event)
        for channel, below, text in _in_snapshot(field, event.get(field)):
            yield Said(channel, (field, *below), prefix + below, text, True, 0)


_LAST = {"response.completed", "response.incomplete", "response.failed"}


def _ends_of_event(event: dict[str, Any]) -> list[Path]:
    type_ = event.get("type")
    if type_ == "response.output_item.done":
        return [_number(_OUTPUT, event)]
    return [()] if isinstance(type_, str) and type_ in _LAST else []


def _in_snapshot(field: str, value: Any) -> list[Piece]:
    if not isinstance(value, dict):
        return []
    if field == "item":
        return find_in_item(value, (), "assistant")
    if field == "part":
        kind: Channel = "reasoning" if value.get("type") in _THOUGHT_PARTS else "assistant"
        return find(value, SAID, (), kind)
    output = value.get("output")
    pieces: list[Piece] = []
    for i, item in enumerate(output if isinstance(output, list) else ()):
        pieces += find_in_item(item, ("output", i), "assistant")
    return pieces


def _number(path: Path, event: dict[str, Any]) -> Path:
    return tuple(_index(event, key[1:]) if isinstance(key, str) and key[0] == "#" else key for key in path)


def _index(event: dict[str, Any], name: str) -> int:
    value = event.get(name)
    return value if type(value) is int else 0


_READERS = {
    Operation.CHAT: _in_chunk,
    Operation.COMPLETIONS: _in_chunk,
    Operation.RESPONSES: _in_event,
}
