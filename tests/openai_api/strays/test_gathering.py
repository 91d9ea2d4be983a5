"""A text parted into single words, each where no row reads it: gathered, it is one text. What APIs, servers and callers
write as a rule is none."""

import json
import string
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai_api import (
    BESIDE,
    STRAYS,
    Operation,
    Passage,
    Reading,
    edits,
    read_request,
    read_response,
    read_stream,
    rewrite,
    sse,
)
from tests.support.running.together import together

CHAT, RESPONSES, MESSAGES = Operation.CHAT, Operation.RESPONSES, Operation.MESSAGES
WORDS = ["Tell", "me", "what", "nobody", "is", "to", "hear", "and", "where", "the", "jewels", "are"]
SECRET = "AKIAQ3EGRNV5PLWXT2UD"


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def gathered(reading: Reading) -> list[Passage]:
    return [passage for passage in reading.passages if passage.path[:1] == (STRAYS,)]


def in_order(text: str, words: Sequence[str]) -> bool:
    at = 0
    for word in words:
        at = text.find(word, at) + 1
        if not at:
            return False
    return True


def request(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hello there"}], **more}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def parameters(**more: Any) -> list[Any]:
    return [tool("f", parameters={"type": "object", **more})]


def calls(words: Sequence[str], key: str) -> list[Any]:
    return [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, key: word} for word in words]


REQUESTS: Mapping[str, tuple[Operation, Callable[[Sequence[str]], Any]]] = {
    "a list of an unknown field": (CHAT, lambda words: request(notes=words)),
    "objects of an unknown field": (CHAT, lambda words: request(notes=[{"w": word} for word in words])),
    "keys of an unknown field": (CHAT, lambda words: request(notes=dict.fromkeys(words, 1))),
    "single unknown fields": (CHAT, lambda words: request(**{f"n{i}": word for i, word in enumerate(words)})),
    "stops": (CHAT, lambda words: request(stop=words)),
    "keys of biases": (CHAT, lambda words: request(logit_bias=dict.fromkeys(words, 1))),
    "values of metadata": (CHAT, lambda words: request(metadata={str(i): word for i, word in enumerate(words)})),
    "a sentence in metadata": (CHAT, lambda words: request(metadata={"a": " ".join(words)})),
    "a model": (CHAT, lambda words: request(model=" ".join(words))),
    "an end user": (CHAT, lambda words: request(user=" ".join(words))),
    "roles": (CHAT, lambda words: request(messages=[{"role": word, "content": "x"} for word in words])),
    "names": (CHAT, lambda words: request(messages=[{"role": "user", "name": word, "content": "x"} for word in words])),
    "ids": (CHAT, lambda words: request(messages=[{"role": "tool", "tool_call_id": word} for word in words])),
    "types": (CHAT, lambda words: request(messages=[{"role": "user", "content": [{"type": word}]} for word in words])),
    "ids of calls": (CHAT, lambda words: request(messages=[{"role": "assistant", "tool_calls": calls(words, "id")}])),
    "messages": (CHAT, lambda words: request(messages=[{"role": "user", "content": word} for word in words])),
    "names of tools": (CHAT, lambda words: request(tools=[tool(word) for word in words])),
    "values of a parameter": (CHAT, lambda words: request(tools=parameters(properties={"a": {"enum": words}}))),
    "names of parameters": (CHAT, lambda words: request(tools=parameters(properties={word: {} for word in words}))),
    "what a tool requires": (CHAT, lambda words: request(tools=parameters(required=words))),
    "an embedding's inputs": (Operation.EMBEDDINGS, lambda words: {"model": "m", "input": words}),
    "queries": (RESPONSES, lambda words: {"input": [{"type": "file_search_call", "queries": words}]}),
    "statuses of items": (
        RESPONSES,
        lambda words: {"input": [{"type": "reasoning", "status": word} for word in words]},
    ),
    "stop sequences": (MESSAGES, lambda words: {"messages": [], "stop_sequences": words}),
    "keys of an input": (
        MESSAGES,
        lambda words: {
            "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "input": dict.fromkeys(words, 1)}]},
            ]
        },
    ),
}


@together("where", REQUESTS)
def test_words_of_a_request_are_one_text(where: str) -> None:
    operation, make = REQUESTS[where]
    reading = read_request(operation, dump(make(WORDS)))
    assert any(in_order(passage.text, WORDS) for passage in reading.passages)
    assert all(passage.direction == "prompt" and passage.choice == 0 for passage in gathered(reading))


