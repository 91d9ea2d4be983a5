"""How sure a model was of its tokens, where its answer has their log-probabilities."""

import math

import msgspec

from gateway.encodings import EncodingError, decode

_PER_BYTE = 16  # an answer that unpacks to more than this many times its size is not read


class _Token(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    """Of chat completions (`content`) or of completions (`token_logprobs`)."""

    content: list[_Token] | None = None
    token_logprobs: list[float | None] | None = None


class _Choice(msgspec.Struct):
    logprobs: _Logprobs | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []


_decode = msgspec.json.Decoder(_Answer).decode


def token_confidence(answer: bytes, encoding: str) -> float | None:
    """The geometric mean of the tokens' probabilities in an answer with one choice; None where there are none."""
    try:
        body, _ = decode(answer, encoding, len(answer) * _PER_BYTE)
        choices = _decode(body).choices if b'"logprobs"' in body else []
    except (EncodingError, msgspec.DecodeError):
        return None
    if len(choices) != 1 or (found := choices[0].logprobs) is None:
        return None
    values = [token.logprob for token in found.content or []] or [
        v for v in found.token_logprobs or [] if v is not None
    ]
    mean = sum(values) / len(values) if values else math.nan
    return math.exp(mean) if mean <= 0 else None
