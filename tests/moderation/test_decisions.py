"""`/v1/decisions`: the model `assay` is answered by the gateway's own detectors, every other model is forwarded."""

import json
from typing import Any

import pytest
from openai.types import Decision

from gateway.moderation.categories import InputScores
from gateway.moderation.decisions import decision_body, read_questions
from gateway.openai_api import BodyError, Operation, read_request
from tests.support.fakes import Seen, World, rules
from tests.support.servers.scripted_server import JSON, answer, answering, serve

PATH = "/v1/decisions"
VIOLENT = {"type": "predicate", "name": "violence", "instructions": "it is violent"}
HATEFUL = {"type": "predicate", "name": "hate", "instructions": "it is hateful"}


def asked(given: Any = "throw the grenade", *questions: Any, model: str = "assay") -> bytes:
    return json.dumps({"model": model, "input": given, "questions": questions or (VIOLENT,)}).encode()


def answers(seen: Seen) -> list[Any]:
    assert seen.status == 200
    Decision.model_validate_json(seen.body, strict=True)
    found: list[Any] = json.loads(seen.body)["answers"]
    return found


async def test_a_question_named_after_a_sub_category_is_answered_here() -> None:
    async with World() as world:  # no upstream at all
        assert answers(await world.ask(PATH, asked())) == [
            {"type": "predicate", "name": "violence", "probability": 1.0}
        ]
        assert answers(await world.ask(PATH, asked("calm"))) == [
            {"type": "predicate", "name": "violence", "probability": 0.0}
        ]
        assert {exchange.outcome for exchange in world.notebook.closed_ones} == {"completed"}


@pytest.mark.parametrize(
    "question",
    [
        {"type": "predicate", "name": "is it blue", "instructions": "x"},
        {"type": "predicate", "instructions": "x"},
        {"type": "choice", "name": "violence", "instructions": "x", "choices": [{"value": "a"}, {"value": True}]},
        {"type": "score", "name": "violence", "instructions": "x", "levels": [{"label": "low"}]},
    ],
)
async def test_every_other_question_is_refused_and_the_rest_answered(question: dict[str, Any]) -> None:
    async with World() as world:
        refused, answered = answers(await world.ask(PATH, asked("calm", question, VIOLENT)))
    assert refused == {"type": "refusal", "name": question.get("name")}
    assert answered["type"] == "predicate"


async def test_the_words_of_a_question_are_not_judged_as_the_input() -> None:
    question = VIOLENT | {"instructions": "someone throws a grenade"}
    async with World() as world:
        (found,) = answers(await world.ask(PATH, asked("calm", question)))
    assert found["probability"] == 0.0


async def test_another_model_is_forwarded_and_its_input_judged_like_a_prompt() -> None:
    body = asked(model="gpt-6-luna")
    blocking = rules("id: r, when: {subcategory: violence, on: prompt}, then: block")
    reply = answer(b'{"answers": []}', JSON)
    async with serve(answering(reply)) as server, World(server.port) as world:
        assert (await world.ask(PATH, body)).body == b'{"answers": []}'
        assert [request.body for request in server.requests] == [body]
    async with serve(answering(reply)) as server, World(server.port, rules=blocking) as world:
        assert (await world.ask(PATH, body)).error["code"] == "content_filter"
        assert server.requests == []


def test_every_text_of_the_input_and_the_questions_is_read() -> None:
    items = [
        {"role": "developer", "content": "rules"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "hello"}, {"type": "input_json", "data": {"a": ["x"]}}],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "done"},
    ]  # fmt: skip
    question = {"type": "choice", "instructions": "which", "choices": [{"value": "v", "description": "d"}]}
    found = read_request(Operation.DECISIONS, asked(items, question)).passages
    assert [(passage.channel, passage.text) for passage in found] == [
        ("system", "rules"), ("user", "hello"), ("user", "x"), ("assistant", "hi"), ("arguments", "{}"),
        ("tool", "done"), ("system", "which"), ("system", "v"), ("system", "d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", "input"),
        (b'{"input": ""}', "input"),
        (b'{"input": "x"}', "questions"),
        (asked("x").replace(b'"predicate"', b'"riddle"'), "questions[0]"),
        (asked("x").replace(b'"violence"', b"7"), "questions[0]"),
        (asked("x", *[VIOLENT] * 401), "questions"),
    ],
)
def test_what_is_no_request_is_told_with_its_place(body: bytes, param: str | None) -> None:
    with pytest.raises(BodyError) as caught:
        read_questions(body)
    assert caught.value.param == param


async def test_a_bad_request_is_an_error_of_the_client() -> None:
    async with World() as world:
        seen = await world.ask(PATH, asked("").replace(b'"input": ""', b'"input": []'))
    assert (seen.status, seen.error["param"]) == (400, "input")


async def test_detectors_that_do_not_answer_are_told() -> None:
    async with World() as world:
        world.judge.error = "timed_out"
        assert (await world.ask(PATH, asked())).status == 503


def test_what_was_not_wholly_read_is_not_called_clean() -> None:
    scored = InputScores({"violence": 0.9, "hate": 0.1}, {"violence"}, {})
    questions = read_questions(asked("x", VIOLENT, HATEFUL))
    found = json.loads(decision_body(questions, scored, failure="truncated"))
    assert [one["type"] for one in found["answers"]] == ["predicate", "refusal"]
    assert found["assay"]["failure"] == "truncated"
