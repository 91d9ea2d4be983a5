"""Confidence that an answer carries in the probabilities of its tokens."""

import gzip
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from detectors.monitors.sketch import TOKENS, Observation, Observer, Sketch
from gateway.monitoring.logprobs import token_confidence


def answer(logprobs: Any, choices: int = 1) -> bytes:
    return json.dumps({"choices": [{"index": 0, "logprobs": logprobs}] * choices}).encode()


def chat(*values: float) -> dict[str, Any]:
    return {"content": [{"token": "a", "logprob": value, "top_logprobs": []} for value in values]}


def test_it_is_the_geometric_mean_of_the_tokens() -> None:
    halves = [math.log(0.5), math.log(0.125)]
    assert token_confidence(answer(chat(*halves)), "") == pytest.approx(0.25)
    assert token_confidence(
        answer({"tokens": ["a", "b", "c"], "token_logprobs": [None, *halves]}), ""
    ) == pytest.approx(0.25)
    assert token_confidence(gzip.compress(answer(chat(*halves))), "gzip") == pytest.approx(0.25)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        answer(None),
        answer({}),
        answer(chat()),
        answer(chat(-0.1), choices=2),
        answer(chat(0.5)),
        answer({"content": [{"logprob": "high"}]}),
        b'{"choices": [{"message": {"content": "logprobs"}}]}',
        answer(chat(-0.1))[:-4],
    ],
)
def test_what_carries_none_or_is_cut_has_none(body: bytes) -> None:
    assert token_confidence(body, "") is None


def test_a_packing_that_is_none_has_none() -> None:
    assert token_confidence(b"garbage", "gzip") is None


def test_it_is_held_against_what_was_right_apart_from_what_the_answer_states() -> None:
    sketch = Sketch()
    seen = Observation("1", 2.0, "chat", "m", "", "", "q", "I am 90% sure.", {}, right=0.0, agreed_source="people")
    observer = Observer()
    observer.observe(sketch, seen)
    assert {key[2] for key in sketch.counted_once().calibration} == {"people"}
    observer.observe(sketch, replace(seen, token_confidence=0.31))
    row = sketch.counted_once().calibration["chat", "m", "people" + TOKENS, "6"]
    assert row[:3] == [1.0, 2.0, 4.0]
    assert row[3] == pytest.approx(0.62)
