"""A text in every place and form that a body has for one: it is judged or told as unread, and what is harmless is not.

A sentence is found in all of them. Words without small ones are a text as well, but where lists of names belong: of
ordinary lists of names `strict` would act on one in twenty (docs/limits.md).
"""

import json
import re
from typing import Any

import pytest

from gateway.openai_api import Operation, Reading, Scan, read_request, read_response, read_stream, sse
from gateway.openai_api.bodies.logprobs import without_alternatives
from tests.support.wire.api_bodies import ANSWERS, REQUESTS
from tests.support.wire.shapes import hidden_in

SENTENCE = ["now", "tell", "them", "where", "the", "stolen", "jewels", "are"]
TELEGRAM = ["bring", "stolen", "jewels", "home", "tonight", "quietly"]
# Where lists of names belong, what no model reads, and what the application defines.
NAMES_BELONG = re.compile(
    r"metadata|\btools\b|mcp_servers|response_format|\bstop\b|stop_sequences|\buser\b|safety_identifier|logit_bias"
    r"|variables|content\.\d+\.input\b|choices$|^joined"
)
# Texts by themselves: each may be one word.
ONE_BY_ONE = re.compile(
    r"(?:entries of|lists in) (?:input|items|messages|.*summary|.*outputs)$|words in place of .*refusal$"
)
IN_A_MODEL = re.compile(r"joined.* in place of model")  # by it a request is routed
ASKED = b'{"model":"m"}'


LOGPROBS = {"content": [{"token": "x", "logprob": -1, "bytes": [120], "top_logprobs": []}], "refusal": None}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "fp_1"}
PLACE = {"output_index": 0, "content_index": 0, "item_id": "msg_1", "sequence_number": 1}
DELTA = {"role": "assistant", "content": "x", "tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f"}}]}
EVENTS: dict[Operation, list[Any]] = {
    Operation.CHAT: [
        CHUNK | {"choices": [{"index": 0, "delta": DELTA, "logprobs": LOGPROBS, "finish_reason": None}], "usage": None},
        CHUNK | {"choices": [], "usage": {"total_tokens": 1}},
        {"error": {"message": "m", "type": "t", "param": None, "code": None}},
    ],
    Operation.COMPLETIONS: [CHUNK | {"choices": [{"index": 0, "text": "x", "logprobs": None, "finish_reason": None}]}],
    Operation.RESPONSES: [
        {"type": "response.output_text.delta", "delta": "x", "logprobs": [], "obfuscation": "aZ3", **PLACE},
        {"type": "response.output_item.done", "output_index": 0, "item": ANSWERS[Operation.RESPONSES]["output"][1]},
        {"type": "response.completed", "sequence_number": 2, "response": ANSWERS[Operation.RESPONSES]},
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1", "sequence_number": 3},
        {"type": "error", "code": "c", "message": "m", "param": None, "sequence_number": 4},
    ],
    Operation.MESSAGES: [
        {"type": "message_start", "message": ANSWERS[Operation.MESSAGES] | {"content": []}},
        {"type": "content_block_start", "index": 0, "content_block": ANSWERS[Operation.MESSAGES]["content"][2]},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {}},
        {"type": "ping"},
    ],
}


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def in_order(text: str, words: list[str]) -> bool:
    at = 0
    for word in words:
        at = text.find(word, at) + 1
        if not at:
            return False
    return True


def tells(reading: Reading, before: Reading, words: list[str]) -> bool:
    if set(reading.unread) - set(before.unread):
        return True
    return any(in_order(passage.text, words) for passage in reading.passages)


def read_answer(operation: Operation, body: bytes) -> Reading:
    """As a rule that stops what is unread lets it out."""
    return read_response(operation, without_alternatives(body), ASKED)


def missed(operation: Operation, words: list[str], *, answers: bool) -> tuple[int, list[str]]:
    """How many shapes there are, and those of which the text is neither judged nor told as unread."""
    template = (ANSWERS if answers else REQUESTS)[operation]
    read = read_answer if answers else read_request
    before = read(operation, dump(template))
    number, found = 0, []
    for shape in hidden_in(template, words):
        number += 1
        body = dump(shape.body)
        left = without_alternatives(body) if answers else body
        if answers and not all(word.encode() in left for word in words):
            continue  # it is taken out
        if operation is Operation.EMBEDDINGS and answers:
            scan = Scan()
            scan.feed(body)
            scan.close()
            told = scan.says_something
        else:
            told = tells(read(operation, body), before, words)
        if not told:
            found.append(shape.what)
    return number, found


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_sentence_in_a_request_is_found_wherever_it_stands(operation: Operation) -> None:
    number, found = missed(operation, SENTENCE, answers=False)
    assert number >= 20
    assert [what for what in found if not IN_A_MODEL.fullmatch(what)] == []


@pytest.mark.parametrize("operation", ANSWERS)
def test_a_sentence_in_an_answer_is_found_wherever_it_stands(operation: Operation) -> None:
    number, found = missed(operation, SENTENCE, answers=True)
    assert number >= 20
    assert found == []


@pytest.mark.parametrize(
    ("operation", "answers"), [*((each, False) for each in REQUESTS), *((each, True) for each in ANSWERS)]
)
def test_words_without_small_ones_are_found_but_for_lists_of_names(operation: Operation, answers: bool) -> None:
    _, found = missed(operation, TELEGRAM, answers=answers)
    assert [what for what in found if not NAMES_BELONG.search(what) and not ONE_BY_ONE.search(what)] == []


@pytest.mark.parametrize("operation", EVENTS)
def test_a_sentence_in_an_event_is_found_wherever_it_stands(operation: Operation) -> None:
    for event in EVENTS[operation]:
        before = read_stream(operation, sse.encode(dump(event)), ASKED)
        for shape in hidden_in(event, SENTENCE):
            body = without_alternatives(dump(shape.body))
            if all(word.encode() in body for word in SENTENCE):
                assert tells(read_stream(operation, sse.encode(body), ASKED), before, SENTENCE), shape.what


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_request_as_it_should_be_says_nothing_beside_its_texts(operation: Operation) -> None:
    reading = read_request(operation, dump(REQUESTS[operation]))
    assert [passage.text for passage in reading.passages if passage.path[:1] == (-3,)] == []


@pytest.mark.parametrize("operation", ANSWERS)
def test_an_answer_as_it_should_be_says_nothing_beside_its_texts(operation: Operation) -> None:
    reading = read_response(operation, dump(ANSWERS[operation]), ASKED)
    assert [passage.text for passage in reading.passages if passage.path[:1] == (-3,)] == []
