"""What is read where little is known of the form: operations that have no row, lists, what servers keep, errors."""

from collections.abc import Callable
from typing import Any

from gateway.openai_api.passages import EVERYTHING, Reading, Turn, Unread, find, passages_of, quiet
from gateway.openai_api.responses import item_turns


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


def read_anything(body: dict[str, Any]) -> Reading:
    """Every longer text of an answer."""
    found = find(body, EVERYTHING, (), "assistant")
    return Reading(passages_of(found.pieces, "response"), found.unread)


def read_stored(read: Callable[[dict[str, Any]], Reading], key: str, body: dict[str, Any]) -> Reading:
    """An answer that the server kept, known by its `key`, or a list of them or of their parts."""
    return read(body) if key in body else read_anything(body)
