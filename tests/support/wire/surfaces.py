"""The surfaces that stream text, as a model server speaks them: the same texts streamed and whole."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.openai_api import SURFACES as ROWS
from gateway.openai_api import Channel, Operation, read_event, sse
from tests.support.wire import messages_api

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


class Delta(NamedTuple):
    """A piece of a text: of which choice, in which channel."""

    text: str
    channel: Channel = "assistant"
    choice: int = 0


@dataclass
class Surface:
    """How one operation is asked and answered."""

    operation: Operation
    path: str
    channels: tuple[Channel, ...]

    @property
    def has_choices(self) -> bool:
        answers = ROWS[self.operation].answers
        return answers is not None and answers.has_choices

    @property
    def block_sign(self) -> bytes:
        """What tells a client that something was blocked."""
        return b'"refusal"' if self.operation is Operation.MESSAGES else b"content_filter"

    def request(self, **more: Any) -> bytes:
        """A request whose texts nobody minds."""
        if self.operation is Operation.MESSAGES:
            return messages_api.request(**more)
        asked: dict[str, Any] = (
            {"messages": [{"role": "user", "content": "hi"}]} if self.operation is Operation.CHAT else {}
        )
        asked |= {"prompt": "hi"} if self.operation is Operation.COMPLETIONS else {}
        asked |= {"input": "hi"} if self.operation is Operation.RESPONSES else {}
        return json.dumps({"model": "m", **asked, **more}).encode()

    def stream(self, deltas: Iterable[Delta], *, usage: bool = True) -> list[bytes]:
        """The events of a streamed answer."""
        if self.operation is Operation.RESPONSES:
            return _Responses().events(list(deltas))
        if self.operation is Operation.MESSAGES:
            return messages_api.stream((delta.text, delta.channel) for delta in deltas)
        return _chunks(self.operation, list(deltas), usage=usage)

    def whole(self, deltas: Iterable[Delta]) -> bytes:
        """The same answer in one body."""
        texts = joined(deltas)
        if self.operation is Operation.RESPONSES:
            items = [_item(number, channel, text) for number, ((_, channel), text) in enumerate(texts.items())]
            return json.dumps({**_RESPONSE, "status": "completed", "output": items, "usage": _TOKENS}).encode()
        if self.operation is Operation.MESSAGES:
            return messages_api.whole({channel: text for (_, channel), text in texts.items()})
        choices = []
        for choice in sorted({choice for choice, _ in texts}):
            said = {channel: text for (at, channel), text in texts.items() if at == choice}
            content: dict[str, Any] = {"text": said.get("assistant", "")}
            if self.operation is Operation.CHAT:
                content = {"message": {"role": "assistant", "content": None, **_message(said)}}
            choices.append({"index": choice, **content, "logprobs": None, "finish_reason": "stop"})
        return json.dumps({**_HEAD[self.operation], "choices": choices, "usage": USAGE}).encode()

    def said(self, stream: bytes) -> dict[tuple[int, Channel], str]:
        """What a client gathers from the deltas of a stream, by choice and channel."""
        found: dict[tuple[int, Channel], str] = {}
        for event in decoded(stream):
            read = read_event(self.operation, event.data)
            for said in read.said if read else ():
                if not said.whole:
                    key = (said.choice, said.channel)
                    found[key] = found.get(key, "") + said.text
        return found

    def everything(self, stream: bytes) -> list[str]:
        """Every text in a stream, repeated ones too."""
        reads = [read_event(self.operation, event.data) for event in decoded(stream)]
        return [said.text for read in reads if read for said in read.said]


CHAT = Surface(Operation.CHAT, "/v1/chat/completions", ("assistant", "reasoning", "arguments"))
COMPLETIONS = Surface(Operation.COMPLETIONS, "/v1/completions", ("assistant",))
RESPONSES = Surface(Operation.RESPONSES, "/v1/responses", ("assistant", "reasoning", "arguments"))
MESSAGES = Surface(Operation.MESSAGES, "/v1/messages", ("assistant", "reasoning", "arguments"))
SURFACES = {"chat": CHAT, "completions": COMPLETIONS, "responses": RESPONSES, "messages": MESSAGES}


def joined(deltas: Iterable[Delta]) -> dict[tuple[int, Channel], str]:
    """The texts by choice and channel, in the order in which they began."""
    texts: dict[tuple[int, Channel], str] = {}
    for delta in deltas:
        key = (delta.choice, delta.channel)
        texts[key] = texts.get(key, "") + delta.text
    return texts


def decoded(stream: bytes) -> list[sse.Event]:
    decoder = sse.Decoder()
    return decoder.feed(stream) + decoder.close()


def objects(stream: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a stream."""
    return [json.loads(event.data) for event in decoded(stream) if event.data.startswith(b"{")]


# --- read as the official client does


def _newest(body: bytes) -> bytes:
    """With a field of usage that the scripted model server does not know yet."""
    return body.replace(b'"cached_tokens": 0}', b'"cached_tokens": 0, "cache_write_tokens": 0}')


