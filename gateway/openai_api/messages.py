"""Reads Anthropic's Messages API: requests, whole answers, and streams.

A message is a list of blocks, and the type of a block says where its texts are. An unknown type is read like the result
of a tool. The input of a tool is an object in whole answers, and pieces of JSON in streams.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.openai_api.bodies.document import Path
from gateway.openai_api.passages import (
    ARGUMENTS,
    CITED,
    DEFINED,
    EVERYTHING,
    FILE_ELSEWHERE,
    IMAGE,
    NAME,
    QUIET,
    RESULT,
    RETRIEVED,
    SAID,
    THOUGHT,
    TOLD,
    Channel,
    EventRead,
    EventText,
    Found,
    Leaf,
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
    rows,
)

_BLOCK = Schema(name=NAME, server_name=NAME) | quiet(
    "type id tool_use_id cache_control is_error signature data encrypted_content caller index"
)
_CITED = Schema(cited_text=RETRIEVED, title=RETRIEVED, document_title=RETRIEVED, url=CITED, source=CITED) | quiet(
    "type file_id encrypted_index"
)
_CALL = Schema(input=ARGUMENTS) | _BLOCK
_OUTPUT = Schema(content=Leaf("tool", deep=True)) | _BLOCK
_BLOCKS = {
    "text": Schema(text=SAID, citations=_CITED) | _BLOCK,
    "thinking": Schema(thinking=THOUGHT) | _BLOCK,
    "redacted_thinking": _BLOCK,
    "tool_use": _CALL,
    "server_tool_use": _CALL,
    "mcp_tool_use": _CALL,
    "tool_result": Schema(content=RESULT) | _BLOCK,
    "mcp_tool_result": Schema(content=RESULT) | _BLOCK,
    "search_result": Schema(title=RETRIEVED, content=RETRIEVED, source=CITED, citations=QUIET) | _BLOCK,
    "web_search_tool_result": Schema(content=CITED) | _BLOCK,
    "web_fetch_tool_result": Schema(content=CITED) | _BLOCK,
    "code_execution_tool_result": _OUTPUT,
    "bash_code_execution_tool_result": _OUTPUT,
    "text_editor_code_execution_tool_result": _OUTPUT,
    "image": Schema(source=IMAGE) | _BLOCK,
    "container_upload": Schema(file_id=FILE_ELSEWHERE) | _BLOCK,
}
_FETCHED = Schema(url=CITED, title=CITED) | quiet("type retrieved_at error_code") | aside("content")
_UNKNOWN_BLOCK = _BLOCK | Schema(
    text=SAID, content=SAID, input=ARGUMENTS, thinking=THOUGHT, stdout=RESULT, stderr=RESULT
)
_DOCUMENT = Schema(title=RETRIEVED, context=RETRIEVED, citations=QUIET) | _BLOCK
_DOCUMENT_TEXT = _DOCUMENT | {"source": Schema(data=RETRIEVED, content=RETRIEVED) | quiet("type media_type")}
_DOCUMENT_FILE = _DOCUMENT | {"source": FILE_ELSEWHERE}
_REQUEST = (
    Schema(tools=DEFINED, mcp_servers=DEFINED, output_format=DEFINED, output_config=DEFINED)
    | quiet("tool_choice")
    | aside("system messages metadata stop_sequences")
)
_MESSAGE = quiet("role cache_control") | aside("content")
_ANSWER = (
    Schema(error=EVERYTHING, stop_details=EVERYTHING)
    | quiet("id type role model stop_reason")
    | rows("usage container context_management stop_sequence", TOLD)
    | aside("content")
).with_others(EVERYTHING)
_INNER = aside("content")  # the blocks inside a block


def message_turns(body: dict[str, Any]) -> list[Turn]:
    """What the application defines, the system prompt, and then the messages of a request."""
    turns = [Turn(find(body, _REQUEST, (), "user"), False)]
    turns.append(Turn(_in_content(body.get("system"), ("system",), "system"), False))
    messages = body.get("messages")
    if not isinstance(messages, list):
        turns.append(Turn(in_place_of_a_list(messages, ("messages",), "user"), False))
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        channel = channel_of(message, "user")
        found = find(message, _MESSAGE, ("messages", i), channel)
        content = message.get("content") if isinstance(message, dict) else None
        found.add(_in_content(content, ("messages", i, "content"), channel))
        turns.append(Turn(found, channel == "assistant"))
    return turns


def read_message(body: dict[str, Any]) -> Reading:
    """Every text of a whole answer, block by block."""
    found = _in_answer(body)
    return Reading(passages_of(found.pieces, "response"), found.unread)


def _in_answer(body: dict[str, Any]) -> Found:
    found = find(body, _ANSWER, (), "assistant")
    found.add(_in_content(body.get("content"), ("content",), "assistant"))
    return found


def _in_content(content: Any, path: Path, speaker: Channel) -> Found:
    """The texts of a message's content: a text, or a list of blocks."""
    if not isinstance(content, list):
        return find(content, SAID, path, speaker) if isinstance(content, str) else _in_block(content, path, speaker)
    found = Found([], [])
    for i, block in enumerate(content):
        found.add(_in_block(block, (*path, i), speaker))
    return found


