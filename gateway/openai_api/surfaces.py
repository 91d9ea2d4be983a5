"""The one table of what the gateway knows about each operation. `reading` reads texts by it.

A row gives the paths of an operation, what is read of its requests and answers, and how an answer, an error, a block
and a message of the policy are written. A new operation is a new row; a new dialect is a module that rows name. What a
row leaves out is not done: texts are not read, answers are not judged.
"""

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from gateway.openai_api import (
    chat,
    chat_replies,
    messages,
    messages_replies,
    other,
    responses,
    responses_replies,
)
from gateway.openai_api.bodies.document import parse
from gateway.openai_api.passages import Turn
from gateway.openai_api.surface import Answers, Operation, Refusals, Surface


def _chunked(shape: chat_replies.Shape, with_system: Callable[[dict[str, Any], str], None]) -> Answers:
    return Answers(
        read=chat.read_choices,
        read_event=chat.read_chunk,
        ending=partial(chat_replies.ChunkEnding, shape),
        message_body=partial(chat_replies.message_body, shape),
        message_stream=partial(chat_replies.message_stream, shape),
        replaced=partial(chat_replies.replaced, shape),
        withheld=partial(chat_replies.withheld, shape),
        with_system=with_system,
    )


def _kept(
    operation: Operation, turns: Callable[[dict[str, Any]], list[Turn]], *paths: str, of_any_size: bool = False
) -> Surface:
    """An operation that stores something and answers with little."""
    return Surface(
        operation,
        paths=tuple(("POST", path) for path in paths),
        turns=turns,
        reads=other.read_anything,
        judged=True,
        inference=False,
        of_any_size=of_any_size,
    )


_RESPONSES = Answers(
    read=responses.read_output,
    read_event=responses.read_response_event,
    ending=responses_replies.ResponseEnding,
    message_body=responses_replies.message_body,
    message_stream=responses_replies.message_stream,
    replaced=responses_replies.replaced,
    withheld=responses_replies.withheld,
    with_system=responses_replies.with_system,
    error_event=responses_replies.error_event,
    has_choices=False,
)
_TABLE = (
    Surface(
        Operation.CHAT,
        paths=(("POST", "/v1/chat/completions"),),
        turns=chat.chat_turns,
        param="messages",
        answers=_chunked(chat_replies.CHAT, chat_replies.chat_with_system),
        judged=True,
        modelled=True,
        metered=True,
        moderated=True,
    ),
    Surface(
        Operation.COMPLETIONS,
        paths=(("POST", "/v1/completions"),),
        turns=chat.plain_turns,
        param="prompt",
        answers=_chunked(chat_replies.COMPLETIONS, chat_replies.prompt_with_system),
        judged=True,
        modelled=True,
        metered=True,
    ),
    Surface(
        Operation.RESPONSES,
        paths=(("POST", "/v1/responses"),),
        turns=responses.response_turns,
        param="input",
        answers=_RESPONSES,
        judged=True,
        modelled=True,
        metered=True,
        moderated=True,
    ),
    Surface(
        Operation.MESSAGES,
        paths=(("POST", "/v1/messages"),),
        turns=messages.message_turns,
        param="messages",
        answers=Answers(
            read=messages.read_message,
            read_event=messages.read_message_event,
            ending=messages_replies.MessageEnding,
            message_body=messages_replies.message_body,
            message_stream=messages_replies.message_stream,
            replaced=messages_replies.replaced,
            withheld=messages_replies.withheld,
            with_system=messages_replies.with_system,
            error_body=messages_replies.error_body,
            error_event=messages_replies.error_event,
            refusals=Refusals(messages_replies.refusal_body, messages_replies.refusal_stream),
            has_choices=False,
        ),
        judged=True,
        modelled=True,
        metered=True,
    ),
    # Counts the tokens of a request: no model reads its texts, but they go to the same server.
    Surface(
        Operation.MESSAGE_TOKENS,
        paths=(("POST", "/v1/messages/count_tokens"),),
        turns=messages.message_turns,
        param="messages",
        reads=other.read_anything,
        error_body=messages_replies.error_body,
        judged=True,
        modelled=True,
    ),
    Surface(
        Operation.EMBEDDINGS,
        paths=(("POST", "/v1/embeddings"),),
        turns=chat.plain_turns,
        param="input",
        judged=True,
        modelled=True,
        metered=True,
    ),
    # The request asks for a judgement, so no policy judges it first.
    Surface(
        Operation.MODERATIONS,
        paths=(("POST", "/v1/moderations"),),
        turns=chat.plain_turns,
        param="input",
        reads=other.read_anything,
        modelled=True,
    ),
    Surface(
        Operation.DECISIONS,
        paths=(("POST", "/v1/decisions"),),
        turns=other.decision_turns,
        param="input",
        reads=other.read_anything,
        judged=True,
        modelled=True,
        metered=True,
    ),
    Surface(Operation.MODELS, paths=(("GET", "/v1/models"), ("GET", "/v1/models/")), reads=other.read_models),
    Surface(
        Operation.RESPONSES_INPUT,
        paths=(("POST", "/v1/responses/compact"), ("POST", "/v1/responses/input_tokens")),
        turns=responses.response_turns,
        param="input",
        answers=replace(
            _RESPONSES, read=partial(other.read_stored, responses.read_output, "output", responses.find_stored)
        ),
        judged=True,
        modelled=True,
        metered=True,
    ),
    # What the server stores can be fetched again, and is judged then as well.
    Surface(
        Operation.STORED_RESPONSES,
        listed=True,
        paths=(("GET", "/v1/responses/"),),
        answers=replace(
            _RESPONSES, read=partial(other.read_stored, responses.read_output, "output", responses.find_stored)
        ),
    ),
    Surface(
        Operation.STORED_CHAT,
        listed=True,
        paths=(("GET", "/v1/chat/completions/"), ("GET", "/v1/chat/completions")),
        answers=replace(
            _chunked(chat_replies.CHAT, chat_replies.chat_with_system),
            read=partial(other.read_stored, chat.read_choices, "choices", chat.find_stored),
        ),
    ),
    Surface(
        Operation.CONVERSATIONS,
        listed=True,
        paths=(("POST", "/v1/conversations"), ("POST", "/v1/conversations/"), ("GET", "/v1/conversations/")),
        turns=other.conversation_turns,
        param="items",
        reads=partial(other.read_list, responses.find_stored),
        judged=True,
        inference=False,
    ),
    # Uploads: see `uploads`. As JSON they are read like unknown operations.
    _kept(Operation.FILES, other.file_turns, "/v1/files", "/v1/uploads", "/v1/uploads/", of_any_size=True),
    _kept(Operation.UPLOAD_PARTS, other.any_turns),
    _kept(Operation.BATCHES, other.batch_turns, "/v1/batches"),
    _kept(Operation.MESSAGE_BATCHES, other.message_batch_turns, "/v1/messages/batches"),
    _kept(Operation.VECTOR_STORES, other.store_turns, "/v1/vector_stores", "/v1/vector_stores/"),
    Surface(
        Operation.OTHER,
        turns=other.any_turns,
        reads=other.read_anything,
        judged=True,
        inference=False,
        of_any_size=True,
    ),
)
SURFACES: Mapping[Operation, Surface] = MappingProxyType({surface.operation: surface for surface in _TABLE})
_BY_PATH = {at: surface.operation for surface in _TABLE for at in surface.paths}
_UNSEEN = re.compile(r"[;?#\x00-\x20]")  # here some servers end a path
_LONGER = re.compile(r"/v1/.*?/?(chat/completions|(?<!chat/)completions|responses|messages|embeddings)")
_UPLOAD_PART = re.compile(r"/v1/uploads/[^/]+/parts")
_BELOW = [(method, path, operation) for (method, path), operation in _BY_PATH.items() if path.endswith("/")]


