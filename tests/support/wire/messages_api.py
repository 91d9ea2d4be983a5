"""Anthropic's Messages API as a model server speaks it: the same texts streamed and whole, and read by its client."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway.openai_api import Channel, sse

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = {"input_tokens": 3, "output_tokens": 5}
_HEAD: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
_OPENED: dict[Channel, dict[str, Any]] = {
    "assistant": {"type": "text", "text": "", "citations": None},
    "reasoning": {"type": "thinking", "thinking": "", "signature": ""},
    "arguments": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
}
_DELTAS: dict[Channel, tuple[str, str]] = {
    "assistant": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "arguments": ("input_json_delta", "partial_json"),
}


def request(**more: Any) -> bytes:
    """A request whose texts nobody minds."""
    asked = {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({"model": "m", **asked, **more}).encode()


def whole(texts: Mapping[Channel, str]) -> bytes:
    """An answer with one block a channel; the input of a tool is an object."""
    blocks = []
    for channel, text in texts.items():
        block = dict(_OPENED[channel])
        block |= {"input": {"text": text}} if channel == "arguments" else {_DELTAS[channel][1]: text}
        blocks.append(block)
    return json.dumps({**_HEAD, "content": blocks, "stop_reason": "end_turn", "usage": USAGE}).encode()


def stream(deltas: Iterable[tuple[str, Channel]]) -> list[bytes]:
    """The events of a streamed answer: a block is open until another channel speaks."""
    start = {**_HEAD, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    events = [_event("message_start", message=start), _event("ping")]
    index, speaking = -1, ""
    for text, channel in deltas:
        if channel != speaking:
            events += [_event("content_block_stop", index=index)] if speaking else []
            index, speaking = index + 1, channel
            events.append(_event("content_block_start", index=index, content_block=_OPENED[channel]))
        kind, field = _DELTAS[channel]
        events.append(_event("content_block_delta", index=index, delta={"type": kind, field: text}))
    events += [_event("content_block_stop", index=index)] if speaking else []
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return [*events, _event("message_delta", delta=end, usage=USAGE), _event("message_stop")]


def _event(type_: str, **fields: Any) -> bytes:
    return sse.encode(json.dumps({"type": type_, **fields}).encode(), type_)


def text_and_end(body: bytes, events: list[bytes] | None) -> tuple[str, str]:
    """The text of an answer and how it ended, read with the types of the official client."""
    if events is None:
        message = Message.model_validate_json(body)
        return "".join(block.text for block in message.content if block.type == "text"), message.stop_reason or ""
    read = [_EVENT.validate_json(data) for data in events if json.loads(data)["type"] != "ping"]
    assert read[0].type == "message_start"
    assert read[-1].type == "message_stop"
    opened = [event.index for event in read if event.type == "content_block_start"]
    assert opened == [event.index for event in read if event.type == "content_block_stop"]
    deltas = [event.delta for event in read if event.type == "content_block_delta"]
    ends = [event.delta.stop_reason for event in read if event.type == "message_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta"), ends[-1]
