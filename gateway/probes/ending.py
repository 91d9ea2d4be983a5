"""Whether an answer ended by itself or was cut off: by the reason that it gives, else by the tokens that it took."""

from collections.abc import Iterator

import msgspec

from gateway.openai_api import sse

# Why an answer ended where it was not done: `finish_reason`, `stop_reason`, and the `status` of OpenAI's responses.
_CUT = frozenset(
    {
        "length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "content_filter", "incomplete",
        "pause_turn",
    }
)  # fmt: skip


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None
    output_tokens: int | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    usage: _Usage | None = None


class _Piece(msgspec.Struct):
    """A whole answer, or an event of one: of chat (`choices`), of messages (`stop_reason`, `delta`), of responses
    (`status`, `response`)."""

    choices: list[_Choice] | None = None
    stop_reason: str | None = None
    delta: _Delta | str | None = None
    status: str | None = None
    response: _Response | None = None
    usage: _Usage | None = None


class _Limits(msgspec.Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None


_piece = msgspec.json.Decoder(_Piece, strict=False).decode
_limits = msgspec.json.Decoder(_Limits, strict=False).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TELLS = (b"finish_reason", b"stop_reason", b"status", b"usage")  # only such pieces are read


def was_cut(answer: bytes, request: bytes, *, stream: bool = False) -> bool:
    """Whether the first choice of an answer ended before it was done.

    A server that gives no reason leaves the tokens: as many as the request allows mean that there was no room for more.
    """
    reason, used = "", 0
    for piece in _pieces(answer, stream=stream):
        reason = next(filter(None, _reasons(piece)), reason)
        used = max(used, *map(_tokens, (piece.usage, piece.response.usage if piece.response else None)))
    if reason:
        return reason in _CUT
    allowed = _allowed(request)
    return allowed is not None and used >= allowed


def _pieces(answer: bytes, *, stream: bool) -> Iterator[_Piece]:
    for data in [event.data for event in sse.events_of(answer)] if stream else [answer]:
        if any(word in data for word in _TELLS):
            try:
                yield _piece(data)
            except _BROKEN:
                continue


def _reasons(piece: _Piece) -> Iterator[str | None]:
    yield from (choice.finish_reason for choice in piece.choices or () if choice.index == 0)
    yield piece.stop_reason
    yield piece.delta.stop_reason if isinstance(piece.delta, _Delta) else None
    for status in (piece.status, piece.response.status if piece.response else None):
        yield None if status == "in_progress" else status


def _tokens(usage: _Usage | None) -> int:
    return max(usage.completion_tokens or 0, usage.output_tokens or 0) if usage else 0


def _allowed(request: bytes) -> int | None:
    try:
        limits = _limits(request)
    except _BROKEN:
        return None
    given = [limits.max_tokens, limits.max_completion_tokens, limits.max_output_tokens]
    return min((limit for limit in given if limit is not None), default=None)