def operation_of(method: str, path: str) -> Operation:
    """The operation behind an upper-case method and a percent-decoded path without its query.

    Spellings that many servers take for the same path (a trailing or doubled slash, dot segments, another
    case) count as that path, so that no spelling slips past the readers.
    """
    return _BY_PATH.get((method, path)) or _of_unusual(method, path)


def _of_unusual(method: str, path: str) -> Operation:
    plain = "/" + posixpath.normpath(_UNSEEN.split(path.lower(), maxsplit=1)[0]).lstrip("/")
    if method == "POST" and _UPLOAD_PART.fullmatch(plain):
        return Operation.UPLOAD_PARTS
    longer = _LONGER.fullmatch(plain)
    if longer and (method, plain) not in _BY_PATH and (method, f"/v1/{longer[1]}") in _BY_PATH:
        plain = f"/v1/{longer[1]}"  # /v1/engines/NAME/chat/completions and the like
    below = (operation for asked, at, operation in _BELOW if asked == method and plain.startswith(at))
    return _BY_PATH.get((method, plain)) or next(below, Operation.OTHER)


def completes_upload(operation: Operation, path: str) -> bool:
    """Whether a request joins the pieces of a file; `path` is as it came."""
    if operation is not Operation.FILES:
        return False
    plain = _UNSEEN.split(unquote(unquote(path)).lower(), maxsplit=1)[0]
    return posixpath.normpath(plain).endswith("/complete")


def answers_of(operation: Operation) -> Answers:
    """How the answers of a surface are read and written. Raises ValueError if its answers have no texts."""
    answers = SURFACES[operation].answers
    if answers is None:
        raise ValueError(f"the answers of {operation} have no texts")
    return answers


def error_reply(
    operation: Operation, message: str, type: str, param: str | None, code: str | None, status: int
) -> bytes:
    """An error reply in the form of the surface; `status` is the HTTP status."""
    answers = SURFACES[operation].answers
    write = SURFACES[operation].error_body if answers is None else answers.error_body
    return write(message, type, param, code, status)


def error_event(
    operation: Operation,
    message: str,
    type: str,
    param: str | None = None,
    code: str | None = None,
    *,
    sequence_number: int = 0,
) -> bytes:
    """An error as the final event of a stream whose status line has left, in the form of the surface."""
    answers = SURFACES[operation].answers
    write = chat_replies.error_event if answers is None else answers.error_event
    return write(message, type, param, code, sequence_number)


def with_system(operation: Operation, body: bytes, text: str) -> bytes:
    """The request with a system message before everything else; texts that exist keep their values.

    Requests for embeddings stay as they are, because their answers have no text. Raises ValueError for a body that has
    no place for it.
    """
    answers = SURFACES[operation].answers
    if answers is None:
        return body
    value = parse(body)
    if not isinstance(value, dict):
        raise ValueError("the body is not an object")
    answers.with_system(value, text)
    return json.dumps(value, separators=(",", ":")).encode()
