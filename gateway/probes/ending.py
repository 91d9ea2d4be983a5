"""Whether an answer ended by itself or was cut off: by the reason that it states, else by the tokens that it used.

It is read as leniently as its texts are: if the last token was half a character, strict JSON readers refuse the answer,
and one field of an unexpected form must not hide the others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.openai_api import sse
from gateway.openai_api.bodies.document import parse

# Reasons of an answer that ended too early: in `finish_reason`, `stop_reason`, and the `status` of OpenAI's responses.
_CUT = frozenset(
    {
        "length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "content_filter", "incomplete",
        "pause_turn",
    }
)  # fmt: skip
_STATUSES = frozenset({"completed", "incomplete", "failed", "cancelled"})  # of a response that ended
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_USED = ("completion_tokens", "output_tokens")
_TELLS = (b"finish_reason", b"stop_reason", b"status", b"usage")  # only pieces with one of these are read


def was_cut(answer: bytes, request: bytes, *, stream: bool = False) -> bool:
    """Whether the first choice of an answer was cut off.

    If the server states no reason, an answer that used all the tokens that the request allows counts as cut off.
    """
    reason, used = "", 0.0
    for piece in _pieces(answer, stream=stream):
        reason = next((given for given in _reasons(piece) if isinstance(given, str) and given), reason)
        used = max([used, *_tokens(_below(piece, "usage")), *_tokens(_below(_below(piece, "response"), "usage"))])
    if reason:
        return reason.lower() in _CUT
    allowed = min(_numbers(_object(request), _LIMITS), default=None)
    return allowed is not None and used >= allowed


def _pieces(answer: bytes, *, stream: bool) -> Iterator[Mapping[str, Any]]:
    """A whole answer, or the events of a stream: of chat (`choices`), messages (`stop_reason`, `delta`) or responses
    (`status`, `response`)."""
    for data in [event.data for event in sse.events_of(answer)] if stream else [answer]:
        if any(word in data for word in _TELLS):
            yield _object(data)


def _object(body: bytes) -> Mapping[str, Any]:
    """The JSON object in a body; empty where there is none."""
    try:
        value = parse(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _below(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    below = value.get(key)
    return below if isinstance(below, dict) else {}


def _reasons(piece: Mapping[str, Any]) -> Iterator[object]:
    choices = piece.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and not choice.get("index"):
            yield choice.get("finish_reason")
    yield piece.get("stop_reason")
    yield _below(piece, "delta").get("stop_reason")
    for status in (piece.get("status"), _below(piece, "response").get("status")):
        yield status if isinstance(status, str) and status in _STATUSES else None


def _tokens(usage: Mapping[str, Any]) -> list[float]:
    return _numbers(usage, _USED)


def _numbers(value: Mapping[str, Any], names: tuple[str, ...]) -> list[float]:
    found = (value.get(name) for name in names)
    return [number for number in found if isinstance(number, int | float) and not isinstance(number, bool)]
