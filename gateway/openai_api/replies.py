"""What the gateway itself says in OpenAI's words: errors, and answers of which a part was blocked."""

from collections.abc import Collection
from typing import Any

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.document import map_entries
from gateway.openai_api.operations import Operation
from gateway.openai_api.passages import choice_number

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


_FILTERED: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: {"message": {"role": "assistant", "content": "", "refusal": None}},
    Operation.COMPLETIONS: {"text": ""},
}


def filtered_body(operation: Operation, body: bytes, choices: Collection[int]) -> bytes:
    """A whole answer in which these choices are emptied and end with `finish_reason` "content_filter".

    Everything else keeps its bytes. Raises ValueError for an operation without choices or a body without a list of
    them.
    """
    if operation not in _FILTERED:
        raise ValueError(f"{operation} has no choices")

    def emptied(position: int, entry: Any) -> Any:
        number = choice_number(entry, position)
        if number not in choices:
            return entry
        return {"index": number, **_FILTERED[operation], "logprobs": None, "finish_reason": "content_filter"}

    return map_entries(body, "choices", emptied)
