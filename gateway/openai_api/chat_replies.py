"""What the gateway writes itself in the form of chat and completions: messages of the policy, choices without their
text, and the end of a blocked stream.

A blocked stream ends with one chunk for each blocked choice with `finish_reason` "content_filter", then [DONE]. If a
message replaces the answer, the choice says it and stops.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.bodies.document import fields_of, map_entries
from gateway.openai_api.passages import EventText, choice_number

_encode = msgspec.json.encode
_NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_UNSET = (b'""', b"0", b"null")


class Shape(NamedTuple):
    """How chat and completions differ: the kinds of their objects, the prefix of their ids, and where the text of a
    choice stands."""

    kind: str
    chunk_kind: str
    prefix: str
    is_chat: bool

    def choice(self, number: int, text: str, finish_reason: str = "stop") -> dict[str, Any]:
        """A choice of a whole answer."""
        said: dict[str, Any] = {"text": text}
        if self.is_chat:
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
        return {"index": number, **said, "logprobs": None, "finish_reason": finish_reason}

    def delta(self, number: int, text: str | None, finish_reason: str | None) -> dict[str, Any]:
        """A choice of a chunk; `text` None says nothing."""
        said: dict[str, Any] = {"text": text or ""}
        if self.is_chat:
            said = {"delta": {} if text is None else {"role": "assistant", "content": text}}
        return {"index": number, **said, "logprobs": None, "finish_reason": finish_reason}


CHAT = Shape("chat.completion", "chat.completion.chunk", "chatcmpl-", True)
COMPLETIONS = Shape("text_completion", "text_completion", "cmpl-", False)


def message_body(shape: Shape, model: str, text: str, *, id: str, created: int) -> bytes:
    """A whole answer that says `text`; `id` follows the surface's prefix, `created` is Unix seconds."""
    head = {"id": shape.prefix + id, "object": shape.kind, "created": created, "model": model}
    return _encode({**head, "choices": [shape.choice(0, text)], "usage": _NO_TOKENS})


def message_stream(shape: Shape, model: str, text: str, *, id: str, created: int, include_usage: bool) -> bytes:
    """The same as a stream, complete with its end."""
    head: dict[str, Any] = {"id": shape.prefix + id, "object": shape.chunk_kind, "created": created, "model": model}
    usage = _encode({**head, "choices": [], "usage": _NO_TOKENS})
    return _chunks(head, shape, 0, text) + (sse.encode(usage) if include_usage else b"") + sse.DONE


def _chunks(head: Mapping[str, Any], shape: Shape, choice: int, text: str) -> bytes:
    entries = shape.delta(choice, text, None), shape.delta(choice, None, "stop")
    return b"".join(sse.encode(_encode({**head, "choices": [entry]})) for entry in entries)


def replaced(shape: Shape, body: bytes, messages: Mapping[int, str], *, model: str, id: str) -> bytes:
    """A whole answer in which these choices say the message instead; everything else keeps its bytes.

    Raises ValueError for a body without a list of choices.
    """

    def said(position: int, entry: Any) -> Any:
        number = choice_number(entry, position)
        return shape.choice(number, messages[number]) if number in messages else entry

    return map_entries(body, "choices", said)


def withheld(shape: Shape, body: bytes, choices: Collection[int]) -> bytes:
    """A whole answer in which these choices are empty and end with `finish_reason` "content_filter".

    Everything else keeps its bytes. Raises ValueError for a body without a list of choices.
    """

    def emptied(position: int, entry: Any) -> Any:
        number = choice_number(entry, position)
        return shape.choice(number, "", "content_filter") if number in choices else entry

    return map_entries(body, "choices", emptied)


def chat_with_system(body: dict[str, Any], text: str) -> None:
    """Put a system message before the others. Raises ValueError for a body that has no place for it."""
    if not isinstance(body.get("messages"), list):
        raise ValueError("the body has no list of messages")
    body["messages"].insert(0, {"role": "system", "content": text})


def prompt_with_system(body: dict[str, Any], text: str) -> None:
    """Put the text before each prompt, because a plain completion has no roles. Raises ValueError as above."""
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        body["prompt"] = f"{text}\n\n{prompt}"
    elif isinstance(prompt, list) and prompt and all(isinstance(one, str) for one in prompt):
        body["prompt"] = [f"{text}\n\n{one}" for one in prompt]
    else:
        raise ValueError("the prompt is not a text")


class ChunkEnding:
    """The ending of a stream of chunks: nothing that was sent has to be closed."""

    def __init__(self, shape: Shape, model: str) -> None:
        self._shape = shape
        head = {"id": f"{shape.prefix}blocked", "object": shape.chunk_kind, "created": 0, "model": model}
        self._head: dict[str, Any] = head

    def first(self, data: bytes) -> None:
        fields = fields_of(data)
        known = ("id", "created", "model")
        self._head |= {key: fields[key] for key in known if bytes(fields.get(key, b"0")) not in _UNSET}

    def sent(self, event: Mapping[str, Any], said: list[EventText]) -> None:
        """Nothing to remember."""

    def blocked(self, choice: int, message: str = "") -> bytes:
        if message:
            return _chunks(self._head, self._shape, choice, message)
        entry = self._shape.delta(choice, None, "content_filter")
        return sse.encode(_encode({**self._head, "choices": [entry]}))

    def close(self, *, done: bool, message: str = "", usage: Any = None) -> bytes:
        return b"" if done else sse.DONE


# --- errors, which OpenAI's other surfaces write in the same way


def error_body(message: str, type: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error reply; all four keys are always there."""
    return _encode({"error": {"message": message, "type": type, "param": param, "code": code}})


def error_of_status(message: str, type: str, param: str | None, code: str | None, status: int) -> bytes:
    """As `error_body`, with the parameters that all such functions have; this API has no status in the body."""
    return error_body(message, type, param, code)


def error_event(message: str, type: str, param: str | None, code: str | None, sequence_number: int) -> bytes:
    """An error as the final event of a stream whose status line is gone; its events are not numbered."""
    return sse.encode(error_body(message, type, param, code))