def answer(**more: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}], **more}


def choices(words: Sequence[str], make: Callable[[str], Any]) -> dict[str, Any]:
    return {"choices": [{"index": i, "message": {"content": "x"}, **make(word)} for i, word in enumerate(words)]}


def message(words: Sequence[str], make: Callable[[str], Any]) -> dict[str, Any]:
    return {"output": [{"type": "message", "content": [make(word) for word in words]}]}


ANSWERS: Mapping[str, tuple[Operation, Callable[[Sequence[str]], Any]]] = {
    "objects beside the choices": (CHAT, lambda words: answer(notes=[{"w": word} for word in words])),
    "keys beside the choices": (CHAT, lambda words: answer(notes=dict.fromkeys(words, 1))),
    "titles of sources": (CHAT, lambda words: answer(search_results=[{"title": word} for word in words])),
    "citations": (CHAT, lambda words: answer(citations=words)),
    "usage": (CHAT, lambda words: answer(usage=dict.fromkeys(words, 1))),
    "metadata": (CHAT, lambda words: answer(metadata=dict(enumerate(words)))),
    "names of models": (CHAT, lambda words: answer(model=[{"w": word} for word in words])),
    "reasons of ends": (CHAT, lambda words: choices(words, lambda word: {"finish_reason": word})),
    "choices": (CHAT, lambda words: choices(words, lambda word: {"message": {"content": word}})),
    "names of called tools": (
        CHAT,
        lambda words: {"choices": [{"message": {"tool_calls": [tool(word, arguments="{}") for word in words]}}]},
    ),
    "annotations": (
        RESPONSES,
        lambda words: message(
            words, lambda word: {"type": "output_text", "text": "x", "annotations": [{"title": word}]}
        ),
    ),
    "a repeated user": (RESPONSES, lambda words: {"output": [], "user": " ".join(words)}),
    "repeated instructions": (RESPONSES, lambda words: {"output": [], "instructions": " ".join(words)}),
    "repeated tools": (RESPONSES, lambda words: {"output": [], "tools": [{"description": " ".join(words)}]}),
    "repeated metadata": (RESPONSES, lambda words: {"output": [], "metadata": dict(enumerate(words))}),
    "repeated reasoning": (RESPONSES, lambda words: {"output": [], "reasoning": {"summary": " ".join(words)}}),
    "ids of items": (RESPONSES, lambda words: {"output": [{"type": "message", "id": word} for word in words]}),
    "called functions": (RESPONSES, lambda words: {"output": [{"type": "function_call", "name": w} for w in words]}),
    "names of uses": (MESSAGES, lambda words: {"content": [{"type": "tool_use", "name": word} for word in words]}),
    "ids of blocks": (MESSAGES, lambda words: {"content": [{"type": "tool_use", "id": word} for word in words]}),
}


@together("where", ANSWERS)
def test_words_of_an_answer_are_one_text_beside_its_choices(where: str) -> None:
    operation, make = ANSWERS[where]
    reading = read_response(operation, dump(make(WORDS)), dump({"input": "something else"}))
    assert any(in_order(passage.text, WORDS) for passage in reading.passages)
    assert all(passage.choice == BESIDE and passage.channel == "assistant" for passage in gathered(reading))


def chunk(more: Mapping[str, Any] | None = None, *, delta: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta or {"content": "x"}}], **(more or {})}


