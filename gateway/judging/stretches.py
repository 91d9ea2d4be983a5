"""Stretches of a streamed answer as a request to the detectors, beside the end of the prompt."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from gateway.exchange import Asked, Stretch
from gateway.judging.messages import Finding, JudgingRequest, judging_request
from gateway.openai_api import Operation, read_request

_CONTEXT_CHARACTERS = 2000  # of the prompt, shown to the detectors beside a stretch
_LARGE_BODY = 256 * 1024  # bytes: not read on the event loop

# A stretch is judged as an item of the Responses API: each channel has a kind of item that is read as it.
_ITEMS: Mapping[str, Any] = {
    "assistant": lambda text: {"type": "message", "content": text},
    "reasoning": lambda text: {"type": "reasoning", "summary": text},
    "arguments": lambda text: {"type": "function_call", "arguments": text},
    "tool": lambda text: {"type": "function_call_output", "output": text},
    "retrieved": lambda text: {"type": "file_search_call", "results": [{"text": text}]},
    "system": lambda text: {"type": "message", "role": "system", "content": text},
    "user": lambda text: {"type": "message", "role": "user", "content": text},
}


async def last_words(asked: Asked) -> bytes:
    """The end of the last thing that the user said, as a request of its own; empty when there is none."""
    if len(asked.body) > _LARGE_BODY:
        passages = await asyncio.to_thread(read_request, asked.operation, asked.body)
    else:
        passages = read_request(asked.operation, asked.body)
    said = [passage.text for passage in passages if passage.channel == "user"]
    return msgspec.json.encode({"input": said[-1][-_CONTEXT_CHARACTERS:]}) if said else b""


def request_of(
    caller: str, prompt: bytes, stretches: Sequence[Stretch], slugs: Collection[str] | None
) -> JudgingRequest:
    """The request; `prompt` is what `last_words` gave. `stretch_of` says which stretch a finding is in."""
    body = msgspec.json.encode({"output": [_ITEMS[stretch.channel](stretch.text) for stretch in stretches]})
    return judging_request(
        Operation.RESPONSES, caller=caller, prompt=prompt, answer=body, answer_slugs=slugs, urgent=True
    )


def stretch_of(finding: Finding) -> int:
    """The number of the stretch that a finding is in."""
    return int(finding.path[1])  # of ("output", number, …): the items stand for the stretches, in their order
