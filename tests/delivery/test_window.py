"""The window, step by step: which choice is blocked, what is judged again, what leaves when."""

import json
from collections.abc import Callable

import pytest

from gateway.delivery.window import Window
from gateway.exchange import Treatment
from gateway.openai_api import Operation
from gateway.openai_api.sse import Decoder
from tests.support.wire.surfaces import CHAT

KEPT, BLOCKED = Treatment(), Treatment(blocked=True)


def fed(window: Window, *entries: tuple[int, str]) -> None:
    for choice, text in entries:
        data = json.dumps({"choices": [{"index": choice, "delta": {"content": text}}]}).encode()
        for event in Decoder().feed(b"data: " + data + b"\n\n"):
            window.feed(event)


@pytest.mark.parametrize(("characters", "slides"), [(None, False), (16, True)])
def test_its_bytes_are_counted_from_the_first_to_the_last(characters: int | None, slides: bool) -> None:
    """`size` waits, `sent` has left, `held` is of the memory: all of it is given back with the last event."""
    window = Window(Operation.CHAT, "m", characters=characters)
    assert window.slides is slides
    assert (window.size, window.sent, window.held, window.changed) == (0, 0, 0, False)
    fed(window, (0, "One."), (0, " Two."))
    waits = window.size
    assert waits > len("One. Two.")
    assert window.held > waits
    window.end()
    window.settle([KEPT for _ in window.stretches()])
    assert waits == len(window.take()) == window.sent
    assert window.size == 0
    assert not window.changed


@pytest.mark.parametrize("blocked", [0, 1, 2])
def test_the_choice_whose_stretch_is_blocked_ends_and_no_other(blocked: int) -> None:
    window = Window(Operation.CHAT, "m", characters=None, choices=3)
    fed(window, (2, "two"), (0, "zero"), (1, "one"))
    window.end()
    stretches = window.stretches()
    assert {stretch.choice: stretch.text for stretch in stretches} == {0: "zero", 1: "one", 2: "two"}
    window.settle([BLOCKED if stretch.choice == blocked else KEPT for stretch in stretches])
    out = window.take()
    said = {0: "zero", 1: "one", 2: "two"}
    del said[blocked]
    assert {choice: text for (choice, _), text in CHAT.said(out).items() if text} == said
    ended = json.loads(out.split(b"\n\n")[0].removeprefix(b"data: "))["choices"]
    assert [(entry["index"], entry["finish_reason"]) for entry in ended] == [(blocked, "content_filter")]
    assert not window.over
    assert not window.all_blocked


def test_a_message_stands_in_place_of_a_choice_of_which_nothing_has_left() -> None:
    window = Window(Operation.CHAT, "m", characters=16, choices=2)
    fed(window, *[(0, "Long enough to leave. ")] * 4, (1, "Short."))
    (stretch,) = window.stretches()
    assert stretch.choice == 0
    window.settle([KEPT])
    assert window.take()
    window.end()
    window.settle([Treatment(blocked=True, message="Not this.") for _ in window.stretches()])
    out = window.take()
    assert CHAT.said(out)[1, "assistant"] == "Not this."
    assert (0, "assistant") not in CHAT.said(out)
    assert window.replaced
    assert window.all_blocked


@pytest.mark.parametrize(("characters", "start"), [(16, 1855), (400, 1400)])
def test_what_left_last_is_judged_again(characters: int, start: int) -> None:
    """Half a window of it, and 128 characters at least, from the beginning of a word."""
    window = Window(Operation.CHAT, "m", characters=characters)
    text, more = "".join(f"{number:04d} " for number in range(400)), "end " * characters
    fed(window, (0, text))
    (first,) = window.stretches()
    assert first.text == text
    window.settle([KEPT])
    fed(window, (0, more))
    (second,) = window.stretches()
    assert second.text == (text + more)[start:]


def judged_before_the_end(delta: Callable[[str], dict[str, object]], pieces: list[str]) -> list[str]:
    """The channels of what was to be judged while a text still went on, in a window of 16 characters."""
    window, found = Window(Operation.CHAT, "m", characters=16), list[str]()
    for piece in pieces:
        data = json.dumps({"choices": [{"index": 0, "delta": delta(piece)}]}).encode()
        for event in Decoder().feed(b"data: " + data + b"\n\n"):
            window.feed(event)
        stretches = window.stretches()
        found += [stretch.channel for stretch in stretches]
        window.settle([KEPT for _ in stretches])
    return found


