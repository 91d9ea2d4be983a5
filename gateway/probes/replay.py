"""Which requests may be sent again without side effects, what they say, and the bytes to send.

A request is sent again only if every field of it is known to have no effect beyond the answer. With a field that is not
listed here, such as `previous_response_id` or one that an API will get next year, it is not sent. Tools that the caller
runs have no effect: the answer names them, and nobody runs them for a probe. Tools that a server runs, such as a
search, do have one.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from gateway.encodings import EncodingError, decode
from gateway.exchange import Sample
from gateway.openai_api import (
    SURFACES,
    Operation,
    Passage,
    read_request,
    read_response,
    read_stream,
    rewrite,
    set_fields,
)
from gateway.probes.calling import tools_called
from gateway.probes.changes.conversation import Conversation, Edits, RequestText
from gateway.probes.comparing import calls_of
from gateway.probes.ending import was_cut

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
_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_REPEATABLE: Mapping[str, tuple[str, frozenset[str]]] = {
    Operation.CHAT: (
        "/chat/completions",
        _SAMPLING
        | _TOOLS
        | {"messages", "max_tokens", "max_completion_tokens", "response_format", "reasoning_effort", "verbosity"}
        | {"functions", "function_call"},
    ),
    Operation.COMPLETIONS: ("/completions", _SAMPLING | {"prompt", "suffix", "max_tokens", "echo", "best_of"}),
    Operation.RESPONSES: (
        "/responses",
        _SAMPLING | _TOOLS | {"input", "instructions", "max_output_tokens", "text", "reasoning", "truncation"},
    ),
    Operation.MESSAGES: (
        "/messages",
        frozenset(
            {
                "model", "messages", "system", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences",
                "stream", "metadata", "service_tier", "thinking", "tools", "tool_choice",
            }
        ),
    ),
}  # fmt: skip
# Types of tools that the caller runs; "" stands for a tool without a type, which only Anthropic's API has.
_OF_THE_CALLER = {
    Operation.CHAT: {"function", "custom"},
    Operation.RESPONSES: {"function", "custom"},
    Operation.MESSAGES: {"", "custom"},
}
# The fields that hold the conversation; the application defines the others.
_SAID = frozenset({"messages", "system", "input", "instructions", "prompt", "suffix"})
# Fields that are not sent again: how the answer is delivered, and whose request it was.
_DROPPED = ("stream", "stream_options", "n", "user", "metadata", "safety_identifier", "prompt_cache_key")
_PER_BYTE = 16  # an answer that unpacks to more than this many times its size is not read


def why_not(sample: Sample, most_characters: int) -> Reason | None:
    """Why this exchange must not be sent again, judged without reading its texts; None when it may be."""
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
    if not _are_the_callers(operation, bytes(fields.get("tools", b"null"))):
        return False
    stored = bytes(fields.get("store", b"null"))
    # OpenAI stores every response unless the request says otherwise.
    return stored == b"false" or (operation != Operation.RESPONSES and stored == b"null")


class _Tool(msgspec.Struct):
    type: str = ""


def _are_the_callers(operation: str, tools: bytes) -> bool:
    """Whether every tool is run by the caller."""
    try:
        found = msgspec.json.decode(tools, type=list[_Tool] | None) or []
    except msgspec.DecodeError:
        return False
    return all(tool.type in _OF_THE_CALLER.get(Operation(operation), ()) for tool in found)


def conversation_of(sample: Sample) -> Conversation | Reason:
    """The conversation of a sample, or why it must not be sent again."""
    operation = Operation(sample.operation)
    asked = read_request(operation, sample.prompt)
    if asked.unread:
        return "not_text"
    body = _unpacked(sample)
    answer = _answered(operation, body, stream=sample.stream)
    if not answer:
        return "no_answer"
    said = tuple(_said(passage) for passage in asked.passages if passage.path[0] in _SAID)
    return Conversation(said, answer, was_cut(body, sample.prompt, stream=sample.stream))


def _said(passage: Passage) -> RequestText:
    is_whole = not passage.sources and passage.channel != "arguments"
    return RequestText(passage.channel, passage.text, tuple(passage.path) if is_whole else None)


def _unpacked(sample: Sample) -> bytes:
    try:
        return decode(sample.answer, sample.encoding, len(sample.answer) * _PER_BYTE)[0]
    except EncodingError:
        return b""


def _answered(operation: Operation, body: bytes, *, stream: bool) -> str:
    read = read_stream(operation, body) if stream else read_response(operation, body)
    return _text(read.passages, tools_called(body, stream=stream))


def answer_in(operation: str, body: bytes) -> str:
    """The text of the first choice of a whole answer, or the tools that it calls; empty where it says nothing."""
    return _text(read_response(Operation(operation), body).passages, tools_called(body))


def _text(passages: list[Passage], called: Sequence[str]) -> str:
    if called:
        return calls_of(called)
    said = [passage.text for passage in passages if passage.channel == "assistant" and passage.choice == 0]
    return "\n".join(said).strip()


def answer_saying(operation: str, text: str) -> bytes:
    """A whole answer that says this and no more."""
    writes = SURFACES[Operation(operation)].answers
    assert writes is not None  # so it is for all that can be sent again
    return writes.message_body("probe", text, id="probe", created=0)


def path_of(operation: str) -> str:
    """Where a request of this operation goes, below the upstream's base."""
    return _REPEATABLE[operation][0]


def body_of(sample: Sample, edits: Edits, model: str | None = None) -> bytes:
    """The sample's request with these texts in place of its own. Raises KeyError and ValueError as `rewrite` does."""
    changes: dict[str, bytes | None] = dict.fromkeys(_DROPPED)
    if model is not None:
        changes["model"] = msgspec.json.encode(model)
    return set_fields(rewrite(sample.prompt, edits), changes)
