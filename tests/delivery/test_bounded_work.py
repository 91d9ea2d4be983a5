"""What a held answer costs the event loop: the same work in each turn however long it is, and all of it linear.

Counted in calls, of Python's functions and of built-in ones, so that no busy machine changes the result.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.delivery.screen import Screen
from gateway.delivery.window import Window
from gateway.errors import GatewayError
from gateway.exchange import Stretch, Treatment
from gateway.openai_api import Operation, Unread, sse
from gateway.openai_api.bodies.texts import cut_out, read, within_json
from tests.support.fakes import chunk
from tests.support.running.examples import FEW
from tests.support.running.steps import Calls, steps
from tests.support.running.together import together

_PIECE = 4 * 1024  # as `Hold` feeds a stage


class Passing:
    """An inspection that lets everything pass, but for the cuts and the choices that it is told."""

    drops_alternatives = False

    def __init__(
        self,
        cuts: Callable[[str], tuple[tuple[int, int, str], ...]] = lambda _text: (),
        blocked: Callable[[int], bool] = lambda _choice: False,
    ) -> None:
        self._cuts = cuts
        self._blocked = blocked
        self.characters = 0

    async def whole(self, body: bytes) -> bytes:
        return body

    async def judge(self, stretches: Sequence[Stretch]) -> list[Treatment]:
        self.characters += sum(len(stretch.text) for stretch in stretches)
        return [Treatment(self._blocked(stretch.choice), self._cuts(stretch.text)) for stretch in stretches]

    def unread(self, unread: Sequence[Unread]) -> bool:
        return False

    def refusal(self) -> GatewayError | None:
        return None

    def close(self) -> None:
        """Nothing to do."""


class _Turns(Calls):
    """Calls in each turn of the event loop, but for those that only wait for a thread: how many these are depends on
    how busy the machine is."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self.all = 0
        self.idle = 0  # calls of a turn in which nothing is done

    def begin(self) -> None:
        """So far nothing was done."""
        self.idle, self.most, self.all = self.most, 0, 0

    def next(self) -> None:
        if self.number > self.idle:
            self.most = max(self.most, self.number)
            self.all += self.number
        self.number = 0


async def turns_of(stream: bytes, inspection: Passing, characters: int | None, operation: Operation) -> _Turns:
    """What it takes on the event loop to hold this stream until its end and to let it out."""
    window = Window(operation, "m", characters=characters)
    screen = Screen(window, inspection, held_bytes=10**9)
    turns = _Turns()

    async def watch() -> None:
        while True:
            turns.next()
            await asyncio.sleep(0)

    with turns:
        watching = asyncio.get_running_loop().create_task(watch())
        for _ in range(3):
            await asyncio.sleep(0)
        turns.begin()
        for at in range(0, len(stream), _PIECE):
            await screen.feed(stream[at : at + _PIECE])
            await asyncio.sleep(0)
        await screen.end(broken=False)
        watching.cancel()
        turns.next()
    return turns