def text_and_end(operation: Operation, body: bytes, *, stream: bool) -> tuple[str, str]:
    """The text of an answer and how it ended, read with the types of the official client."""
    if operation is Operation.MESSAGES:
        return messages_api.text_and_end(body, [event.data for event in decoded(body)] if stream else None)
    if not stream:
        if operation is Operation.RESPONSES:
            response = Response.model_validate_json(_newest(body))
            return response.output_text, response.status or ""
        if operation is Operation.CHAT:
            choice = ChatCompletion.model_validate_json(body.replace(b".chunk", b"")).choices[0]
            return choice.message.content or "", choice.finish_reason
        plain = Completion.model_validate_json(body).choices[0]
        return plain.text, plain.finish_reason
    events = [event.data for event in decoded(body)]
    if operation is Operation.RESPONSES:
        read = [_EVENT.validate_json(_newest(data)) for data in events]
        assert [event.sequence_number for event in read] == sorted({event.sequence_number for event in read})
        text = "".join(event.delta for event in read if event.type == "response.output_text.delta")
        return text, read[-1].response.status
    assert events.pop() == b"[DONE]"
    if operation is Operation.CHAT:
        chunks = [ChatCompletionChunk.model_validate_json(data) for data in events]
        text = "".join(c.delta.content or "" for one in chunks for c in one.choices)
        return text, [c.finish_reason for one in chunks for c in one.choices if c.finish_reason][-1]
    parts = [choice for data in events for choice in json.loads(data)["choices"]]
    return "".join(part["text"] for part in parts), parts[-1]["finish_reason"]


# --- chat and completions

_HEAD: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"},
    Operation.COMPLETIONS: {"id": "t1", "object": "text_completion", "created": 7, "model": "m"},
}
_DELTAS: dict[Channel, Any] = {
    "assistant": lambda text: {"content": text},
    "reasoning": lambda text: {"reasoning_content": text},
    "arguments": lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]},
}


def _message(said: dict[Channel, str]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for channel, text in said.items():
        message |= _DELTAS[channel](text)
    for call in message.get("tool_calls", ()):
        call |= {"id": "call_1", "type": "function", "function": {"name": "f", **call["function"]}}
    return message


def _chunks(operation: Operation, deltas: Sequence[Delta], *, usage: bool) -> list[bytes]:
    head = _HEAD[operation]
    choices = sorted({delta.choice for delta in deltas} or {0})

    def event(choice: int, content: dict[str, Any], finish: str | None = None) -> bytes:
        inner = {"delta": content} if operation is Operation.CHAT else {"text": content.get("content", "")}
        entry = {"index": choice, **inner, "logprobs": None, "finish_reason": finish}
        return sse.encode(json.dumps({**head, "choices": [entry]}).encode())

    events = [event(choice, {"role": "assistant", "content": ""}) for choice in choices]
    events += [event(delta.choice, _DELTAS[delta.channel](delta.text)) for delta in deltas]
    events += [event(choice, {}, "stop") for choice in choices]
    if usage:
        events.append(sse.encode(json.dumps({**head, "choices": [], "usage": USAGE}).encode()))
    return [*events, sse.DONE]


# --- responses

_RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 7,
    "model": "m",
    "status": "in_progress",
}
_RESPONSE |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "output": []}
_TOKENS: dict[str, Any] = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
_TOKENS |= {
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
_NAMES: dict[Channel, tuple[str, str]] = {
    "assistant": ("output_text", "text"),
    "reasoning": ("reasoning_summary_text", "text"),
    "arguments": ("function_call_arguments", "arguments"),
}


def _item(number: int, channel: Channel, text: str, *, status: str = "completed") -> dict[str, Any]:
    item: dict[str, Any] = {"id": f"item_{number}", "status": status}
    parts = [_part(channel, text)] if status == "completed" else []
    if channel == "assistant":
        return item | {"type": "message", "role": "assistant", "content": parts}
    if channel == "reasoning":
        return item | {"type": "reasoning", "summary": parts}
    return item | {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": text}


def _part(channel: Channel, text: str) -> dict[str, Any]:
    if channel == "reasoning":
        return {"type": "summary_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": []}


@dataclass
class _Responses:
    out: list[bytes] = field(default_factory=list)

    def send(self, name: str, **fields: Any) -> None:
        body = {"type": f"response.{name}", "sequence_number": len(self.out), **fields}
        self.out.append(sse.encode(json.dumps(body).encode(), f"response.{name}"))

    def events(self, deltas: list[Delta]) -> list[bytes]:
        """Item after item, as this surface has it: the deltas of one channel follow each other."""
        self.send("created", response=_RESPONSE)
        self.send("in_progress", response=_RESPONSE)
        items = []
        for number, ((_, channel), text) in enumerate(joined(deltas).items()):
            place = {"item_id": f"item_{number}", "output_index": number}
            self.send("output_item.added", output_index=number, item=_item(number, channel, "", status="in_progress"))
            key = "summary_index" if channel == "reasoning" else "content_index"
            part = "reasoning_summary_part" if channel == "reasoning" else "content_part"
            inner = place if channel == "arguments" else {**place, key: 0}
            if channel != "arguments":
                self.send(f"{part}.added", **inner, part=_part(channel, ""))
            name, whole = _NAMES[channel]
            more: dict[str, Any] = {"logprobs": []} if channel == "assistant" else {}
            for delta in deltas:
                if delta.channel == channel:
                    self.send(f"{name}.delta", **inner, delta=delta.text, **more)
            self.send(f"{name}.done", **inner, **{whole: text}, **more)
            if channel != "arguments":
                self.send(f"{part}.done", **inner, part=_part(channel, text))
            items.append(_item(number, channel, text))
            self.send("output_item.done", output_index=number, item=items[-1])
        self.send("completed", response={**_RESPONSE, "status": "completed", "output": items, "usage": _TOKENS})
        return self.out
