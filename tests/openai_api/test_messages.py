"""Anthropic's Messages API: every text is read with its channel and place, and what we say is read by its client."""

import json
from typing import Any

import pytest
from anthropic.types import Message

from gateway.openai_api import Operation, answers_of, error_event, error_reply, read_event, read_request, read_response
from gateway.openai_api.surfaces import SURFACES
from tests.support.running.together import together
from tests.support.wire.messages_api import stream, text_and_end
from tests.support.wire.surfaces import decoded

OURS = Operation.MESSAGES


def texts(found: Any) -> list[tuple[str, str]]:
    return [(passage.channel, passage.text) for passage in found]


def asked(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": messages, **more}).encode()


@pytest.mark.parametrize("system", ["be brief", [{"type": "text", "text": "be brief", "cache_control": {}}]])
def test_the_system_prompt_and_each_turn_are_read(system: Any) -> None:
    turns = [
        {"role": "user", "content": "old"},
        {"role": "assistant", "content": [{"type": "text", "text": "answer"}]},
        {"role": "user", "content": [{"type": "text", "text": "new"}]},
    ]
    found = read_request(OURS, asked(*turns, system=system)).passages
    assert texts(found) == [("system", "be brief"), ("user", "old"), ("assistant", "answer"), ("user", "new")]
    assert [passage.fresh for passage in found] == [False, False, False, True]


BLOCKS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"type": "thinking", "thinking": "hm", "signature": "c2ln"}, [("reasoning", "hm")]),
    ({"type": "redacted_thinking", "data": "b3BhcXVl"}, []),
    (
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": ["x", {"b": "y"}], "n": 1}},
        [("arguments", "x"), ("arguments", "y")],
    ),
    ({"type": "server_tool_use", "id": "t", "name": "web_search", "input": {"query": "q"}}, [("arguments", "q")]),
    ({"type": "tool_result", "tool_use_id": "t", "content": "done"}, [("tool", "done")]),
    (
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
        [("tool", "a")],
    ),
    (
        {
            "type": "tool_result",
            "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "page"}}],
        },
        [("retrieved", "page")],
    ),
    (
        {"type": "document", "title": "T", "context": "C", "source": {"type": "text", "data": "page"}},
        [("retrieved", "T"), ("retrieved", "C"), ("retrieved", "page")],
    ),
    (
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "part"}]}},
        [("retrieved", "part")],
    ),
    ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}, []),
    (
        {"type": "search_result", "source": "s", "title": "T", "content": [{"type": "text", "text": "found"}]},
        [("retrieved", "T"), ("retrieved", "found")],
    ),
    (
        {
            "type": "web_fetch_tool_result",
            "content": {"content": {"type": "document", "source": {"type": "text", "data": "web"}}},
        },
        [("retrieved", "web")],
    ),
    (
        {"type": "bash_code_execution_tool_result", "content": {"stdout": "out", "stderr": "err", "return_code": 0}},
        [("tool", "out"), ("tool", "err")],
    ),
    ({"type": "mcp_tool_result", "content": [{"type": "text", "text": "mcp"}]}, [("tool", "mcp")]),
    ({"type": "invented", "text": "t", "content": [{"text": "c"}]}, [("user", "t"), ("user", "c")]),
    ({"type": 7, "text": "t"}, [("user", "t")]),
    ({"type": "image", "source": {"type": "base64", "data": "aGk="}}, []),
]


