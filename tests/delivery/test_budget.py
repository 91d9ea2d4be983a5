"""The bound on all held answers, and the cost that is counted for an event."""

import json
import tracemalloc

import pytest

from gateway.delivery.budget import MemoryBudget
from gateway.delivery.window import Window
from gateway.errors import GatewayError
from gateway.openai_api import Operation
from gateway.openai_api.sse import Decoder
from tests.support.fakes import chunk


def test_shares_fill_the_budget_together() -> None:
    budget = MemoryBudget(100)
    with budget.share() as one, budget.share() as two:
        one.hold(60)
        two.hold(40)
        with pytest.raises(GatewayError, match="max_answers_bytes") as caught:
            two.hold(41)
        assert caught.value.reason == "overloaded"
        assert budget.held == 100
        one.hold(10)
        two.hold(90)
    assert budget.held == 0


def test_what_an_error_ends_is_given_back() -> None:
    budget = MemoryBudget(100)
    with pytest.raises(ZeroDivisionError), budget.share() as share:
        share.hold(50)
        raise ZeroDivisionError
    assert budget.held == 0


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


FORMS = {
    "usual": chunk("word "),
    "empty object": b"data: {}\n\n",
    "comment": b":\n\n",
    "lists": event({"a": [[]] * 1000}),
    "objects": event({"a": [{"a": 1.5}] * 1000}),
    "long text": chunk("word " * 5000),
    "wide text": event({"choices": [{"index": 0, "delta": {"content": "word " * 5000 + "😀"}}]}),
    "many texts": event({"choices": [{"index": at, "delta": {"content": "a"}} for at in range(200)]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_an_event_counts_at_least_as_much_as_it_takes(form: str) -> None:
    window, decoder = Window(Operation.CHAT, "m", characters=None), Decoder(max_event_bytes=10**7)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            for each in decoder.feed(bytes(bytearray(FORMS[form]))):
                window.feed(each)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= window.held + 10_000
