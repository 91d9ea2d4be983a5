"""The token counts that an upstream states in its answer.

The object `usage` stands near the end of a whole answer, or in the last events of a stream; only the ends of an answer
are searched for it. In Anthropic's dialect the first event of a stream states the input tokens.
"""

import re
from typing import Annotated

import msgspec

from gateway.exchange import Exchange, Usage
from gateway.openai_api import SURFACES

# An object of numbers, with objects nested two deep at most. A quote inside a JSON text is escaped, so no text that a
# model writes looks like this. All quantifiers are possessive, so that a mismatch is given up at once.
_OBJECT = re.compile(rb'"usage"\s*+:\s*+(\{[^{}]*+(?:\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}[^{}]*+)*+\})')
_KEY = b'"usage"'
_LOOKS = 4  # keys named `usage` that are tried: in the last events of a stream it may be null
_NEAR_BYTES = 64 * 1024  # searched from the end, or from the beginning
# Plain strings, because hashing a member of an enumeration is slow.
METERED = frozenset(surface.operation._value_ for surface in SURFACES.values() if surface.metered)

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**12)] | None  # a larger number cannot be a count


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Tokens = None


class _Told(msgspec.Struct, gc=False):
    """The fields of all dialects."""

    prompt_tokens: _Tokens = None
    completion_tokens: _Tokens = None
    input_tokens: _Tokens = None
    output_tokens: _Tokens = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: _Tokens = None  # Anthropic does not count this one and the next in `input_tokens`
    cache_creation_input_tokens: _Tokens = None

    @property
    def says_input(self) -> bool:
        return self.prompt_tokens is not None or self.input_tokens is not None

    @property
    def says_output(self) -> bool:
        return self.completion_tokens is not None or self.output_tokens is not None


_decode = msgspec.json.Decoder(_Told).decode


def read_usage(exchange: Exchange) -> Usage | None:
    """The usage that the upstream stated for this exchange; None where there is none that can be read."""
    transcript = exchange.transcript
    end = transcript.end
    if not end or transcript.encoding:
        return None
    told = _flat(end)
    if told is not None and told.prompt_tokens is not None:  # the usual case, and the quickest
        return Usage(told.prompt_tokens, told.completion_tokens or 0)
    told = _last(end)
    if transcript.stream and (told is None or not told.says_input):
        told = _merged(_first(transcript.beginning or end), told)
    return None if told is None else _counted(told)


def _flat(data: bytes | bytearray) -> _Told | None:
    """The last object named `usage`, if it has no objects in it."""
    at = data.rfind(_KEY, -_NEAR_BYTES)
    start = at + len(_KEY) + 1
    end = data.find(b"}", start) + 1
    if at < 0 or data.find(b"{", start + 1, end) >= 0:
        return None
    try:
        return _decode(data[start:end])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _last(data: bytes | bytearray) -> _Told | None:
    """The last object named `usage` that states input or output tokens."""
    at = len(data)
    for _ in range(_LOOKS):
        at = data.rfind(_KEY, -_NEAR_BYTES, at)
        if at < 0:
            break
        if (told := _read(data, at)) is not None:
            return told
    return None


def _first(data: bytes | bytearray) -> _Told | None:
    """The first object named `usage` that states input or output tokens."""
    at = -1
    for _ in range(_LOOKS):
        at = data.find(_KEY, at + 1, _NEAR_BYTES)
        if at < 0:
            break
        if (told := _read(data, at)) is not None:
            return told
    return None


def _read(data: bytes | bytearray, at: int) -> _Told | None:
    found = _OBJECT.match(data, at)
    if found is None:
        return None
    try:
        told = _decode(found[1])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return told if told.says_input or told.says_output else None


def _merged(opening: _Told | None, ending: _Told | None) -> _Told | None:
    """The usage of a stream that states it in two places. A figure that is stated twice is a running sum: the later one
    counts."""
    if opening is None or ending is None:
        return opening or ending
    later = {name: value for name in ending.__struct_fields__ if (value := getattr(ending, name)) is not None}
    return msgspec.structs.replace(opening, **later)


def _counted(told: _Told) -> Usage:
    details = told.prompt_tokens_details or told.input_tokens_details
    read, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
    taken_in = (told.prompt_tokens or told.input_tokens or 0) + read + written
    cached = read or (details.cached_tokens if details is not None else 0) or 0
    return Usage(taken_in, told.completion_tokens or told.output_tokens or 0, min(cached, taken_in))
