"""Reads the Responses API: requests, whole responses, and streams."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.openai_api.bodies.document import Path
from gateway.openai_api.passages import (
    ARGUMENTS,
    ASKED,
    AUDIO,
    CITED,
    DEFINED,
    EVERYTHING,
    IMAGE,
    LOGPROBS,
    NAME,
    RESULT,
    SAID,
    THOUGHT,
    TOLD,
    TOOL_NAME,
    Blind,
    Channel,
    EventRead,
    EventText,
    Found,
    Leaf,
    Node,
    Reading,
    Schema,
    Turn,
    Unread,
    aside,
    carries_text,
    channel_of,
    find,
    in_place_of_a_list,
    passages_of,
    quiet,
)

_TEMPLATE = Schema(variables=Leaf("user", deep=True)) | quiet("id version")
_REQUEST = (
    Schema(tools=DEFINED, text=DEFINED)
    | quiet("tool_choice context_management")
    | aside("input instructions prompt metadata user safety_identifier moderation")
)
# What a response repeats of its request is left out, because it was read there.
_RESPONSE = (
    Schema(error=EVERYTHING, incomplete_details=EVERYTHING, output_text=SAID)
    | quiet("id object status model service_tier previous_response_id conversation prompt_cache_key truncation")
    | aside("output instructions tools text prompt metadata user safety_identifier moderation tool_choice reasoning")
    | {"usage": TOLD}
).with_others(EVERYTHING)


class ItemKind(NamedTuple):
    """A kind of item of the Responses API: what to read in one that a caller sends, and in one that a server answers
    with, and whether the model made it."""

    schema: Schema
    answered: Schema
    by_model: bool


def _item(by_model: bool, **fields: Node) -> ItemKind:
    named = Schema(name=TOOL_NAME, server_label=NAME, namespace=NAME, action=EVERYTHING) | fields
    schema = named | quiet("type id call_id status role index phase encrypted_content") | aside("created_by")
    return ItemKind(schema, schema.with_others(EVERYTHING), by_model)


_ID = Schema(id=Blind("part")) | quiet("type")
_REFERENCE = ItemKind(_ID, _ID, False)  # a reference to an item that the server stores
_SEARCH = Schema(query=ARGUMENTS, queries=ARGUMENTS, url=TOOL_NAME, pattern=ARGUMENTS, sources=CITED)
_ITEMS = {
    "function_call": _item(True, arguments=ARGUMENTS),
    "function_call_output": _item(False, output=RESULT),
    "custom_tool_call": _item(True, input=ARGUMENTS),
    "custom_tool_call_output": _item(False, output=RESULT),
    "mcp_call": _item(True, arguments=ARGUMENTS, output=RESULT, error=Leaf("tool", deep=True)),
    "mcp_list_tools": _item(True, tools=DEFINED, error=Leaf("tool", deep=True)),
    "mcp_approval_request": _item(True, arguments=ARGUMENTS),
    "mcp_approval_response": _item(False, reason=ASKED),
    "reasoning": _item(True, summary=THOUGHT, content=THOUGHT),
    "code_interpreter_call": _item(True, code=ARGUMENTS, outputs=RESULT),
    "web_search_call": _item(True, action=_SEARCH),
    "file_search_call": _item(True, queries=ARGUMENTS, results=CITED),
    "shell_call": _item(True, action=Schema(commands=ARGUMENTS)),
    "shell_call_output": _item(False, output=RESULT),
    "local_shell_call": _item(True, action=Schema(command=ARGUMENTS, env=ARGUMENTS, working_directory=ARGUMENTS)),
    "local_shell_call_output": _item(False, output=RESULT),
    "apply_patch_call": _item(True, operation=Schema(diff=ARGUMENTS, path=TOOL_NAME)),
    "apply_patch_call_output": _item(False, output=RESULT),
    "computer_call": _item(True, action=Schema(text=ARGUMENTS), actions=Schema(text=ARGUMENTS)),
    "computer_call_output": _item(False, output=IMAGE),
    "image_generation_call": _item(True, revised_prompt=ARGUMENTS, result=IMAGE),
    "tool_search_call": _item(True, arguments=ARGUMENTS),
    "tool_search_output": _item(False, tools=DEFINED),
    "program": _item(True, code=ARGUMENTS),
    "program_output": _item(False, result=RESULT),
    "item_reference": _REFERENCE,
    "compaction": _item(True),
}
_MESSAGE_ITEM = _item(False, content=SAID, name=NAME)
_UNKNOWN_ITEM = _item(False, content=SAID, text=SAID, input=ARGUMENTS, arguments=ARGUMENTS, output=RESULT)


def find_in_item(item: Any, path: Path, speaker: Channel) -> Found:
    """The texts of one item of the Responses API; the role of a message counts more than `speaker`."""
    return find(item, _kind(item).schema, path, channel_of(item, speaker))


def find_stored(item: Any, path: Path) -> Found:
    """The texts of an item that the server stored, whoever said it."""
    return find(item, _kind(item).answered, path, "assistant")


def _find_answered(item: Any, path: Path) -> Found:
    """The texts of an item of an answer."""
    return find(item, _kind(item).answered, path, channel_of(item, "assistant"))


def _kind(item: Any) -> ItemKind:
    type_ = item.get("type") if isinstance(item, dict) else None
    if type_ is None and isinstance(item, dict) and "id" in item and "content" not in item:
        return _REFERENCE
    if type_ is None or type_ == "message":
        return _MESSAGE_ITEM
    return _ITEMS.get(type_, _UNKNOWN_ITEM) if isinstance(type_, str) else _UNKNOWN_ITEM


def response_turns(body: dict[str, Any]) -> list[Turn]:
    """The items of a request; a reference to earlier items counts as a turn of the model."""
    turns = [Turn(find(body, _REQUEST, (), "user"), False)]
    turns.append(Turn(find(body.get("instructions"), SAID, ("instructions",), "system"), False))
    if body.get("previous_response_id") or body.get("conversation"):
        turns.append(Turn(Found([], []), True))  # the earlier turns, which the server stores
    turns.append(Turn(find(body.get("prompt"), _TEMPLATE, ("prompt",), "user"), False))
    given = body.get("input")
    if not isinstance(given, list):
        return [*turns, Turn(find(given, ASKED, ("input",), "user"), False)]
    return turns + item_turns(given, ("input",))


def item_turns(items: list[Any], path: Path) -> list[Turn]:
    """The items of a list that a caller sends."""
    turns = []
    for i, item in enumerate(items):
        bare = not isinstance(item, dict) or (_kind(item) is _MESSAGE_ITEM and "content" not in item)
        found = find(item, SAID, (*path, i), "user") if bare else find_in_item(item, (*path, i), "user")
        turns.append(Turn(found, _kind(item).by_model or channel_of(item, "user") == "assistant"))
    return turns


def read_output(body: dict[str, Any]) -> Reading:
    """Every text of a whole response, item by item."""
    found = _in_response(body)
    return Reading(passages_of(found.pieces, "response"), found.unread)


def read_response_event(value: dict[str, Any]) -> EventRead:
    """One event of a stream."""
    read = EventRead(value, [], [0], _ends_of_event(value), [], [])
    type_ = value.get("type", "error")
    if isinstance(type_, str):
        read.said.extend(_in_event(type_, value, read.unread))
    return read


_THOUGHT_PARTS = {"reasoning_text", "summary_text"}
_OUTPUT = ("output", "#output_index")
_TEXT = (*_OUTPUT, "content", "#content_index", "text")
_REFUSAL = (*_OUTPUT, "content", "#content_index", "refusal")
_SUMMARY = (*_OUTPUT, "summary", "#summary_index", "text")
_COMMAND = (*_OUTPUT, "action", "commands", "#command_index")
_SHELL = (*_OUTPUT, "output", "#command_index")


class _Place(NamedTuple):
    """Where an event of the Responses API holds a text, and which text of the reply that is.

    A "#name" in `path` stands for the number that the event has under that name.
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

