"""The bodies we read and write: every text is found, changed in place, and nothing else moves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai_api import (
    SURFACES,
    BodyError,
    Envelope,
    Operation,
    Path,
    operation_of,
    read_envelope,
    read_request,
    read_response,
    read_stream,
    rewrite,
    sse,
)
from tests.support.running.examples import examples
from tests.support.running.steps import grows_with_the_length
from tests.support.running.together import together
from tests.support.wire.bodies import CALL, at, brief, dump

CHAT, RESPONSES, COMPLETIONS = Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS

# --- operations -------------------------------------------------------------------------------------------


@together(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/chat/completions", "chat"),
        ("GET", "/v1/chat/completions", "stored_chat"),
        ("GET", "/v1/chat/completions/chatcmpl-1", "stored_chat"),
        ("POST", "/v1/completions", "completions"),
        ("POST", "/v1/responses", "responses"),
        ("GET", "/v1/responses/resp_1", "stored_responses"),
        ("POST", "/v1/responses/resp_1/cancel", "other"),
        ("POST", "/v1/embeddings", "embeddings"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/org/name", "models"),
        ("DELETE", "/v1/models/ft", "other"),
        ("POST", "/v1/moderations", "moderations"),
        ("GET", "/v1/chat/completions/c1/messages", "stored_chat"),
        ("POST", "/v1/files", "files"),
        ("POST", "/v1/Files/", "files"),
        ("POST", "/v1/uploads/u1/parts", "upload_parts"),
        ("POST", "/v1/uploads", "files"),
        ("POST", "/v1/uploads/u1/complete", "files"),
        ("GET", "/v1/uploads/u1", "other"),
        ("POST", "/v1/messages/batches", "message_batches"),
        ("POST", "/v1/vector_stores/v1/search", "vector_stores"),
        ("POST", "/v1/responses/compact", "responses_input"),
        ("POST", "/v1/conversations/conv_1/items", "conversations"),
        *((("POST", f"/v1/chat/completions{end}", "chat")) for end in ("\t", "\0", " ", ";x=1", "?x", "#x")),
        ("POST", "/v1/engines/m/chat/completions", "chat"),
        ("POST", "/v1/v1/chat/completions", "chat"),
        ("POST", "/v1/deployments/m/completions", "completions"),
        ("GET", "/", "other"),
        ("POST", "/v1/chat/completions/", "chat"),
        ("POST", "//v1//chat/completions", "chat"),
        ("POST", "/v1/files/../chat/completions", "chat"),
        ("POST", "/V1/Chat/Completions", "chat"),
    ],
)
def test_operations(method: str, path: str, expected: str) -> None:
    assert operation_of(method, path) == expected


# --- envelope ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"m"}', Envelope("m")),
        (b"{}", Envelope()),
        (b'{"model":null,"stream":null,"stream_options":null}', Envelope()),
        (b'{"stream":true,"model":"m"}', Envelope("m", True)),
        (b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}', Envelope("m", True, True)),
        (b'{"model":"m","stream":true,"stream_options":{"include_usage":null,"x":1}}', Envelope("m", True)),
        (b'{"messages":[{"content":"\\ud800"}],"model":"m","stream":true}', Envelope("m", True)),
        (b'{"\\ud800":"\\ud800","model":"m"}', Envelope("m")),
        (b'{"messages":[{"content":"\\ud83d\\ude00"}],"model":"m"}', Envelope("m")),
        (b' \n{"n": 1e999, "i": ' + b"9" * 5000 + b', "model" : "m"}\n', Envelope("m")),
        ('{"model":"zażółć"}'.encode(), Envelope("zażółć")),
    ],
)
def test_envelope(body: bytes, expected: Envelope) -> None:
    assert read_envelope(body) == expected


@together(
    ("body", "param", "said"),
    [
        (b"", None, "empty"),
        (b"  \n", None, "empty"),
        (b"[1]", None, "must be an object, not an array"),
        (b"null", None, "not null"),
        (b'"\\ud800"', None, "must be an object, not a string"),
        (b"<html>", None, "byte 0"),
        (b'\xef\xbb\xbf{"model":"m"}', None, "begins with a byte order mark"),
        (b'\xef\xbb\xbf {"model":"\\ud800"}', None, "begins with a byte order mark"),
        (b'{"model":"m"', None, "ends too early (byte 12)"),
        (b'{"model":"m"} x', None, "trailing characters"),
        (b'{"model":"\\ud800"', None, "not valid JSON"),
        (b'{"a":NaN,"b":"\\ud800"}', None, "not valid JSON"),
        (b'{"a":"\xff"}', None, "not valid UTF-8 (byte 6)"),
        (b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}", None, "nested too deeply"),
        (b'{"a":"\\ud800","b":' + b"[" * 90_000 + b"]" * 90_000 + b"}", None, "nested too deeply"),
        (b'{"model":5}', "model", "'model' must be a string or null, not a number"),
        (b'{"model":5,"a":"\\ud800"}', "model", "'model' must be a string or null, not a number"),
        (b'{"model":"\\ud800"}', "model", "'model' holds characters"),
        (b'{"stream":"yes"}', "stream", "'stream' must be true or false or null, not a string"),
        (b'{"stream_options":[]}', "stream_options", "an array"),
        (b'{"stream_options":{"include_usage":1}}', "stream_options.include_usage", "a number"),
    ],
)
def test_unusable_bodies(body: bytes, param: str | None, said: str) -> None:
    with pytest.raises(BodyError) as caught:
        read_envelope(body)
    assert caught.value.param == param
    assert said in caught.value.message


def test_a_large_envelope_is_read_in_linear_time() -> None:
    def envelope(text: str) -> None:
        messages = [{"role": "user", "content": "x" * 1000}] * len(text)
        assert read_envelope(dump({"messages": messages, "model": "m"})).model == "m"

    assert grows_with_the_length(envelope, "x", 8_000)


# --- requests ---------------------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

CHAT_REQUEST = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, IMAGE, {"type": "text", "text": "here"}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
        {"role": "function", "name": "f", "content": "wind"},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "what it is for"}}],
}
ANSWERED = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}, {"type": "refusal", "refusal": "No"}]}
MESSAGE_ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny"}]}
RESPONSES_REQUEST = {
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "think"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "1", "output": "12 degrees"},
        MESSAGE_ITEM,
        {"type": "mcp_call", "arguments": "{}", "output": "from mcp", "name": "x"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "More"}, IMAGE]},
        {"type": "something_new", "content": [{"text": "new"}], "result": "AAAA"},
        {"type": "item_reference", "id": "x"},
    ],
}

REQUESTS: list[tuple[Operation, dict[str, Any], list[tuple[str, str, bool]]]] = [
    (
        CHAT,
        CHAT_REQUEST,
        [
            ("system", "what it is for", False),
            ("system", "Be kind.", False),
            ("user", "Lookhere", False),
            ("reasoning", "hm", False),
            ("arguments", '{"city":"Oslo"}', False),
            ("tool", "rain", True),
            ("tool", "wind", True),
            ("user", "And now?", True),
        ],
    ),
    (
        CHAT,
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]},
        [("system", "S", True), ("user", "U", True)],
    ),
    (  # a prefilled answer does not make what came before it old
        CHAT,
        {"messages": [{"role": "user", "content": "bad"}, {"role": "assistant", "content": "Sure, "}]},
        [("user", "bad", True), ("assistant", "Sure, ", True)],
    ),
    (
        CHAT,
        {"messages": [{"role": "user", "content": "a"}, ANSWERED, {"role": "user", "content": "b"}]},
        [("user", "a", False), ("assistant", "Hi", False), ("assistant", "No", False), ("user", "b", True)],
    ),
    (
        CHAT,
        {
            "messages": [
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"input": "SELECT 1"}}]},
                {"role": "assistant", "tool_calls": [{"function": {"arguments": {"q": ["deep", {"x": "er"}]}}}]},
                {"role": "user", "content": ""},
                {"role": "wizard", "content": "who?"},
                "bare",
                {"content": {"type": "text", "text": "one part"}},
            ]
        },
        [
            ("arguments", "{}", False),
            ("arguments", "SELECT 1", False),
            ("arguments", "deep", False),
            ("arguments", "er", False),
            ("user", "who?", True),
            ("user", "bare", True),
            ("user", "one part", True),
        ],
    ),
    (
        RESPONSES,
        RESPONSES_REQUEST,
        [
            ("system", "Be brief.", False),
            ("user", "Weather?", False),
            ("reasoning", "think", False),
            ("arguments", '{"a":1}', False),
            ("tool", "12 degrees", False),
            ("assistant", "Sunny", False),
            ("arguments", "{}", False),
            ("tool", "from mcp", False),
            ("tool", "done", True),
            ("user", "More", True),
            ("user", "new", True),
        ],
    ),
    (
        RESPONSES,
        {"instructions": "I", "input": "hello", "prompt": {"id": "p", "variables": {"who": "Ann"}}},
        [("system", "I", True), ("user", "Ann", True), ("user", "hello", True)],
    ),
    (
        RESPONSES,
        {"instructions": "I", "input": "hello", "previous_response_id": "resp_0"},
        [("system", "I", False), ("user", "hello", True)],
    ),
    (COMPLETIONS, {"prompt": "Once", "suffix": "end"}, [("user", "Once", True), ("user", "end", True)]),
    (COMPLETIONS, {"prompt": ["a", "b"]}, [("user", "a", True), ("user", "b", True)]),
    (COMPLETIONS, {"prompt": [[1, 2], [3]]}, []),
    (Operation.EMBEDDINGS, {"input": ["a", "b"]}, [("user", "a", True), ("user", "b", True)]),
    (Operation.EMBEDDINGS, {"input": [1, 2, 3]}, []),
    (Operation.MODERATIONS, {"input": [{"type": "text", "text": "t"}, IMAGE]}, [("user", "t", True)]),
    (Operation.OTHER, {"prompt": "x"}, []),
    (Operation.MODELS, {"prompt": "x"}, []),
]


@together(("operation", "body", "expected"), REQUESTS)
def test_requests(operation: Operation, body: dict[str, Any], expected: list[tuple[str, str, bool]]) -> None:
    passages = read_request(operation, dump(body)).passages
    assert [(p.channel, p.text, p.fresh) for p in passages] == expected
    for passage in passages:
        assert passage.direction == "prompt"
        assert passage.choice == 0
        assert "".join(at(body, source.path) for source in passage.sources) in ("", passage.text)
        assert passage.sources or at(body, passage.path) == passage.text


def test_lone_surrogates_and_huge_numbers_hide_no_text() -> None:
    for spoiler in (b'"\\ud800"', b"1e999", b"9" * 5000):
        body = b'{"messages":[{"role":"user","content":"seen"}],"x":' + spoiler + b"}"
        assert read_envelope(body) == Envelope()
        assert brief(read_request(CHAT, body).passages) == [("user", "seen")]
    [passage] = read_request(CHAT, b'{"messages":[{"role":"user","content":"a\\ud800b"}]}').passages
    assert passage.text == "a\ud800b"


def test_what_is_nested_too_deeply_is_judged_as_a_whole() -> None:
    body = b'{"messages":[{"role":"user","content":"seen"}],"x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    [passage] = read_request(CHAT, body).passages
    assert (passage.path, passage.text) == ((), body.decode())
    [passage] = read_response(CHAT, body).passages
    assert (passage.path, passage.text) == ((), body.decode())


def test_deep_content_is_read() -> None:
    content: Any = "deep"
    for _ in range(300):
        content = [{"type": "text", "text": content}]
    assert brief(read_request(CHAT, dump({"messages": [{"content": content}]})).passages) == [("user", "deep")]


@pytest.mark.parametrize("body", [b"", b"nope", b"\xff\xfe", b'{"messages":', b"NaN"])
def test_invalid_bodies_hold_no_passages(body: bytes) -> None:
    for operation in Operation:
        assert read_request(operation, body).passages == []
        if SURFACES[operation].answers is not None:  # of others any text is read
            assert read_response(operation, body).passages == []


KEYS = ["messages", "role", "content", "type", "text", "tool_calls", "function", "arguments", "input", "output"]
KEYS += ["choices", "delta", "message", "index", "response", "item", "part", "output_index", "prompt", "summary"]
NAMES = [*KEYS, "assistant", "reasoning", "response.output_item.done", "response.completed", "message"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@examples(60)
@given(VALUES, st.sampled_from(Operation))
def test_no_json_is_too_odd_to_read(value: Any, operation: Operation) -> None:
    body = dump(value)
    for passage in read_request(operation, body).passages + read_response(operation, body).passages:
        assert passage.text
        assert passage.sources or at(value, passage.path) == passage.text
        assert all(at(value, source.path) == source.text for source in passage.sources)
    transcript = sse.encode(body) + sse.DONE
    for passage in read_stream(operation, transcript).passages:
        assert passage.text != ""


# --- rewriting --------------------------------------------------------------------------------------------


@given(VALUES)
def test_rewriting_nothing_changes_nothing(value: Any) -> None:
    assert rewrite(dump(value), {}) == dump(value)


@given(VALUES, st.text())
def test_rewriting_changes_only_its_texts(value: Any, text: str) -> None:
    body = dump({"messages": [value, {"role": "user", "content": "x"}], "after": value})
    after = json.loads(rewrite(body, {("messages", 1, "content"): text}))
    assert after == {"messages": [value, {"role": "user", "content": text}], "after": value}


def test_rewriting_keeps_the_bytes_of_the_rest() -> None:
    body = b'{"z": 1.0, "big":123456789012345678901234567890, "s":"\\u00e9", "messages":[ {"content":"a"} ]}'
    after = rewrite(body, {("messages", 0, "content"): "b"})
    assert after == body.replace(b'"a"', b'"b"')


def test_rewriting_beside_a_lone_surrogate() -> None:
    body = b'{"x":"\\ud800","messages":[{"content":"a"},{"content":"keep \\ud801"}]}'
    after = rewrite(body, {("messages", 0, "content"): "b"})
    assert after == b'{"x":"\\ud800","messages":[{"content":"b"},{"content":"keep \\ud801"}]}'
    assert rewrite(b'{"a":"x"}', {("a",): "\ud800"}) == b'{"a":"\\ud800"}'


@together("path", [(), ("b",), ("a", 3), ("a", "b"), ("a", 0, "c"), ("n",), ("a",)])
@pytest.mark.parametrize("spoiler", [b'"fine"', b'"\\ud800"'])
def test_an_edit_that_finds_no_text_is_an_error(path: Path, spoiler: bytes) -> None:
    with pytest.raises(KeyError):
        rewrite(b'{"a":["x"],"n":1,"s":' + spoiler + b"}", {path: "new"})


@pytest.mark.parametrize("spoiler", [b'"fine"', b'"\\ud800"'])
def test_log_probabilities_go_with_the_text(spoiler: bytes) -> None:
    entry = b'{"message":{"content":"key"},"logprobs":{"content":[{"token":"key"}]}}'
    body = b'{"choices":[' + entry + b"," + entry + b'],"s":' + spoiler + b',"logprobs":true}'
    after = json.loads(rewrite(body, {("choices", 0, "message", "content"): "[gone]"}))
    assert after["choices"][0] == {"message": {"content": "[gone]"}, "logprobs": None}
    assert after["choices"][1] == json.loads(entry)
    assert after["logprobs"] is True
    part = {"content": [{"text": "key", "logprobs": [{"token": "key"}]}]}
    assert json.loads(rewrite(dump(part), {("content", 0, "text"): "-"})) == {
        "content": [{"text": "-", "logprobs": []}]
    }
