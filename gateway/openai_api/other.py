"""What is read where little is known of the form: operations that have no row, lists, what servers keep, errors."""

from collections.abc import Callable
from typing import Any

from gateway.openai_api.document import Path
from gateway.openai_api.messages import message_turns
from gateway.openai_api.passages import (
    ASKED,
    EVERYTHING,
    FILE_ELSEWHERE,
    Found,
    Reading,
    Schema,
    Turn,
    Unread,
    find,
    passages_of,
    quiet,
    rows,
)
from gateway.openai_api.responses import item_turns

_BATCH = quiet("input_file_id endpoint completion_window metadata output_expires_after")
_STORE = (
    rows("query name description", ASKED)
    | Schema(attributes=EVERYTHING, filters=EVERYTHING, files=FILE_ELSEWHERE)
    | rows("file_id file_ids", FILE_ELSEWHERE)
    | quiet("metadata chunking_strategy expires_after ranking_options")
)


def any_turns(body: dict[str, Any]) -> list[Turn]:
    """Every longer text of a request that nobody here knows, which is told as unread all the same."""
    found = find(body, EVERYTHING, (), "user")
    found.unread.append(Unread("user", "operation"))
    return [Turn(found, False)]


def conversation_turns(body: dict[str, Any]) -> list[Turn]:
    """The items that a conversation is begun with or that are added to it."""
    items = body.get("items")
    turns = [Turn(find(body, quiet("items metadata"), (), "user"), False)]
    return turns + item_turns(items if isinstance(items, list) else [], ("items",))


def batch_turns(body: dict[str, Any]) -> list[Turn]:
    """A batch of the requests in a file, which is judged where it is uploaded."""
    return [Turn(find(body, _BATCH, (), "user"), False)]


def message_batch_turns(body: dict[str, Any]) -> list[Turn]:
    """A batch of Anthropic's Messages: every request as that operation has it."""
    turns = [Turn(find(body, quiet("requests"), (), "user"), False)]
    requests = body.get("requests")
    for i, request in enumerate(requests if isinstance(requests, list) else ()):
        turns.append(Turn(find(request, quiet("custom_id params"), ("requests", i), "user"), False))
        params = request.get("params") if isinstance(request, dict) else None
        inner = message_turns(params) if isinstance(params, dict) else []
        turns += [Turn(_below(turn.found, ("requests", i, "params")), False) for turn in inner]
    return turns


def _below(found: Found, path: Path) -> Found:
    return Found([piece._replace(path=(*path, *piece.path)) for piece in found.pieces], found.unread)


def store_turns(body: dict[str, Any]) -> list[Turn]:
    """What a vector store is called, what is looked for in it, and what is said of its files."""
    return [Turn(find(body, _STORE, (), "user"), False)]


def read_anything(body: dict[str, Any]) -> Reading:
    """Every longer text of an answer."""
    found = find(body, EVERYTHING, (), "assistant")
    return Reading(passages_of(found.pieces, "response"), found.unread)


def read_stored(read: Callable[[dict[str, Any]], Reading], key: str, body: dict[str, Any]) -> Reading:
    """An answer that the server kept, known by its `key`, or a list of them or of their parts."""
    return read(body) if key in body else read_anything(body)
