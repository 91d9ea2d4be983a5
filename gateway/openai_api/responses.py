"""What is read of the Responses API: requests, whole responses, and their streams."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.openai_api.document import Path
from gateway.openai_api.passages import (
    ARGUMENTS,
    ASKED,
    RESULT,
    RETRIEVED,
    SAID,
    THOUGHT,
    Channel,
    EventRead,
    Leaf,
    Passage,
    Piece,
    Said,
    Schema,
    Turn,
    channel_of,
    find,
)

_TEMPLATE = Schema(variables=Leaf("user", deep=True))


class Item(NamedTuple):
    """A kind of item of the Responses API: what to read in it, and whether the model made it."""

    schema: Schema
    by_model: bool


_ITEMS = {
    "function_call": Item(Schema(arguments=ARGUMENTS), True),
    "function_call_output": Item(Schema(output=RESULT), False),
    "custom_tool_call": Item(Schema(input=ARGUMENTS), True),
    "custom_tool_call_output": Item(Schema(output=RESULT), False),
    "mcp_call": Item(Schema(arguments=ARGUMENTS, output=RESULT, error=RESULT), True),
    "mcp_approval_request": Item(Schema(arguments=ARGUMENTS), True),
    "mcp_approval_response": Item(Schema(reason=ASKED), False),
    "reasoning": Item(Schema(summary=THOUGHT, content=THOUGHT), True),
    "code_interpreter_call": Item(Schema(code=ARGUMENTS, outputs=RESULT), True),
    "web_search_call": Item(Schema(action=Schema(query=ARGUMENTS, queries=ARGUMENTS)), True),
    "file_search_call": Item(Schema(queries=ARGUMENTS, results=RETRIEVED), True),
    "shell_call": Item(Schema(action=Schema(commands=ARGUMENTS)), True),
    "shell_call_output": Item(Schema(output=RESULT), False),
    "local_shell_call": Item(Schema(action=Schema(command=ARGUMENTS)), True),
    "local_shell_call_output": Item(Schema(output=RESULT), False),
    "apply_patch_call": Item(Schema(operation=Schema(diff=ARGUMENTS)), True),
    "apply_patch_call_output": Item(Schema(output=RESULT), False),
    "computer_call": Item(Schema(action=Schema(text=ARGUMENTS)), True),
    "image_generation_call": Item(Schema(revised_prompt=ARGUMENTS), True),
    "tool_search_call": Item(Schema(arguments=ARGUMENTS), True),
    "program": Item(Schema(code=ARGUMENTS), True),
    "program_output": Item(Schema(result=RESULT), False),
}
_MESSAGE_ITEM = Item(Schema(content=SAID), False)
_UNKNOWN_ITEM = Item(Schema(content=SAID, text=SAID, input=ARGUMENTS, arguments=ARGUMENTS, output=RESULT), False)


def find_in_item(item: Any, path: Path, speaker: Channel) -> list[Piece]:
    """The texts of one item of the Responses API; a message's own role comes before `speaker`."""
    return find(item, _kind(item).schema, path, channel_of(item, speaker))


def _kind(item: Any) -> Item:
    type_ = item.get("type") if isinstance(item, dict) else None
    if type_ is None or type_ == "message":
        return _MESSAGE_ITEM
    return _ITEMS.get(type_, _UNKNOWN_ITEM) if isinstance(type_, str) else _UNKNOWN_ITEM


def response_turns(body: dict[str, Any]) -> list[Turn]:
    """The items of a request; what the server keeps of earlier ones stands for a turn of the model."""
    turns = [Turn(find(body.get("instructions"), SAID, ("instructions",), "system"), False)]
    if body.get("previous_response_id") or body.get("conversation"):
        turns.append(Turn([], True))  # the earlier turns, which the server keeps
    template = find(body.get("prompt"), _TEMPLATE, ("prompt",), "user")
    turns.append(Turn(template, False))
    given = body.get("input")
    if not isinstance(given, list):
        return [*turns, Turn(find(given, ASKED, ("input",), "user"), False)]
    for i, item in enumerate(given):
        pieces = find_in_item(item, ("input", i), "user") or find(item, SAID, ("input", i), "user")
        by_model = _kind(item).by_model or channel_of(item, "user") == "assistant"
        turns.append(Turn(pieces, by_model))
    return turns


def read_output(body: dict[str, Any]) -> list[Passage]:
    """Every text of a whole response, item by item."""
    pieces = _in_output(body)
    return [Passage("response", channel, text, at) for channel, at, text in pieces]


def read_response_event(value: dict[str, Any]) -> EventRead:
    """One event of a stream."""
    return EventRead(value, list(_in_event(value)), [0], _ends_of_event(value))


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
    return _in_output(value)


def _in_output(response: dict[str, Any]) -> list[Piece]:
    output = response.get("output")
    pieces: list[Piece] = []
    for i, item in enumerate(output if isinstance(output, list) else ()):
        pieces += find_in_item(item, ("output", i), "assistant")
    return pieces


def _number(path: Path, event: dict[str, Any]) -> Path:
    return tuple(_index(event, key[1:]) if isinstance(key, str) and key[0] == "#" else key for key in path)


def _index(event: dict[str, Any], name: str) -> int:
    value = event.get(name)
    return value if type(value) is int else 0
