"""The stream decoder: every framing the standard allows, however it is cut, at a cost linear in its bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai_api.sse import DONE, PING, Decoder, Event, SseError, encode, events_of, says_beside
from tests.support.running.steps import grows_with_the_length
from tests.support.running.together import together


def decode(*chunks: bytes, limit: int = 1 << 20) -> list[Event]:
    decoder = Decoder(limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.close()


def payloads(stream: bytes) -> list[bytes]:
    return [event.data for event in decode(stream) if event.data]


@together(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data: a\ndata: b\ndata\n\n", [b"a\nb\n"]),
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b": note\ndata: a\n: more\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbf\n\n\ndata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n", [b"a"]),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"retry: 10\nunknown: x\nnocolon\ndata: a\n\n", [b"a"]),
        ("data: zażółć 🙂\n\n".encode(), ["zażółć 🙂".encode()]),
        (b"", []),
    ],
)
def test_framings(stream: bytes, expected: list[bytes]) -> None:
    assert payloads(stream) == expected


def test_fields() -> None:
    [event] = decode(b"id: 7\nevent: response.created\ndata: {}\n\n")
    assert (event.event, event.id, event.data) == (b"response.created", b"7", b"{}")
    [event] = decode(b"id: 7\0\ndata: {}\n\n")
    assert event.id is None


def test_an_event_comes_out_with_its_last_byte() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\n\r") == []
    assert [event.data for event in decoder.feed(b"\n")] == [b"a"]
    assert [event.data for event in decoder.feed(b"data: b\n\n")] == [b"b"]
    assert decoder.feed(PING) == [Event(b"", PING)]
    assert decoder.close() == []


def test_a_block_closed_by_a_bare_cr_waits_for_the_next_byte() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\r") == []
    assert [event.raw for event in decoder.feed(b"d")] == [b"data: a\r\r"]


FIELDS = [b"data: x", b"data:y", b"data", b"event: e", b"id: 1", b": c", b"a", b":", b" ", "ż".encode()]
ENDS = [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\xef\xbb\xbf"]
PIECES = st.sampled_from(FIELDS + ENDS)
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)


@given(STREAMS, st.data())
def test_any_chunking_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    whole = decode(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    assert decode(*(stream[a:b] for a, b in itertools.pairwise(edges))) == whole
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == whole
    assert b"".join(event.raw for event in whole) == stream


def reference(stream: bytes) -> list[bytes]:
    """The standard's algorithm, written line by line (with the unfinished last block given out)."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[bytes] = []
    data: list[bytes] = []
    for line in [*text.split(b"\n"), b""]:
        name, _, value = line.partition(b":")
        if not line:
            found.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return [payload for payload in found if payload]


@given(STREAMS)
def test_agrees_with_the_standards_algorithm(stream: bytes) -> None:
    assert payloads(stream) == reference(stream)


@given(st.binary(max_size=60), st.sampled_from([None, "response.created"]))
def test_encode_is_undone_by_decode(data: bytes, name: str | None) -> None:
    [event] = decode(encode(data, name))
    assert event.data == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert event.event == (None if name is None else name.encode())


def test_constants() -> None:
    assert encode(b"[DONE]") == DONE
    assert payloads(PING + DONE) == [b"[DONE]"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_oversized_event_is_refused_with_bounded_memory(size: int) -> None:
    stream = b"data: ok\n\n" + b"data: " + b"x" * 500 + b"\n\n"
    decoder, seen = Decoder(100), []
    with pytest.raises(SseError, match="100 bytes") as caught:
        for start in range(0, len(stream), size):
            seen += decoder.feed(stream[start : start + size])
    assert [event.data for event in seen + caught.value.events] == [b"ok"]


def test_an_event_of_exactly_the_limit_passes() -> None:
    block = b"data: " + b"x" * 92 + b"\n\n"
    assert len(block) == 100
    assert len(decode(block * 3, limit=100)) == 3
    with pytest.raises(SseError):
        decode(block, limit=99)


@pytest.mark.slow
def test_time_is_linear_in_the_bytes() -> None:
    def byte_by_byte(text: str) -> None:
        block = b"data: %b\r\n\r\n" % text.encode()
        assert len(decode(*(block[i : i + 1] for i in range(len(block))))) == 1

    def many_events(text: str) -> None:
        assert decode(text.encode())

    assert grows_with_the_length(byte_by_byte, "x", 160_000)
    assert grows_with_the_length(many_events, "data: x\n\n", 480_000)


KEY = b"AKIAQ3EGRNV5PLWXT2UD"
SAID = b"now tell them where the jewels are"
BESIDE = [
    b": %b\n",
    b"id: %b\n",
    b"event: %b\n",
    b"retry: %b\n",
    b"note: %b\n",
    b"%b\n",
    b"%b: 1\n",
    b"\xef\xbb\xbfnote:%b\n",
]


@pytest.mark.parametrize("said", [KEY, SAID, b"sk-" + b"a1B2c3D4" * 4])
@pytest.mark.parametrize("line", BESIDE)
@pytest.mark.parametrize("after", [b'data: {"choices": []}\n\n', b"\n"])
def test_a_secret_or_a_sentence_in_any_line_beside_the_data_is_found(line: bytes, said: bytes, after: bytes) -> None:
    assert [says_beside(event) for event in decode(line % said + after)] == [True]


@pytest.mark.parametrize(
    "stream",
    [
        b'event: response.output_text.delta\ndata: {"delta": "now tell them where the jewels are"}\n\n',
        b'\xef\xbb\xbfdata: {"delta": "now tell them where the jewels are"}\n\n',
        b": OPENROUTER PROCESSING\n\n",
        b"id: 6f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f9\nretry: 3000\ndata:{}\n\n",
        b'data: {"a":\r\ndata: "one two three four"}\r\n\r\n',
        b"data\ndata: one two three four\n\n",
    ],
)
def test_an_ordinary_event_says_nothing_beside_its_data(stream: bytes) -> None:
    assert not any(map(says_beside, decode(stream)))


def test_lines_of_json_have_nothing_beside_them() -> None:
    events = events_of(b'{"delta": "one two three four"}\n{"delta": "AKIAQ3EGRNV5PLWXT2UD"}\n')
    assert len(events) == 2
    assert not any(map(says_beside, events))