def test_arguments_in_json_wait_for_their_end_and_json_in_an_answer_does_not() -> None:
    """Nobody can use a part of the arguments of a call; an answer is read as it comes, whatever its form."""
    pieces = ['{"city": "Lisbon, ', *["where the river is wide, "] * 20]

    def call(piece: str) -> dict[str, object]:
        return {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": piece}}]}

    assert "arguments" not in judged_before_the_end(call, pieces)
    assert "arguments" in judged_before_the_end(call, pieces[1:])
    assert "assistant" in judged_before_the_end(lambda piece: {"content": piece}, pieces)


def strays(window: Window, *words: str, choice: int = 0) -> None:
    """Events that say each of these words where no row reads it."""
    for word in words:
        entry = {"index": choice, "delta": {"content": "x", "role": word}}
        data = json.dumps({"choices": [entry]}).encode()
        for event in Decoder().feed(b"data: " + data + b"\n\n"):
            window.feed(event)


@pytest.mark.parametrize("characters", [None, 16])
def test_strays_are_judged_as_one_text_and_block_every_choice(characters: int | None) -> None:
    window = Window(Operation.CHAT, "m", characters=characters, choices=2)
    fed(window, (0, "One."), (1, "Two."))
    strays(window, "Open", "every", "secret", "drawer")
    window.end()
    stretches = window.stretches()
    of_strays = [stretch.text.endswith("Open every secret drawer ") for stretch in stretches]
    assert sum(of_strays) == 1
    window.settle([BLOCKED if blocked else KEPT for blocked in of_strays])
    out = window.take()
    assert CHAT.said(out) == {}
    assert window.all_blocked
    assert window.over


def test_a_few_strays_keep_nothing_back_and_more_wait_for_what_follows() -> None:
    window = Window(Operation.CHAT, "m", characters=16)

    def left() -> bytes:
        window.settle([KEPT for _ in window.stretches()])
        return window.take()

    fed(window, (0, "Much was said and has left before. " * 4))
    strays(window, "Open", "every", "secret")
    fed(window, (0, " And it goes on. " * 4))
    assert b"secret" in left()
    strays(window, "drawer", "tonight")
    fed(window, (0, "x" * 8))
    assert b"drawer" not in left()
    fed(window, (0, " And on, and on. " * 4))  # they are judged, since nothing was added to them for so long
    assert b"tonight" in left()


def test_what_a_response_repeats_of_its_request_is_no_text() -> None:
    said = {"instructions": "Open every secret drawer tonight"}
    data = json.dumps({"type": "response.created", "response": {"output": [], **said}}).encode()
    for asked, texts in ((json.dumps(said).encode(), []), (b'{"input": "hi"}', [said["instructions"] + " "])):
        window = Window(Operation.RESPONSES, "m", characters=None, asked=asked)
        for event in Decoder().feed(b"data: " + data + b"\n\n"):
            window.feed(event)
        window.end()
        assert [stretch.text for stretch in window.stretches()] == texts


@pytest.mark.parametrize("events", [1, 3, 7])
def test_what_is_taken_in_slices_is_what_is_taken_at_once(events: int) -> None:
    def filled() -> Window:
        window = Window(Operation.CHAT, "m", characters=None)
        fed(window, *[(0, f"word {number} ") for number in range(20)])
        window.end()
        window.settle([Treatment(cuts=((0, 4, "word"),)) for _ in window.stretches()])
        return window

    window, slices = filled(), []
    size = 20 * window.next_size * events
    while True:
        slices.append(window.take(size))
        if not window.has_more:
            break
    assert b"".join(slices) == filled().take()
    assert len(slices) > 1 or events == 7


def test_nothing_leaves_before_it_was_judged() -> None:
    window = Window(Operation.CHAT, "m", characters=None)
    fed(window, (0, "unheard"))
    assert window.take() == b""
    window.end()
    assert window.take() == b""
    window.settle([KEPT for _ in window.stretches()])
    assert CHAT.said(window.take()) == {(0, "assistant"): "unheard"}


def ends(out: bytes) -> list[tuple[int, str]]:
    """The choices that an output ends, each with its reason."""
    events = [json.loads(event.data) for event in Decoder().feed(out) if event.data.startswith(b"{")]
    choices = [choice for event in events for choice in event["choices"]]
    return [(choice["index"], choice["finish_reason"]) for choice in choices if choice.get("finish_reason")]


@pytest.mark.parametrize(("came", "ended"), [((), [0]), ((1,), [1]), ((2, 0), [0, 2])])
def test_blocking_all_ends_each_choice_that_came_once(came: tuple[int, ...], ended: list[int]) -> None:
    window = Window(Operation.CHAT, "m", characters=None, choices=3)
    fed(window, *[(choice, "word") for choice in came])
    window.block_all()
    assert ends(window.take()) == [(choice, "content_filter") for choice in ended]
    assert (window.size, window.over, window.all_blocked) == (0, True, True)
    window.block_all()
    assert window.take() == b""


def test_what_is_written_for_a_choice_is_of_the_answer_that_began() -> None:
    window = Window(Operation.CHAT, "m", characters=None)
    for name in ("first", "second"):
        data = json.dumps({"id": name, "choices": [{"index": 0, "delta": {"content": "word"}}]}).encode()
        for event in Decoder().feed(b"data: " + data + b"\n\n"):
            window.feed(event)
    window.block_all()
    assert [json.loads(event.data)["id"] for event in Decoder().feed(window.take()) if b"{" in event.data] == ["first"]
