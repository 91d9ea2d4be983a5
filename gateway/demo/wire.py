"""The forms of the demo upstream on the wire: reads questions from requests, writes answers as bodies and streams."""

import base64
import hashlib
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.demo.answers import Answer, Question, tokens
from gateway.openai_api import sse

_encode = msgspec.json.encode
Body = Mapping[str, Any]


class QuestionError(ValueError):
    """A request that asks nothing."""


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = [object_of(part).get("text") for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))


def object_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def chat_question(body: Body) -> Question:
    """What a chat request asks. Raises QuestionError when it has no messages."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise QuestionError("'messages' must be a list of at least one message")
    asked = next((m for m in reversed(messages) if m.get("role") == "user"), messages[-1])
    last = messages[-1]
    return Question(
        text_of(asked.get("content")),
        tool_result=text_of(last.get("content")) if last.get("role") in ("tool", "function") else "",
        tools=_tools(body, "function"),
        must_call=_demanded(body.get("tool_choice")),
        schema=_schema(body.get("response_format"), "json_schema"),
        limit=limit_of(body, "max_completion_tokens", "max_tokens"),
    )


def completion_question(body: Body) -> Question:
    """What a completion request asks; of a list of prompts, the first."""
    prompt = body.get("prompt")
    first = prompt[0] if isinstance(prompt, list) and prompt else prompt
    return Question(first if isinstance(first, str) else "", limit=limit_of(body, "max_tokens"))


def responses_question(body: Body) -> Question:
    """What a request of the Responses API asks. Raises QuestionError when it has no input."""
    given = body.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
        raise QuestionError("'input' must be a text or a list of at least one item")
    asked = next((item for item in reversed(given) if item.get("role") == "user"), given[-1])
    last = given[-1]
    return Question(
        text_of(asked.get("content")),
        tool_result=text_of(last.get("output")) if last.get("type") == "function_call_output" else "",
        tools=_tools(body, None),
        must_call=_demanded(body.get("tool_choice")),
        schema=_schema(object_of(body.get("text")).get("format"), None),
        limit=limit_of(body, "max_output_tokens"),
    )


def _tools(body: Body, nested: str | None) -> tuple[Mapping[str, Any], ...]:
    if body.get("tool_choice") == "none" or not isinstance(body.get("tools"), list):
        return ()
    tools = [tool for tool in body["tools"] if isinstance(tool, dict) and tool.get("type") == "function"]
    return tuple(object_of(tool.get(nested)) if nested else tool for tool in tools)


def _demanded(choice: Any) -> str:
    if isinstance(choice, dict):
        return str(object_of(choice.get("function", choice)).get("name", "*"))
    return "*" if choice == "required" else ""


def _schema(wanted: Any, nested: str | None) -> Mapping[str, Any] | None:
    """The JSON Schema to fit, {} for any object, None when plain text will do."""
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_object", "json_schema"):
        return None
    holder = object_of(wanted.get(nested)) if nested else wanted
    schema = holder.get("schema")
    return schema if isinstance(schema, dict) else {}


def limit_of(body: Body, *names: str) -> int:
    return next((body[name] for name in names if isinstance(body.get(name), int)), 0)


def prompt_tokens(body: Body) -> int:
    """A simple estimate: the number of words in the prompt."""
    sent = body.get("messages") or body.get("prompt") or body.get("input") or ""
    if isinstance(sent, str):
        return len(sent.split())
    if not isinstance(sent, list):
        return 0
    return sum(len(text_of(part.get("content")).split()) if isinstance(part, dict) else 1 for part in sent)


def usage_of(asked: int, answers: Iterable[Answer]) -> dict[str, int]:
    told = sum(len(tokens(answer.call.arguments if answer.call else answer.text)) for answer in answers)
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


def deltas(text: str, count: int) -> Sequence[str]:
    """The text in `count` pieces, repeated if it is too short; token by token for 0."""
    if not count:
        return tokens(text)
    text = text or "…"
    text *= -(-count // len(text))
    step, rest = divmod(len(text), count)
    edges = [i * step + min(i, rest) for i in range(count + 1)]
    return [text[edges[i] : edges[i + 1]] for i in range(count)]


def _logprobs(pieces: Iterable[str], top: int) -> dict[str, Any]:
    entries = [{"token": piece, "logprob": -0.125, "bytes": list(piece.encode())} for piece in pieces]
    return {"content": [{**entry, "top_logprobs": [entry] * min(top, 1)} for entry in entries], "refusal": None}


def _wanted_logprobs(body: Body, pieces: Iterable[str]) -> dict[str, Any] | None:
    top = body.get("top_logprobs")
    return _logprobs(pieces, top if isinstance(top, int) else 0) if body.get("logprobs") is True else None


# --- chat ---


def chat_body(id: str, created: int, model: str, body: Body, answers: Sequence[Answer]) -> bytes:
    choices = []
    for i, answer in enumerate(answers):
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.call:
            function = {"name": answer.call.name, "arguments": answer.call.arguments}
            call = {"id": f"call_{id[-8:]}{i}", "type": "function", "function": function}
            message |= {"content": None, "tool_calls": [call]}
        logprobs = None if answer.call else _wanted_logprobs(body, tokens(answer.text))
        entry = {"index": i, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}
        choices.append(entry)
    head = {"id": f"chatcmpl-{id}", "object": "chat.completion", "created": created, "model": model}
    usage = usage_of(prompt_tokens(body), answers)
    return _encode({**head, "choices": choices, "usage": usage, "system_fingerprint": "fp_demo"})


def chat_stream(
    id: str, created: int, model: str, body: Body, answers: Sequence[Answer], count: int
) -> Iterator[bytes]:
    usage = _usage_wanted(body)
    head = {"id": f"chatcmpl-{id}", "object": "chat.completion.chunk", "created": created, "model": model}
    head["system_fingerprint"] = "fp_demo"

    def chunk(i: int, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        entry = {"index": i, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return sse.encode(_encode({**head, "choices": [entry]} | ({"usage": None} if usage else {})))

    for i, answer in enumerate(answers):
        if answer.call:
            function = {"name": answer.call.name, "arguments": ""}
            call = {"index": 0, "id": f"call_{id[-8:]}{i}", "type": "function", "function": function}
            yield chunk(i, {"role": "assistant", "content": None, "tool_calls": [call]})
            for piece in deltas(answer.call.arguments, 0):
                yield chunk(i, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        else:
            yield chunk(i, {"role": "assistant", "content": "", "refusal": None})
            for piece in deltas(answer.text, count):
                yield chunk(i, {"content": piece}, logprobs=_wanted_logprobs(body, [piece]))
        yield chunk(i, {}, answer.finish)
    if usage:
        yield sse.encode(_encode({**head, "choices": [], "usage": usage_of(prompt_tokens(body), answers)}))
    yield sse.DONE


def _usage_wanted(body: Body) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


# --- completions ---


def completion_body(id: str, created: int, model: str, body: Body, answers: Sequence[Answer]) -> bytes:
    choices = [
        {"index": i, "text": answer.text, "logprobs": None, "finish_reason": answer.finish}
        for i, answer in enumerate(answers)
    ]
    head = {"id": f"cmpl-{id}", "object": "text_completion", "created": created, "model": model}
    return _encode({**head, "choices": choices, "usage": usage_of(prompt_tokens(body), answers)})


def completion_stream(
    id: str, created: int, model: str, body: Body, answers: Sequence[Answer], count: int
) -> Iterator[bytes]:
    head = {"id": f"cmpl-{id}", "object": "text_completion", "created": created, "model": model}

    def chunk(i: int, text: str, finish: str | None = None) -> bytes:
        entry = {"index": i, "text": text, "logprobs": None, "finish_reason": finish}
        return sse.encode(_encode({**head, "choices": [entry]}))

    for i, answer in enumerate(answers):
        for piece in deltas(answer.text, count):
            yield chunk(i, piece)
        yield chunk(i, "", answer.finish)
    if _usage_wanted(body):
        yield sse.encode(_encode({**head, "choices": [], "usage": usage_of(prompt_tokens(body), answers)}))
    yield sse.DONE


# --- responses ---


def responses_object(id: str, created: int, model: str, body: Body, answer: Answer) -> dict[str, Any]:
    """A finished Response object with one item: a message or a function call."""
    usage = usage_of(prompt_tokens(body), [answer])
    cut = answer.finish == "length"
    return {
        "id": f"resp_{id}",
        "object": "response",
        "created_at": created,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "metadata": object_of(body.get("metadata")),
        "model": model,
        "output": [_item(id, answer)],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _item(id: str, answer: Answer) -> dict[str, Any]:
    if answer.call:
        names = {"type": "function_call", "id": f"fc_{id}", "call_id": f"call_{id[-8:]}", "status": "completed"}
        return {**names, "name": answer.call.name, "arguments": answer.call.arguments}
    part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    names = {"type": "message", "id": f"msg_{id}", "status": "completed", "role": "assistant"}
    return {**names, "content": [part]}


def responses_stream(response: dict[str, Any], count: int) -> Iterator[bytes]:
    """The events of a response, in the order and with the counts of the Responses API."""
    for number, (name, fields) in enumerate(_responses_events(response, count)):
        name = f"response.{name}"
        yield sse.encode(_encode({"type": name, "sequence_number": number, **fields}), name)


def _responses_events(response: dict[str, Any], count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    item = response["output"][0]
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield "created", {"response": begun}
    yield "in_progress", {"response": begun}
    place = {"item_id": item["id"], "output_index": 0}
    if item["type"] == "function_call":
        empty = {**item, "status": "in_progress", "arguments": ""}
        yield "output_item.added", {"output_index": 0, "item": empty}
        for piece in deltas(item["arguments"], 0):
            yield "function_call_arguments.delta", {**place, "delta": piece}
        done = {"name": item["name"], "arguments": item["arguments"]}
        yield "function_call_arguments.done", {**place, **done}
    else:
        pieces = deltas(item["content"][0]["text"], count)
        part = {**item["content"][0], "text": "".join(pieces)}
        item = {**item, "content": [part]}
        response = {**response, "output": [item]}
        place["content_index"] = 0
        yield "output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}}
        yield "content_part.added", {**place, "part": {**part, "text": ""}}
        for piece in pieces:
            yield "output_text.delta", {**place, "delta": piece, "logprobs": []}
        yield "output_text.done", {**place, "text": part["text"], "logprobs": []}
        yield "content_part.done", {**place, "part": part}
    yield "output_item.done", {"output_index": 0, "item": item}
    yield response["status"], {"response": response}


# --- embeddings ---


def embeddings_body(model: str, body: Body) -> bytes:
    """One vector for each text: the same for the same text, and close for texts that share words.

    Raises QuestionError when there is no input.
    """
    given = body.get("input")
    if not given or not isinstance(given, str | list):
        raise QuestionError("'input' must be a text, a list of texts or a list of token ids")
    one = isinstance(given, str) or isinstance(given[0], int)
    texts = [given] if one else given
    size = body.get("dimensions") if isinstance(body.get("dimensions"), int) else 256
    as_base64 = body.get("encoding_format") == "base64"
    vectors = [_vector(str(text), min(max(int(size or 256), 1), 4096)) for text in texts]
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist(),
        }
        for i, vector in enumerate(vectors)
    ]
    count = sum(len(tokens(str(text))) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return _encode({"object": "list", "data": data, "model": model, "usage": usage})


def _vector(text: str, size: int) -> "array[float]":
    sums = [0.0] * size
    for word in text.lower().split() or [""]:
        seed = hashlib.sha256(word.encode(errors="replace")).digest()
        for i in range(0, len(seed), 4):
            value = int.from_bytes(seed[i : i + 4], "little")
            sums[value % size] += 1.0 if value >> 31 else -1.0
    norm = math.sqrt(sum(value * value for value in sums)) or 1.0
    return array("f", [value / norm for value in sums])
