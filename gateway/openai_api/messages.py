"""What is read of Anthropic's Messages API: requests, whole answers, and their streams.

A message is a list of blocks, and the type of a block says where its texts are. A type that is not known here is read
like a result of a tool. The input of a tool is an object in whole answers and comes as pieces of JSON in streams.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.openai_api.document import Path
from gateway.openai_api.passages import (
    ARGUMENTS,
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

_CALL = Schema(input=ARGUMENTS)
_OUTPUT = Schema(content=Leaf("tool", deep=True))
_CITED = Schema(cited_text=RETRIEVED)
_BLOCKS = {
    "text": Schema(text=SAID, citations=_CITED),
    "thinking": Schema(thinking=THOUGHT),
    "tool_use": _CALL,
    "server_tool_use": _CALL,
    "mcp_tool_use": _CALL,
    "tool_result": Schema(content=RESULT),
    "mcp_tool_result": Schema(content=RESULT),
    "search_result": Schema(title=RETRIEVED, content=RETRIEVED),
    "web_search_tool_result": Schema(content=Schema(title=RETRIEVED)),
    "code_execution_tool_result": _OUTPUT,
    "bash_code_execution_tool_result": _OUTPUT,
    "text_editor_code_execution_tool_result": _OUTPUT,
}
_UNKNOWN_BLOCK = Schema(text=SAID, content=SAID, input=ARGUMENTS, thinking=THOUGHT, stdout=RESULT, stderr=RESULT)
_DOCUMENT = Schema(title=RETRIEVED, context=RETRIEVED)
_DOCUMENT_TEXT = _DOCUMENT | {"source": Schema(data=RETRIEVED, content=RETRIEVED)}


def message_turns(body: dict[str, Any]) -> list[Turn]:
    """The system prompt, then the messages of a request."""
    turns = [Turn(_in_content(body.get("system"), ("system",), "system"), False)]
    messages = body.get("messages")
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        channel = channel_of(message, "user")
        content = message.get("content") if isinstance(message, dict) else None
        turns.append(Turn(_in_content(content, ("messages", i, "content"), channel), channel == "assistant"))
    return turns


def read_message(body: dict[str, Any]) -> list[Passage]:
    """Every text of a whole answer, block by block."""
    return [Passage("response", *piece_parts) for piece_parts in _parts(body)]


def _parts(body: dict[str, Any]) -> Iterator[tuple[Channel, str, Path]]:
    for channel, path, text in _in_content(body.get("content"), ("content",), "assistant"):
        yield channel, text, path


def _in_content(content: Any, path: Path, speaker: Channel) -> list[Piece]:
    """The texts of a message's content: a text, or a list of blocks."""
    if not isinstance(content, list):
        return find(content, SAID, path, speaker) if isinstance(content, str) else _in_block(content, path, speaker)
    return [piece for i, block in enumerate(content) for piece in _in_block(block, (*path, i), speaker)]


def _in_block(block: Any, path: Path, speaker: Channel) -> list[Piece]:
    """The texts of one block, and of the blocks that a result of a tool holds."""
    if not isinstance(block, dict):
        return find(block, SAID, path, speaker)
    kind, inner = block.get("type"), block.get("content")
    if kind in ("tool_result", "mcp_tool_result") and isinstance(inner, list):
        return [piece for i, below in enumerate(inner) for piece in _in_block(below, (*path, "content", i), "tool")]
    if kind == "web_fetch_tool_result" and isinstance(inner, dict):
        return _in_block(inner.get("content"), (*path, "content", "content"), "retrieved")
    return find(block, _schema(kind, block), path, speaker)


def _schema(kind: Any, block: dict[str, Any]) -> Schema:
    if kind == "document":
        source = block.get("source")
        plain = isinstance(source, dict) and source.get("type") in ("text", "content")
        return Schema(_DOCUMENT_TEXT if plain else _DOCUMENT)  # what is a file or a link is no text
    return _BLOCKS.get(kind, _UNKNOWN_BLOCK) if isinstance(kind, str) else _UNKNOWN_BLOCK


class _Delta(NamedTuple):
    """Where a kind of delta has its text, and where that belongs in its block."""

    channel: Channel
    at: Path
    below: Path


_DELTAS = {
    "text_delta": _Delta("assistant", ("text",), ("text",)),
    "thinking_delta": _Delta("reasoning", ("thinking",), ("thinking",)),
    "input_json_delta": _Delta("arguments", ("partial_json",), ("input",)),
    "citations_delta": _Delta("retrieved", ("citation", "cited_text"), ("citations", "cited_text")),
}
_GROWING = {("text",), ("thinking",)}  # what a block may open with and its deltas go on with


def read_message_event(value: dict[str, Any]) -> EventRead:
    """One event of a stream."""
    type_ = value.get("type")
    reader = _EVENTS.get(type_) if isinstance(type_, str) else None
    return EventRead(value, list(reader(value)) if reader else [], [0], _ends(value, type_))


def _ends(value: dict[str, Any], type_: Any) -> list[Path]:
    if type_ == "content_block_stop":
        return [("content", _index(value))]
    return [()] if type_ in ("message_delta", "message_stop", "error") else []


def _in_delta(event: dict[str, Any]) -> Iterator[Said]:
    delta = event.get("delta")
    kind = delta.get("type") if isinstance(delta, dict) else None
    known = _DELTAS.get(kind) if isinstance(kind, str) else None
    if known is None:
        yield from _whole(delta, "delta", ("content", _index(event)))
        return
    text: Any = delta
    for key in known.at:
        text = text.get(key) if isinstance(text, dict) else None
    if isinstance(text, str) and text:
        yield Said(known.channel, ("delta", *known.at), ("content", _index(event), *known.below), text, False, 0)


def _in_start(event: dict[str, Any]) -> Iterator[Said]:
    for said in _whole(event.get("content_block"), "content_block", ("content", _index(event))):
        yield said._replace(whole=said.path[2:] not in _GROWING)


def _in_message(event: dict[str, Any]) -> Iterator[Said]:
    message = event.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    for channel, below, text in _in_content(content, ("content",), "assistant"):
        yield Said(channel, ("message", *below), below, text, True, 0)


def _in_end(event: dict[str, Any]) -> Iterator[Said]:
    """Why the model refused, in its words."""
    yield from _named(event, ("delta", "stop_details", "explanation"))


def _in_error(event: dict[str, Any]) -> Iterator[Said]:
    yield from _named(event, ("error", "message"))


def _named(event: dict[str, Any], at: Path) -> Iterator[Said]:
    text: Any = event
    for key in at:
        text = text.get(key) if isinstance(text, dict) else None
    if isinstance(text, str) and text:
        yield Said("assistant", at, at, text, True, 0)


_EVENTS = {
    "message_start": _in_message,
    "content_block_start": _in_start,
    "content_block_delta": _in_delta,
    "message_delta": _in_end,
    "error": _in_error,
}


def _whole(block: Any, field: str, base: Path) -> Iterator[Said]:
    for channel, below, text in _in_block(block, (), "assistant"):
        yield Said(channel, (field, *below), (*base, *below), text, True, 0)


def _index(event: dict[str, Any]) -> int:
    value = event.get("index")
    return value if type(value) is int and value >= 0 else 0
