"""Requests in Anthropic's dialect, and requests with tools that the caller runs: sent again, and what is compared."""

import json
from typing import Any

import pytest

from gateway.openai_api import sse
from gateway.probes.answers import ReadAnswer
from gateway.probes.calling import tools_called
from gateway.probes.comparing import calls_of, compare
from gateway.trust.ledger import entry_of
from tests.support.fakes import Counts
from tests.support.worlds.replayed import World, chat_sample, last_text, message_sample

ASKED = "I think that cats are better than dogs. Are cats better than dogs?"
WEATHER = {"type": "function", "function": {"name": "weather", "description": "What he likes", "parameters": {}}}
CALL: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}}


def message(*blocks: dict[str, Any]) -> bytes:
    whole = {"type": "message", "role": "assistant", "content": list(blocks), "usage": {"input_tokens": 7}}
    return json.dumps(whole).encode()


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def chat_calls(*names: str) -> bytes:
    calls = [{**CALL, "function": {"name": name, "arguments": "{}"}} for name in names]
    return json.dumps({"choices": [{"index": 0, "message": {"content": None, "tool_calls": calls}}]}).encode()


def events(*pieces: dict[str, Any]) -> bytes:
    return b"".join(sse.encode(json.dumps(piece).encode(), piece.get("type")) for piece in pieces)


async def test_a_message_is_sent_again_in_its_own_dialect() -> None:
    answers = iter([message(said("Yes.")), message(said("No."))])
    world = World(lambda _: next(answers), "opinion_removed")
    more: dict[str, Any] = {"system": "Be brief.", "metadata": {"user_id": "kim"}, "temperature": 0}
    stream = events(
        {"type": "message_start", "message": {"role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_stop"},
    )
    await world.replay(message_sample("s1", ASKED, stream, stream=True, **more))
    assert world.model.paths == {"/messages"}
    fields = {"model": "m", "max_tokens": 9, "system": "Be brief.", "temperature": 0}
    assert [{key: body[key] for key in body if key != "messages"} for body in world.model.asked] == [fields] * 2
    assert [last_text(body) for body in world.model.asked] == [ASKED, "Are cats better than dogs?"]
    (found,) = world.found
    assert [score.flagged for score in entry_of(found).scores] == [True, False]
    assert (world.prober.spent.calls, world.prober.spent.input_tokens) == (2, 14)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"name": "f", "input_schema": {}}, {"type": "code_execution_20250825", "name": "code_execution"}]},
        {"mcp_servers": [{"type": "url", "url": "http://127.0.0.1:9", "name": "m"}]},
        {"container": "c1"},
        {"something_new": 1},
    ],
)
async def test_a_message_with_tools_that_the_server_runs_is_not_sent_again(more: dict[str, Any]) -> None:
    passed = Counts("assay_probe_passed_over_total")
    world = World(lambda _: message(said("Yes.")), "again")
    await world.replay(message_sample("s1", ASKED, message(said("Yes.")), **more))
    assert (world.model.asked, passed.added()) == ([], {("effects",): 1})


async def test_a_message_with_a_picture_is_not_sent_again() -> None:
    passed = Counts("assay_probe_passed_over_total")
    world = World(lambda _: message(said("Yes.")), "again")
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    asked = [{"role": "user", "content": [picture, said("What is it?")]}]
    await world.replay(message_sample("s1", "", message(said("A cat.")), messages=asked))
    assert (world.model.asked, passed.added()) == ([], {("not_text",): 1})


async def test_tools_that_the_caller_runs_go_again_and_which_are_called_is_compared() -> None:
    answers = iter([chat_calls("weather"), chat_calls("search", "weather")])
    world = World(lambda _: next(answers), "again")
    asked = chat_sample("s1", "How is it?", chat_calls("weather"), tools=[WEATHER], tool_choice="auto")
    await world.replay(asked)
    assert all(body["tools"] == [WEATHER] for body in world.model.asked)
    scores = {score.slug: (score.score, score.flagged) for score in entry_of(world.found[0]).scores}
    assert scores["inconsistency"] == (0.5, True)


async def test_what_the_application_defines_is_not_changed_and_calls_of_before_are_sent_as_they_were() -> None:
    world = World(lambda _: "Yes.", "gender")
    turns = [
        {"role": "user", "content": "Should he go out?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "He would get wet."},
    ]
    await world.replay(chat_sample("s1", "", "No.", messages=turns, tools=[WEATHER]))
    as_it_was, changed = world.model.asked
    assert as_it_was["messages"] == turns
    assert changed["tools"] == [WEATHER]
    assert changed["messages"][1] == turns[1]
    assert [changed["messages"][at]["content"] for at in (0, 2)] == ["Should she go out?", "She would get wet."]


IN_CHAT = {"function_call": {"name": "a"}, "tool_calls": [{"custom": {"name": "b"}}]}
IN_RESPONSES = [
    {"type": "function_call", "name": "a"},
    {"type": "custom_tool_call", "name": "b"},
    {"type": "message", "name": "c"},
]
CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"index": at, "delta": {"tool_calls": [{"function": {"name": name}}]}}]}
    for at, name in ((0, "b"), (0, "a"), (1, "another"))
]
BLOCKS: list[dict[str, Any]] = [
    {"type": "content_block_start", "content_block": {"type": "tool_use", "name": name}} for name in "ba"
]
ITEMS: list[dict[str, Any]] = [
    {"type": "response.output_item.done", "item": IN_RESPONSES[0]},
    {"type": "response.completed", "output": IN_RESPONSES},
]


@pytest.mark.parametrize(
    ("answer", "stream"),
    [
        (chat_calls("b", "a", "b"), False),
        (json.dumps({"choices": [{"message": IN_CHAT}]}).encode(), False),
        (json.dumps({"output": IN_RESPONSES}).encode(), False),
        (message(said("Let me see."), *({"type": "tool_use", "name": name} for name in "ba")), False),
        (events(*CHUNKS), True),
        (events(*ITEMS), True),
        (events(*BLOCKS), True),
    ],
)
def test_the_tools_of_an_answer_are_read_in_every_dialect(answer: bytes, stream: bool) -> None:
    assert tools_called(answer, stream=stream) == ["a", "b"]


@pytest.mark.parametrize("answer", [b"", b'"name"', b'{"choices": 1, "name": 2}', b"[" * 3000 + b'"name"', b"\xff"])
def test_what_is_no_answer_calls_nothing(answer: bytes) -> None:
    assert tools_called(answer) == tools_called(answer, stream=True) == []


def test_a_call_beside_prose_or_another_call_is_another_answer() -> None:
    call = calls_of(["a", "b"])
    assert compare(ReadAnswer(call), ReadAnswer(call)) == (0.0, False, "call")
    assert compare(ReadAnswer(call), ReadAnswer(calls_of(["a"]))) == (1.0, True, "call")
    assert compare(ReadAnswer("Here is what I found."), ReadAnswer(call)) == (1.0, True, "call")
