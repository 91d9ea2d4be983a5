"""A stream that a rule stops ends once, as its API ends one, however its bytes arrive; nothing comes after the end."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.screen import Screen
from gateway.delivery.window import Window
from gateway.errors import GatewayError
from gateway.exchange import Stretch, Treatment
from gateway.openai_api import Operation, Unread, sse
from tests.support.wire.surfaces import SURFACES, Delta, decoded, objects

LAST = {
    Operation.RESPONSES: {"response.incomplete", "response.completed"},
    Operation.MESSAGES: {"message_stop"},
}


class Stopping:
    """An inspection that stops every text with this word, and what cannot be read."""

    drops_alternatives = False

    def __init__(self, message: str = "") -> None:
        self._message = message

    async def whole(self, body: bytes) -> bytes:
        return body

    async def judge(self, stretches: Sequence[Stretch]) -> list[Treatment]:
        return [Treatment("grenade" in stretch.text, message=self._message) for stretch in stretches]

    def unread(self, unread: Sequence[Unread]) -> bool:
        return bool(unread)

    def refusal(self) -> GatewayError | None:
        return None

    def close(self) -> None:
        """Nothing to do."""


async def passed(screens: Sequence[Screen], data: bytes, size: int) -> bytes:
    """What leaves the last of the screens of a stream that comes in pieces of this size."""

    async def through(start: int, piece: bytes) -> bytes:
        for screen in screens[start:]:
            piece = b"".join([await screen.feed(piece[at : at + size]) for at in range(0, len(piece), size)])
        return piece

    out = [await through(0, data)]
    for number, screen in enumerate(screens):
        out.append(await through(number + 1, await screen.end(broken=False)))
    return b"".join(out)


def assert_it_ends_once(operation: Operation, out: bytes) -> None:
    events: list[Any] = [event.data for event in decoded(out)]
    if operation in LAST:
        types = [one["type"] for one in objects(out)]
        assert [type_ for type_ in types if type_ in LAST[operation]] == types[-1:]
    else:
        assert events.count(sse.DONE_DATA) == 1
        assert events[-1] == sse.DONE_DATA


@pytest.mark.parametrize("characters", [None, 16])
@pytest.mark.parametrize("name", SURFACES)
@given(
    screens=st.integers(1, 2),
    message=st.sampled_from(["", "Not this."]),
    said=st.lists(
        st.sampled_from(["good ", "day. ", "a grenade ", "and more words to come. "]), min_size=1, max_size=12
    ),
    choices=st.integers(1, 2),
    size=st.sampled_from([1, 7, 64, 301, 4096]),
    broken=st.booleans(),
    usage=st.booleans(),
)
async def test_a_stream_that_is_stopped_ends_once(
    name: str, characters: int | None, screens: int, message: str, said: list[str], choices: int, size: int,
    broken: bool, usage: bool,
) -> None:  # fmt: skip
    surface = SURFACES[name]
    choices = choices if surface.has_choices else 1
    events = surface.stream([Delta(text, choice=i % choices) for i, text in enumerate(said)], usage=usage)
    if broken:
        events.insert(len(events) // 2, sse.encode(b"not json"))
    made = [
        Screen(
            Window(surface.operation, "m", characters=characters, choices=choices, include_usage=usage),
            Stopping(message),
            held_bytes=1 << 20,
        )
        for _ in range(screens)
    ]
    assert_it_ends_once(surface.operation, await passed(made, b"".join(events), size))