# Events that repeat a piece of the reply: the field it is in, and its place in the reply.
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


# Other events with something to read, and the names of those that only report progress.
_OTHERS: dict[str, Schema] = {
    "error": Schema(message=SAID, error=EVERYTHING, detail=EVERYTHING),
    "response.output_text.annotation.added": Schema(annotation=CITED),
    "response.audio.delta": Schema(delta=AUDIO),
    "response.image_generation_call.partial_image": Schema(partial_image_b64=IMAGE),
}
_TOLD = {"in_progress", "searching", "completed", "interpreting", "generating", "failed", "done", "keepalive"}
_PLACE = quiet(
    "type sequence_number item_id output_index content_index summary_index annotation_index command_index "
    "partial_image_index response_id obfuscation code param size quality background output_format name"
) | {"logprobs": LOGPROBS}
_BESIDE_TEXTS = _PLACE | aside("delta text refusal arguments input code command transcript")
_OF_TEXTS = frozenset(_BESIDE_TEXTS)


def _in_event(type_: str, event: dict[str, Any], unread: list[Unread]) -> Iterator[EventText]:
    """Texts of an event of the Responses API; what could not be read is added to `unread`."""
    if type_ in _PLACES:
        yield from _in_places(type_, event, unread)
    elif type_ in _SNAPSHOTS:
        field, base = _SNAPSHOTS[type_]
        prefix = _number(base, event)
        found = _in_snapshot(field, event.get(field))
        unread.extend(found.unread)
        for piece in found.pieces:
            yield EventText(piece.channel, (field, *piece.path), prefix + piece.path, piece.text, True, 0)
    elif type_ in _OTHERS:
        found = find(event, _OTHERS[type_] | _PLACE, (), "assistant")
        unread.extend(found.unread)
        for piece in found.pieces:
            yield EventText(piece.channel, piece.path, (type_, *piece.path), piece.text, True, 0)
    elif _holds_more(event, says_done=type_.rpartition(".")[2] in _TOLD):
        unread.append(Unread("assistant", "event"))


