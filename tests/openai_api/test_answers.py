"""The answers we read and write, whole and streamed, and how a block ends them."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import (
    Response,
    ResponseCreatedEvent,
    ResponseErrorEvent,
    ResponseIncompleteEvent,
)

from gateway.openai_api import (
    STRAYS,
    Operation,
    Passage,
    Path,
    answers_of,
    error_body,
    error_event,
    read_event,
    read_response,
    read_stream,
    sse,
)
from tests.support.wire.bodies import CALL, at, brief, dump

CHAT, RESPONSES, COMPLETIONS = Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS

# --- answers ----------------------------------------------------------------------------------------------

CHAT_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "reasoning_content": "let me see",
                "content": "I will look.",
                "tool_calls": [CALL, CALL | {"id": "c2"}],
            },
        },
        {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "No."}},
        {"index": 2, "finish_reason": "stop", "message": {"role": "assistant", "content": "Thrice 🙂"}},
    ],
}
RESPONSES_ANSWER = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "instructions": "not an answer",
    "output": [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "in short"}, {"type": "summary_text", "text": "and"}],
            "content": [{"type": "reasoning_text", "text": "at length"}],
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "It is sunny.", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "But no more."},
            ],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "1", "name": "f", "arguments": '{"a": 1}'},
        {"type": "custom_tool_call", "id": "ct_2", "call_id": "2", "name": "sql", "input": "SELECT 1"},
        {"type": "image_generation_call", "id": "ig_3", "status": "completed", "result": "iVBORw0KGgoAAAANSUhEUg"},
    ],
}
COMPLETION_ANSWER = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "text": "one", "finish_reason": "stop", "logprobs": None},
        {"index": 1, "text": "two", "finish_reason": "length", "logprobs": None},
    ],
}
ANSWERS: list[tuple[Operation, dict[str, Any], list[tuple[str, str, int]]]] = [
    (
        CHAT,
        CHAT_ANSWER,
        [
            ("reasoning", "let me see", 0),
            ("assistant", "I will look.", 0),
            ("arguments", '{"city":"Oslo"}', 0),
            ("arguments", '{"city":"Oslo"}', 0),
            ("assistant", "No.", 1),
            ("assistant", "Thrice 🙂", 2),
        ],
    ),
    (
        RESPONSES,
        RESPONSES_ANSWER,
        [
            ("reasoning", "in short", 0),
            ("reasoning", "and", 0),
            ("reasoning", "at length", 0),
            ("assistant", "It is sunny.", 0),
            ("assistant", "But no more.", 0),
            ("arguments", '{"a": 1}', 0),
            ("arguments", "SELECT 1", 0),
        ],
    ),
    (COMPLETIONS, COMPLETION_ANSWER, [("assistant", "one", 0), ("assistant", "two", 1)]),
]


@pytest.mark.parametrize(("operation", "body", "expected"), ANSWERS)
def test_answers(operation: Operation, body: dict[str, Any], expected: list[tuple[str, str, int]]) -> None:
    passages = read_response(operation, dump(body), asked=dump({"instructions": "not an answer"})).passages
    assert [(p.channel, p.text, p.choice) for p in passages] == expected
    for passage in passages:
        assert (passage.direction, passage.fresh) == ("response", True)
        assert at(body, passage.path) == passage.text


def test_the_answers_here_are_shaped_as_the_sdk_expects() -> None:
    ChatCompletion.model_validate(CHAT_ANSWER)
    Response.model_validate(RESPONSES_ANSWER)
    Completion.model_validate(COMPLETION_ANSWER)


def test_an_error_is_no_answer() -> None:
    assert read_response(CHAT, error_body("m", "t")).passages == []
    assert read_response(CHAT, b"<html>").passages == []


# --- streams ----------------------------------------------------------------------------------------------


def cut(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)] or [""]


def chat_stream(answer: dict[str, Any], size: int, *, usage: bool = True) -> bytes:
    """The stream of a chat answer: a role chunk a choice, deltas of `size` characters, finish, usage, [DONE]."""
    head = {"id": answer["id"], "object": "chat.completion.chunk", "created": 1, "model": "m"}
    out = []

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> None:
        entry = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
        ChatCompletionChunk.model_validate(head | {"choices": [entry]})
        out.append(sse.encode(dump(head | {"choices": [entry]})))

    for choice in answer["choices"]:
        i, message = choice["index"], choice["message"]
        chunk(i, {"role": "assistant", "content": ""})
        for key in ("reasoning_content", "content", "refusal"):
            for piece in cut(message.get(key) or "", size):
                chunk(i, {key: piece})
        for number, call in enumerate(message.get("tool_calls", ())):
            function = {"name": call["function"]["name"], "arguments": ""}
            chunk(i, {"tool_calls": [{"index": number, "id": call["id"], "function": function}]})
            for piece in cut(call["function"]["arguments"], size):
                chunk(i, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        chunk(i, {}, choice["finish_reason"])
    if usage:
        numbers = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        out.append(sse.encode(dump(head | {"choices": [], "usage": numbers})))
    return b"".join(out) + sse.DONE


def completion_stream(answer: dict[str, Any], size: int) -> bytes:
    out = []
    for choice in answer["choices"]:
        pieces = [{**choice, "text": piece, "finish_reason": None} for piece in cut(choice["text"], size)]
        out += [sse.encode(dump({**answer, "choices": [p]})) for p in [*pieces, {**choice, "text": ""}]]
    return b"".join(out) + sse.DONE


def responses_stream(answer: dict[str, Any], size: int) -> bytes:
    out: list[bytes] = []

    def send(name: str, **fields: Any) -> None:
        name = f"response.{name}"
        out.append(sse.encode(dump({"type": name, "sequence_number": len(out), **fields}), name))

    send("created", response={**answer, "output": [], "status": "in_progress"})
    for i, item in enumerate(answer["output"]):
        send("output_item.added", output_index=i, item={**item, "summary": [], "content": []})
        place = {"output_index": i, "item_id": item["id"]}
        for field, name in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
            if field in item:
                for piece in cut(item[field], size):
                    send(f"{name}.delta", delta=piece, **place)
                send(f"{name}.done", **{field: item[field]}, **place)
        for j, part in enumerate(item.get("summary", ())):
            for piece in cut(part["text"], size):
                send("reasoning_summary_text.delta", delta=piece, summary_index=j, **place)
            send("reasoning_summary_text.done", text=part["text"], summary_index=j, **place)
            send("reasoning_summary_part.done", part=part, summary_index=j, **place)
        for j, part in enumerate(item.get("content", ())):
            name, field = part["type"], "refusal" if part["type"] == "refusal" else "text"
            for piece in cut(part[field], size):
                logprobs = {"logprobs": [{"token": piece, "logprob": 0.0}]} if name == "output_text" else {}
                send(f"{name}.delta", delta=piece, content_index=j, **place, **logprobs)
            send(f"{name}.done", **{field: part[field]}, content_index=j, **place)
            send("content_part.done", part=part, content_index=j, **place)
        send("output_item.done", output_index=i, item=item)
    send("completed", response=answer)
    return b"".join(out)


def by_path(passages: list[Passage]) -> dict[Path, Passage]:
    """Without what was gathered: a stream tells it in another order."""
    return {passage.path: passage for passage in passages if passage.path[:1] != (STRAYS,)}


def stream_of(operation: Operation, answer: dict[str, Any], size: int) -> bytes:
    if operation is RESPONSES:
        return responses_stream(answer, size)
    return chat_stream(answer, size) if operation is CHAT else completion_stream(answer, size)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(("operation", "answer", "_"), ANSWERS)
def test_a_stream_reads_as_its_answer(operation: Operation, answer: dict[str, Any], _: Any, size: int) -> None:
    expected = by_path(read_response(operation, dump(answer)).passages)
    stream = stream_of(operation, answer, size)
    for transcript in (stream, stream.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf: hi\n\n" + stream):
        assert by_path(read_stream(operation, transcript).passages) == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), st.integers(1, 5))
def test_any_answer_streamed_reads_the_same(texts: list[tuple[str, str]], size: int) -> None:
    choices = [
        {
            "index": i,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": said,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": asked}}],
            },
        }
        for i, (said, asked) in enumerate(texts)
    ]
    answer = {**CHAT_ANSWER, "choices": choices}
    transcript = chat_stream(answer, size)
    assert by_path(read_stream(CHAT, transcript).passages) == by_path(read_response(CHAT, dump(answer)).passages)


@pytest.mark.slow
def test_truncated_transcripts_read_as_far_as_they_go() -> None:
    for operation, answer, _ in ANSWERS:
        stream, whole = stream_of(operation, answer, 2), by_path(read_response(operation, dump(answer)).passages)
        for end in range(0, len(stream), 37):
            for path, passage in by_path(read_stream(operation, stream[:end]).passages).items():
                assert whole[path].text.startswith(passage.text)


def test_streams_of_other_servers() -> None:
    azure = sse.encode(dump({"choices": [], "prompt_filter_results": [{"x": "y"}]}))
    parts = {"delta": {"content": [{"type": "text", "text": "par"}]}}
    stream = azure + sse.encode(dump({"choices": [parts]})) * 2
    stream += sse.encode(b"not json") + sse.encode(b"[1]") + sse.encode(b'{"choices":[[{"delta":1}],7]}')
    assert [(p.text, p.choice) for p in read_stream(CHAT, stream).passages] == [("parpar", 0)]
    last = sse.encode(dump({"choices": [{"index": 1, "delta": {}, "message": {"content": "hello"}}]}))
    first = sse.encode(dump({"choices": [{"index": 1, "delta": {"content": "hel"}}]}))
    assert brief(read_stream(CHAT, first + last).passages) == [("assistant", "hel"), ("assistant", "hello")]
    assert read_stream(Operation.EMBEDDINGS, stream).passages == []


# --- replies ----------------------------------------------------------------------------------------------


def test_errors_have_all_four_keys() -> None:
    expected = {"message": "no", "type": "t", "param": None, "code": None}
    assert json.loads(error_body("no", "t")) == {"error": expected}
    [event] = sse.Decoder().feed(error_event(CHAT, "no", "t", "model", "c"))
    assert json.loads(event.data) == {"error": {**expected, "param": "model", "code": "c"}}
    [event] = sse.Decoder().feed(error_event(RESPONSES, "no", "t", None, "c", sequence_number=4))
    assert event.event == b"error"
    parsed = ResponseErrorEvent.model_validate_json(event.data)
    assert (parsed.message, parsed.code, parsed.sequence_number) == ("no", "c", 4)


def ended(operation: Operation, sent: bytes, choices: Iterable[int] = (0,), *, first: bytes | None = None) -> bytes:
    """What follows when all of `sent` had left and these choices are blocked."""
    ending = answers_of(operation).ending("asked")
    for number, event in enumerate(sse.Decoder().feed(sent)):
        read = read_event(operation, event.data)
        if number == 0:
            ending.first(event.data)
        if read is not None:
            ending.sent(read.value, read.said)
    if first is not None:
        ending.first(first)
    return b"".join(ending.blocked(choice) for choice in choices) + ending.close(done=False)


def test_a_blocked_chat_ends_validly() -> None:
    first = chat_stream(CHAT_ANSWER, 5).split(b"\n\n")[0] + b"\n\n"
    events = sse.Decoder().feed(ended(CHAT, first, [0, 2]))
    assert events[-1].raw == sse.DONE
    chunks = [ChatCompletionChunk.model_validate_json(event.data) for event in events[:-1]]
    assert [(c.id, c.model, c.created, c.object) for c in chunks] == [
        ("chatcmpl-1", "m", 1, "chat.completion.chunk")
    ] * 2
    assert [c.choices[0].index for c in chunks] == [0, 2]
    assert {c.choices[0].finish_reason for c in chunks} == {"content_filter"}
    assert {c.choices[0].delta.content for c in chunks} == {None}


@pytest.mark.parametrize("first", [None, b"nope", b'{"id":"","model":null,"created":0}'])
def test_a_blocked_chat_without_a_usable_first_event(first: bytes | None) -> None:
    event, done = sse.Decoder().feed(ended(CHAT, b"", first=first))
    chunk = ChatCompletionChunk.model_validate_json(event.data)
    assert (chunk.id, chunk.model, done.raw) == ("chatcmpl-blocked", "asked", sse.DONE)


def test_a_blocked_completion_ends_validly() -> None:
    event, _ = sse.Decoder().feed(ended(COMPLETIONS, b""))
    completion = Completion.model_validate_json(event.data)
    assert (completion.choices[0].text, completion.choices[0].finish_reason) == ("", "content_filter")


@pytest.mark.parametrize("events", [1, 2, 5, 9])
def test_a_blocked_response_ends_validly(events: int) -> None:
    """Wherever it is stopped: what is open is closed, in order, and the numbers go on."""
    sent = b"".join(block + b"\n\n" for block in responses_stream(RESPONSES_ANSWER, 5).split(b"\n\n")[:events])
    found = sse.Decoder().feed(ended(RESPONSES, sent))
    assert found[-1].event == b"response.incomplete"
    end = ResponseIncompleteEvent.model_validate_json(found[-1].data)
    assert (end.response.id, end.response.status) == ("resp_1", "incomplete")
    assert end.response.incomplete_details
    assert end.response.incomplete_details.reason == "content_filter"
    numbers = [json.loads(event.data)["sequence_number"] for event in sse.Decoder().feed(sent) + found]
    assert numbers == list(range(len(numbers)))


def test_a_response_that_is_blocked_before_anything_was_sent_is_opened_first() -> None:
    created, event = sse.Decoder().feed(ended(RESPONSES, b""))
    assert ResponseCreatedEvent.model_validate_json(created.data).response.model == "asked"
    assert ResponseIncompleteEvent.model_validate_json(event.data).response.status == "incomplete"


def test_answers_without_texts_have_no_words_for_an_ending() -> None:
    with pytest.raises(ValueError, match="the answers of embeddings have no texts"):
        answers_of(Operation.EMBEDDINGS)