@together(("block", "expected"), BLOCKS)
def test_each_kind_of_block_is_read_where_its_texts_are(block: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    body = asked({"role": "user", "content": [block]})
    found = read_request(OURS, body).passages
    assert texts(found) == expected
    for passage in found:  # each path leads to its text
        value: Any = json.loads(body)
        for key in passage.path:
            value = value[key]
        assert value == passage.text


@pytest.mark.parametrize("content", [None, 7, {}, [None, 7, [[]]], {"type": "text", "text": "alone"}, ["plain"]])
def test_what_is_no_block_breaks_nothing(content: Any) -> None:
    found = read_request(OURS, asked({"role": "user", "content": content}, None, "loose")).passages
    assert [text for _, text in texts(found)] in ([], ["alone"], ["plain"])


def test_a_whole_answer_is_read_block_by_block() -> None:
    cited = {"type": "text", "text": "as it says", "citations": [{"type": "char_location", "cited_text": "source"}]}
    body = json.dumps({"content": [{"type": "thinking", "thinking": "hm"}, cited]}).encode()
    assert texts(read_response(OURS, body).passages) == [
        ("reasoning", "hm"),
        ("assistant", "as it says"),
        ("retrieved", "source"),
    ]


def event(type_: str, **fields: Any) -> bytes:
    return json.dumps({"type": type_, **fields}).encode()


DELTA, START = "content_block_delta", "content_block_start"


@pytest.mark.parametrize(
    ("data", "channel", "text", "whole"),
    [
        (event(DELTA, index=1, delta={"type": "text_delta", "text": "a"}), "assistant", "a", False),
        (event(DELTA, index=1, delta={"type": "thinking_delta", "thinking": "b"}), "reasoning", "b", False),
        (event(DELTA, index=1, delta={"type": "input_json_delta", "partial_json": "{"}), "arguments", "{", False),
        (event(DELTA, index=1, delta={"type": "new_delta", "text": "c"}), "assistant", "c", True),
        (event(START, index=1, content_block={"type": "text", "text": "d"}), "assistant", "d", False),
        (event(START, index=1, content_block={"type": "tool_result", "content": "e"}), "tool", "e", True),
        (event("message_start", message={"content": [{"type": "text", "text": "f"}]}), "assistant", "f", True),
        (event("message_delta", delta={"stop_details": {"explanation": "g"}}), "assistant", "g", True),
        (event("error", error={"type": "api_error", "message": "h"}), "assistant", "h", True),
    ],
)  # fmt: skip
def test_the_texts_of_an_event(data: bytes, channel: str, text: str, whole: bool) -> None:
    read = read_event(OURS, data)
    assert read is not None
    assert [(said.channel, said.text, said.whole) for said in read.said] == [(channel, text, whole)]
    value: Any = read.value
    for key in read.said[0].at:
        value = value[key]
    assert value == text


@pytest.mark.parametrize(
    "data", [event("ping"), event("content_block_delta", delta=7), event("content_block_start"), b'{"type": 7}']
)
def test_events_without_text(data: bytes) -> None:
    read = read_event(OURS, data)
    assert read is not None
    assert read.said == []


def test_a_prompt_that_is_refused_and_a_message_are_read_by_the_client() -> None:
    answers = answers_of(OURS)
    assert answers.refusals is not None
    refused = Message.model_validate_json(answers.refusals.body("m", "because", id="1"))
    assert (refused.stop_reason, refused.content) == ("refusal", [])
    assert refused.stop_details is not None
    assert refused.stop_details.explanation == "because"
    events = [one.data for one in decoded(answers.refusals.stream("m", "because", id="1"))]
    assert text_and_end(b"", events) == ("", "refusal")
    said = answers.message_stream("m", "hello", id="1", created=0, include_usage=False)
    assert text_and_end(b"", [one.data for one in decoded(said)]) == ("hello", "end_turn")
    assert text_and_end(answers.message_body("m", "hello", id="1", created=0), None) == ("hello", "end_turn")


@together("after", range(8))
@pytest.mark.parametrize("message", ["", "no"])
def test_a_stream_can_end_after_any_event(after: int, message: str) -> None:
    events = stream([("think", "reasoning"), ("say", "assistant")])
    ending = answers_of(OURS).ending("m")
    sent = decoded(b"".join(events))[:after]
    for number, one in enumerate(sent):
        if number == 0:
            ending.first(one.data)
        read = read_event(OURS, one.data)
        assert read is not None
        ending.sent(read.value, read.said)
    closed = [one.data for one in decoded(ending.close(done=False, message=message))]
    _, end = text_and_end(b"", [one.data for one in sent] + closed)
    assert end == ("end_turn" if message else "refusal")


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (None, "ours"),
        ("theirs", "ours\n\ntheirs"),
        ([{"type": "text", "text": "theirs"}], [{"type": "text", "text": t} for t in ("ours", "theirs")]),
    ],
)
def test_a_system_message_comes_before_theirs(system: Any, expected: Any) -> None:
    body: dict[str, Any] = {"messages": []} | ({} if system is None else {"system": system})
    answers_of(OURS).with_system(body, "ours")
    assert body["system"] == expected


def test_a_system_prompt_that_is_neither_is_told() -> None:
    with pytest.raises(ValueError, match="neither"):
        answers_of(OURS).with_system({"system": 7}, "ours")


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (418, "api_error"),
        (503, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("operation", [OURS, Operation.MESSAGE_TOKENS])
def test_errors_have_the_shape_of_this_api(operation: Operation, status: int, type_: str) -> None:
    told = json.loads(error_reply(operation, "what", "x", None, "code", status))
    assert (told["type"], told["error"]["type"], told["error"]["message"]) == ("error", type_, "what")
    assert error_event(OURS, "what", "x").startswith(b"event: error\ndata: ")


def test_texts_that_leave_to_be_counted_are_judged_like_those_that_leave_to_be_answered() -> None:
    assert SURFACES[OURS].judged
    assert SURFACES[Operation.MESSAGE_TOKENS].judged
