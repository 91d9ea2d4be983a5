"""Model servers may write anything: values of the wrong kind, half characters, lists in place of objects. Whatever they
write is read, judged or unread, cut and blocked; nothing of it breaks the readers, which would end a detector process.
"""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.window import Window
from gateway.exchange import Treatment
from gateway.openai_api import Operation, kept_back, read_stream, sse
from tests.support.running.together import together
from tests.support.wire.surfaces import SURFACES, Delta

Path = tuple[str | int, ...]
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1.5, "", "\ud800", "bring the jewels home", [], {}, [1, 2, 3] * 4, [[[]]],
    ["bring the jewels home", 3], {"a": {"b": "bring the jewels home"}}, {"index": "x"}, {"type": 5},
)  # fmt: skip
SAID = [Delta("Hello there. "), Delta("bring the jewels home"), Delta(" now.")]


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    below = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    for key, inner in below:
        yield from paths(inner, (*path, key))


def put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def made_odd(events: list[bytes], chance: Random) -> list[bytes]:
    """The events of a stream, with odd values in some of them."""
    out = []
    for event in (event for raw in events for event in sse.events_of(raw)):
        data = event.data
        if data.startswith(b"{") and chance.random() < 0.4:
            value = json.loads(data)
            for _ in range(chance.choice((1, 1, 2))):
                value = put(value, chance.choice(list(paths(value))), chance.choice(ODD))
            data = json.dumps(value).encode()
        out.append(sse.encode(data, None if event.event is None else event.event.decode()))
    return out


@pytest.mark.parametrize("name", SURFACES)
@given(st.integers(0, 2**32))
def test_odd_streams_are_read_cut_and_blocked(name: str, seed: int) -> None:
    surface, chance = SURFACES[name], Random(seed)
    stream = made_odd(surface.stream(SAID), chance)
    read_stream(surface.operation, b"".join(stream))
    window = Window(surface.operation, "m", characters=chance.choice((None, 16)), drops_alternatives=seed % 2 == 0)
    decoder = sse.Decoder()
    for raw in stream:
        for event in decoder.feed(raw) if not window.over else ():
            window.feed(event)
        rule(window, chance)
    window.end()
    rule(window, chance)
    assert not window.has_more


def rule(window: Window, chance: Random) -> None:
    """Block, replace, cut or pass what is due."""
    stretches = window.stretches()
    cuts = [((0, 1, "x"),) if stretch.text else () for stretch in stretches]
    choices = [(Treatment(), Treatment(cuts=cut), Treatment(True), Treatment(True, message="no")) for cut in cuts]
    if stretches:
        window.settle([chance.choice(each) for each in choices])
    window.take()


def test_a_part_whose_type_is_no_word_is_read() -> None:
    event = {"type": "response.content_part.added", "output_index": 0, "content_index": 0}
    kinds: tuple[object, ...] = ([], {}, 5)
    for kind in kinds:
        stream = sse.encode(json.dumps({**event, "part": {"type": kind, "text": "bring it"}}).encode())
        assert [passage.text for passage in read_stream(Operation.RESPONSES, stream).passages] == ["bring it"]


@together("entry", ["bring the jewels", 5, None, [], [{"id": "a"}]])
def test_an_entry_of_a_list_that_is_no_object_can_be_kept_back(entry: object) -> None:
    body = json.dumps({"object": "list", "data": [entry, {"id": "b"}]}).encode()
    first, second = json.loads(kept_back(body, {0}))["data"]
    assert first["error"]["code"] == "content_filter"
    assert (first.keys(), second) == ({"error"}, {"id": "b"})