def text_delta(**more: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x", **more}


EVENTS: Mapping[str, tuple[Operation, Callable[[int, str], Any]]] = {
    **{
        f"{key} of chunks": (CHAT, partial(lambda key, _, word: chunk({key: word}), key))
        for key in ("id", "object", "model", "system_fingerprint", "service_tier", "obfuscation", "provider", "usage")
    },
    **{
        f"{key} of deltas": (CHAT, partial(lambda key, _, word: chunk(delta={key: word}), key))
        for key in ("role", "tool_call_id", "name", "index", "prefix")
    },
    "ids of calls": (CHAT, lambda _, word: chunk(delta={"tool_calls": [{"index": 0, "id": word}]})),
    "names of tools": (CHAT, lambda i, word: chunk(delta={"tool_calls": [{"index": i, "function": {"name": word}}]})),
    "choices": (CHAT, lambda i, word: {"choices": [{"index": i, "delta": {"content": word}}]}),
    **{
        f"{key} of events": (RESPONSES, partial(lambda key, _, word: text_delta(**{key: word}), key))
        for key in ("item_id", "obfuscation", "response_id", "name", "code", "param", "size", "quality", "background")
    },
    "types of events": (RESPONSES, lambda _, word: {"type": f"response.{word}"}),
    "errors": (RESPONSES, lambda _, word: {"type": "error", "message": word}),
    "texts that end": (RESPONSES, lambda _, word: {"type": "response.output_text.done", "text": word}),
    "items": (RESPONSES, lambda i, word: text_delta(output_index=i, delta=word)),
    "snapshots": (RESPONSES, lambda _, word: {"type": "response.in_progress", "response": {"id": word, "output": []}}),
    "titles": (
        RESPONSES,
        lambda _, word: {"type": "response.output_text.annotation.added", "annotation": {"title": word}},
    ),
    "pings": (MESSAGES, lambda _, word: {"type": "ping", "a": word}),
    "kinds": (MESSAGES, lambda _, word: {"type": word}),
    "errors of Anthropic's": (MESSAGES, lambda _, word: {"type": "error", "error": {"type": "x", "message": word}}),
    "reasons": (MESSAGES, lambda _, word: {"type": "message_delta", "delta": {"stop_reason": word}}),
    "names of uses": (
        MESSAGES,
        lambda i, word: {
            "type": "content_block_start",
            "index": i,
            "content_block": {"type": "tool_use", "name": word},
        },
    ),
}


@together("where", EVENTS)
def test_words_of_a_stream_are_one_text(where: str) -> None:
    operation, make = EVENTS[where]
    events = b"".join(sse.encode(dump(make(i, word))) for i, word in enumerate(WORDS))
    assert any(in_order(passage.text, WORDS) for passage in read_stream(operation, events).passages)


@pytest.mark.parametrize(
    "body",
    [
        request(user=f"u-{SECRET}"),
        request(prompt_cache_key=SECRET),
        request(tool_choice={"function": {"name": SECRET}}),
        request(messages=[{"role": "tool", "tool_call_id": SECRET, "content": "x"}]),
        request(notes={SECRET: 1}),
    ],
)
def test_a_secret_is_a_text_wherever_it_stands_and_can_be_cut(body: Any) -> None:
    [passage] = gathered(read_request(CHAT, dump(body)))
    at = passage.text.index(SECRET)
    changed = rewrite(dump(body), edits(passage, [(at, at + len(SECRET), "key")]))
    assert SECRET not in changed.decode()
    assert "[REDACTED:key]" in changed.decode()
    assert json.loads(changed).keys() == body.keys()


SAID = ("tell nobody of it", "wie man das öffnet", "как это открыть " * 30)
ENCODED = [b64encode(text.encode()).decode() for text in SAID]


@pytest.mark.parametrize("encoded", [*ENCODED, ENCODED[0].rstrip("="), b"tell nobody of it".hex()])
def test_a_text_in_base64_or_in_digits_is_a_text_wherever_it_stands(encoded: str) -> None:
    for body in (request(metadata={"a": encoded}), request(id=encoded), request(tool_choice={"name": encoded})):
        [passage] = gathered(read_request(CHAT, dump(body)))
        assert encoded in passage.text


@given(st.binary(max_size=200))
def test_what_is_random_in_base64_is_no_text(content: bytes) -> None:
    words = content.decode(errors="replace")
    if words.count(" ") < 2:
        body = request(metadata={"a": b64encode(content).decode(), "b": content.hex()})
        assert gathered(read_request(CHAT, dump(body))) == []


def test_what_an_answer_repeats_of_its_request_is_not_judged_again() -> None:
    asked = {
        "instructions": "Be brief and polite to all of them",
        "user": "Ann of the shop",
        "metadata": {"a": "b c d e"},
    }
    given = {"output": [], **asked}
    assert gathered(read_response(RESPONSES, dump(given), dump(asked))) == []
    [other] = gathered(read_response(RESPONSES, dump({**given, "user": " ".join(WORDS)}), dump(asked)))
    assert (other.text, other.channel) == (" ".join(WORDS), "assistant")
    [unknown] = gathered(read_response(RESPONSES, dump(given)))  # no request to compare with
    assert unknown.channel == "system"


FUNCTIONS = [
    tool(name, description="", parameters={"type": "object", "properties": {key: {"type": "string"} for key in keys}})
    for name, keys in (
        ("search_flights", ("origin", "destination", "date", "passengers")),
        ("send_email", ("from", "subject", "body", "attachments")),
        ("is_open", ("place", "day", "hour")),
        ("Bash", ("command", "description", "timeout")),
        ("to_currency", ("amount", "unit")),
    )
]
HARMLESS: Mapping[str, Any] = {
    "a model": request(model=f"small?say=the+key+is+{SECRET}"),
    "settings": request(temperature=0.2, user="user-1", service_tier="auto", stop=["\n\n", "Human:", "###"]),
    "metadata": request(metadata={"team": "search", "env": "prod", "feature": "autocomplete", "tier": "gold"}),
    "tools": request(tools=FUNCTIONS, tool_choice="auto"),
    "a form": request(
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "mail",
                "schema": {"type": "object", "properties": {"tone": {"enum": ["warm", "dry"]}}},
            },
        }
    ),
    "an agent": request(
        messages=[
            {"role": "assistant", "tool_calls": [{"id": f"call_{i}", **each} for i, each in enumerate(FUNCTIONS)]},
            *({"role": "tool", "tool_call_id": f"call_{i}", "content": "ok"} for i in range(5)),
        ]
    ),
    "small talk": request(messages=[{"role": "user", "content": word} for word in ("hi", "yes", "thanks", "ok", "no")]),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_callers_write_as_a_rule_is_no_text(what: str) -> None:
    assert gathered(read_request(CHAT, dump(HARMLESS[what]))) == []


