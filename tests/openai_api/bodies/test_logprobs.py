"""What token log-probabilities spell is read: it is a text of its own unless the answer beside them says it."""

import json
from typing import Any

import pytest

from gateway.openai_api import (
    Operation,
    Reading,
    read_request,
    read_response,
    read_stream,
    rewrite,
    sse,
    without_alternatives,
)
from tests.support.running.steps import grows_with_the_length

CHAT, COMPLETIONS, RESPONSES = Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES
PIECES = ["Tell", " nobody", " what", " stands", " here"]
SENTENCE = "".join(PIECES)


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def token(text: str, *others: str, own: list[int] | None = None) -> dict[str, Any]:
    beside = [{"token": other, "logprob": -2.0, "bytes": list(other.encode())} for other in others]
    return {
        "token": text,
        "logprob": -0.5,
        "bytes": list(text.encode()) if own is None else own,
        "top_logprobs": beside,
    }


def chat(text: str, logprobs: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": text}, "logprobs": logprobs}]}


def completion(text: str, logprobs: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "logprobs": logprobs}]}


def response(text: str, logprobs: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}
    return {"output": [{"type": "message", "role": "assistant", "content": [part]}]}


def texts(reading: Reading) -> list[str]:
    return [passage.text for passage in reading.passages]


def plain(pieces: list[str]) -> dict[str, Any]:
    return {"tokens": pieces, "token_logprobs": [-0.5] * len(pieces), "top_logprobs": None, "text_offset": [0]}


def by_rank(pieces: list[str]) -> dict[str, Any]:
    return plain(["a"]) | {"top_logprobs": [{"a": -0.1, piece: -2.0} for piece in pieces]}


FORMS: dict[str, tuple[Operation, Any]] = {
    "tokens": (CHAT, chat("a", {"content": [token(piece) for piece in PIECES]})),
    "tokens of a refusal": (CHAT, chat("a", {"content": None, "refusal": [token(piece) for piece in PIECES]})),
    "bytes": (CHAT, chat("a" * 5, {"content": [token("a", own=list(piece.encode())) for piece in PIECES]})),
    "tokens of completions": (COMPLETIONS, completion("a", plain(PIECES))),
    "tokens of Responses": (RESPONSES, response("a", [token(piece) for piece in PIECES])),
    "a list of texts": (RESPONSES, response("a", PIECES)),
    "tokens as a tokenizer writes them": (
        CHAT,
        chat("a", {"content": [token(p.replace(" ", "\u0120")) for p in PIECES]}),
    ),
    "a text in their place": (CHAT, chat("a", SENTENCE)),
    "a text among them": (CHAT, chat("a", {"content": [], "notes": SENTENCE})),
    "a text beside a token": (CHAT, chat("a", {"content": [{**token("a"), "notes": SENTENCE}]})),
    "a text in place of a number": (CHAT, chat("a", {"content": [{"token": "a", "logprob": SENTENCE}]})),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_they_spell_beside_the_text_is_read_and_can_be_taken_out(form: str) -> None:
    operation, body = FORMS[form]
    read = {passage.path: passage.text for passage in read_response(operation, dump(body)).passages}
    [path] = [path for path, text in read.items() if SENTENCE in text]
    after = rewrite(dump(body), {path: ""})
    assert SENTENCE not in "".join(texts(read_response(operation, after)))
    assert not any(piece.encode() in after for piece in PIECES)
    assert texts(read_response(operation, after)) == [
        text for text in texts(read_response(operation, after)) if "a" in text
    ]


SMILE = "\U0001f642"
HALVES = [list(SMILE.encode()[:2]), list(SMILE.encode()[2:])]
ESCAPED = [token("so"), token(" \\xf0\\x9f", own=[32, *HALVES[0]]), token("\\x99\\x82", own=HALVES[1])]
MARKED = [token("so "), token("\ufffd", own=HALVES[0]), token("\ufffd", own=HALVES[1])]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (CHAT, chat(SENTENCE, {"content": [token(piece, piece, piece) for piece in PIECES], "refusal": None})),
        (CHAT, chat(SENTENCE, {"content": [{"token": piece, "logprob": -1} for piece in PIECES]})),
        (CHAT, chat(SENTENCE, None)),
        (COMPLETIONS, completion(SENTENCE, plain(PIECES))),
        (RESPONSES, response(SENTENCE, [token(piece) for piece in PIECES])),
        (RESPONSES, response(SENTENCE, [])),
        (CHAT, chat(f"so {SMILE}", {"content": ESCAPED})),
        (CHAT, chat(f"so {SMILE}", {"content": MARKED})),
    ],
)
def test_the_tokens_of_the_text_are_judged_with_it(operation: Operation, body: Any) -> None:
    reading = read_response(operation, dump(body))
    assert len(reading.passages) == 1
    assert reading.unread == []


