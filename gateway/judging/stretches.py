"""Makes a request to the detectors of stretches of a streamed answer, with what was said before."""

import asyncio
import json
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.exchange import Asked, Stretch
from gateway.judging.messages import Finding, JudgingRequest, judging_request
from gateway.openai_api import Operation, Passage, has_too_many_values, read_request

_CONTEXT_CHARACTERS = 2000  # of the prompt, shown to the detectors beside a stretch
_TURN_CHARACTERS = 60_000  # of all that was said before, for detectors that compare; it goes with every stretch
# The role in which each channel is written; a retrieved text is the result of a tool.
_SPEAKERS = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool", "retrieved": "tool"}
LARGE_BODY = 256 * 1024  # bytes; more is not read on the event loop

_HALF_PAIR = re.compile("[\ud800-\udfff]")


class Before(NamedTuple):
    """What was said before an answer, written as a request of its own."""

    operation: Operation = Operation.RESPONSES
    body: bytes = b""


async def said_before(asked: Asked, slugs: Collection[str] | None, compared: Collection[str]) -> Before:
    """The end of what the user said last. If one of `slugs` (None: all) is among those that need a comparison,
    `compared`, everything that was said, of which the latest is kept. Empty if there is nothing, or if the body has too
    many values to be read."""
    if has_too_many_values(asked.body):
        return Before()
    if len(asked.body) > LARGE_BODY:
        reading = await asyncio.to_thread(read_request, asked.operation, asked.body)
    else:
        reading = read_request(asked.operation, asked.body)
    if compared if slugs is None else not frozenset(compared).isdisjoint(slugs):
        return Before(Operation.CHAT, _json({"messages": _messages(reading.passages)}))
    said = [passage.text for passage in reading.passages if passage.channel == "user"]
    return Before(body=_json({"input": said[-1][-_CONTEXT_CHARACTERS:]})) if said else Before()


def _messages(passages: Sequence[Passage]) -> list[dict[str, str]]:
    """The passages as messages. If they are too long, only the assistant's own words: compared with a part of its
    sources, an answer would look unsupported."""
    if sum(len(passage.text) for passage in passages) > _TURN_CHARACTERS:
        passages = [passage for passage in passages if passage.channel == "assistant"]
    left = _TURN_CHARACTERS
    messages: list[dict[str, str]] = []
    for passage in reversed(passages):
        if left > 0 and passage.channel in _SPEAKERS:
            messages.append({"role": _SPEAKERS[passage.channel], "content": passage.text[:left]})
            left -= len(passage.text)
    return messages[::-1]


def request_of(
    caller: str, before: Before, stretches: Sequence[Stretch], slugs: Collection[str] | None
) -> JudgingRequest:
    """The request; `before` is what `said_before` gave. `stretch_of` says which stretch a finding is in."""
    texts = [(stretch.channel, _HALF_PAIR.sub("\ufffd", stretch.text)) for stretch in stretches]
    return judging_request(
        before.operation, caller=caller, prompt=before.body, stretches=texts, answer_slugs=slugs, urgent=True
    )


def stretch_of(finding: Finding) -> int:
    """The number of the stretch that a finding is in."""
    return int(finding.path[0])


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair in a text
        return json.dumps(value).encode()
