"""A whole streamed answer, kept as its transcript: read as if it had not been streamed, and rewritten.

A text of a stream is named by its path in the reply that the stream amounts to, such as
("choices", 0, "message", "content") or ("output", 0, "content", 0, "text").
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway import sse
from gateway.openai_api.document import Path, parse, rewrite
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


class _Found(NamedTuple):
    """A text in one event: where in the event, which text of the reply, and whether it is all of that text."""

    channel: Channel
    at: Path
    path: Path
    text: str
    whole: bool
    choice: int


def read_stream(operation: Operation, transcript: bytes) -> list[Passage]:
    """The passages of a streamed answer, as `read_response` gives those of a whole one.

    The deltas of a text are joined; where an event repeats the whole text the longer of the two counts. A
    transcript that was cut short gives what had come. Events that cannot be read are skipped.
    """
    channels: dict[Path, tuple[Channel, int]] = {}
    deltas: dict[Path, list[str]] = {}
    wholes: dict[Path, str] = {}
    for event in _events(transcript):
        for found in _find(operation, event.data):
            channels.setdefault(found.path, (found.channel, found.choice))
            if not found.whole:
                deltas.setdefault(found.path, []).append(found.text)
            elif len(found.text) > len(wholes.get(found.path, "")):
                wholes[found.path] = found.text
    passages = []
    for path, (channel, choice) in channels.items():
        text = max("".join(deltas.get(path, ())), wholes.get(path, ""), key=len)
        passages.append(Passage("response", channel, text, path, choice))
    return passages


def rewrite_stream(operation: Operation, transcript: bytes, edits: Mapping[Path, str]) -> bytes:
    """The transcript with the texts at these paths replaced.

    The first delta of a text carries all of the new one; its later deltas are emptied, or their event left out
    when it held nothing else. Events that repeat the text get the new one. Every other event keeps its bytes.
    Raises KeyError with a path that is not in the transcript.
    """
    if not edits:
        return transcript
    started: dict[Path, bool] = {}
    out = [_rewrite_event(operation, event, edits, started) for event in _events(transcript)]
    for path in edits:
        if path not in started:
            raise KeyError(path)
    return b"".join(out)


def _events(transcript: bytes) -> list[sse.Event]:
    decoder = sse.Decoder(max_event_bytes=len(transcript))
    return decoder.feed(transcript) + decoder.close()


def _rewrite_event(
    operation: Operation, event: sse.Event, edits: Mapping[Path, str], started: dict[Path, bool]
) -> bytes:
    """`started` notes the texts met so far, True once a delta carries the new one."""
    changes: dict[Path, str] = {}
    only_emptied = True
    for found in _find(operation, event.data):
        if found.path not in edits:
            continue
        empty = not found.whole and started.get(found.path, False)
        changes[found.at] = "" if empty else edits[found.path]
        only_emptied &= empty
        started[found.path] = started.get(found.path, False) or not found.whole
    if not changes:
        return event.raw
    data = rewrite(event.data, changes)
    if only_emptied and operation is not Operation.RESPONSES and _says_nothing(parse(data)):
        return b""
    return sse.encode(data, event.event.decode(errors="replace") if event.event is not None else None)


_ENVELOPE_KEYS = {"id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation"}


def _says_nothing(chunk: dict[str, Any]) -> bool:
    """Whether nothing is left in a chunk of a stream but names and numbers of places."""
    todo = [value for key, value in chunk.items() if key not in _ENVELOPE_KEYS]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += [below for key, below in value.items() if key != "index"]
        elif value is not None and value != "":
            return False
    return True


def _find(operation: Operation, data: bytes) -> Iterator[_Found]:
    reader = _READERS.get(operation)
    if reader is None or not data.startswith(b"{"):
        return
    try:
        event = parse(data)
    except (ValueError, RecursionError):
        return
    yield from reader(event)


def _in_chunk(event: dict[str, Any]) -> Iterator[_Found]:
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
            yield _Found(channel, at, ("choices", choice, name, *below), text, field == "message", choice)


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


_PAIRS = {
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
_PLACES = {f"{name}.delta": delta for name, (delta, _) in _PAIRS.items()}
_PLACES |= {f"{name}.done": done for name, (_, done) in _PAIRS.items()}
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


def _in_event(event: dict[str, Any]) -> Iterator[_Found]:
    """Texts of an event of the Responses API."""
    type_ = event.get("type")
    if not isinstance(type_, str):
        return
    for channel, at, path, whole in _PLACES.get(type_, ()):
        value: Any = event
        for key in at:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            yield _Found(channel, at, _number(path, event), value, whole, 0)
    if type_ in _SNAPSHOTS:
        field, base = _SNAPSHOTS[type_]
        prefix = _number(base, event)
        for channel, below, text in _in_snapshot(field, event.get(field)):
            yield _Found(channel, (field, *below), prefix + below, text, True, 0)


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