def _in_block(block: Any, path: Path, speaker: Channel) -> Found:
    """The texts of one block, and of the blocks inside a tool's result."""
    if not isinstance(block, dict):
        return find(block, SAID, path, speaker)
    kind, inner = block.get("type"), block.get("content")
    schema = _schema(kind, block)
    if kind in ("tool_result", "mcp_tool_result") and isinstance(inner, list):
        found = find(block, schema | _INNER, path, speaker)
        found.add(_in_content(inner, (*path, "content"), "tool"))
        return found
    if kind == "web_fetch_tool_result" and isinstance(inner, dict):
        found = find(block, schema | {"content": _FETCHED}, path, speaker)
        found.add(_in_block(inner.get("content"), (*path, "content", "content"), "retrieved"))
        return found
    return find(block, schema, path, speaker)


def _schema(kind: Any, block: dict[str, Any]) -> Schema:
    if kind == "document":
        source = block.get("source")
        plain = isinstance(source, dict) and source.get("type") in ("text", "content")
        return _DOCUMENT_TEXT if plain else _DOCUMENT_FILE
    return _BLOCKS.get(kind, _UNKNOWN_BLOCK) if isinstance(kind, str) else _UNKNOWN_BLOCK


class _Delta(NamedTuple):
    """Where a kind of delta has its text, where that text belongs in its block, and what else the delta may have."""

    channel: Channel
    at: Path
    below: Path
    more: Schema = Schema()


_CITATION = {"citation": _CITED | aside("cited_text")}
_DELTAS = {
    "text_delta": _Delta("assistant", ("text",), ("text",)),
    "thinking_delta": _Delta("reasoning", ("thinking",), ("thinking",)),
    "input_json_delta": _Delta("arguments", ("partial_json",), ("input",)),
    "citations_delta": _Delta("retrieved", ("citation", "cited_text"), ("citations", "cited_text"), Schema(_CITATION)),
}
_GROWING = {("text",), ("thinking",)}  # texts that a block may begin with and its deltas continue


def read_message_event(value: dict[str, Any]) -> EventRead:
    """One event of a stream."""
    type_ = value.get("type")
    read = EventRead(value, [], [0], _ends(value, type_), [], [])
    reader = _EVENTS.get(type_) if isinstance(type_, str) else None
    if reader is not None:
        read.said.extend(reader(value, read.unread))
    elif _holds_more(value, says_done=type_ in ("ping", "content_block_stop", "message_stop")):
        read.unread.append(Unread("assistant", "event"))
    return read


def _holds_more(event: dict[str, Any], *, says_done: bool) -> bool:
    """Whether an event has more than its type; for one that only reports progress, whether it has more text."""
    more = (value for key, value in event.items() if key != "type" and isinstance(value, str | dict | list))
    return any(carries_text(value) if says_done else value for value in more)


