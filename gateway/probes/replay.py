"""Which requests may be sent again without an effect, what they say, and the bytes that go.

A request is sent again only when every field of it is known to have no effect beyond its answer: a field that is not
listed here, such as `tools`, `previous_response_id` or one that an API will get next year, keeps a request from being
sent again.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.encodings import EncodingError, decode
from gateway.exchange import Sample
from gateway.openai_api import Operation, Passage, read_request, read_response, read_stream, rewrite, set_fields
from gateway.probes.changes.conversation import Conversation, Edits, Said

# Why a sample is not sent again.
Reason = Literal["outcome", "operation", "effects", "not_text", "too_long", "no_answer", "upstream"]
REASONS: tuple[Reason, ...] = ("outcome", "operation", "effects", "not_text", "too_long", "no_answer", "upstream")

_SAMPLING = frozenset(
    {
        "model", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "stream", "stream_options",
        "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "service_tier", "user",
        "metadata", "safety_identifier", "prompt_cache_key", "store",
    }
)  # fmt: skip
_REPEATABLE: Mapping[str, tuple[str, frozenset[str]]] = {
    Operation.CHAT: (
        "/chat/completions",
        _SAMPLING
        | {"messages", "max_tokens", "max_completion_tokens", "response_format", "reasoning_effort", "verbosity"},
    ),
    Operation.COMPLETIONS: ("/completions", _SAMPLING | {"prompt", "suffix", "max_tokens", "echo", "best_of"}),
    Operation.RESPONSES: (
        "/responses",
        _SAMPLING | {"input", "instructions", "max_output_tokens", "text", "reasoning", "truncation"},
    ),
}
# Left out of what is sent again: how it is delivered, whose it was, and that it be kept.
_DROPPED = ("stream", "stream_options", "n", "user", "metadata", "safety_identifier", "prompt_cache_key")
_PER_BYTE = 16  # an unpacked answer is at most so many times as long as it came


def why_not(sample: Sample, most_characters: int) -> Reason | None:
    """Why this exchange is not to be sent again, as far as its envelope tells; None when it may be."""
    if sample.outcome != "completed" or sample.status != 200:
        return "outcome"
    if sample.operation not in _REPEATABLE:
        return "operation"
    if sample.cut or len(sample.prompt) > most_characters:
        return "too_long"
    return None if _has_no_effect(sample.operation, sample.prompt) else "effects"


def _has_no_effect(operation: str, body: bytes) -> bool:
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not fields.keys() <= _REPEATABLE[operation][1]:
        return False
    stored = bytes(fields.get("store", b"null"))
    # OpenAI keeps each response that does not say otherwise.
    return stored == b"false" or (operation != Operation.RESPONSES and stored == b"null")


def conversation_of(sample: Sample) -> Conversation | Reason:
    """What was said, or why it is not to be sent again."""
    operation = Operation(sample.operation)
    asked = read_request(operation, sample.prompt)
    if asked.unread or any(passage.channel == "arguments" for passage in asked.passages):
        return "not_text"
    answer = _answered(operation, sample)
    if not answer:
        return "no_answer"
    return Conversation(tuple(_said(passage) for passage in asked.passages), answer)


def _said(passage: Passage) -> Said:
    return Said(passage.channel, passage.text, None if passage.sources else tuple(passage.path))


def _answered(operation: Operation, sample: Sample) -> str:
    try:
        body, _ = decode(sample.answer, sample.encoding, len(sample.answer) * _PER_BYTE)
    except EncodingError:
        return ""
    read = read_stream(operation, body) if sample.stream else read_response(operation, body)
    return _text(read.passages)


def answer_in(operation: str, body: bytes) -> str:
    """The text of a whole answer, of its first choice; empty where it says nothing."""
    return _text(read_response(Operation(operation), body).passages)


def _text(passages: list[Passage]) -> str:
    said = [passage.text for passage in passages if passage.channel == "assistant" and passage.choice == 0]
    return "\n".join(said).strip()


def path_of(operation: str) -> str:
    """Where a request of this operation goes, below the upstream's base."""
    return _REPEATABLE[operation][0]


def body_of(sample: Sample, edits: Edits, model: str | None = None) -> bytes:
    """The request again, with these texts in place of its own. Raises KeyError and ValueError as `rewrite` does."""
    changes: dict[str, bytes | None] = dict.fromkeys(_DROPPED)
    if model is not None:
        changes["model"] = msgspec.json.encode(model)
    return set_fields(rewrite(sample.prompt, edits), changes)
