"""What a request says of its moderation, and where replies carry it: to the byte, and in the client's own types."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from gateway.moderation.categories import InputScores
from gateway.moderation.replies import (
    SideResult,
    StreamEnd,
    moderation_of,
    with_moderation,
    withheld_body,
)
from gateway.openai_api import BodyError, Moderated, Operation, read_moderation, sse
from tests.support.running.together import together
from tests.support.wire.surfaces import CHAT, RESPONSES, Delta, decoded

ABOUT = b'{"input":1,"output":2}'
TWO = [Delta("one "), Delta("other", choice=1), Delta("more")]
CLEAN, CRUEL = InputScores({"toxicity": 0.1}), InputScores({"toxicity": 0.9}, {"toxicity"}, {"toxicity": "d@1"})


def request(moderation: Any, **more: Any) -> bytes:
    return json.dumps({"model": "m", "moderation": moderation, **more}).encode()


# --- what is asked


@pytest.mark.parametrize(
    ("moderation", "expected"),
    [
        ({"model": "m"}, ("score", "score")),
        ({"model": "m", "policy": None}, ("score", "score")),
        ({"model": "m", "policy": {}}, ("score", "score")),
        ({"model": "m", "policy": {"input": None, "output": {"mode": "block"}}}, ("score", "block")),
        ({"model": "m", "policy": {"input": {"mode": "block"}}}, ("block", "score")),
        (
            {"model": "m", "policy": {"input": {"mode": "score"}, "output": {"mode": "block"}}, "new": 1},
            ("score", "block"),
        ),
    ],
)
def test_what_a_request_asks_for(moderation: Any, expected: tuple[str, str]) -> None:
    assert read_moderation(request(moderation)) == expected


@pytest.mark.parametrize("text", ["plain", "half a pair: \ud83d"])
def test_the_rest_of_the_request_does_not_matter(text: str) -> None:
    assert read_moderation(request({"model": "m"}, input=text, background=True)) == Moderated()


@together(
    ("body", "param"),
    [
        (request("omni-moderation-latest"), "moderation"),
        (request({}), "moderation.model"),
        (request({"model": None}), "moderation.model"),
        (request({"model": 7}), "moderation.model"),
        (request({"model": "m", "policy": "block"}), "moderation.policy"),
        (request({"model": "m", "policy": {"input": "block"}}), "moderation.policy.input"),
        (request({"model": "m", "policy": {"input": {}}}), "moderation.policy.input.mode"),
        (request({"model": "m", "input": "block"}), "moderation.policy"),
        (request({"model": "m", "policy": {"prompt": {"mode": "block"}}}), "moderation.policy"),
        (request({"model": "m", "policy": {"input": {"mode": "block", "x": 1}}}), "moderation.policy.input"),
        (request({"model": "m", "policy": {"output": {"mode": "Block"}}}), "moderation.policy.output.mode"),
        (
            request({"model": "m", "policy": {"output": {"mode": "block"}}}, background=True),
            "moderation.policy.output.mode",
        ),
        (b'{"moderation": ' + b"[" * 100_000, "moderation"),
        (b'{"moderation": {"model": "m"}, "x": ' + b"[" * 100_000, None),
        (b'{"moderation": {"model": "m"}, "x": "\\ud800", "y": ' + b"[" * 100_000, None),
    ],
)
def test_what_is_refused(body: bytes, param: str | None) -> None:
    with pytest.raises(BodyError) as raised:
        read_moderation(body)
    assert raised.value.param == param


# --- what is said of it


def read(operation: Operation, moderation: bytes) -> Any:
    """A moderation in the client's own types, where it stands in a reply."""
    told: Any
    if operation is Operation.RESPONSES:
        told = Response.model_validate(json.loads(with_moderation(RESPONSES.whole([]), moderation))).moderation
    else:
        body = with_moderation(CHAT.whole([]), moderation).replace(b".chunk", b"")
        told = ChatCompletion.model_validate(json.loads(body)).moderation
    return told


def test_chat_has_a_result_for_each_choice() -> None:
    output = SideResult({1: CRUEL, 0: CLEAN})
    told = read(Operation.CHAT, moderation_of(Operation.CHAT, "assay:d", SideResult({0: CLEAN}), output))
    assert (told.input.type, told.input.model, len(told.input.results)) == ("moderation_results", "assay:d", 1)
    assert [result.flagged for result in told.output.results] == [False, True]
    assert told.output.results[1].categories["harassment"]
    assert told.output.results[1].category_scores["harassment"] == 0.9
    assert told.output.results[1].assay["choice"] == 1
    assert output.flagged == {1: ["harassment"]}


def test_a_response_has_one_result_a_side() -> None:
    told = read(
        Operation.RESPONSES,
        moderation_of(Operation.RESPONSES, "assay:d", SideResult({0: CRUEL}), SideResult({0: CLEAN})),
    )
    assert (told.input.type, told.input.model, told.input.flagged) == ("moderation_result", "assay:d", True)
    assert not told.output.flagged


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.RESPONSES])
def test_a_side_that_was_not_judged_is_an_error_and_one_that_was_not_read_whole_says_so(operation: Operation) -> None:
    partly = SideResult({0: CLEAN}, "truncated")
    told = read(operation, moderation_of(operation, "assay:d", SideResult(failure="timed_out"), partly))
    assert (told.input.type, told.input.code) == ("error", "timed_out")
    assert told.input.message == "the detectors did not answer in time"
    result = told.output if operation is Operation.RESPONSES else told.output.results[0]
    assert (result.assay["truncated"], result.assay["failure"]) == (True, "truncated")


