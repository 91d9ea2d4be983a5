"""Which texts of a request are judged: bounded in bytes, values, texts and characters; the latest texts are kept."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from detectors.base import UNREAD, Turn
from gateway.encodings import EncodingError, decode
from gateway.judging.messages import Findings, JudgingRequest
from gateway.openai_api import (
    CHANNELS,
    Channel,
    Direction,
    Operation,
    Passage,
    Reading,
    Unread,
    has_too_many_values,
    read_request,
    read_response,
    read_stream,
)

_CHANNELS: Mapping[str, Channel] = {channel: channel for channel in CHANNELS}
ANSWER_BYTES = 32 * 2**20
CONTEXT_CHARACTERS = 2_000
REQUEST_CHARACTERS = 200_000
REQUEST_TEXTS = 1_000
TURN_CHARACTERS = 200_000  # kept of what was said before an answer, for detectors that compare


class TextToJudge(NamedTuple):
    """A passage, the end of the prompt before it, and the slugs that are asked of it; None for all.

    `turns` is all that was said before an answer, if one of the slugs needs it.
    """

    passage: Passage
    context: str | None
    slugs: frozenset[str] | None
    turns: tuple[Turn, ...] = ()


def texts_to_judge(
    request: JudgingRequest, reply: Findings, compared: frozenset[str] = frozenset()
) -> Iterator[TextToJudge]:
    """The texts in the order of the bodies. `reply` records what cannot be read or was left out.

    `compared` are the slugs for which detectors compare a text with what was said before.
    """
    operation = Operation(request.operation)
    prompts = _said("prompt", request.said) if request.said else _prompts(operation, request.prompt)
    prompt_slugs = None if request.prompt_slugs is None else frozenset(request.prompt_slugs)
    answer_slugs = None if request.answer_slugs is None else frozenset(request.answer_slugs)
    if prompt_slugs is None or prompt_slugs:
        new = [passage for passage in prompts.passages if passage.fresh or not request.fresh]
        for passage in _bounded(Reading(new, prompts.unread), "prompt", reply):
            yield TextToJudge(passage, None, prompt_slugs)
    if (request.answer or request.stretches) and answer_slugs != frozenset():
        asked = [passage.text for passage in prompts.passages if passage.channel == "user"]
        context = asked[-1][-CONTEXT_CHARACTERS:] if asked else None
        compares = bool(compared if answer_slugs is None else compared & answer_slugs)
        turns = _turns(prompts.passages) if compares else ()
        for passage in _bounded(_answers(operation, request), "response", reply):
            yield TextToJudge(passage, context, answer_slugs, turns if passage.channel == "assistant" else ())


def _turns(passages: Sequence[Passage]) -> tuple[Turn, ...]:
    """What was said before an answer, in order. If that is too much, the latest, after a turn that stands for the
    rest."""
    left = TURN_CHARACTERS
    turns: list[Turn] = []
    for passage in reversed(passages[-REQUEST_TEXTS:]):
        turns.append(Turn(passage.channel, passage.text[:left]))
        left -= len(passage.text)
        if left <= 0:
            break
    if left < 0 or len(turns) < len(passages):
        turns.append(Turn(UNREAD, ""))
    return tuple(reversed(turns))


def _prompts(operation: Operation, body: bytes) -> Reading:
    return _too_long("user") if has_too_many_values(body) else read_request(operation, body)


def _answers(operation: Operation, request: JudgingRequest) -> Reading:
    if request.stretches:
        return _said("response", request.stretches)
    try:
        body, more = decode(request.answer, request.encoding, ANSWER_BYTES)
    except EncodingError:
        return Reading([], [Unread("assistant", "encoding")])
    if more or has_too_many_values(body):
        return _too_long("assistant")
    read = read_stream if request.stream else read_response
    return read(operation, body, request.prompt)


def _said(direction: Direction, texts: Sequence[tuple[str, str]]) -> Reading:
    return Reading([Passage(direction, _CHANNELS[channel], text, (n,)) for n, (channel, text) in enumerate(texts)], [])


def _too_long(channel: Channel) -> Reading:
    return Reading([], [Unread(channel, "too_long")])


def _bounded(reading: Reading, direction: Direction, reply: Findings) -> Sequence[Passage]:
    """The latest passages within the bounds of one request; the first of them may be cut short at its end."""
    for channel, reason in reading.unread:
        reply.note_unread(direction, channel, reason)
    left = REQUEST_CHARACTERS
    kept: list[Passage] = []
    for passage in reversed(reading.passages):
        if len(kept) == REQUEST_TEXTS or len(passage.text) > left:
            reply.note_unread(direction, passage.channel, "too_long")
        if not left or len(kept) == REQUEST_TEXTS:
            break
        if len(passage.text) > left:
            passage = msgspec.structs.replace(passage, text=passage.text[:left])
        left -= len(passage.text)
        kept.append(passage)
    return kept[::-1]
