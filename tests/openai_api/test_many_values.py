"""Bodies of very many JSON values: what the event loop reads of them builds next to nothing."""

import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from gateway.access.request_reading import head_of, read_body
from gateway.access.stored_ids import referred_in
from gateway.errors import GatewayError
from gateway.exchange import Asked
from gateway.judging.stretches import said_before
from gateway.moderation.categories import read_inputs
from gateway.moderation.decisions import read_questions
from gateway.openai_api import (
    BodyError,
    Operation,
    Unread,
    choices_wanted,
    end_user_named,
    has_too_many_values,
    is_list,
    read_request,
)
from gateway.openai_api.bodies.document import MOST_VALUES, parse
from gateway.worker import texts_of
from tests.support.fakes import sample
from tests.support.running.together import together

MANY = MOST_VALUES + 1
MOST_BYTES = 16 * 2**20  # a few copies of a body; its values would take twenty times that
HEAD = b'{"model":"m","user":"ann","moderation":{"model":"x"},'
BODIES = {
    "objects": HEAD + b'"x":[' + b"{}," * MANY + b"1]}",
    "parts": HEAD + b'"messages":[{"role":"user","content":[' + b"[]," * MANY + b'"hi"]}]}',
    "prompts": HEAD + b'"prompt":[' + b'"",' * MANY + b'"hi"]}',
    "end users": b'{"model":"m","moderation":{"model":"x"},"user":[' + b"{}," * MANY + b'1],"metadata":[]}',
    "surrogates": HEAD + b'"y":"\\ud800","x":[' + b"{}," * MANY + b"1]}",
    "broken": HEAD + b'"y":"\\ud800","x":[' + b"{}," * MANY + b"1",
}


def asked(body: bytes) -> Asked:
    return Asked("POST", "/v1/chat/completions", operation=Operation.CHAT, body=body)


READERS: dict[str, Callable[[bytes], Any]] = {
    "body": lambda body: read_body(asked(body), head_of(asked(body)), moderates=True),
    "what was said before": lambda body: said_before(asked(body), ("toxicity",), ()),
    "all that was said before": lambda body: said_before(asked(body), ("hallucination",), ("hallucination",)),
    "texts of a sample": lambda body: texts_of(sample(prompt=body, answer=body)),
    "what it goes on from": referred_in,
    "whether it is a list": is_list,
    "choices": choices_wanted,
    "end user": lambda body: end_user_named(Operation.CHAT, body),
    "moderation": read_inputs,
    "decisions": read_questions,
}


async def peak(read: Callable[[bytes], Any], body: bytes) -> int:
    """Bytes that are allocated at most while it reads."""
    tracemalloc.start()
    try:
        with suppress(BodyError, GatewayError):
            value = read(body)
            if isinstance(value, Awaitable):
                await value
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


@together("reader", READERS)
@together("body", BODIES)
async def test_a_body_of_many_values_is_read_without_building_them(body: str, reader: str) -> None:
    assert has_too_many_values(BODIES[body])
    assert await peak(READERS[reader], BODIES[body]) < MOST_BYTES


@pytest.mark.slow
async def test_the_bound_tells_a_reader_that_builds_them() -> None:
    assert await peak(parse, BODIES["objects"]) > 2 * MOST_BYTES


def test_prompts_that_are_too_many_to_be_built_are_counted_from_above() -> None:
    assert choices_wanted(BODIES["prompts"]) == MANY + 1
    assert choices_wanted(b'{"n":2,"prompt":["a","b"]}') == 4
    assert choices_wanted(b'{"prompt":[1,2,3]}') == 1


async def test_what_has_few_values_is_read_as_before() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    assert (await said_before(asked(body), ("toxicity",), ())).body == b'{"input":"hi"}'


def test_strays_without_number_are_unread_and_cost_nothing() -> None:
    fields = b",".join(b'"key word%d":"some words here"' % number for number in range(100_001))
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"x":{' + fields + b"}}"
    reading = read_request(Operation.CHAT, body)
    assert [passage.text for passage in reading.passages] == ["hi"]
    assert Unread("user", "too_long") in reading.unread
