"""What an upstream says of tokens is found at the ends of its answer, however that comes, and nothing else is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Asked, Exchange, Usage
from gateway.openai_api import Operation
from gateway.openai_api.sse import DONE, encode
from gateway.telemetry.usage import read_usage
from tests.support.running.examples import examples
from tests.support.running.together import together

LONG = "word " * 20_000


def seen(answer: bytes, pieces: int = 1, *, stream: bool = False, operation: Operation = Operation.CHAT) -> Exchange:
    """An exchange that is over, whose answer came in so many pieces."""
    exchange = Exchange("req_1", Asked("POST", "/v1/x", operation=operation))
    exchange.transcript.stream = stream
    size = max(1, -(-len(answer) // pieces))
    for at in range(0, len(answer), size):
        exchange.transcript.keep(answer[at : at + size], 10)
    exchange.transcript.keep(b"", 10)
    return exchange


def whole(usage: Any, said: str = "hi", **more: Any) -> bytes:
    return json.dumps({"id": "c", "choices": [{"message": {"content": said}}], "usage": usage, **more}).encode()


def events(*bodies: Any, done: bool = True) -> bytes:
    return b"".join(encode(json.dumps(body).encode()) for body in bodies) + (DONE if done else b"")


@together(
    ("told", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, Usage(9, 12)),
        ({"prompt_tokens": 9, "total_tokens": 9}, Usage(9, 0)),  # embeddings
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 800, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(1000, 5, 800),
        ),
        (
            {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 7},
            Usage(50, 7, 20),
        ),
        (
            {
                "input_tokens": 3,
                "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 40,
                "cache_creation": {"ephemeral_5m_input_tokens": 100},
                "output_tokens": 8,
                "server_tool_use": {"web": {"web_search_requests": 1}},
                "service_tier": "standard",
            },
            Usage(143, 8, 40),
        ),
        ({"prompt_tokens": 1, "prompt_tokens_details": None, "completion_tokens": None}, Usage(1, 0)),
        ({"prompt_tokens": 4, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(4, 0, 4)),
        (None, None),
        ({}, None),
        ("much", None),
        ({"prompt_tokens": "many"}, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": 10**15}, None),
        ({"seconds": 3}, None),
    ],
)
@together("pieces", [1, 3, 50])
def test_every_dialect_is_understood(told: Any, usage: Usage | None, pieces: int) -> None:
    assert read_usage(seen(whole(told, LONG), pieces)) == usage
    assert read_usage(seen(whole(told), pieces)) == usage


def test_what_a_model_says_of_usage_is_not_taken_for_it() -> None:
    said = json.dumps({"usage": {"prompt_tokens": 1_000_000}})
    assert read_usage(seen(whole(None, said))) is None
    assert read_usage(seen(whole({"prompt_tokens": 2}, said, after=said))) == Usage(2, 0)


def test_usage_before_the_texts_of_a_whole_answer_is_found() -> None:
    body = json.dumps({"usage": {"prompt_tokens": 2, "completion_tokens": 3}, "choices": [{"text": "x" * 5000}]})
    assert read_usage(seen(body.encode())) == Usage(2, 3)


@pytest.mark.parametrize("pieces", [1, 2, 7, 400])
def test_the_last_events_of_a_stream_tell(pieces: int) -> None:
    chunks = [{"choices": [{"delta": {"content": word}}], "usage": None} for word in LONG[:3000].split()]
    stream = events(*chunks, {"choices": [], "usage": {"prompt_tokens": 6, "completion_tokens": 600}})
    assert read_usage(seen(stream, pieces, stream=True)) == Usage(6, 600)


def test_a_running_count_in_every_event_counts_once() -> None:
    chunks = [{"choices": [], "usage": {"prompt_tokens": 6, "completion_tokens": n}} for n in range(100)]
    assert read_usage(seen(events(*chunks), 100, stream=True)) == Usage(6, 99)


def test_events_after_the_usage_may_say_that_there_is_none() -> None:
    stream = events({"usage": {"prompt_tokens": 6, "completion_tokens": 7}}, {"usage": None}, {"usage": None})
    assert read_usage(seen(stream, stream=True)) == Usage(6, 7)


def test_a_stream_that_tells_nothing_has_no_usage() -> None:
    stream = events(*({"choices": [{"delta": {"content": "a"}}]} for _ in range(999)))
    assert read_usage(seen(stream, 99, stream=True)) is None


@pytest.mark.parametrize("words", [1, 5000])
@pytest.mark.parametrize("pieces", [1, 40])
def test_a_stream_of_messages_tells_at_both_ends(words: int, pieces: int) -> None:
    opening = {"input_tokens": 25, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0, "output_tokens": 1}
    deltas = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word "}}] * words
    start = {"type": "message_start", "message": {"id": "m", "usage": opening}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}}
    stream = events(start, *deltas, end, {"type": "message_stop"}, done=False)
    assert read_usage(seen(stream, pieces, stream=True, operation=Operation.MESSAGES)) == Usage(35, 15, 10)


def test_what_is_packed_is_not_read() -> None:
    exchange = seen(whole({"prompt_tokens": 2}))
    exchange.transcript.encoding = "gzip"
    assert read_usage(exchange) is None


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 300), st.binary(max_size=3000))
@examples(60)
def test_pieces_make_no_difference(taken_in: int, given_out: int, pieces: int, before: bytes) -> None:
    """Bytes of any kind before the usage, in pieces of any size: never an error, the same count."""
    told = {"prompt_tokens": taken_in, "completion_tokens": given_out, "total_tokens": taken_in + given_out}
    answer = before * 5 + whole(told)
    assert read_usage(seen(answer, pieces)) == Usage(taken_in, given_out)


@given(st.binary(max_size=200), st.integers(1, 50))
@examples(100)
def test_no_bytes_do_harm(noise: bytes, times: int) -> None:
    read_usage(seen((b'"usage":{' + noise) * times, 3, stream=True))


def test_what_is_kept_of_an_answer_is_bounded() -> None:
    exchange = Exchange("req_1", Asked("POST", "/v1/x"))
    for _ in range(5000):
        exchange.transcript.keep(b"x" * 999, 10)
        assert len(exchange.transcript.end) <= 9000
    assert len(exchange.transcript.beginning) <= 4096