def _in_places(type_: str, event: dict[str, Any], unread: list[Unread]) -> Iterator[EventText]:
    """A piece of a text, or all of it."""
    for channel, at, path, whole in _PLACES[type_]:
        value: Any = event
        for key in at:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            yield EventText(channel, at, _number(path, event), value, whole, 0)
        elif value is not None and value != "":
            unread.append(Unread("assistant", "event"))
    if event.get("logprobs") or not event.keys() <= _OF_TEXTS:
        found = find(event, _BESIDE_TEXTS, (), "assistant")
        unread.extend(found.unread)
        base = _number(path[:-1], event)
        for piece in found.pieces:
            yield EventText(piece.channel, piece.path, base + piece.path, piece.text, whole, 0)


def _holds_more(event: dict[str, Any], *, says_done: bool) -> bool:
    """Whether an event has more than its place; for one that only reports progress, whether it has more text."""
    more = (value for key, value in event.items() if key not in _PLACE and isinstance(value, str | dict | list))
    return any(carries_text(value) if says_done else value for value in more)


_LAST = {"response.completed", "response.incomplete", "response.failed"}


def _ends_of_event(event: dict[str, Any]) -> list[Path]:
    type_ = event.get("type")
    if type_ == "response.output_item.done":
        return [_number(_OUTPUT, event)]
    return [()] if isinstance(type_, str) and type_ in _LAST else []


def _in_snapshot(field: str, value: Any) -> Found:
    if not isinstance(value, dict):
        return in_place_of_a_list(value, (), "assistant")
    if field == "item":
        return _find_answered(value, ())
    if field == "part":
        kind = value.get("type")
        is_thought = isinstance(kind, str) and kind in _THOUGHT_PARTS
        return find(value, SAID, (), "reasoning" if is_thought else "assistant")
    return _in_response(value)


def _in_response(response: dict[str, Any]) -> Found:
    found = find(response, _RESPONSE, (), "assistant")
    output = response.get("output")
    if not isinstance(output, list):
        found.add(in_place_of_a_list(output, ("output",), "assistant"))
    for i, item in enumerate(output if isinstance(output, list) else ()):
        found.add(_find_answered(item, ("output", i)))
    return found


def _number(path: Path, event: dict[str, Any]) -> Path:
    return tuple(_index(event, key[1:]) if isinstance(key, str) and key[0] == "#" else key for key in path)


def _index(event: dict[str, Any], name: str) -> int:
    value = event.get(name)
    return value if type(value) is int else 0