def events(*values: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def said(choice: int, text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": choice, "delta": {"content": text}, **more}]}


def item(number: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": number, "content_index": 0, **more}


SECRETS = "AKIA secret of a user. "


def every_secret(text: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((at, at + 4, "key") for at in range(0, len(text) - 4, len(SECRETS)) if text[at : at + 4] == "AKIA")


FORMS: dict[str, Callable[[int], bytes]] = {
    "usual chunks": lambda n: chunk("word ") * n,
    "empty objects": lambda n: b"data: {}\n\n" * n,
    "comments": lambda n: b":\n\n" * n,
    "a choice each": lambda n: events(*(said(at, "word ") for at in range(n))),
    "secrets": lambda n: chunk(SECRETS) * n,
    "a text that ends in every event": lambda n: events(*(said(0, "word ", finish_reason="stop") for _ in range(n))),
    "many choices in one event": lambda n: events(
        {"choices": [{"index": at, "delta": {"content": "a"}, "logprobs": {"content": []}} for at in range(n)]}
    ),
    "many texts that all wait": lambda n: events(*(said(at, "a" * 30) for at in range(n)), *[said(0, "b ")] * n),
    "two texts in turn": lambda n: events(*(said(0, "a" * 40) if at % 2 else _thought("b" * 40) for at in range(n))),
    "one block of many lines": lambda n: b"data: {}\ndata: {}\n" + b": x\n" * n + b"\n",
}


def _thought(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"reasoning_content": text}}]}


RESPONSES: dict[str, Callable[[int], bytes]] = {
    "whole texts that differ": lambda n: events(*(item(0, "output_text.done", text=f"word {at}") for at in range(n))),
    "items that stay open": lambda n: events(*(item(at, "output_text.delta", delta="word ") for at in range(n))),
    "ends of all": lambda n: events(
        *(item(at % 50, "output_text.delta", delta="word ") for at in range(n)), *[{"type": "response.completed"}] * n
    ),
}
CASES = [(Operation.CHAT, form, characters) for form in FORMS for characters in (None, 32)]
CASES += [(Operation.RESPONSES, form, characters) for form in RESPONSES for characters in (None, 32)]
LENGTHS = (20, 160) if FEW else (40, 320)
ONE_TURN = 60_000  # calls: some 10 ms


def every_second(choice: int) -> bool:
    return choice % 2 == 1


@together(("operation", "form", "characters"), CASES)
async def test_the_work_is_linear(operation: Operation, form: str, characters: int | None) -> None:
    stream = (FORMS | RESPONSES)[form]
    small, large = [
        await turns_of(stream(n), Passing(every_secret, every_second), characters, operation) for n in LENGTHS
    ]
    assert large.all < 12 * small.all


@pytest.mark.slow
@pytest.mark.parametrize("form", ["usual chunks", "comments", "secrets"])
async def test_a_turn_of_the_event_loop_does_bounded_work(form: str) -> None:
    """Though all of it leaves at once, at its end."""
    turns = await turns_of(FORMS[form](1_600), Passing(every_secret), None, Operation.CHAT)
    assert turns.most < ONE_TURN < turns.all


@pytest.mark.slow
async def test_arguments_are_not_joined_again_with_every_delta() -> None:
    """They wait for their end, in pieces: each character is shown to the detectors once."""
    arguments = '{"a": "' + "word " * 4_000 + '"}'
    pieces = [arguments[at : at + 9] for at in range(0, len(arguments), 9)]
    deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    inspection = Passing()
    await turns_of(
        events(*({"choices": [{"index": 0, "delta": delta}]} for delta in deltas)), inspection, 32, Operation.CHAT
    )
    assert inspection.characters <= len(arguments) + 1_000


def test_a_block_of_too_many_lines_is_no_event_that_is_read() -> None:
    decoder = sse.Decoder(max_event_bytes=10**7)
    block = b"data: {}\n" + b": x\n" * 30_000 + b"\n"
    [event] = decoder.feed(block)
    assert event.data == event.raw == block
    window = Window(Operation.CHAT, "m", characters=None)
    window.feed(event)
    assert window.unread == [Unread("assistant", "event")]


def test_an_event_of_too_many_values_is_not_built() -> None:
    window = Window(Operation.CHAT, "m", characters=None)
    [event] = sse.Decoder(max_event_bytes=10**7).feed(b'data: {"choices":[' + b"1," * 600_000 + b"1]}\n\n")
    assert steps(lambda: window.feed(event)) < 200
    assert window.unread == [Unread("assistant", "too_long")]


def test_cuts_in_json_are_found_in_linear_work() -> None:
    def work(n: int) -> Callable[[], object]:
        text = json.dumps(["AKIA a secret"] * n)
        cuts = [(at, at + 4, "key") for at in range(2, len(text) - 4, len('"AKIA a secret", '))]
        return lambda: cut_out(text, within_json(text, cuts))

    assert steps(work(1_600)) < 10 * steps(work(200))


def test_spaces_behind_a_fence_are_read_once() -> None:
    assert read("\\ ```" + " " * 100_000 + "x") is None
    assert read("\\\n```" + " " * 100_000 + "x!") is None
