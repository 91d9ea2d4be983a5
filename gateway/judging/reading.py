"""Which texts of a request are judged: bounded in bytes, values, texts and characters, the latest first to stay."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from gateway.judging.messages import Findings, JudgingRequest
from gateway.openai_api import Operation, Passage, read_request, read_response, read_stream
from gateway.openai_api.encodings import EncodingError, decode

ANSWER_BYTES = 32 * 2**20
CONTEXT_CHARACTERS = 2_000
REQUEST_CHARACTERS = 200_000
REQUEST_TEXTS = 1_000
BODY_VALUES = 500_000  # commas and brackets: each value of a body costs memory and time that its bytes do not show


class TextToJudge(NamedTuple):
    """A passage, the end of the prompt behind it, and the slugs that are asked of it: None for all."""

    passage: Passage
    context: str | None
    slugs: frozenset[str] | None


def texts_to_judge(request: JudgingRequest, reply: Findings) -> Iterator[TextToJudge]:
    """In the order of the bodies. What cannot be read, or was left out, is told to `reply`."""
    operation = Operation(request.operation)
    prompts = _prompts(operation, request.prompt, reply)
    prompt_slugs = None if request.prompt_slugs is None else frozenset(request.prompt_slugs)
    answer_slugs = None if request.answer_slugs is None else frozenset(request.answer_slugs)
    if prompt_slugs is None or prompt_slugs:
        for passage in _bounded([passage for passage in prompts if passage.fresh or not request.fresh], reply):
            yield TextToJudge(passage, None, prompt_slugs)
    if request.answer and answer_slugs != frozenset():
        asked = [passage.text for passage in prompts if passage.channel == "user"]
        context = asked[-1][-CONTEXT_CHARACTERS:] if asked else None
        for passage in _bounded(_answers(operation, request, reply), reply):
            yield TextToJudge(passage, context, answer_slugs)


def _prompts(operation: Operation, body: bytes, reply: Findings) -> Sequence[Passage]:
    if not body:
        return []
    if _has_too_many_values(body):
        reply.unreadable = f"the request holds more than {BODY_VALUES} values"
        return []
    return read_request(operation, body)


def _answers(operation: Operation, request: JudgingRequest, reply: Findings) -> Sequence[Passage]:
    try:
        body, more = decode(request.answer, request.encoding, ANSWER_BYTES)
    except EncodingError as error:
        reply.unreadable = str(error)
        return []
    if more:
        reply.unreadable = f"the answer unpacks to more than {ANSWER_BYTES} bytes"
        return []
    if _has_too_many_values(body):
        reply.unreadable = f"the answer holds more than {BODY_VALUES} values"
        return []
    passages = read_stream(operation, body) if request.stream else read_response(operation, body)
    if not passages and not request.stream and not _is_json(body):
        reply.unreadable = "the answer is not JSON"
    return passages


def _bounded(passages: Sequence[Passage], reply: Findings) -> Sequence[Passage]:
    """The latest passages within the bounds of one request; of the last that fits in part, its beginning."""
    left = REQUEST_CHARACTERS
    kept: list[Passage] = []
    for passage in reversed(passages):
        if not left or len(kept) == REQUEST_TEXTS:
            reply.cut = True
            break
        if len(passage.text) > left:
            reply.cut = True
            passage = msgspec.structs.replace(passage, text=passage.text[:left])
        left -= len(passage.text)
        kept.append(passage)
    return kept[::-1]


def _has_too_many_values(body: bytes) -> bool:
    return len(body) > BODY_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") > BODY_VALUES


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
