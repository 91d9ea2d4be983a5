"""What the gateway itself says in OpenAI's words: errors, and the ends of streams that were blocked."""

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway import sse
from gateway.openai_api.operations import Operation

_encode = msgspec.json.encode


def error_body(message: str, type: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error reply; all four keys are always there."""
    return _encode({"error": {"message": message, "type": type, "param": param, "code": code}})


def error_event(
    operation: Operation,
    message: str,
    type: str,
    param: str | None = None,
    code: str | None = None,
    *,
    sequence_number: int = 0,
) -> bytes:
    """An error as the final event of a stream whose status line is gone.

    The Responses API has an event of its own for it, which carries no `type` of error and counts its events.
    """
    if operation is Operation.RESPONSES:
        body = {"type": "error", "code": code, "message": message, "param": param}
        return sse.encode(_encode({**body, "sequence_number": sequence_number}), "error")
    return sse.encode(error_body(message, type, param, code))


_CHUNKS: dict[Operation, tuple[str, str, dict[str, Any]]] = {
    Operation.CHAT: ("chat.completion.chunk", "chatcmpl-blocked", {"delta": {}}),
    Operation.COMPLETIONS: ("text_completion", "cmpl-blocked", {"text": ""}),
}

_NEW_RESPONSE: dict[str, Any] = {
    "object": "response",
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "output": [],
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "usage": None,
}


def blocked_ending(
    operation: Operation,
    first_event: bytes | None,
    choices: Iterable[int],
    model: str,
    *,
    created: int = 0,
    sequence_number: int = 1,
    opening: bool = False,
) -> bytes:
    """The end of a stream that was blocked, valid after anything that was sent of it.

    With `opening` nothing was sent, and a Responses stream gets its `response.created` as well.

    Chat and completions: one chunk a choice with `finish_reason` "content_filter", then [DONE]. Responses:
    `response.incomplete`, after a `response.created` of our own when there is no first event. `first_event` is
    the upstream's first (the block as it came, or its data alone): its id, model and time are kept, else
    `model` and `created` (Unix seconds) count. `sequence_number` is the one of the (first) event written.
    Raises ValueError for an operation that has no streams.
    """
    first = _first_object(first_event)
    if operation is Operation.RESPONSES:
        return _incomplete(first.get("response"), model, created, sequence_number, opening)
    if operation not in _CHUNKS:
        raise ValueError(f"{operation} has no streams that could be blocked")
    kind, id_, empty = _CHUNKS[operation]
    head: dict[str, Any] = {"id": id_, "object": kind, "created": created, "model": model}
    head |= {key: first[key] for key in ("id", "created", "model") if bytes(first.get(key, b"0")) not in _UNSET}
    chunks = [
        {**head, "choices": [{"index": i, **empty, "logprobs": None, "finish_reason": "content_filter"}]}
        for i in choices
    ]
    return b"".join(sse.encode(_encode(chunk)) for chunk in chunks) + sse.DONE


_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_UNSET = (b'""', b"0", b"null")


def _first_object(event: bytes | None) -> dict[str, msgspec.Raw]:
    """The fields of the upstream's first event, as it wrote them; none when it cannot be read."""
    if not event:
        return {}
    decoder = sse.Decoder(max_event_bytes=len(event))
    data = event if event.startswith(b"{") else b"".join(e.data for e in decoder.feed(event) + decoder.close())
    return _fields(data)


def _fields(value: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _object(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _incomplete(first: msgspec.Raw | None, model: str, created: int, sequence_number: int, opening: bool) -> bytes:
    events = []
    response: dict[str, Any] = dict(_fields(first) if first is not None else ())
    if not response:
        response = {"id": "resp_blocked", "created_at": created, "model": model} | _NEW_RESPONSE
        opening = True
    if opening:
        events.append(("response.created", response))
    reason = {"incomplete_details": {"reason": "content_filter"}}
    events.append(("response.incomplete", {**response, "status": "incomplete", "output": [], **reason}))
    return b"".join(
        sse.encode(_encode({"type": name, "response": body, "sequence_number": number}), name)
        for number, (name, body) in enumerate(events, sequence_number)
    )
