"""Reads what has little or no known form: operations without a row, lists, what servers store, and errors; and the
input and questions of `/v1/decisions`.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gateway.openai_api import sse
from gateway.openai_api.bodies.document import Path, has_too_many_values, map_entries, parse
from gateway.openai_api.messages import message_turns
from gateway.openai_api.passages import (
    ASKED,
    BESIDE,
    EVERYTHING,
    FILE_ELSEWHERE,
    NAME,
    SAID,
    TOLD,
    Channel,
    Found,
    Leaf,
    Reading,
    Schema,
    Turn,
    Unread,
    aside,
    channel_of,
    find,
    passages_of,
    quiet,
    rows,
)
from gateway.openai_api.responses import find_in_item, item_turns

_BATCH = quiet("input_file_id endpoint completion_window output_expires_after") | aside("metadata")
_UPLOAD = Schema(filename=NAME) | quiet("bytes mime_type purpose expires_after part_ids md5")
_STORE = (
    rows("query name description", ASKED)
    | Schema(attributes=EVERYTHING, filters=EVERYTHING, files=FILE_ELSEWHERE)
    | rows("file_id file_ids", FILE_ELSEWHERE)
    | quiet("chunking_strategy expires_after ranking_options")
    | aside("metadata")
)
_DECISION = aside("input questions metadata user safety_identifier")


FindEntry = Callable[[Any, Path], Found]
_LIST = quiet("object first_id last_id has_more") | aside("data")
_SAID_AS: Mapping[Channel, Channel] = {"user": "assistant", "system": "assistant"}
_OF_A_LINE = ("id", "custom_id")
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
_KEPT_BACK = {"code": "content_filter", "message": "the gateway's policy holds this entry back"}
# How the two APIs write an error in a line of a batch.
_IN_A_BATCH: Mapping[str, Any] = {
    "response": {"response": None, "error": _KEPT_BACK},
    "result": {
        "result": {
            "type": "errored",
            "error": {"type": "error", "error": {"type": "invalid_request_error"} | _KEPT_BACK},
        }
    },
}


def any_turns(body: dict[str, Any]) -> list[Turn]:
    """Every longer text of a request of unknown form. The request is reported as unread too."""
    found = find(body, EVERYTHING, (), "user")
    found.unread.append(Unread("user", "operation"))
    return [Turn(found, False)]


def conversation_turns(body: dict[str, Any]) -> list[Turn]:
    """The items with which a conversation begins, or which are added to it."""
    items = body.get("items")
    turns = [Turn(find(body, aside("items metadata"), (), "user"), False)]
    return turns + item_turns(items if isinstance(items, list) else [], ("items",))


def batch_turns(body: dict[str, Any]) -> list[Turn]:
    """A batch of the requests in a file; the file is judged when it is uploaded."""
    return [Turn(find(body, _BATCH, (), "user"), False)]


def file_turns(body: dict[str, Any]) -> list[Turn]:
    """The beginning or end of an upload; its pieces come separately and are judged then."""
    return [Turn(find(body, _UPLOAD, (), "user"), False)]


def message_batch_turns(body: dict[str, Any]) -> list[Turn]:
    """A batch of Anthropic's Messages: every request is read like a request of that operation."""
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
    """The name of a vector store, what is searched in it, and what is said about its files."""
    return [Turn(find(body, _STORE, (), "user"), False)]


def read_anything(body: dict[str, Any]) -> Reading:
    """Every longer text of an answer."""
    found = find(body, EVERYTHING, (), "assistant")
    return Reading(passages_of(found.pieces, "response"), found.unread)


def read_models(body: dict[str, Any]) -> Reading:
    """What is said about models beside their names."""
    found = find(body, TOLD, (), "assistant")
    return Reading(passages_of(found.pieces, "response"), found.unread)


def read_stored(
    read: Callable[[dict[str, Any]], Reading], key: str, find_entry: FindEntry, body: dict[str, Any]
) -> Reading:
    """An answer that the server stored, which has this `key`; or a list of such answers or of their items."""
    return read(body) if key in body else read_list(find_entry, body)


def read_list(find_entry: FindEntry, body: dict[str, Any]) -> Reading:
    """A list of what the server stores: each entry is judged by itself, under its number. What comes back counts as an
    answer, whoever said it."""
    entries = body.get("data")
    if not isinstance(entries, list):
        return read_anything(body)
    about = find(body, _LIST, (), "assistant")
    reading = Reading(passages_of(about.pieces, "response", BESIDE), about.unread)
    for number, entry in enumerate(entries):
        found = find_entry(entry, ("data", number))
        pieces = [piece._replace(channel=_SAID_AS.get(piece.channel, piece.channel)) for piece in found.pieces]
        reading.passages.extend(passages_of(pieces, "response", number))
        reading.unread.extend(Unread(_SAID_AS.get(channel, channel), reason) for channel, reason in found.unread)
    return reading