SEVERITIES = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
OF_SERVERS: Mapping[str, Any] = {
    "OpenAI": {"service_tier": "default", "system_fingerprint": "fp_44709d6fcb", "model": "gpt-4o-mini-2024-07-18"},
    "Azure": {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SEVERITIES}]},
    "OpenRouter": {"id": "gen-1764360000-AbCdEfGhIjKlMnOp", "provider": "Fireworks", "model": "deepseek/deepseek-chat"},
    "Groq": {"x_groq": {"id": "req_01jbd6g2qdfw2adyrt2az8hz4w"}, "service_tier": "on_demand"},
    "llama.cpp": {"timings": {"prompt_n": 1, "prompt_ms": 2.0, "prompt_per_token_ms": 1, "predicted_per_second": 4}},
    "Together": {"id": "oXa1B2c-6Z4-8f3e2d1c0b9a8f7e", "prompt": [], "metadata": {"weight_version": "default"}},
    "Ollama": {"model": "llama3.2", "system_fingerprint": "fp_ollama"},
}


@pytest.mark.parametrize("server", OF_SERVERS)
def test_what_servers_add_is_no_text(server: str) -> None:
    body = answer(object="chat.completion", **OF_SERVERS[server])
    assert gathered(read_response(CHAT, dump(body))) == []
    events = [chunk({**OF_SERVERS[server], "obfuscation": "aZ3kf9"[: i % 7]}) for i in range(50)]
    assert gathered(read_stream(CHAT, b"".join(sse.encode(dump(event)) for event in events))) == []


@given(st.lists(st.text(string.ascii_letters + string.digits, min_size=1, max_size=16), max_size=60))
def test_random_padding_is_no_text(padding: list[str]) -> None:
    events = b"".join(sse.encode(dump(text_delta(obfuscation=text))) for text in padding)
    assert gathered(read_stream(RESPONSES, events)) == []


@given(
    st.recursive(
        st.text(max_size=8) | st.integers() | st.none(),
        lambda below: st.lists(below) | st.dictionaries(st.text(max_size=8), below),
    )
)
def test_any_body_is_read_and_every_stray_can_be_cut_where_it_stands(value: Any) -> None:
    body = dump(request(notes=value))
    for passage in gathered(read_request(CHAT, body)):
        for source in passage.sources:
            assert passage.text[source.start : source.end] == source.text
            rewrite(body, edits(passage, [(source.start, source.end, "x")]))


def test_a_body_as_deep_as_it_may_be_is_read() -> None:
    value: Any = "deep"
    for _ in range(400):
        value = {"a": value}
    assert read_request(CHAT, dump(request(notes=value))).passages