def _ends(value: dict[str, Any], type_: Any) -> list[Path]:
    if type_ == "content_block_stop":
        return [("content", _index(value))]
    return [()] if type_ in ("message_delta", "message_stop", "error") else []


def _in_delta(event: dict[str, Any], unread: list[Unread]) -> Iterator[EventText]:
    delta = event.get("delta")
    kind = delta.get("type") if isinstance(delta, dict) else None
    known = _DELTAS.get(kind) if isinstance(kind, str) else None
    if known is None:
        yield from _whole(delta, "delta", ("content", _index(event)), unread)
        return
    text: Any = delta
    for key in known.at:
        text = text.get(key) if isinstance(text, dict) else None
    path: Path = ("content", _index(event))
    if isinstance(text, str) and text:
        yield EventText(known.channel, ("delta", *known.at), (*path, *known.below), text, False, 0)
    elif text:
        unread.append(Unread("assistant", "event"))
    if known.more or len(event) > 3 or len(delta or ()) > 2:
        yield from _beside_delta(event, known, path, unread)


def _beside_delta(event: dict[str, Any], known: _Delta, path: Path, unread: list[Unread]) -> Iterator[EventText]:
    schema = quiet("type index") | {"delta": aside(str(known.at[0])) | quiet("type") | known.more}
    found = find(event, schema, (), "assistant")
    unread.extend(found.unread)
    for piece in found.pieces:
        yield EventText(piece.channel, piece.path, (*path, *piece.path[1:]), piece.text, True, 0)


def _in_start(event: dict[str, Any], unread: list[Unread]) -> Iterator[EventText]:
    for said in _whole(event.get("content_block"), "content_block", ("content", _index(event)), unread):
        yield said._replace(whole=said.path[2:] not in _GROWING)


def _in_message(event: dict[str, Any], unread: list[Unread]) -> Iterator[EventText]:
    message = event.get("message")
    found = _in_answer(message) if isinstance(message, dict) else Found([], [])
    unread.extend(found.unread)
    for piece in found.pieces:
        yield EventText(piece.channel, ("message", *piece.path), piece.path, piece.text, True, 0)


_END = Schema(
    delta=Schema(stop_details=Schema(explanation=SAID).with_others(EVERYTHING))
    | quiet("stop_reason")
    | rows("stop_sequence container", TOLD)
) | (quiet("type index") | rows("usage context_management", TOLD))
_ERROR = Schema(error=Schema(message=SAID).with_others(EVERYTHING)) | quiet("type request_id")


def _in_end(event: dict[str, Any], unread: list[Unread]) -> Iterator[EventText]:
    """The model's own words about why it refused."""
    yield from _beside(event, _END, unread)


def _in_error(event: dict[str, Any], unread: list[Unread]) -> Iterator[EventText]:
    yield from _beside(event, _ERROR, unread)


def _beside(event: dict[str, Any], schema: Schema, unread: list[Unread]) -> Iterator[EventText]:
    """Texts of an event that belong to no block."""
    found = find(event, schema, (), "assistant")
    unread.extend(found.unread)
    for piece in found.pieces:
        yield EventText(piece.channel, piece.path, piece.path, piece.text, True, 0)


_EVENTS = {
    "message_start": _in_message,
    "content_block_start": _in_start,
    "content_block_delta": _in_delta,
    "message_delta": _in_end,
    "error": _in_error,
}


def _whole(block: Any, field: str, base: Path, unread: list[Unread]) -> Iterator[EventText]:
    found = _in_block(block, (), "assistant")
    unread.extend(found.unread)
    for piece in found.pieces:
        yield EventText(piece.channel, (field, *piece.path), (*base, *piece.path), piece.text, True, 0)


def _index(event: dict[str, Any]) -> int:
    value = event.get("index")
    return value if type(value) is int and value >= 0 else 0
