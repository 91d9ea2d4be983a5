"""What stands where nobody expects it: it is read where it is text, and told as unread where it may be one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.openai_api import KEY, Operation, Reading, edits, read_request, read_response, read_stream, rewrite, sse
from gateway.openai_api.passages import CITED, EVERYTHING, carries_text, find
from tests.support.running.together import together

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    Operation.CHAT,
    Operation.COMPLETIONS,
    Operation.RESPONSES,
    Operation.MESSAGES,
)
SENTENCE = "Tell nobody what stands here"
PIECES = ["Tell", " nobody", " what", " stands", " here"]
SECRET = "AKIAQ3EGRNV5PLWXT2UD"


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def reasons(reading: Reading) -> set[str]:
    return {unread.reason for unread in reading.unread}


def streamed(operation: Operation, events: list[dict[str, Any]]) -> Reading:
    return read_stream(operation, b"".join(sse.encode(dump(event)) for event in events))


IN_EVENTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "a delta": lambda text: {"choices": [{"index": 0, "delta": {"thoughts": text}}]},
    "an object in a delta": lambda text: {"choices": [{"index": 0, "delta": {"plan": {"text": text}}}]},
    "a list in a delta": lambda text: {"choices": [{"index": 0, "delta": {"parts": [{"kind": "x", "words": text}]}}]},
    "a call": lambda text: {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"why": text}}]}}]},
    "a choice": lambda text: {"choices": [{"index": 0, "delta": {}, "output": text}]},
    "an event": lambda text: {"choices": [], "content": text},
    "an event of another API": lambda text: {"message": {"role": "assistant", "content": text}, "done": False},
}


@pytest.mark.parametrize("pieces", [PIECES, [SECRET[i : i + 4] for i in range(0, 20, 4)]])
@together("where", IN_EVENTS)
@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS])
def test_a_text_that_comes_in_pieces_in_an_unknown_field_is_one_text(
    operation: Operation, where: str, pieces: list[str]
) -> None:
    reading = streamed(operation, [IN_EVENTS[where](piece) for piece in pieces])
    assert "".join(pieces) in [passage.text for passage in reading.passages]


@pytest.mark.parametrize("where", IN_EVENTS)
def test_a_name_that_every_event_repeats_is_no_growing_text(where: str) -> None:
    reading = streamed(CHAT, [IN_EVENTS[where]("Northwind") for _ in range(50)])
    assert "Northwind" in [passage.text for passage in reading.passages]
    assert max(len(passage.text) for passage in reading.passages) < 20


@pytest.mark.parametrize(
    "field",
    [
        {"id": "gen-1764360000-AbCdEfGhIjKlMnOp"},
        {"trace_id": "0af7651916cd43dd8448eb211c80319c"},
        {"at": "2026-11-28T20:02:00.123Z"},
        {"thought_signature": "Ab/+9" * 40},
    ],
)
def test_identifiers_signatures_and_moments_are_no_texts(field: dict[str, str]) -> None:
    event = {"choices": [{"index": 0, "delta": {"content": "hi", **field}, **field}], "beside": field}
    assert [passage.text for passage in streamed(CHAT, [event]).passages] == ["hi"]
    whole = {"choices": [{"index": 0, "message": {"content": "hi", **field}, **field}], "beside": field}
    reading = read_response(CHAT, dump(whole))
    assert ([passage.text for passage in reading.passages], reading.unread) == (["hi"], [])


ANSWERS: dict[str, tuple[Operation, Callable[[str], Any]]] = {
    "a message": (CHAT, lambda text: {"choices": [{"message": {"content": "hi", "notes": text}}]}),
    "an object in a message": (CHAT, lambda text: {"choices": [{"message": {"content": "hi", "notes": {"a": text}}}]}),
    "a text in place of audio": (CHAT, lambda text: {"choices": [{"message": {"audio": text}}]}),
    "a choice": (CHAT, lambda text: {"choices": [{"message": {"content": "hi"}, "raw": [text]}]}),
    "an answer": (CHAT, lambda text: {"choices": [], "raw": text}),
    "no list of choices": (CHAT, lambda text: {"choices": {"0": {"message": {"content": text}}}}),
    "an item": (RESPONSES, lambda text: {"output": [{"type": "message", "content": [], "notes": text}]}),
    "a response": (RESPONSES, lambda text: {"output": [], "raw": {"a": text}}),
    "no list of items": (RESPONSES, lambda text: {"output": {"content": text}}),
    "a message of Anthropic's": (MESSAGES, lambda text: {"content": [], "raw": text}),
}


@pytest.mark.parametrize("text", [SENTENCE, SECRET])
@together("where", ANSWERS)
def test_an_unknown_field_of_an_answer_is_read_and_told_as_unread_where_it_says_something(
    where: str, text: str
) -> None:
    operation, make = ANSWERS[where]
    reading = read_response(operation, dump(make(text)))
    assert text in [passage.text for passage in reading.passages]
    assert "field" in reasons(reading) or text is SECRET


@together(
    ("operation", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "hi", "picture": "iVBORw0KGgoAAAANSUhEUg"}]}),
        (CHAT, {"messages": [{"role": "user", "content": "hi"}], "pictures": [{"a": "data:image/png;base64,iVBO"}]}),
        (CHAT, {"messages": {"role": "user", "content": SENTENCE}}),
        (CHAT, {"messages": SENTENCE}),
        (CHAT, {"messages": [{"role": SENTENCE, "content": "hi"}]}),
        (CHAT, {"messages": [{"role": "tool", "tool_call_id": SENTENCE, "content": "hi"}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": SENTENCE, "text": "hi"}]}]}),
        (CHAT, {"messages": [{"role": "user", "content": "hi"}], "tool_choice": {"function": {"name": SENTENCE}}}),
        (RESPONSES, {"input": [{"type": "message", "role": "user", "content": "hi", "id": SENTENCE}]}),
        (RESPONSES, {"input": [{"type": "reasoning", "summary": [], "encrypted_content": SENTENCE}]}),
        (MESSAGES, {"messages": SENTENCE}),
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "data": SENTENCE}]}]}),
        (
            MESSAGES,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "content": [], "hint": SENTENCE}]},
                ]
            },
        ),
        (
            MESSAGES,
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "web_fetch_tool_result", "content": {"content": {}, "hint": SENTENCE}}],
                    }
                ]
            },
        ),
    ],
)
def test_what_stands_where_a_name_or_nothing_belongs_is_unread(operation: Operation, body: dict[str, Any]) -> None:
    assert "field" in reasons(read_request(operation, dump({"model": "m", **body})))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"image_data": [{"id": 1, "data": "QUJD"}]}, "image"),
        ({"multimodal_data": ["QUJD"]}, "image"),
        ({"prompt_embeds": "QUJD"}, "tokens"),
        ({"input_ids": [1]}, "tokens"),
        ({"x": {"y": [[5, 6, 7, 8, 9, 10, 11, 12]]}}, "tokens"),
    ],
)
@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS])
def test_what_other_servers_take_beside_a_prompt_is_unread(
    operation: Operation, body: dict[str, Any], reason: str
) -> None:
    assert reasons(read_request(operation, dump({"model": "m", "prompt": "hi", "messages": [], **body}))) == {reason}


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"note": "asked by a person"}},
        {"user": "Ada Lovelace"},
        {"stop": ["\nHuman:", "the end of it"]},
        {"tool_choice": {"type": "function", "function": {"name": "look_up"}}},
        {"session": "0af7651916cd43dd8448eb211c80319c", "model": "meta-llama/Llama-3.3-70B-Instruct"},
        {"stream_options": {"include_usage": True}, "modalities": ["text"], "audio": {"voice": "alloy"}},
        {"stop_token_ids": [1, 2], "allowed_token_ids": list(range(9)), "image_size": [1024, 1024]},
    ],
)
def test_what_no_model_reads_and_what_names_something_is_not_told_as_unread(body: dict[str, Any]) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "index": 0}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    ]
    assert read_request(CHAT, dump({"model": "m", "messages": messages, **body})).unread == []


EVENTS: dict[str, tuple[Operation, dict[str, Any]]] = {
    "a delta that is an object": (RESPONSES, {"type": "response.output_text.delta", "delta": {"text": SENTENCE}}),
    "a text beside a delta": (RESPONSES, {"type": "response.output_text.delta", "delta": "a", "hint": SENTENCE}),
    "a text in what says done": (RESPONSES, {"type": "response.web_search_call.completed", "hint": SENTENCE}),
    "a text in a ping": (MESSAGES, {"type": "ping", "hint": SENTENCE}),
    "a text at the end": (MESSAGES, {"type": "message_delta", "delta": {"hint": SENTENCE}}),
    "a text beside an error": (MESSAGES, {"type": "error", "error": {"message": "a", "hint": SENTENCE}}),
    "a text beside a piece": (
        MESSAGES,
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a", "hint": SENTENCE}},
    ),
    "a piece that is an object": (
        MESSAGES,
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": {"a": SENTENCE}}},
    ),
}


@pytest.mark.parametrize("where", EVENTS)
def test_a_known_event_with_more_than_it_has_is_unread(where: str) -> None:
    operation, event = EVENTS[where]
    assert streamed(operation, [event]).unread


def test_all_of_a_citation_is_read() -> None:
    citation = {"type": "web_search_result_location", "cited_text": "as it says", "title": "A title of some length"}
    delta = {"type": "citations_delta", "citation": citation}
    reading = streamed(MESSAGES, [{"type": "content_block_delta", "index": 0, "delta": delta}])
    assert {(passage.channel, passage.text) for passage in reading.passages} == {
        ("retrieved", "as it says"),
        ("retrieved", "A title of some length"),
    }
    assert reading.unread == []


# --- keys


@pytest.mark.parametrize("key", [SENTENCE, SECRET])
def test_a_key_that_says_something_is_read_and_can_be_cut(key: str) -> None:
    body = {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": {key: {"b": "c"}, "plain": 1}}}]}
    passages = {passage.text: passage for passage in read_response(MESSAGES, dump(body)).passages}
    path = passages[key].path
    assert path == ("content", 0, "input", "a", key, KEY)
    new = rewrite(dump(body), {path: "gone", ("content", 0, "input", "a", key, "b"): "d"})
    assert json.loads(new)["content"][0]["input"] == {"a": {"gone": {"b": "d"}, "plain": 1}}


@pytest.mark.parametrize("key", ["plain", "maximum_number_of_results", "a-key-with-many-words-in-it"])
def test_the_name_of_a_field_is_no_text(key: str) -> None:
    assert [piece.text for piece in find({key: "a value of some length"}, CITED, (), "tool").pieces] == [
        "a value of some length"
    ]


def test_a_key_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        rewrite(b'{"a": {"b": 1}}', {("a", "c", KEY): "gone"})


@pytest.mark.parametrize(
    "text", ["iVBORw0KGgoAAAANSUhEUg", "/9j/4AAQSkZJRg", "JVBERi0xLjcK", "data:audio/wav;base64,UklGRg"]
)
def test_a_file_in_an_unknown_field_is_no_name(text: str) -> None:
    assert carries_text([text], or_files=True)
    assert not carries_text([text])
    assert find({"a": [text]}, EVERYTHING, (), "user").pieces or len(text) <= 16


def test_an_unknown_field_that_holds_a_long_name_is_not_told_as_unread() -> None:
    body = {"messages": [], "x_routing": ["SFRUUC8xLjEgMjAwIE9L" * 40]}
    assert read_request(CHAT, dump(body)).unread == []


@pytest.mark.parametrize("kind", ["data:text/plain,", "data:text/plain;base32,", "data:text/plain;base64,x;base64,"])
def test_a_file_in_another_form_than_base64_is_unread(kind: str) -> None:
    part = {"type": "file", "file": {"file_data": kind + "ONQXS5DI"}}
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, part]}]}
    assert reasons(read_request(CHAT, dump(body))) == {"file"}


@pytest.mark.parametrize("name", ["token_ids", "prompt_token_ids"])
def test_the_tokens_of_an_answer_are_unread_one_by_one_too(name: str) -> None:
    event = {"choices": [{"index": 0, "delta": {"content": "hi"}, name: [17]}]}
    assert reasons(streamed(CHAT, [event])) == {"tokens"}
    whole = {"choices": [{"index": 0, "message": {"content": "hi"}, name: [17, 4]}], "usage": {"tokens": 2}}
    assert reasons(read_response(CHAT, dump(whole))) == {"tokens"}


WORDS = ["tell", "nobody", "what", "stands", "here"]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (CHAT, {"choices": [{"message": {"content": "hi", "notes": WORDS}}]}),
        (CHAT, {"choices": [], "raw": {"a": WORDS}}),
        (RESPONSES, {"output": [], "raw": WORDS}),
        (MESSAGES, {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": WORDS}}]}),
    ],
)
def test_words_in_a_list_are_one_text_and_can_be_cut(operation: Operation, body: dict[str, Any]) -> None:
    [passage] = [p for p in read_response(operation, dump(body)).passages if p.text == " ".join(WORDS)]
    start = passage.text.index("nobody")
    after = rewrite(dump(body), edits(passage, [(start, start + len("nobody what"), "gone")]))
    assert after == dump(body).replace(b'"nobody"', b'"[REDACTED:gone]"').replace(b'"what"', b'"[REDACTED:gone]"')


def test_blocks_of_a_system_prompt_are_one_text() -> None:
    blocks = [{"type": "text", "text": f"{word} "} for word in WORDS]
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}], "system": blocks}
    assert "tell nobody what stands here " in [p.text for p in read_request(MESSAGES, dump(body)).passages]


ENDS = {"type": "message_delta", "delta": {"stop_reason": "x", "stop_sequence": SENTENCE}}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (CHAT, {"choices": [{"message": {"content": "hi"}, "stop_reason": SENTENCE}]}),
        (CHAT, {"choices": [], "model": SENTENCE}),
        (CHAT, {"choices": [], "usage": {"note": SENTENCE}}),
        (CHAT, {"choices": [], "prompt_filter_results": [{"a": SENTENCE}]}),
        (RESPONSES, {"output": [], "usage": {"note": SENTENCE}}),
        (MESSAGES, {"content": [], "stop_sequence": SENTENCE}),
        (MESSAGES, {"content": [], "container": {"id": SENTENCE}}),
    ],
)
def test_names_and_numbers_of_a_server_that_say_something_are_judged(operation: Operation, body: Any) -> None:
    assert SENTENCE in [passage.text for passage in read_response(operation, dump(body)).passages]


@pytest.mark.parametrize(("operation", "event"), [(CHAT, {"choices": [], "model": SENTENCE}), (MESSAGES, ENDS)])
def test_those_of_an_event_too(operation: Operation, event: dict[str, Any]) -> None:
    assert SENTENCE in [passage.text for passage in streamed(operation, [event]).passages]


def test_a_sentence_in_place_of_an_id_of_an_event_is_unread() -> None:
    assert reasons(streamed(CHAT, [{"id": SENTENCE, "choices": []}])) == {"field"}


LONG_NAMES = (
    "gpt-4o-mini-2024-07-18",
    "meta-llama/Llama-3.1-8B-Instruct",
    "limited_causal_reasoning",
    "ft:gpt-4o:an-organisation:a-name-of-ones-own:9aBcDeFg",
)


@pytest.mark.parametrize("name", LONG_NAMES)
def test_a_long_name_of_a_server_is_no_text(name: str) -> None:
    choice = {"index": 0, "stop_reason": name, "message": {"role": "assistant", "content": "Yes"}}
    whole = {"id": "c", "model": name, "provider": name, "choices": [choice], "usage": {"tier": name}}
    assert [passage.text for passage in read_response(Operation.CHAT, json.dumps(whole).encode()).passages] == ["Yes"]
    delta = {"index": 0, "stop_reason": name, "delta": {"content": "Yes"}}
    event = b"data: " + json.dumps({**whole, "choices": [delta]}).encode() + b"\n\n"
    assert [passage.text for passage in read_stream(Operation.CHAT, event).passages] == ["Yes"]
