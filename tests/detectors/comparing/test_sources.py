"""Sources are found by who said it and by the usual layouts; a question alone is none."""

import json
import time

import pytest

from detectors.base import Turn
from detectors.comparing.sentences import sentences
from detectors.comparing.sources import MOST_CHARACTERS, given
from tests.support.running.together import together

FACT = "The bridge was opened in 1932 by the premier of the state."
OTHER = "It carries eight lanes of road and two lines of railway."
LAYOUTS = {
    "heading": f"Context: {FACT}\n\nQuestion: When was it opened?",
    "heading on its own line": f"## Context:\n\n{FACT}\n\nQuestion: When?",
    "bold heading": f"**Context:**\n{FACT}\n\n**Question:** When?",
    "rules": f"Context information is below.\n---------------------\n{FACT}\n---------------------\nGiven the context "
    "information and not prior knowledge, answer the query.\nQuery: When?\nAnswer:",
    "tag": f"Use this.\n<document>\n{FACT}\n</document>\nWhen was it opened?",
    "tag with attributes": f'<source id="3" url="x">{FACT}</source> When was it opened?',
    "tags in tags": f"<documents><doc>{FACT}</doc><doc>{OTHER}</doc></documents> When?",
    "numbered": f"Answer from these:\n[1] {FACT}\n[2] {OTHER}\nWhen was it opened?",
    "documents by number": f"Document 1: {FACT}\nDocument 2: {OTHER}\nQuestion: When was it opened?",
    "chunks": "Answer from the chunks.\n" + json.dumps([{"text": FACT, "score": 0.9}, {"text": OTHER}]) + "\nWhen?",
    "results": json.dumps({"results": [{"title": "A bridge", "content": FACT}]}) + "\nWhen?",
    "quotes": f'Read the passage.\n"""\n{FACT} {OTHER}\n"""\nWhen was it opened?',
    "search results": f"Search results:\n{FACT}\n{OTHER}\n\nUser question: When was it opened?",
    "knowledge": f"Knowledge: {FACT}\nUser: When was it opened?",
}


@together("channel", ["user", "system", "given"])
@together("layout", LAYOUTS)
def test_a_layout_gives_its_source_and_not_the_question(layout: str, channel: str) -> None:
    found = " ".join(given([Turn(channel, LAYOUTS[layout])]).sources)
    assert FACT in found
    assert "When" not in found


@pytest.mark.parametrize("channel", ["tool", "retrieved"])
def test_what_a_tool_or_a_search_gave_is_a_source_as_it_stands(channel: str) -> None:
    assert given([Turn(channel, FACT)]).sources == (FACT,)
    told = given([Turn(channel, json.dumps({"city": "Oslo", "temperature_c": 4, "note": FACT}))])
    assert "temperature c: 4" in told.sources[0]
    assert FACT in told.sources[0]


def test_a_text_that_a_request_speaks_of_is_a_source() -> None:
    text = " ".join(
        [FACT, OTHER, "Its steel came from two mills in the north.", "Workers climbed it without ropes."] * 2
    )
    assert FACT in given([Turn("user", f"Summarize the following article.\n\n{text}")]).sources[0]


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "I've had trouble with my router since Monday. How do I fix it?",
        "You are a helpful assistant. Answer in a friendly tone.",
        "Write a poem about the sea with three stanzas, each of four lines.",
        "",
        "{" * 5_000,
        "[" * 5_000 + '"',
    ],
)
def test_a_question_or_an_instruction_is_no_source(text: str) -> None:
    assert given([Turn("user", text), Turn("system", text)]).sources == ()


def test_a_context_of_which_nothing_is_known_is_a_source_where_it_states_something() -> None:
    assert FACT in given([Turn("given", FACT)]).sources[0]
    assert given([Turn("given", "When was the bridge opened?")]).sources == ()


def test_what_people_state_beside_a_source_may_be_relied_on() -> None:
    found = given([Turn("system", "The office closes at five on Fridays."), Turn("tool", FACT)])
    assert "The office closes at five on Fridays." in found.said


def test_of_too_much_the_latest_is_read() -> None:
    found = given([Turn("tool", "old " * 50_000), Turn("tool", "new " * 49_000 + FACT)])
    assert found.truncated
    assert sum(map(len, found.sources)) <= MOST_CHARACTERS
    assert FACT in found.sources[-1]


@together("unit", ["-", "=", '"', "<context>", "</context", "<context ", "Context: a\n", "[1] ", "["])
def test_layouts_are_searched_in_linear_time(unit: str) -> None:
    text = (unit * MOST_CHARACTERS)[:MOST_CHARACTERS] + " x"
    started = time.process_time()
    given([Turn("user", text)])
    assert time.process_time() - started < 5  # of this process alone; the cube of this size takes years


def test_sentences_are_searched_in_linear_time() -> None:
    started = time.process_time()
    assert len(list(sentences("." * MOST_CHARACTERS + "x"))) > 1
    assert time.process_time() - started < 5  # a quadratic search takes minutes


def test_a_block_stands_between_rules_of_any_length() -> None:
    (found,) = given([Turn("user", f"Read this.\n--------\n{FACT}\n-----\nWhen was it opened?")]).sources
    assert found.strip() == FACT
