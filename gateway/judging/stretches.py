"""Stretches of a streamed answer as a request to the detectors, beside the end of the prompt."""

import asyncio
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from gateway.exchange import Asked, Stretch
from gateway.judging.messages import Finding, JudgingRequest, judging_request
from gateway.openai_api import Operation, has_too_many_values, read_request

_CONTEXT_CHARACTERS = 2000  # of the prompt, shown to the detectors beside a stretch
LARGE_BODY = 256 * 1024  # bytes: not read on the event loop

_HALF_PAIR = re.compile("[\ud800-\udfff]")


async def last_words(asked: Asked) -> bytes:
    """The end of the last thing that the user said, as a request of its own; empty when there is none, or the body is
    too large to be read."""
    if has_too_many_values(asked.body):
        return b""
    if len(asked.body) > LARGE_BODY:
        reading = await asyncio.to_thread(read_request, asked.operation, asked.body)
    else:
        reading = read_request(asked.operation, asked.body)
    said = [passage.text for passage in reading.passages if passage.channel == "user"]
    return _json({"input": said[-1][-_CONTEXT_CHARACTERS:]}) if said else b""


def request_of(
    caller: str, prompt: bytes, stretches: Sequence[Stretch], slugs: Collection[str] | None
) -> JudgingRequest:
    """The request; `prompt` is what `last_words` gave. `stretch_of` says which stretch a finding is in."""
    texts = [(stretch.channel, _HALF_PAIR.sub("\ufffd", stretch.text)) for stretch in stretches]
    return judging_request(
        Operation.RESPONSES, caller=caller, prompt=prompt, stretches=texts, answer_slugs=slugs, urgent=True
    )


def stretch_of(finding: Finding) -> int:
    """The number of the stretch that a finding is in."""
    return int(finding.path[0])


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair in a text
        return json.dumps(value).encode()
