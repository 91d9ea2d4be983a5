"""The tokens that an upstream says it took in and gave out, read off the ends of an answer.

The object `usage` stands near the end of a whole answer, and in the last events of a stream; nothing else of the answer
is parsed for it. A stream of Anthropic's dialect tells in its first event what went in.
"""

import re
from typing import Annotated

import msgspec

from gateway.exchange import Exchange, Usage
from gateway.openai_api import SURFACES

# An object of numbers, in which others stand two deep at most. A quote inside a JSON text is escaped, so that nothing a
# model says looks like this. Possessive throughout: what does not match is given up at once.
_OBJECT = re.compile(rb'"usage"\s*+:\s*+(\{[^{}]*+(?:\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}[^{}]*+)*+\})')
_KEY = b'"usage"'
_LOOKS = 4  # at places that are called `usage`: the last events of a stream may say that there is none
_NEAR_BYTES = 64 * 1024  # from the end, or from the beginning
# As plain strings: an enum's own hash is Python's slowest.
METERED = frozenset(surface.operation._value_ for surface in SURFACES.values() if surface.metered)

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**12)] | None  # what claims more is no count


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Tokens = None


class _Told(msgspec.Struct, gc=False):
    """What any of the dialects says."""

    prompt_tokens: _Tokens = None
    completion_tokens: _Tokens = None
    input_tokens: _Tokens = None
    output_tokens: _Tokens = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: _Tokens = None  # with Anthropic these two come on top of `input_tokens`
    cache_creation_input_tokens: _Tokens = None

    @property
    def says_input(self) -> bool:
        return self.prompt_tokens is not None or self.input_tokens is not None

    @property
    def says_output(self) -> bool:
        return self.completion_tokens is not None or self.output_tokens is not None


_decode = msgspec.json.Decoder(_Told).decode


def read_usage(exchange: Exchange) -> Usage | None:
    """What the upstream told of this exchange; None where it told nothing that can be read."""
    transcript = exchange.transcript
    end = transcript.end
    if not end or transcript.encoding:
        return None
    told = _flat(end)
    if told is not None and told.prompt_tokens is not None:  # the most usual, and nothing else is to be looked at
        return Usage(told.prompt_tokens, told.completion_tokens or 0)
    told = _last(end)
    if transcript.stream and (told is None or not told.says_input):
        told = _merged(_first(transcript.beginning or end), told)
    return None if told is None else _counted(told)


def _flat(data: bytes | bytearray) -> _Told | None:
    """The last object that is called `usage`, where it has no others in it."""
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
    """The last usable object that is called `usage`."""
    at = len(data)
    for _ in range(_LOOKS):
        at = data.rfind(_KEY, -_NEAR_BYTES, at)
        if at < 0:
            break
        if (told := _read(data, at)) is not None:
            return told
    return None


def _first(data: bytes | bytearray) -> _Told | None:
    """The first one."""
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
    """Of a stream that tells in two places; what is told twice is a running sum, so that the last one counts."""
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