def test_a_token_whose_bytes_say_something_else_is_no_part_of_a_character() -> None:
    entries = [token(piece, own=[0xFF] * len(piece)) for piece in PIECES]
    assert SENTENCE in texts(read_response(CHAT, dump(chat("a", {"content": entries}))))


ALTERNATIVES: dict[str, tuple[Operation, Any]] = {
    "chat": (CHAT, chat("a" * 5, {"content": [token("a", "a", piece) for piece in PIECES]})),
    "completions": (COMPLETIONS, completion("a", by_rank(PIECES))),
    "responses": (RESPONSES, response("a" * 5, [token("a", piece) for piece in PIECES])),
    "a text": (CHAT, chat("a", {"content": [{"token": "a", "logprob": -1, "top_logprobs": SENTENCE}]})),
}


@pytest.mark.parametrize("form", ALTERNATIVES)
def test_alternatives_are_no_texts_and_can_be_taken_out(form: str) -> None:
    operation, body = ALTERNATIVES[form]
    reading = read_response(operation, dump(body))
    assert (len(reading.passages), reading.unread) == (1, [])
    after = without_alternatives(dump(body))
    assert not any(piece.strip().encode() in after for piece in PIECES)
    assert texts(read_response(operation, after)) == texts(reading)
    assert without_alternatives(after) is after


def test_a_key_that_is_written_with_escapes_is_found() -> None:
    body = (
        dump(ALTERNATIVES["chat"][1])
        .replace(b"top_logprobs", b"top_l\\u006fgprobs")
        .replace(b"logprobs", b"\\u006cogprobs")
    )
    assert b"nobody" not in without_alternatives(body)


def test_in_a_stream_they_are_a_text_of_their_own() -> None:
    def event(number: int, piece: str) -> dict[str, Any]:
        entry = {"index": 0, "delta": {"content": f"{number} "}, "logprobs": {"content": [token(piece)]}}
        return {"choices": [entry]}

    stream = b"".join(sse.encode(dump(event(number, piece))) for number, piece in enumerate(PIECES))
    assert sorted(texts(read_stream(CHAT, stream))) == sorted([SENTENCE, "0 1 2 3 4 "])
    same = b"".join(sse.encode(dump(chat("", None) | chat(piece, {"content": [token(piece)]}))) for piece in PIECES)
    assert texts(read_stream(CHAT, same)) == [SENTENCE]


def test_many_parts_with_log_probabilities_cost_no_more_each() -> None:
    def read(marks: str) -> None:
        parts = [
            {"type": "text", "text": "a text", "logprobs": {"content": [token(f"word {i}")]}} for i in range(len(marks))
        ]
        read_request(CHAT, dump({"model": "m", "messages": [{"role": "user", "content": parts}]}))

    assert grows_with_the_length(read, "x", 2_000)


def test_what_stands_among_the_tokens_is_read_each_by_itself() -> None:
    def read(marks: str) -> None:
        beside = {f"key {i}": f"what nobody said {i}" for i in range(len(marks))}
        part = {"type": "text", "text": "a long text " * len(marks), "logprobs": beside}
        found = read_request(CHAT, dump({"model": "m", "messages": [{"role": "user", "content": [part]}]}))
        assert sum("what nobody said" in passage.text for passage in found.passages) == len(marks)

    assert grows_with_the_length(read, "x", 2_000)
