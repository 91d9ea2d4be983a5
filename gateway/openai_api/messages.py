"""A message of the policy's, as an answer of the model would come: whole or as a stream, on each surface."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.document import map_entries, parse
from gateway.openai_api.operations import Operation
from gateway.openai_api.passages import choice_number

_encode = msgspec.json.encode
_NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_NO_RESPONSE_TOKENS: dict[str, Any] = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
_KINDS = {Operation.CHAT: ("chat.completion", "chatcmpl-"), Operation.COMPLETIONS: ("text_completion", "cmpl-")}
ANSWERED = frozenset({*_KINDS, Operation.RESPONSES})


def message_body(operation: Operation, model: str, text: str, *, id: str, created: int, usage: Any = None) -> bytes:
    """A whole answer that says `text` and ends as a model's answer does; usage is 0 unless one is given (Responses).

    `id` follows the surface's prefix, `created` is Unix seconds. Raises KeyError for an operation without texts.
    """
    if operation is Operation.RESPONSES:
        item = {**_new_item(id), "status": "completed", "content": [_part(text)]}
        said = _response(model, id, created, "completed", [item])
        return _encode({**said, "usage": said["usage"] if usage is None else usage})
    kind, prefix = _KINDS[operation]
    head = {"id": prefix + id, "object": kind, "created": created, "model": model}
    return _encode({**head, "choices": [_choice(operation, 0, text)], "usage": _NO_TOKENS})


def message_stream(
    operation: Operation, model: str, text: str, *, id: str, created: int, include_usage: bool = False
) -> bytes:
    """The same as a stream, complete with its end."""
    if operation is Operation.RESPONSES:
        opened = _response(model, id, created, "in_progress", [])
        item = {**_new_item(id), "status": "completed", "content": [_part(text)]}
        closed = _response(model, id, created, "completed", [item])
        events = [("response.created", {"response": opened}), *item_events(0, id, text)]
        return numbered([*events, ("response.completed", {"response": closed})], 0)
    kind, prefix = _KINDS[operation]
    kind = kind if operation is Operation.COMPLETIONS else kind + ".chunk"
    head: dict[str, Any] = {"id": prefix + id, "object": kind, "created": created, "model": model}
    usage = _encode({**head, "choices": [], "usage": _NO_TOKENS})
    return chunks(head, operation, 0, text) + (sse.encode(usage) if include_usage else b"") + sse.DONE


def chunks(head: Mapping[str, Any], operation: Operation, choice: int, text: str) -> bytes:
    """One choice of a stream that says `text` and stops; `head` has id, object, created and model."""
    said: dict[str, Any] = {"text": text}
    empty: dict[str, Any] = {"text": ""}
    if operation is Operation.CHAT:
        said, empty = {"delta": {"role": "assistant", "content": text}}, {"delta": {}}
    first = {"index": choice, **said, "logprobs": None, "finish_reason": None}
    last = {"index": choice, **empty, "logprobs": None, "finish_reason": "stop"}
    return b"".join(sse.encode(_encode({**head, "choices": [entry]})) for entry in (first, last))


def item_events(index: int, id: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of one message item of the Responses API, from its opening to its end; not yet numbered."""
    place = {"item_id": f"msg_{id}", "output_index": index}
    inner = {**place, "content_index": 0}
    done = {**_new_item(id), "status": "completed", "content": [_part(text)]}
    return [
        ("response.output_item.added", {"output_index": index, "item": _new_item(id)}),
        ("response.content_part.added", {**inner, "part": _part("")}),
        ("response.output_text.delta", {**inner, "delta": text, "logprobs": []}),
        ("response.output_text.done", {**inner, "text": text, "logprobs": []}),
        ("response.content_part.done", {**inner, "part": _part(text)}),
        ("response.output_item.done", {"output_index": index, "item": done}),
    ]


def numbered(events: list[tuple[str, dict[str, Any]]], first: int) -> bytes:
    """Events of the Responses API as bytes, numbered from `first`."""
    return b"".join(
        sse.encode(_encode({"type": name, **fields, "sequence_number": number}), name)
        for number, (name, fields) in enumerate(events, first)
    )


def with_messages(operation: Operation, body: bytes, messages: Mapping[int, str]) -> bytes:
    """A whole answer of chat or completions in which these choices say the message instead.

    Everything else keeps its bytes. Raises ValueError for a body without a list of choices.
    """

    def said(position: int, entry: Any) -> Any:
        number = choice_number(entry, position)
        return _choice(operation, number, messages[number]) if number in messages else entry

    return map_entries(body, "choices", said)


def with_system(operation: Operation, body: bytes, text: str) -> bytes:
    """The request with a system message before everything else; texts that exist keep their values.

    A plain completion has no roles: there the message precedes each prompt. Embeddings answer with no text and stay
    as they are. Raises ValueError for a body that has no place for it.
    """
    if operation not in ANSWERED:
        return body
    value = parse(body)
    if not isinstance(value, dict):
        raise ValueError("the body is no object")
    if operation is Operation.CHAT:
        if not isinstance(value.get("messages"), list):
            raise ValueError("the body has no list of messages")
        value["messages"].insert(0, {"role": "system", "content": text})
    elif operation is Operation.RESPONSES:
        given = value.get("instructions")
        value["instructions"] = f"{text}\n\n{given}" if isinstance(given, str) and given else text
    else:
        value["prompt"] = _preceded(value.get("prompt"), text)
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _preceded(prompt: Any, text: str) -> Any:
    if isinstance(prompt, str):
        return f"{text}\n\n{prompt}"
    if isinstance(prompt, list) and prompt and all(isinstance(one, str) for one in prompt):
        return [f"{text}\n\n{one}" for one in prompt]
    raise ValueError("the prompt is no text")


def _choice(operation: Operation, number: int, text: str) -> dict[str, Any]:
    said: dict[str, Any] = {"text": text}
    if operation is Operation.CHAT:
        said = {"message": {"role": "assistant", "content": text, "refusal": None}}
    return {"index": number, **said, "logprobs": None, "finish_reason": "stop"}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _new_item(id: str) -> dict[str, Any]:
    return {"id": f"msg_{id}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def _response(model: str, id: str, created: int, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"resp_{id}",
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": _NO_RESPONSE_TOKENS if status == "completed" else None,
    }
