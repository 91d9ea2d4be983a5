"""What the gateway writes itself in the form of Anthropic's Messages API: messages of the policy, refusals, errors, and
the end of a blocked stream.

A blocked answer ends as that API ends a refusal: with the `stop_reason` "refusal", and `stop_details` that say why.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.bodies.document import encoded, fields_of, set_fields
from gateway.openai_api.passages import EventText

_encode = msgspec.json.encode
_NO_TOKENS = {"input_tokens": 0, "output_tokens": 0}
EXPLANATION = "a policy of the gateway stopped this answer"
# The types of errors that this API knows, by HTTP status.
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def _message(model: str, id: str, **more: Any) -> dict[str, Any]:
    own: dict[str, Any] = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
    }
    return {**own, "stop_reason": None, "stop_sequence": None, "stop_details": None, "usage": _NO_TOKENS, **more}


def _refused(explanation: str) -> dict[str, Any]:
    details = {"type": "refusal", "category": None, "explanation": explanation}
    return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _events(*events: Mapping[str, Any]) -> bytes:
    return b"".join(sse.encode(encoded(event), event["type"]) for event in events)


def message_body(model: str, text: str, *, id: str, created: int) -> bytes:
    """A whole answer that says `text`; this API has no time of creation."""
    return _encode(_message(model, f"msg_{id}", content=[_text(text)], stop_reason="end_turn"))


def message_stream(model: str, text: str, *, id: str, created: int, include_usage: bool) -> bytes:
    """The same as a stream, complete with its end."""
    start = {"type": "message_start", "message": _message(model, f"msg_{id}")}
    return _events(start, *_block(0, text), *_end({"stop_reason": "end_turn", "stop_sequence": None}, _NO_TOKENS))


def refusal_body(model: str, explanation: str, *, id: str) -> bytes:
    """A whole answer that refuses."""
    return _encode(_message(model, f"msg_{id}", **_refused(explanation)))


def refusal_stream(model: str, explanation: str, *, id: str) -> bytes:
    """The same as a stream."""
    start = {"type": "message_start", "message": _message(model, f"msg_{id}")}
    return _events(start, *_end(_refused(explanation), _NO_TOKENS))


def replaced(body: bytes, messages: Mapping[int, str], *, model: str, id: str) -> bytes:
    """The answer with the message instead of the model's content. Raises ValueError if the body is not an object."""
    said = {"content": _encode([_text(messages[0])]), "stop_reason": b'"end_turn"'}
    return set_fields(body, {**said, "stop_sequence": b"null", "stop_details": b"null"})


def withheld(body: bytes, choices: Collection[int]) -> bytes:
    """A whole answer without its content; ids and usage stay. Raises ValueError if the body is not an object."""
    ended = {key: _encode(value) for key, value in _refused(EXPLANATION).items()}
    return set_fields(body, {"content": b"[]", **ended})


def with_system(body: dict[str, Any], text: str) -> None:
    """Put the text before the system prompt. Raises ValueError if that is neither text nor blocks."""
    given = body.get("system")
    if isinstance(given, list):
        body["system"] = [{"type": "text", "text": text}, *given]
    elif given is None or isinstance(given, str):
        body["system"] = f"{text}\n\n{given}" if given else text
    else:
        raise ValueError("the system prompt is neither a text nor a list of blocks")


def error_body(message: str, type: str, param: str | None, code: str | None, status: int) -> bytes:
    """An error reply. Its type follows from the status; `code` is the gateway's own name for the error."""
    return _encode(_error(message, _ERRORS.get(status, "api_error"), code))


def error_event(message: str, type: str, param: str | None, code: str | None, sequence_number: int) -> bytes:
    """An error as the final event of a stream whose status line is gone."""
    return _events(_error(message, "overloaded_error" if code == "overloaded" else "api_error", code))


def _error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, "code": code}}


def _block(index: int, text: str) -> Iterator[dict[str, Any]]:
    place = {"index": index}
    yield {"type": "content_block_start", **place, "content_block": _text("")}
    yield {"type": "content_block_delta", **place, "delta": {"type": "text_delta", "text": text}}
    yield {"type": "content_block_stop", **place}


def _end(delta: Mapping[str, Any], usage: Any) -> Iterator[dict[str, Any]]:
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


class MessageEnding:
    """The ending of a stream: closes what is open, then ends the message as a refusal or with the policy's message."""

    def __init__(self, model: str) -> None:
        self._message = _message(model, "msg_blocked")
        self._begun = False
        self._next = 0  # the number of a block that comes after all that were sent
        self._open: set[int] = set()

    def first(self, data: bytes) -> None:
        fields = fields_of(fields_of(data).get("message", b""))
        kept = {key: fields[key] for key in ("id", "model", "usage") if key in fields}
        self._message |= {key: msgspec.json.decode(value) for key, value in kept.items()}

    def sent(self, event: Mapping[str, Any], said: list[EventText]) -> None:
        type_, index = event.get("type"), event.get("index")
        self._begun |= type_ == "message_start"
        if type(index) is not int:
            return
        self._next = max(self._next, index + 1)
        if type_ == "content_block_start":
            self._open.add(index)
        elif type_ == "content_block_stop":
            self._open.discard(index)

    def blocked(self, choice: int, message: str = "") -> bytes:
        return b""

    def close(self, *, done: bool, message: str = "", usage: Any = None) -> bytes:
        events: list[Mapping[str, Any]] = []
        if not self._begun:
            events.append({"type": "message_start", "message": self._message})
        events += [{"type": "content_block_stop", "index": index} for index in sorted(self._open)]
        delta = _refused(EXPLANATION)
        if message:
            events += _block(self._next, message)
            delta = {"stop_reason": "end_turn", "stop_sequence": None}
        known = self._message["usage"] if usage is None else usage
        output = known.get("output_tokens", 0) if isinstance(known, dict) else 0
        return _events(*events, *_end(delta, {**(known if isinstance(known, dict) else {}), "output_tokens": output}))
