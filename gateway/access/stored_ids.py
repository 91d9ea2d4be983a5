"""Which answers a server stores, and how later requests name them. No I/O."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from gateway.openai_api import Operation, read_event, sse
from gateway.openai_api.bodies.document import has_too_many_values, parse

_SEGMENT_END = re.compile(r"[/\\;?#\x00-\x20]+")
_FILED = {
    Operation.FILES: "files",
    Operation.UPLOAD_PARTS: "parts",
    Operation.BATCHES: "batches",
    Operation.MESSAGE_BATCHES: "messages/batches",
    Operation.VECTOR_STORES: "vector_stores",
}
_COLLECTIONS = ("responses", "chat/completions", "conversations", *_FILED.values())
_ABOUT_FILES = (Operation.FILES, Operation.BATCHES, Operation.OTHER)
_NAMES_FILES = ("batches", "uploads")  # answers below these paths name files that the server made
_ID_FIRST = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]+)"')  # for an answer whose end was not seen
_ESCAPE = b"\\u"  # a key may be written in escapes
_STORES = (b"store", _ESCAPE)
_SAYS_SO = (b"previous_response_id", b"conversation", b"input_file_id", b"part_ids", *_STORES)


class Referred(NamedTuple):
    """An id that a request names, and the field that holds it; None for the path."""

    id: str
    param: str | None


class _Request(msgspec.Struct, gc=False):
    store: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    input_file_id: Any = None
    part_ids: Any = None


_decode_request = msgspec.json.Decoder(_Request).decode


class _File(msgspec.Struct, gc=False):
    id: Any = None


class _Answer(msgspec.Struct, gc=False):
    id: Any = None
    output_file_id: Any = None
    error_file_id: Any = None
    file: _File | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


def segments_of(path: str) -> list[str]:
    """The parts of a path, as a server may read them. Any of them can be an id."""
    return [part for part in _SEGMENT_END.split(unquote(unquote(path))) if part]


def collection_of(method: str, path: str) -> str:
    """The collection that a request lists; empty if it asks for something else."""
    if method not in ("GET", "HEAD"):
        return ""
    below = "/".join(segments_of(path)[1:]).lower()
    return below if below in _COLLECTIONS else ""


def referred_in(body: bytes) -> list[Referred]:
    """What a request refers to: an earlier response, a conversation, or the file of a batch."""
    request = _request_of(body)
    conversation = request.conversation
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    named = (
        (request.previous_response_id, "previous_response_id"),
        (conversation, "conversation"),
        (request.input_file_id, "input_file_id"),
    )
    return [Referred(id, param) for id, param in named if isinstance(id, str) and id]


def referred_pieces(body: bytes) -> list[str]:
    """The ids of the pieces that a request joins into a file, in order."""
    ids = _request_of(body).part_ids
    return [str(id) for id in ids] if isinstance(ids, list) else []


def names_files(operation: Operation, path: str) -> bool:
    """Whether the answer may name files that the server made: the results of a batch, or a finished upload."""
    return operation in _ABOUT_FILES and any(part.lower() in _NAMES_FILES for part in segments_of(path)[1:2])


def files_named(answer: bytes) -> list[str]:
    """The ids of files that such an answer names; none if the answer is not complete."""
    try:
        found = _decode_answer(answer)
    except (ValueError, RecursionError):
        return []
    named = (found.output_file_id, found.error_file_id, None if found.file is None else found.file.id)
    return [id for id in named if isinstance(id, str) and id]


def kept_in(operation: Operation, method: str, body: bytes) -> str:
    """The collection in which the server will store the answer to this request; empty if it will not."""
    if operation is Operation.RESPONSES:
        return "" if _request_of(body, _STORES).store is False else "responses"
    if operation is Operation.CHAT:
        return "chat/completions" if _request_of(body, _STORES).store is True else ""
    if operation in _FILED:
        return _FILED[operation]
    return "conversations" if operation is Operation.CONVERSATIONS and method == "POST" else ""


def id_of_answer(operation: Operation, begun: bytes) -> str:
    """The id of an answer, a body or events, of which perhaps only the beginning is here; empty if there is none."""
    if sse.is_stream(begun):
        return _id_of_events(operation, begun)
    try:
        found = _decode_answer(begun).id
    except (ValueError, RecursionError):
        first = _ID_FIRST.match(begun)
        found = first[1].decode(errors="replace") if first else ""
    return found if isinstance(found, str) else ""


def _id_of_events(operation: Operation, begun: bytes) -> str:
    for event in sse.events_of(begun):
        read = read_event(operation, event.data)
        if read is not None:
            response = read.value.get("response")
            found = (response if isinstance(response, dict) else read.value).get("id")
            return found if isinstance(found, str) else ""
    return ""


def _request_of(body: bytes, words: Sequence[bytes] = _SAYS_SO) -> _Request:
    """The fields of a request, read only if one of these words is in it: most requests have none of them."""
    for word in words:  # this runs for every request, so no `any`; and no `in`: see `heads.TAB`
        if body.find(word) >= 0:
            break
    else:
        return _Request()
    try:
        return _decode_request(body)
    except (ValueError, RecursionError):
        return _leniently(body)


def _leniently(body: bytes) -> _Request:
    try:
        value = None if has_too_many_values(body) else parse(body)
    except (ValueError, RecursionError):
        return _Request()
    names = _Request.__struct_fields__
    return _Request(**{name: value.get(name) for name in names}) if isinstance(value, dict) else _Request()