# --- in a whole reply


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{ "id" : 1.50, "\\u0061": [ 1 ] }', b'{"id":1.50,"a":[ 1 ],"moderation":%b}'),
        (b'{"moderation": null, "id": 1}', b'{"moderation":%b,"id":1}'),
        (b"{}", b'{"moderation":%b}'),
    ],
)
def test_the_values_of_a_reply_keep_their_bytes(body: bytes, expected: bytes) -> None:
    assert with_moderation(body, ABOUT) == expected % ABOUT


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'"text"', b"[" * 100_000])
def test_what_is_no_object_has_no_place_for_it(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        with_moderation(body, ABOUT)


def test_a_withheld_response_keeps_what_is_no_text() -> None:
    body = b'{"id":"r","status":"completed","output":[{"text":"bad"}],"usage":{"total_tokens":8},"output_text":"bad"}'
    assert withheld_body(Operation.RESPONSES, body, [0]) == (
        b'{"id":"r","status":"incomplete","output":[],"usage":{"total_tokens":8},'
        b'"incomplete_details":{"reason":"content_filter"}}'
    )


def test_of_several_choices_only_the_withheld_ones_are_emptied() -> None:
    choices = json.loads(withheld_body(Operation.CHAT, CHAT.whole(TWO), [1]))["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["one more", ""]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "content_filter"]


# --- in a stream


def through(operation: Operation, events: Sequence[bytes]) -> tuple[bytes, bytes]:
    """What left before the end, and the rest."""
    end = StreamEnd(operation, "asked")
    left = b"".join(end.feed([event]) for event in decoded(b"".join(events)))
    return left, end.close(ABOUT)


def chunk(head: Mapping[str, Any]) -> bytes:
    fields = {**head, "object": "chat.completion.chunk", "choices": []}
    return sse.encode(json.dumps(fields, separators=(",", ":"))[:-1].encode() + b',"moderation":' + ABOUT + b"}")


HEAD = {"id": "c1", "created": 7, "model": "m"}


@pytest.mark.parametrize("usage", [False, True])
def test_chat_has_a_chunk_for_it_before_the_usage_and_all_else_is_as_it_came(usage: bool) -> None:
    events = CHAT.stream(TWO, usage=usage)
    rest = 2 if usage else 1
    assert through(Operation.CHAT, events) == (b"".join(events[:-rest]), chunk(HEAD) + b"".join(events[-rest:]))


def test_a_stream_that_just_ends_has_it_last() -> None:
    events = CHAT.stream(TWO, usage=False)[:-1]
    assert through(Operation.CHAT, events) == (b"".join(events), chunk(HEAD))


def test_a_stream_without_anything_names_the_model_that_was_asked_for() -> None:
    left, rest = through(Operation.CHAT, [sse.DONE])
    assert left == b""
    told, done = decoded(rest)
    assert done.raw == sse.DONE
    about = moderation_of(Operation.CHAT, "assay:d", SideResult({0: CLEAN}), SideResult({0: CLEAN}))
    read_one = ChatCompletionChunk.model_validate_json(told.data.replace(ABOUT, about))
    assert (read_one.model, read_one.choices) == ("asked", [])


def test_chunks_without_choices_at_the_start_or_between_are_not_the_end() -> None:
    """Some servers tell of the prompt first, or of the usage with every chunk."""
    first, *others = CHAT.stream(TWO)
    idle = sse.encode(b'{"id":"c1","choices":[],"prompt_filter_results":[]}')
    assert through(Operation.CHAT, [idle, first, idle, *others])[0] == b"".join([idle, first, idle, *others[:-2]])


def test_what_nobody_can_read_passes() -> None:
    odd = [b": comment\n\n", b"data: {\n\n", b"data: 7\n\n", b'data: {"choices":3}\n\n', b'data: {"choices":[3]}\n\n']
    events = CHAT.stream(TWO)
    left, _ = through(Operation.CHAT, [*odd, *events])
    assert left == b"".join(odd + events[:-2])


@pytest.mark.parametrize("name", ["completed", "incomplete", "failed"])
def test_a_response_has_it_in_its_last_event(name: str) -> None:
    *before, _ = RESPONSES.stream(TWO[:1])
    given = b'{"type":"response.%b","sequence_number":9,"response":{"id":"r","usage":{"total_tokens":8}}}'
    event = sse.encode(given % name.encode(), f"response.{name}")
    left, rest = through(Operation.RESPONSES, [*before, event])
    assert left == b"".join(before)
    assert rest == event.replace(b"8}}}", b'8},"moderation":' + ABOUT + b"}}")


def test_an_end_without_its_response_passes_and_so_does_what_follows() -> None:
    events = [b'data: {"type":"response.completed"}\n\n', b'data: {"type":["x"]}\n\n', b"data: {\n\n"]
    assert through(Operation.RESPONSES, events) == (b"", b"".join(events))
