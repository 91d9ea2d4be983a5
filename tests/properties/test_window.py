"""The window, whatever a stream is cut into: nothing forbidden leaves, and what is clean leaves as it came."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.window import Window
from gateway.exchange import Stretch, Treatment
from gateway.openai_api import Channel
from gateway.openai_api.messages_replies import EXPLANATION
from gateway.openai_api.sse import Decoder
from tests.support.running.examples import examples
from tests.support.wire.surfaces import CHAT, SURFACES, Delta, Surface, joined

BAD, SECRET = "grenade", "AKIA42 7"  # a secret with a space in it, so that no rule about words protects it
LABEL = "[REDACTED:secret]"


def rule(stretch: Stretch) -> Treatment:
    """Blocks a text with the bad word in it, cuts every secret."""
    cuts = []
    at = stretch.text.find(SECRET)
    while at >= 0:
        cuts.append((at, at + len(SECRET), "secret"))
        at = stretch.text.find(SECRET, at + len(SECRET))
    return Treatment(BAD in stretch.text, tuple(cuts))


def through(
    surface: Surface,
    pieces: Iterable[bytes],
    characters: int | None,
    *,
    choices: int = 1,
    judge: Callable[[Stretch], Treatment] = rule,
) -> Iterator[bytes]:
    """What leaves after each piece of the stream, and after its end."""
    window = Window(surface.operation, "m", characters=characters, choices=choices)
    decoder = Decoder()
    for piece in [*pieces, b""]:
        for event in decoder.feed(piece) if piece else decoder.close():
            window.feed(event)
        if not piece:
            window.end()
        window.settle([judge(stretch) for stretch in window.stretches()])
        yield window.take()
        if window.over:
            return
    assert window.size == 0
    assert not window.unread


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    return pieces


def deltas(text: str, sizes: Sequence[int], channel: Channel = "assistant", choice: int = 0) -> list[Delta]:
    found, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found.append(Delta(text[at : at + size], channel, choice))
        at, turn = at + size, turn + 1
    return found


TEXT = st.text(st.sampled_from('ab .\n\u00e9\u4f60\U0001f600"\\'), max_size=60)
SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=4)
BYTES = st.lists(st.integers(1, 400), min_size=1, max_size=4)
WINDOW = st.integers(len(SECRET), 40)
SURFACE = st.sampled_from(list(SURFACES.values()))


@examples(150)
@given(st.data(), SURFACE, TEXT, SIZES, BYTES, st.one_of(st.none(), st.integers(1, 40)))
def test_a_clean_stream_leaves_byte_for_byte(
    data: st.DataObject, surface: Surface, text: str, sizes: list[int], bytes_: list[int], characters: int | None
) -> None:
    said = [one for channel in surface.channels for one in deltas(text, sizes, channel)]
    if surface.has_choices:
        said += deltas(text, sizes, choice=1)
        said = data.draw(st.permutations(said))
    stream = b": hello\r\n\r\n" + b"".join(surface.stream(said))
    left = b"".join(through(surface, cut(stream, bytes_), characters, choices=2))
    assert left == stream


@pytest.mark.parametrize("channel", CHAT.channels)
@pytest.mark.parametrize("name", SURFACES)
@examples(60)
@given(TEXT, TEXT, SIZES, BYTES, WINDOW)
def test_nothing_of_what_is_blocked_leaves(
    name: str, channel: Channel, before: str, after: str, sizes: list[int], bytes_: list[int], characters: int
) -> None:
    surface = SURFACES[name]
    if channel not in surface.channels:
        return
    stream = b"".join(surface.stream(deltas(before + BAD + after, sizes, channel)))
    left = b"".join(through(surface, cut(stream, bytes_), characters))
    assert before.startswith(surface.said(left).get((0, channel), ""))
    assert all(text in before or text == EXPLANATION for text in surface.everything(left))
    assert left.endswith(b"data: [DONE]\n\n") or surface.block_sign in left


@pytest.mark.parametrize("channel", CHAT.channels)
@pytest.mark.parametrize("name", SURFACES)
@examples(60)
@given(TEXT, TEXT, TEXT, SIZES, BYTES, st.one_of(st.none(), WINDOW))
def test_nothing_of_a_secret_leaves_and_all_of_the_rest_does(
    name: str, channel: Channel, one: str, two: str, three: str, sizes: list[int], bytes_: list[int], characters: int
) -> None:
    surface = SURFACES[name]
    if channel not in surface.channels:
        return
    text = one + SECRET + two + SECRET + three
    stream = b"".join(surface.stream(deltas(text, sizes, channel)))
    left = b"".join(through(surface, cut(stream, bytes_), characters))
    expected = text.replace(SECRET, LABEL)
    assert surface.said(left)[0, channel] == expected
    for repeated in surface.everything(left):
        assert repeated == expected or repeated in expected


@pytest.mark.slow
@pytest.mark.parametrize("other", ["reasoning", "arguments"])
@examples(100)
@given(TEXT, TEXT, SIZES, st.lists(st.integers(0, 60), min_size=1, max_size=6), BYTES, WINDOW)
def test_a_text_that_others_interrupt_keeps_what_may_yet_become_a_secret(
    other: Channel, one: str, two: str, sizes: list[int], pauses: list[int], bytes_: list[int], characters: int
) -> None:
    """However long another text goes on in between, and wherever the first one is interrupted."""
    said: list[Delta] = []
    for turn, delta in enumerate(deltas(one + SECRET + two, sizes)):
        said += [delta, *deltas("ab " * pauses[turn % len(pauses)], [20], other)]
    left = b"".join(through(CHAT, cut(b"".join(CHAT.stream(said)), bytes_), characters))
    assert CHAT.said(left)[0, "assistant"] == (one + SECRET + two).replace(SECRET, LABEL)
    assert CHAT.said(left).get((0, other), "") == joined(said).get((0, other), "")


@pytest.mark.slow
@pytest.mark.parametrize("offset", range(64))
def test_every_offset_and_every_size_of_delta(offset: int) -> None:
    """Exhaustively: where the secret stands, how long the deltas are, how many bytes come at once."""
    filler = "one two. three four five\nsix seven, eight nine ten. eleven twelve"
    for planted, action in ((SECRET, "redact"), (BAD, "block")):
        text = filler[:offset] + planted + filler[offset:]
        for size in range(1, 13):
            events = CHAT.stream(deltas(text, [size]))
            for pieces in (events, [b"".join(events)], cut(b"".join(events), [97])):
                left = CHAT.said(b"".join(through(CHAT, pieces, len(SECRET)))).get((0, "assistant"), "")
                if action == "redact":
                    assert left == text.replace(SECRET, LABEL)
                else:
                    assert filler[:offset].startswith(left)


@examples(150)
@given(TEXT, TEXT, SIZES, st.integers(1, len(BAD)))
def test_of_what_is_longer_than_the_window_only_what_was_beyond_it_has_left(
    before: str, after: str, sizes: list[int], characters: int
) -> None:
    text = before + BAD + after
    left = CHAT.said(b"".join(through(CHAT, CHAT.stream(deltas(text, sizes)), characters))).get((0, "assistant"), "")
    assert text.startswith(left)
    assert len(left) <= len(before) + len(BAD) - characters


@examples(150)
@given(TEXT, SIZES, st.integers(1, 30))
def test_so_many_characters_are_held_back_at_every_moment(text: str, sizes: list[int], characters: int) -> None:
    said = deltas(text, sizes)
    came, left = 0, b""
    for event, out in zip(CHAT.stream(said), through(CHAT, CHAT.stream(said), characters), strict=False):
        came += sum(map(len, CHAT.everything(event)))
        left += out
        if b'"finish_reason": "stop"' in event:
            break
        assert len(CHAT.said(left).get((0, "assistant"), "")) <= max(0, came - characters)


@pytest.mark.slow
@examples(150)
@given(st.data(), TEXT, TEXT, TEXT, SIZES, BYTES, st.one_of(st.none(), WINDOW), st.integers(2, 3))
def test_a_block_of_one_choice_lets_the_others_go_on(
    data: st.DataObject,
    clean: str,
    before: str,
    after: str,
    sizes: list[int],
    bytes_: list[int],
    characters: int | None,
    choices: int,
) -> None:
    bad, good = iter(deltas(before + BAD + after, sizes, choice=1)), iter(deltas(clean, sizes))
    left = [next(one, None) for one in data.draw(st.permutations([bad] * 90 + [good] * 90))]
    said = [one for one in left if one is not None]
    assert joined(said).get((0, "assistant"), "") == clean
    out = b"".join(through(CHAT, cut(b"".join(CHAT.stream(said)), bytes_), characters, choices=choices))
    assert CHAT.said(out).get((0, "assistant"), "") == clean
    assert before.startswith(CHAT.said(out).get((1, "assistant"), ""))
    finished = [
        (entry["index"], entry["finish_reason"])
        for line in out.split(b"\n\n")
        if line.startswith(b"data: {")
        for entry in json.loads(line[6:])["choices"]
        if entry["finish_reason"]
    ]
    wanted = [(0, "stop"), (1, "content_filter")] if clean else [(1, "content_filter")]
    assert sorted(finished) == wanted
    assert b'"usage"' in out or not clean
    assert out.endswith(b"data: [DONE]\n\n")


@pytest.mark.slow
@examples(60)
@given(st.integers(20, 200), st.lists(st.integers(1, 20), min_size=1, max_size=4))
def test_the_work_is_bounded(characters: int, sizes: list[int]) -> None:
    """Each character is judged a few times, and a call comes with every half of a window."""
    text = "Words of a sentence. " * 200
    calls: list[int] = []

    def count(stretch: Stretch) -> Treatment:
        calls.append(len(stretch.text))
        return Treatment()

    out = b"".join(through(CHAT, CHAT.stream(deltas(text, sizes)), characters, judge=count))
    assert CHAT.said(out)[0, "assistant"] == text
    assert len(calls) <= len(text) / (characters // 2) + 2
    assert sum(calls) <= len(calls) * (2.5 * characters + 2 * 128 + 40)
