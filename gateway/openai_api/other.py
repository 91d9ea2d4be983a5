"""What is read where little is known of the form: operations that have no row, lists, what servers keep, errors."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from gateway.openai_api.document import Path, has_too_many_values, map_entries, parse
from gateway.openai_api.messages import message_turns
from gateway.openai_api.passages import (
    ASKED,
    EVERYTHING,
    FILE_ELSEWHERE,
    Channel,
    Found,
    Reading,
    Schema,
    Turn,
    Unread,
    aside,
    find,
    passages_of,
    quiet,
    rows,
)
from gateway.openai_api.responses import item_turns

_BATCH = quiet("input_file_id endpoint completion_window output_expires_after") | aside("metadata")
_STORE = (
    rows("query name description", ASKED)
    | Schema(attributes=EVERYTHING, filters=EVERYTHING, files=FILE_ELSEWHERE)
    | rows("file_id file_ids", FILE_ELSEWHERE)
    | quiet("chunking_strategy expires_after ranking_options")
    | aside("metadata")
)


FindEntry = Callable[[Any, Path], Found]
_LIST = quiet("object first_id last_id has_more") | aside("data")
_SAID_AS: Mapping[Channel, Channel] = {"user": "assistant", "system": "assistant"}
_TELLS_WHAT = ("id", "object", "type", "role", "created", "created_at", "model")
_EMPTY: Mapping[str, Any] = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": "content_filter",
        }
    ],
    "content": [],
}
_KEPT_BACK = {"code": "content_filter", "message": "the policy of the gateway keeps this entry back"}


def any_turns(body: dict[str, Any]) -> list[Turn]:
    """Every longer text of a request that nobody here knows, which is told as unread all the same."""
    found = find(body, EVERYTHING, (), "user")
    found.unread.append(Unread("user", "operation"))
    return [Turn(found, False)]


def conversation_turns(body: dict[str, Any]) -> list[Turn]:
    """The items that a conversation is begun with or that are added to it."""
    items = body.get("items")
    turns = [Turn(find(body, aside("items metadata"), (), "user"), False)]
    return turns + item_turns(items if isinstance(items, list) else [], ("items",))


def batch_turns(body: dict[str, Any]) -> list[Turn]:
    """A batch of the requests in a file, which is judged where it is uploaded."""
    return [Turn(find(body, _BATCH, (), "user"), False)]


def message_batch_turns(body: dict[str, Any]) -> list[Turn]:
    """A batch of Anthropic's Messages: every request as that operation has it."""
    turns = [Turn(find(body, aside("requests"), (), "user"), False)]
    requests = body.get("requests")
    for i, request in enumerate(requests if isinstance(requests, list) else ()):
        turns.append(Turn(find(request, aside("custom_id params"), ("requests", i), "user"), False))
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


def read_stored(
    read: Callable[[dict[str, Any]], Reading], key: str, find_entry: FindEntry, body: dict[str, Any]
) -> Reading:
    """An answer that the server kept, known by its `key`, or a list of such, or of the items of one."""
    return read(body) if key in body else read_list(find_entry, body)


def read_list(find_entry: FindEntry, body: dict[str, Any]) -> Reading:
    """A list of what the server keeps: each entry is judged by itself, under its number. Whoever said it, what comes
    back is an answer."""
    entries = body.get("data")
    if not isinstance(entries, list):
        return read_anything(body)
    about = find(body, _LIST, (), "assistant")
    reading = Reading(passages_of(about.pieces, "response"), about.unread)
    for number, entry in enumerate(entries):
        found = find_entry(entry, ("data", number))
        pieces = [piece._replace(channel=_SAID_AS.get(piece.channel, piece.channel)) for piece in found.pieces]
        reading.passages.extend(passages_of(pieces, "response", number))
        reading.unread.extend(Unread(_SAID_AS.get(channel, channel), reason) for channel, reason in found.unread)
    return reading


def is_list(body: bytes) -> bool:
    """Whether an answer is a list of what the server keeps, and not of too many values to be taken apart."""
    value = None if has_too_many_values(body) else parse(body)
    return isinstance(value, dict) and isinstance(value.get("data"), list) and not {"choices", "output"} & value.keys()


def kept_back(body: bytes, numbers: Collection[int]) -> bytes:
    """A list in which the entries of these numbers say what they are and that they are kept back, and nothing else.

    Every other entry keeps its bytes. Raises ValueError for what is no list.
    """

    def emptied(number: int, entry: Any) -> Any:
        if number not in numbers:
            return entry
        told = {key: entry[key] for key in _TELLS_WHAT if isinstance(entry.get(key), str | int)}
        empty = {key: value for key, value in _EMPTY.items() if key in entry}
        return {**told, **empty, "error": _KEPT_BACK}

    return map_entries(body, "data", emptied)
