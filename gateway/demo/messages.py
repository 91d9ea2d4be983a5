"""Anthropic's Messages API as the demo upstream speaks it."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.demo.answers import Answer, Question
from gateway.demo.wire import Body, QuestionError, deltas, limit_of, object_of, prompt_tokens, text_of, usage_of
from gateway.openai_api import sse

_encode = msgspec.json.encode
_ENDS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def messages_question(body: Body) -> Question:
    """What a request asks. Raises QuestionError when it has no messages."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise QuestionError("'messages' must be a list of at least one message")
    asked = next((m for m in reversed(messages) if m.get("role") == "user"), messages[-1])
    content = messages[-1].get("content")
    results = (
        [part for part in content if object_of(part).get("type") == "tool_result"] if isinstance(content, list) else []
    )
    choice = object_of(body.get("tool_choice"))
    demanded = str(choice.get("name", "*")) if choice.get("type") in ("any", "tool") else ""
    return Question(
        text_of(asked.get("content")),
        tool_result=text_of(results[-1].get("content")) if results else "",
        tools=() if choice.get("type") == "none" else _tools(body.get("tools")),
        must_call=demanded,
        limit=limit_of(body, "max_tokens"),
    )


def _tools(given: Any) -> tuple[dict[str, Any], ...]:
    tools = [tool for tool in given if isinstance(tool, dict)] if isinstance(given, list) else []
    return tuple({**tool, "parameters": tool["input_schema"]} for tool in tools if "input_schema" in tool)


def messages_object(id: str, model: str, body: Body, answer: Answer) -> dict[str, Any]:
    """A whole answer with one block: a text or a call of a tool."""
    used = usage_of(prompt_tokens(body), [answer])
    block: dict[str, Any] = {"type": "text", "text": answer.text, "citations": None}
    if answer.call:
        called = {"name": answer.call.name, "input": json.loads(answer.call.arguments)}
        block = {"type": "tool_use", "id": f"toolu_{id[-8:]}", **called}
    own = {"id": f"msg_{id}", "type": "message", "role": "assistant", "model": model, "content": [block]}
    usage = {"input_tokens": used["prompt_tokens"], "output_tokens": used["completion_tokens"]}
    return {**own, "stop_reason": _ENDS.get(answer.finish, "end_turn"), "stop_sequence": None, "usage": usage}


def messages_stream(whole: dict[str, Any], answer: Answer, count: int) -> Iterator[bytes]:
    """The events of such an answer; a text comes in `count` pieces, or token by token for 0."""
    (block,) = whole["content"]
    empty = {**block, "input": {}} if answer.call else {**block, "text": ""}
    used = {**whole["usage"], "output_tokens": 1}
    opened = {**whole, "content": [], "stop_reason": None, "usage": used}
    yield _event("message_start", message=opened)
    yield _event("content_block_start", index=0, content_block=empty)
    for piece in deltas(answer.call.arguments, 0) if answer.call else deltas(answer.text, count):
        named = {"type": "input_json_delta", "partial_json": piece}
        yield _event(
            "content_block_delta", index=0, delta=named if answer.call else {"type": "text_delta", "text": piece}
        )
    yield _event("content_block_stop", index=0)
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=ended, usage={"output_tokens": whole["usage"]["output_tokens"]})
    yield _event("message_stop")


def _event(name: str, **fields: Any) -> bytes:
    return sse.encode(_encode({"type": name, **fields}), name)
