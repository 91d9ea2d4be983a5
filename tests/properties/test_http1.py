"""However an answer's bytes are cut, it reads the same; whatever bytes come, nothing worse than an error happens."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.config.settings import DEFAULT_FORWARDED
from gateway.errors import UpstreamError
from gateway.exchange import Headers
from gateway.upstream import headers as passed_on
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.http1 import Http1Response, Http1Transport
from gateway.upstream.http1.connection import UpstreamConnection
from gateway.upstream.transport import Limits

T = TypeVar("T")


class Wire(asyncio.Transport):
    """A connection without a network: takes what is written, and remembers whether it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of what has no reason to wait."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise AssertionError("it waits")


class Talk:
    """A connection, fed by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pool = Http1Transport("test", 80, Limits(), loop=loop)
        self.connection = UpstreamConnection(self.pool)
        self.wire = Wire()
        self.connection.connection_made(self.wire)
        self.body = b""

    def ask(self, *pieces: bytes) -> Http1Response:
        """Send a request and hear these bytes, as long as there is someone to hear them."""
        self.body = b""
        answer = self.connection.start(b"GET / HTTP/1.1\r\n\r\n", b"", False, False, None)
        for piece in pieces:
            if not self.wire.ended:
                self.connection.data_received(piece)
                if answer.started:
                    self.body += answer.take()
        return answer

    def close(self) -> None:
        self.connection.eof_received()
        self.connection.connection_lost(None)

    @property
    def idle(self) -> bool:
        return self.pool.counts()[0] == 1 and self.connection.is_open


@dataclass(frozen=True, slots=True)
class Response:
    wire: bytes
    status: int
    headers: Headers
    body: bytes
    framed: bool  # its end is announced


token = st.text("abcXYZ019-_.!~", min_size=1, max_size=12).map(str.encode)
value = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=20).map(
    lambda text: text.encode("latin-1")
)
lines = st.lists(st.tuples(token.map(lambda name: b"x-" + name), value), max_size=5)
interim = st.sampled_from(
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\ncontent-length: 5\r\n\r\n",
    ]
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    wire, rest = b"", body
    while rest:
        size = draw(st.integers(1, len(rest)))
        extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b;c"']))
        zeros = b"0" * draw(st.integers(0, 3))
        wire += zeros + b"%x" % size + extension + b"\r\n" + rest[:size] + b"\r\n"
        rest = rest[size:]
    trailers = draw(lines)
    return wire + b"0\r\n" + b"".join(b"%b: %b\r\n" % line for line in trailers) + b"\r\n"


@st.composite
def responses(draw: st.DrawFn, framings: tuple[str, ...] = ("length", "chunks", "close", "none")) -> Response:
    framing = draw(st.sampled_from(framings))
    headers = draw(lines)
    body = draw(st.binary(max_size=200)) * draw(st.sampled_from([1, 1, 400]))
    status = draw(st.integers(200, 599).filter(lambda code: code not in (204, 304)))
    after = body
    if framing == "none":
        status, body, after = draw(st.sampled_from([204, 304])), b"", b""
    elif framing == "length":
        headers.insert(draw(st.integers(0, len(headers))), (b"Content-Length", b"%d" % len(body)))
    elif framing == "chunks":
        headers.insert(draw(st.integers(0, len(headers))), (b"Transfer-Encoding", b"chunked"))
        after = draw(chunked(body))
    head = b"HTTP/1.1 %d %b\r\n" % (status, draw(st.sampled_from([b"OK", b"", b"Not So Good"])))
    head += b"".join(b"%b:%b%b\r\n" % (name, draw(st.sampled_from([b"", b" ", b"  "])), text) for name, text in headers)
    wire = b"".join(draw(st.lists(interim, max_size=2))) + head + b"\r\n" + after
    return Response(wire, status, [(name.lower(), text) for name, text in headers], body, framing != "close")


@st.composite
def cut(draw: st.DrawFn, wire: bytes) -> list[bytes]:
    places = draw(st.one_of(st.lists(st.integers(0, len(wire)), max_size=12), st.just(range(min(len(wire), 800)))))
    edges = [0, *sorted(set(places) - {0, len(wire)}), len(wire)]
    return [wire[a:b] for a, b in pairwise(edges) if a < b]


def check(talk: Talk, answer: Http1Response, expected: Response) -> None:
    assert answer.complete
    at_once(answer.head())
    assert (answer.status, answer.headers) == (expected.status, expected.headers)
    assert talk.body + answer.take() == expected.body
    assert at_once(answer.more()) == b""


@given(data=st.data())
def test_any_cut_reads_the_same(loop: asyncio.AbstractEventLoop, data: st.DataObject) -> None:
    expected = data.draw(responses())
    talk = Talk(loop)
    answer = talk.ask(*data.draw(cut(expected.wire)))
    if not expected.framed:
        assert not answer.complete
        talk.close()
    check(talk, answer, expected)
    assert talk.idle == expected.framed
    assert talk.wire.reading


@pytest.mark.slow
@given(data=st.data())
def test_one_answer_leaves_nothing_for_the_next(loop: asyncio.AbstractEventLoop, data: st.DataObject) -> None:
    talk = Talk(loop)
    for expected in data.draw(st.lists(responses(("length", "chunks", "none")), min_size=2, max_size=3)):
        check(talk, talk.ask(*data.draw(cut(expected.wire))), expected)
        assert talk.idle


@given(data=st.data(), extra=st.one_of(st.binary(min_size=1), responses().map(lambda response: response.wire)))
def test_what_follows_an_answer_ends_the_connection(
    loop: asyncio.AbstractEventLoop, data: st.DataObject, extra: bytes
) -> None:
    assume(extra.strip(b"\r\n"))
    expected = data.draw(responses(("length", "chunks", "none")))
    talk = Talk(loop)
    answer = talk.ask(*data.draw(cut(expected.wire + extra)))
    check(talk, answer, expected)
    assert not talk.idle
    assert talk.wire.ended


@given(data=st.data())
def test_a_part_is_never_taken_for_the_whole(loop: asyncio.AbstractEventLoop, data: st.DataObject) -> None:
    expected = data.draw(responses(("length", "chunks", "none")))
    part = expected.wire[: data.draw(st.integers(0, len(expected.wire) - 1))]
    talk = Talk(loop)
    answer = talk.ask(*data.draw(cut(part)))
    talk.close()
    assert not answer.complete
    assert expected.body.startswith(talk.body)
    with pytest.raises(UpstreamError) as caught:
        at_once(answer.head())
        while at_once(answer.more()):
            pass
    assert caught.value.reason == ("truncated" if answer.started else "reset")
    assert not talk.idle


@given(
    pieces=st.lists(
        st.one_of(st.binary(), st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"a: b"]))
    )
)
def test_any_bytes_end_in_an_answer_or_an_error(loop: asyncio.AbstractEventLoop, pieces: list[bytes]) -> None:
    survives(Talk(loop), pieces)


@given(data=st.data())
def test_damaged_answers_end_in_an_answer_or_an_error(loop: asyncio.AbstractEventLoop, data: st.DataObject) -> None:
    wire = bytearray(data.draw(responses()).wire)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(wire) - 1))
        wire[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        assume(wire)
    survives(Talk(loop), data.draw(cut(bytes(wire))))


def survives(talk: Talk, pieces: list[bytes]) -> None:
    answer = talk.ask(*pieces)
    talk.close()
    assert talk.pool.counts()[0] == 0
    try:
        at_once(answer.head())
        while at_once(answer.more()):
            pass
    except UpstreamError as error:
        assert error.reason in ("reset", "truncated", "bad_response")
    else:
        assert answer.complete
        assert 200 <= answer.status <= 999


any_header = st.tuples(
    st.sampled_from(
        b"authorization cookie x-api-key api-key host connection content-length transfer-encoding te upgrade accept "
        b"accept-encoding user-agent openai-beta x-stainless-a x-other set-cookie x-request-id x-assay-policy".split()
    ),
    st.one_of(value, st.sampled_from([b"keep-alive, accept", b"close", b"User-Agent", b"gzip", b"br"])),
)


@given(headers=st.lists(any_header), allowed=st.sampled_from([DEFAULT_FORWARDED, ("*",), ()]))
def test_no_headers_talk_the_filter_into_more(headers: Headers, allowed: tuple[str, ...]) -> None:
    passed = HeaderFilter(allowed).upstream(headers).split(b"\r\n")
    assert passed.pop() == b""
    names = {line.partition(b": ")[0] for line in passed}
    assert names.isdisjoint(
        b"authorization cookie x-api-key api-key host connection content-length transfer-encoding te upgrade".split()
    )
    named = {part.strip().lower() for name, text in headers if name == b"connection" for part in text.split(b",")}
    assert names.isdisjoint(named)


@given(headers=st.lists(any_header))
def test_no_headers_talk_the_reply_into_more(loop: asyncio.AbstractEventLoop, headers: Headers) -> None:
    answer = Http1Response(Talk(loop).connection, loop, reused=False)
    answer.headers = list(headers)
    passed = {name for name, _ in passed_on.downstream(answer.headers)}
    assert passed.isdisjoint(b"connection transfer-encoding te upgrade set-cookie x-request-id x-assay-policy".split())
    named = {part.strip().lower() for name, text in headers if name == b"connection" for part in text.split(b",")}
    assert passed.isdisjoint(named)
    assert answer.headers == headers


def test_a_coding_that_the_parser_takes_for_another_is_refused(loop: asyncio.AbstractEventLoop) -> None:
    """A tab that came apart from the line is not taken away; chunks must not pass for the body."""
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\t\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    answer = Talk(loop).ask(*(bytes([byte]) for byte in wire))
    with pytest.raises(UpstreamError) as caught:
        at_once(answer.head())
    assert caught.value.reason == "bad_response"