def is_list(body: bytes) -> bool:
    """Whether an answer is a list of what the server stores, with few enough values to be split."""
    value = None if has_too_many_values(body) else parse(body)
    return isinstance(value, dict) and isinstance(value.get("data"), list) and not {"choices", "output"} & value.keys()


def kept_back(body: bytes, numbers: Collection[int]) -> bytes:
    """A list in which the entries of these numbers say only what they are and that they are held back.

    Every other entry keeps its bytes. Raises ValueError if the body is not a list.
    """

    def emptied(number: int, entry: Any) -> Any:
        if number not in numbers:
            return entry
        if not isinstance(entry, dict):
            return {"error": _KEPT_BACK}
        told = {key: entry[key] for key in _TELLS_WHAT if isinstance(entry.get(key), str | int)}
        empty = {key: value for key, value in _EMPTY.items() if key in entry}
        return {**told, **empty, "error": _KEPT_BACK}

    return map_entries(body, "data", emptied)


def lines_of_json(body: bytes) -> list[dict[str, Any]] | None:
    """The values of a file with an object in each line, such as the answers of a batch; None for any other file."""
    if not sse.is_lines(body):
        return None
    try:
        lines = [parse(line) for line in body.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
    return lines if all(isinstance(line, dict) for line in lines) else None


def lines_kept_back(body: bytes, numbers: Collection[int], said: Collection[Path]) -> bytes:
    """Such a file in which the lines of these numbers say only which request they answer and that they are held back,
    as a batch writes an error. Ids at a path in `said` are left out. Every other line keeps its bytes."""
    lines = body.splitlines(keepends=True)
    written = [at for at, line in enumerate(lines) if line.strip()]
    for number in numbers:
        at = written[number]
        end = lines[at][len(lines[at].rstrip(b"\r\n")) :]
        entry = parse(lines[at])
        told = {
            key: entry[key] for key in _OF_A_LINE if isinstance(entry.get(key), str | int) and (number, key) not in said
        }
        error = next((error for key, error in _IN_A_BATCH.items() if key in entry), {"error": _KEPT_BACK})
        lines[at] = json.dumps({**told, **error}).encode() + end
    return b"".join(lines)


# --- /v1/decisions


def decision_turns(body: dict[str, Any]) -> list[Turn]:
    """What has to be decided about, and then what is asked about it."""
    asked = Turn(_in_questions(body.get("questions")), False)
    turns = [Turn(find(body, _DECISION, (), "user"), False)]
    given = body.get("input")
    if not isinstance(given, list):
        return [*turns, Turn(find(given, SAID, ("input",), "user"), False), asked]
    for i, item in enumerate(given):
        turns.append(Turn(_decided_on(item, ("input", i)), channel_of(item, "user") == "assistant"))
    return [*turns, asked]


def _decided_on(item: Any, path: Path) -> Found:
    """A message, whose parts may be JSON, or another item of the Responses API."""
    parts = item.get("content") if isinstance(item, dict) else None
    channel = channel_of(item, "user")
    if not isinstance(parts, list):
        return find_in_item(item, path, "user")
    found = find_in_item({**item, "content": None}, path, "user")
    found.add(_in_parts(parts, (*path, "content"), channel))
    return found


def _in_parts(parts: list[Any], path: Path, channel: Channel) -> Found:
    """The texts of content parts, and every string in those that are JSON."""
    found = Found([], [])
    for i, part in enumerate(parts):
        if isinstance(part, dict) and part.get("type") == "input_json":
            found.add(find(part.get("data"), Leaf(channel, deep=True), (*path, i, "data"), channel))
        else:
            found.add(find(part, SAID, (*path, i), channel))
    return found


def _in_questions(questions: Any) -> Found:
    found = Found([], [])
    for i, question in enumerate(questions if isinstance(questions, list) else ()):
        path: Path = ("questions", i)
        given = question.get("instructions") if isinstance(question, dict) else None
        if isinstance(given, list):
            found.add(_in_parts(given, (*path, "instructions"), "system"))
        else:
            found.add(find(given, SAID, (*path, "instructions"), "system"))
        for key in ("choices", "levels"):
            options = question.get(key) if isinstance(question, dict) else None
            found.add(find(options, Leaf("system", deep=True), (*path, key), "system"))
    return found
