"""The server's HTTP/1.1: over a transport whose other end is the test, and over loopback under uvicorn itself.

Answers are read by h11, which knows nothing of llhttp: what the two disagree on would be a desynchronised connection.
"""

import asyncio
import gc
import json
import random
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.serving import connection, reading
from gateway.serving.client import CLIENT, RESPOND
from gateway.serving.connection import ServerConnection
from gateway.serving.request import Application, Message
from tests.support.running.examples import examples
from tests.support.running.patience import PATIENCE_SECONDS, until
from tests.support.running.steps import Calls
from tests.support.running.together import together
from tests.support.servers.served_here import connected, serving

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

on_both_loops = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

GET = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
KEEP_ALIVE = 75
MIB = 1 << 20


def post(body: bytes, *headers: bytes, path: bytes = b"/") -> bytes:
    lines = [b"POST %b HTTP/1.1" % path, b"host: test", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*parts: bytes, path: bytes = b"/", end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"POST %b HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n" % path
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


# --- the other end


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time can be moved on."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


class Wire(asyncio.Transport):
    """A transport whose other end is the test. It is as strict as one can be: a write after the end is an error."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5000), "sockname": ("192.0.2.2", 80)})
        self.writes: list[bytes] = []
        self.protocol: ServerConnection
        self.reading = True
        self.closing = False
        self.half_closed = False
        self.aborted = False
        self.lost = False
        self.unsent = 0  # what the client has not taken yet; it is set by the test
        self._arrived: list[bytes] = []

    def arrive(self, data: bytes) -> None:
        self._arrived.append(data)
        self._deliver()

    def _deliver(self) -> None:
        while self._arrived and self.reading and not self.closing:
            self.protocol.data_received(self._arrived.pop(0))

    def lose(self, error: Exception | None = None) -> None:
        if not self.lost:
            self.lost = self.closing = True
            self.protocol.connection_lost(error)
            del self.protocol  # as real ones do

    # --- asyncio.Transport

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        assert not self.closing, "a write after the end"
        assert not self.half_closed, "a write after the end"
        assert data, "an empty write"

    def write_eof(self) -> None:
        self.half_closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        asyncio.get_running_loop().call_soon(self._deliver)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.unsent:
                asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.closing = self.aborted = True
        asyncio.get_running_loop().call_soon(self.lose)


@dataclass
class Settings:
    """What is used of uvicorn's configuration."""

    loaded_app: Any
    loaded: bool = True
    timeout_keep_alive: int = KEEP_ALIVE

    def load(self) -> None:
        raise AssertionError("it was loaded")


@dataclass
class State:
    """What is used of uvicorn's state."""

    connections: set[Any] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    total_requests: int = 0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    version: bytes


def read(raw: bytes, *methods: str) -> list[Answer]:
    """The answers to requests of these methods; they must be the whole of what was written."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(raw)
    answers: list[Answer] = []
    for number, method in enumerate(methods):
        client.send(h11.Request(method=method, target="/", headers=[("host", "test")]))
        client.send(h11.EndOfMessage())
        answers.append(_next(client))
        if number + 1 < len(methods):
            client.start_next_cycle()
    assert client.trailing_data[0] == b"", client.trailing_data
    return answers


def _next(client: h11.Connection) -> Answer:
    head: h11.Response | None = None
    body = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif event is h11.NEED_DATA:
            client.receive_data(b"")  # raises where the answer should have gone on
    assert head is not None
    return Answer(head.status_code, dict(head.headers), body, head.http_version)


class Client:
    """A connection to the server, in one process and one loop."""

    def __init__(self, app: Application, state: dict[str, Any] | None = None) -> None:
        self.wire = Wire()
        self.state = State()
        self.connection = self.wire.protocol = ServerConnection(Settings(app), self.state, state or {})
        self.connection.connection_made(self.wire)

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.wire.arrive(piece)
            await settle()

    @property
    def heard(self) -> bytes:
        return b"".join(self.wire.writes)

    def answers(self, *methods: str) -> list[Answer]:
        return read(self.heard, *methods or ("GET",))

    @property
    def closed(self) -> bool:
        """Whether the server is done with the connection: closed it, or its side of it."""
        return self.wire.closing or self.wire.half_closed

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clock)
        loop.skipped += seconds
        await settle()


async def settle() -> None:
    """Let everything happen that does not wait for time or for the client."""
    for _ in range(12):
        await asyncio.sleep(0)


def on_clock(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(test)


# --- applications


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def sized(body: bytes) -> Message:
    return start(200, (b"content-length", b"%d" % len(body)))


def answering(*messages: Message) -> Application:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        for message in messages:
            await send(message)

    return app


async def whole_body(receive: Receive) -> bytes | None:
    """None when the client left."""
    body: bytes = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            return body
    return None


@dataclass
class Echo:
    """Keeps what it was asked, and answers with it."""

    seen: list[tuple[str, bytes, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    gone: int = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await whole_body(receive)
        if body is None:
            self.gone += 1
            return
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        self.seen.append((scope["method"], target, scope["headers"], body))
        answer = b"%b %b" % (target, body)
        await send(sized(answer))
        await send(part(answer))

    @property
    def bodies(self) -> list[bytes]:
        return [body for *_, body in self.seen]


class Held:
    """Reads the request, then waits with the answer until the test lets it go."""

    def __init__(self, *messages: Message) -> None:
        self.go = asyncio.Event()
        self.messages = messages or (sized(b"late"), part(b"late"))
        self.started = 0
        self.begun = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.started += 1
        self.begun.set()
        await whole_body(receive)
        await self.go.wait()
        for message in self.messages:
            await send(message)


# --- one request


async def test_a_head_and_its_body_leave_in_one_write() -> None:
    client = Client(answering(sized(b"hello"), part(b"hello")))
    await client.say(GET)
    assert client.wire.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]
    assert not client.closed


async def test_a_head_does_not_wait_for_a_body_that_is_late() -> None:
    late = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(sized(b"hello"))
        await late.wait()
        await send(part(b"hello"))

    client = Client(app)
    await client.say(GET)
    assert client.wire.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]
    late.set()
    await settle()
    assert client.wire.writes[1:] == [b"hello"]


async def test_a_body_without_a_length_is_chunked_and_every_part_leaves_at_once() -> None:
    client = Client(answering(start(), part(b"one", True), part(b"", True), part(b"three", True), part()))
    await client.say(GET)
    assert client.wire.writes == [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        b"5\r\nthree\r\n",
        b"0\r\n\r\n",
    ]
    assert client.answers()[0].body == b"onethree"


async def test_no_body_at_all_is_an_empty_chunked_one() -> None:
    client = Client(answering(start(), {"type": "http.response.body"}))
    await client.say(GET)
    assert client.wire.writes == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"]


@pytest.mark.parametrize("body", [b"abc", bytearray(b"abc"), memoryview(b"abc")], ids=lambda body: type(body).__name__)
@pytest.mark.parametrize("head", [start(), sized(b"abc")], ids=["chunked", "sized"])
async def test_any_kind_of_bytes_is_a_body(body: bytes, head: Message) -> None:
    client = Client(answering(head, part(body)))
    await client.say(GET)
    assert client.answers()[0].body == b"abc"


@pytest.mark.parametrize("head", [start(), sized(b"hello")], ids=["chunked", "sized"])
async def test_head_is_answered_without_a_body_and_the_connection_stays(head: Message) -> None:
    client = Client(answering(head, part(b"hel", True), part(b"lo")))
    await client.say(b"HEAD / HTTP/1.1\r\nhost: test\r\n\r\n", GET)
    first, second = client.answers("HEAD", "GET")
    assert (first.body, second.body) == (b"", b"hello")
    assert first.headers.get(b"content-length") == second.headers.get(b"content-length")


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_never_gets_one(status: int) -> None:
    client = Client(answering(start(status, (b"content-length", b"5"), (b"etag", b"x")), part(b"hello")))
    await client.say(GET, GET)
    first, second = client.answers("GET", "GET")
    assert first == second
    assert (first.status, first.body) == (status, b"")
    assert (b"content-length" in first.headers) == (status == 304)
    assert b"transfer-encoding" not in first.headers


@pytest.mark.parametrize(("status", "line"), [(299, b"HTTP/1.1 299 \r\n"), (404, b"HTTP/1.1 404 Not Found\r\n")])
async def test_the_status_line(status: int, line: bytes) -> None:
    client = Client(answering(start(status), part()))
    await client.say(GET)
    assert client.heard.startswith(line)


async def test_the_scope() -> None:
    scopes: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["state"]["mine"] = True
        scopes.append({**scope})
        await send(start(204))
        await send(part())

    client = Client(app, {"shared": 1})
    request = b"GET /a%20b/%C3%A9%2Fc?q=%41&r HTTP/1.1\r\nHost: test\r\nX-Two: 1\r\nx-two: \xe9\r\nX-Empty:\r\n\r\n"
    await client.say(request, GET)
    assert list(scopes[0].pop("extensions")) == [CLIENT, RESPOND]
    assert scopes[0] == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("192.0.2.2", 80),
        "client": ("192.0.2.1", 5000),
        "scheme": "http",
        "root_path": "",
        "method": "GET",
        "path": "/a b/é/c",
        "raw_path": b"/a%20b/%C3%A9%2Fc",
        "query_string": b"q=%41&r",
        "headers": [(b"host", b"test"), (b"x-two", b"1"), (b"x-two", b"\xe9"), (b"x-empty", b"")],
        "state": {"shared": 1, "mine": True},
    }
    assert scopes[1]["path"] == "/"
    assert scopes[0]["state"] is not scopes[1]["state"]
    assert client.state.total_requests == 2


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://host:80/v1/models?x=1", b"/v1/models", b"x=1"),
        (b"HTTPS://host/", b"/", b""),
        (b"http://host?x=/y", b"/", b"x=/y"),
        (b"/a://b/c", b"/a://b/c", b""),
        (b"//host/path", b"//host/path", b""),
        (b"/?", b"/", b""),
        (b"/a?b?c=http://d", b"/a", b"b?c=http://d"),
    ],
)
async def test_the_forms_of_a_request_target(target: bytes, path: bytes, query: bytes) -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(b"OPTIONS %b HTTP/1.1\r\nhost: test\r\n\r\n" % target)
    assert [seen[1] for seen in echo.seen] == [path + (b"?" + query if query else b"")]


@pytest.mark.parametrize("target", [b"*", b"http://host", b"HTTP://host:80"])
async def test_a_question_about_the_server_is_answered_here(target: bytes) -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(b"OPTIONS %b HTTP/1.1\r\nhost: test\r\n\r\n" % target, GET)
    first, second = client.answers("OPTIONS", "GET")
    assert (first.status, first.body, second.status) == (200, b"", 200)
    assert b"POST" in first.headers[b"allow"]
    assert len(echo.seen) == 1


async def test_the_host_of_an_absolute_target_counts() -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(b"GET http://a.example:81/x HTTP/1.1\r\nhost: b.example\r\nx: y\r\n\r\n")
    assert echo.seen[0][1:3] == (b"/x", [(b"x", b"y"), (b"host", b"a.example:81")])


@pytest.mark.parametrize("cut", [0, 1, 20, 40, 60])
async def test_white_space_around_values_is_no_part_of_them(cut: int) -> None:
    echo = Echo()
    client = Client(echo)
    wire = (
        b"POST / HTTP/1.1\r\nhost:test \t\r\nx: \t a b \r\ntransfer-encoding:\tchunked \r\n"
        b"expect: 100-continue\t\r\n\r\n"
    )
    await client.say(*(wire[:cut], wire[cut:]) if cut else (wire,))
    assert client.heard == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.say(b"3\r\nabc\r\n0\r\n\r\n")
    assert echo.bodies == [b"abc"]
    assert (b"x", b"a b") in echo.seen[0][2]


@pytest.mark.parametrize("coding", [b"chunked\t", b"chunked \t ", b"\tchunked\t", b"CHUNKED\t\t", b"  chunked  "])
async def test_any_white_space_behind_the_coding_is_legal(coding: bytes) -> None:
    echo = Echo()
    await Client(echo).say(HEAD + b"transfer-encoding:%b\r\n\r\n3\r\na\tb\r\n0\r\n\r\n" % coding)
    assert echo.bodies == [b"a\tb"]


async def test_what_looks_like_a_header_in_a_body_stays_as_it_is() -> None:
    body = b"\r\ntransfer-encoding: chunked\t\r\n\r\n"
    echo = Echo()
    client = Client(echo)
    await client.say(HEAD + b"content-length: %d\r\nx: a\t\r\n\r\n" % len(body) + body)
    await client.say(HEAD + b"content-length: %d\r\nx: a\t\r\n\r\n" % len(body) + body[:1], body[1:])
    assert echo.bodies == [body, body]


@pytest.mark.parametrize("value", [b"100-continue, x", b"x ,\t100-Continue", b"100-continue\r\nexpect: x"])
async def test_one_of_several_expectations_is_met(value: bytes) -> None:
    client = Client(Echo())
    await client.say(HEAD + b"expect: %b\r\ncontent-length: 1\r\n\r\n" % value)
    assert client.wire.writes == [CONTINUE]


@pytest.mark.parametrize("host", ["a", "a.b-c:80", "127.0.0.1:8080", "[::1]:80", "[::1]", "a_b", "xn--a:", "a%20b"])
async def test_hosts(host: str) -> None:
    echo = Echo()
    await Client(echo).say(b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % host.encode())
    assert len(echo.seen) == 1


async def test_what_turns_malformed_behind_an_early_answer_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async def early(scope: Message, receive: Receive, send: Send) -> None:
        await send(sized(b"no"))
        await send(part(b"no"))

    client = Client(early)
    await client.say(b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await client.say(b"what?\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"\0" * 70_000)
    assert client.heard.count(b"HTTP/1.1") == 1
    assert client.heard.endswith(b"no")
    assert caplog.records == []


async def test_a_unix_socket_has_no_addresses() -> None:
    wire = Wire()
    wire._extra = {"peername": "", "sockname": "/run/assay.sock"}  # type: ignore[attr-defined]
    scopes: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    wire.protocol = ServerConnection(Settings(app), State(), {})
    wire.protocol.connection_made(wire)
    wire.arrive(GET)
    await settle()
    assert (scopes[0]["client"], scopes[0]["server"]) == (None, None)


# --- request bodies


async def test_a_body_comes_as_the_application_reads_it() -> None:
    messages: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while True:
            messages.append(await receive())
            if messages[-1]["type"] == "http.disconnect":
                return

    client = Client(app)
    request = post(b"abcdef")
    await client.say(request[:-4], request[-4:-1], request[-1:])
    assert [(m["body"], m["more_body"]) for m in messages] == [(b"ab", True), (b"cde", True), (b"f", False)]
    client.wire.lose()
    await settle()
    assert messages[3:] == [{"type": "http.disconnect"}]


@pytest.mark.parametrize(("asking", "body"), [(post(b"abc"), b"abc"), (post(b""), b""), (GET, b"")])
async def test_a_body_that_came_with_its_head_can_be_taken_at_once(asking: bytes, body: bytes) -> None:
    taken: list[bytes | None] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        take = scope["extensions"][CLIENT].take
        taken.extend([take(), take()])
        await send(start(204))
        await send(part())

    client = Client(app)
    await client.say(asking)
    assert taken == [body, None]
    assert client.answers(asking[:4].decode().strip())[0].status == 204


async def test_a_body_that_is_not_all_here_must_be_received() -> None:
    seen: list[object] = []
    all_here = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        take = scope["extensions"][CLIENT].take
        seen.extend([take(), await receive(), take()])
        await all_here.wait()
        seen.append(take())
        client.wire.lose()
        seen.append(take())

    client = Client(app)
    request = post(b"abcdef")
    await client.say(request[:-4], request[-4:-1], request[-1:])
    all_here.set()
    await settle()
    assert seen == [None, {"type": "http.request", "body": b"ab", "more_body": True}, None, b"cdef", None]


async def test_receive_tells_of_the_end_once_the_answer_is_complete() -> None:
    after: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(sized(b""))
        await send(part())
        await send(part(b"more"))  # nothing may come of it
        after.append(await receive())

    client = Client(app)
    await client.say(post(b"never read"), GET)
    assert after == [{"type": "http.disconnect"}] * 2
    assert [answer.body for answer in client.answers("POST", "GET")] == [b"", b""]


async def test_a_large_body_pauses_reading_until_it_is_read() -> None:
    go = asyncio.Event()
    body = random.Random(1).randbytes(2 * MIB)
    got: list[bytes] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await go.wait()
        got.append(await whole_body(receive) or b"")
        await send(start(204))
        await send(part())

    client = Client(app)
    request = post(body)
    pieces = [request[at : at + 65536] for at in range(0, len(request), 65536)]
    await client.say(*pieces[:4])
    reading = [client.wire.reading]
    await client.say(*pieces[4:])
    reading.append(client.wire.reading)
    assert client.connection.active is not None
    assert client.connection.active._size <= 256 * 1024 + 65536  # what waits is bounded
    go.set()
    for _ in range(10):
        await settle()
    assert got == [body]
    assert [*reading, client.wire.reading] == [True, False, True]
    assert client.answers("POST")[0].status == 204


async def test_trailers_are_read_and_forgotten() -> None:
    echo = Echo()
    client = Client(echo)
    trailers = b"0\r\nauthorization: Bearer stolen\r\nexpect: 100-continue\r\n\r\n"
    await client.say(chunked(b"abc", end=trailers) + GET)
    assert echo.bodies == [b"abc", b""]
    assert [headers for *_, headers, _ in echo.seen] == [
        [(b"host", b"test"), (b"transfer-encoding", b"chunked")],
        [(b"host", b"test")],
    ]
    assert b"100 Continue" not in client.heard


async def test_trailers_that_come_later_do_not_reach_the_headers_either() -> None:
    scopes: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await whole_body(receive)

    client = Client(app)
    request = chunked(b"abc", end=b"0\r\nx-late: 1\r\n\r\n")
    await client.say(*(request[at : at + 1] for at in range(len(request))))
    assert scopes[0]["headers"] == [(b"host", b"test"), (b"transfer-encoding", b"chunked")]


# --- 100-continue

EXPECTING = b"POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-Continue\r\ncontent-length: 3\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_the_client_is_told_to_go_on_when_the_application_reads() -> None:
    client = Client(Echo())
    await client.say(EXPECTING)
    assert client.wire.writes == [CONTINUE]
    await client.say(b"a", b"bc")
    assert client.wire.writes[0] == CONTINUE
    assert client.heard.count(CONTINUE) == 1
    assert client.answers("POST")[0].body == b"/ abc"


async def test_who_did_not_wait_for_it_is_not_told() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["extensions"][CLIENT].watch()
        assert await whole_body(receive) == b"abc"
        await asyncio.sleep(0)
        await send(start(204))
        await send(part())

    client = Client(app)
    await client.say(EXPECTING + b"abc", EXPECTING + b"a", b"bc")
    assert CONTINUE not in client.heard
    assert len(client.answers("POST", "POST")) == 2


async def test_a_client_that_waits_and_is_refused_never_sends_the_body() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(413, (b"content-length", b"0")))
        await receive()  # too late: an interim answer after the final one would be read as the next
        await send(part())

    client = Client(app)
    await client.say(EXPECTING)
    assert CONTINUE not in client.heard
    assert client.wire.writes == [
        b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ]
    await client.say(b"abc")
    assert client.closed


async def test_http_1_0_knows_no_100_continue() -> None:
    client = Client(Echo())
    await client.say(EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert client.wire.writes == []


# --- keep-alive and closing


async def test_a_connection_serves_one_request_after_the_other() -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(*(post(b"%d" % number) for number in range(5)))
    assert echo.bodies == [b"0", b"1", b"2", b"3", b"4"]
    assert all(b"connection" not in answer.headers for answer in client.answers(*["POST"] * 5))
    assert not client.closed


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"connection: close\r\n", False),
        (b"1.1", b"connection: Keep-Alive, Close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"connection: keep-alive\r\n", True),
    ],
)
async def test_whether_the_connection_stays(version: bytes, connection: bytes, stays: bool) -> None:
    client = Client(answering(sized(b"hello"), part(b"hello")))
    await client.say(b"GET / HTTP/%b\r\nhost: test\r\n%b\r\n" % (version, connection))
    answer = client.answers()[0]
    assert answer.body == b"hello"
    assert client.wire.closing == (not stays)
    said = answer.headers.get(b"connection")
    assert said == (b"close" if not stays else b"keep-alive" if version == b"1.0" else None)


async def test_http_1_0_gets_an_unknown_length_until_the_end_of_the_connection() -> None:
    client = Client(answering(start(), part(b"one", True), part(b"two")))
    await client.say(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert client.heard == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nonetwo"
    assert client.wire.closing
    assert not client.wire.aborted


@pytest.mark.parametrize("value", [b"close", b"Close"])
async def test_an_application_may_close_and_may_not_frame(value: bytes) -> None:
    head = start(200, (b"connection", value), (b"transfer-encoding", b"chunked"), (b"x", b"y"))
    client = Client(answering(head, part(b"hello")))
    await client.say(GET)
    assert client.heard == (
        b"HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    assert client.closed


async def test_an_early_answer_closes_after_the_client_had_time_to_read_it() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(sized(b"no"))
        await send(part(b"no"))

    client = Client(app)
    await client.say(post(bytes(1000))[:-500])
    answer = client.answers("POST")[0]
    assert (answer.body, answer.headers[b"connection"]) == (b"no", b"close")
    assert client.wire.half_closed
    assert not client.wire.closing
    await client.say(bytes(500), GET)
    assert client.state.total_requests == 1  # what comes now is thrown away
    assert client.connection.active is None


async def test_an_early_answer_to_a_body_that_filled_up_reads_the_rest_away() -> None:
    go = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await go.wait()
        await send(sized(b"no"))
        await send(part(b"no"))

    client = Client(app)
    await client.say(post(bytes(MIB))[: MIB // 2])
    reading = [client.wire.reading]
    go.set()
    await settle()
    assert client.answers("POST")[0].body == b"no"
    assert [*reading, client.wire.reading] == [False, True]


def test_lingering_ends() -> None:
    async def test() -> None:
        client = Client(answering())
        await client.say(b"bad\r\n\r\n")
        assert client.wire.half_closed
        await client.later(1.9)
        assert not client.wire.closing
        await client.later(0.2)
        assert client.wire.lost
        assert client.state.connections == set()

    on_clock(test())


async def test_an_answer_that_began_before_the_body_was_there_closes_too() -> None:
    """The head promised it, and a client that reads "close" does not send another request."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        body = await whole_body(receive)
        await send(part(body or b"gone"))

    client = Client(app)
    request = post(b"abc")
    await client.say(request[:-1], request[-1:])
    assert client.answers("POST")[0] == Answer(
        200, {b"transfer-encoding": b"chunked", b"connection": b"close"}, b"abc", b"1.1"
    )
    assert client.wire.closing


# --- pipelining


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    echo = Echo()
    client = Client(echo)
    requests = [post(b"%d" % number, path=b"/%d" % number) for number in range(10)]
    await client.say(b"".join(requests))
    await settle()
    assert [answer.body for answer in client.answers(*["POST"] * 10)] == [b"/%d %d" % (n, n) for n in range(10)]
    assert client.wire.reading


async def test_the_next_one_begins_when_the_one_before_is_answered() -> None:
    held = Held()
    client = Client(held)
    await client.say(GET + GET + post(b"abc")[:-1])
    assert (held.started, client.wire.reading, client.wire.writes) == (1, False, [])
    held.go.set()
    await settle()
    assert held.started == 3
    assert client.wire.reading  # the last one wants the rest of its body
    await client.say(b"c")
    assert len(client.answers("GET", "GET", "POST")) == 3


async def test_what_waits_for_its_turn_is_not_read_on_while_the_client_is_watched() -> None:
    """A large upload behind a long stream would fill the memory."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        await receive()

    client = Client(app)
    await client.say(GET + post(b"abc")[:-1], b"c")
    assert not client.wire.reading
    client.wire.lose()
    await settle()
    assert client.state.tasks == set()


async def test_what_is_pipelined_behind_the_last_request_is_not_begun() -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + GET)
    assert len(echo.seen) == 1
    assert client.answers()[0].status == 200
    assert client.closed


async def test_only_so_many_requests_wait_for_their_turn() -> None:
    held = Held()
    client = Client(held)
    await client.say(GET * 5000)
    assert client.state.total_requests == 1 + connection._PIPELINED
    held.go.set()
    for _ in range(30):
        await settle()
    answers = client.answers(*["GET"] * (1 + connection._PIPELINED))
    assert [answer.headers.get(b"connection") for answer in answers] == [None] * connection._PIPELINED + [b"close"]
    assert client.wire.lost


async def test_a_request_that_is_broken_waits_for_the_answers_before_it() -> None:
    held = Held()
    client = Client(held)
    await client.say(GET + GET + b"GET / HTTP/1.1\r\nbad header\r\n\r\n" + GET, GET)
    assert client.wire.writes == []
    held.go.set()
    await settle()
    first, second, last = client.answers("GET", "GET", "GET")
    assert (first.body, second.body, last.status) == (b"late", b"late", 400)
    assert held.started == 2
    assert client.closed


async def test_a_waiting_request_whose_body_is_broken_is_never_begun() -> None:
    held = Held()
    client = Client(held)
    await client.say(GET + chunked(end=b"zzz\r\n"))
    held.go.set()
    await settle()
    assert [answer.status for answer in client.answers("GET", "POST")] == [200, 400]
    assert held.started == 1


# --- what is refused

HEAD = b"POST / HTTP/1.1\r\nhost: test\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n"
REFUSED: dict[str, tuple[bytes, int]] = {
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    "not a method": (b"FETCH / HTTP/1.1\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\n\r\n", 400),
    "no slash": (b"GET v1/models HTTP/1.1\r\n\r\n", 400),
    "a fragment": (b"GET /a?b#c HTTP/1.1\r\n\r\n", 400),
    "bytes in the target": (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", 400),
    "a control character in the target": (b"GET /\x01 HTTP/1.1\r\n\r\n", 400),
    "a tab for a space": (b"GET\t/ HTTP/1.1\r\n\r\n", 400),
    "RTSP": (b"GET / RTSP/1.0\r\nhost: test\r\n\r\n", 400),
    "RTSP that speaks of HTTP": (b"GET / RTSP/1.0\r\nhost: test\r\nx: GET / HTTP/1.0\r\n\r\n", 400),
    "RTSP that posts": (b"POST /v1/x RTSP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n", 400),
    "ICE": (b"SOURCE / ICE/1.0\r\nhost: test\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\nhost: test\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\nx: y\r\n\r\n", 400),
    "an empty host": (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    "a host twice": (b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", 400),
    "a list of hosts": (b"GET / HTTP/1.1\r\nhost: a, b\r\n\r\n", 400),
    "a host with a path": (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
    "a host with a user": (b"GET / HTTP/1.1\r\nhost: me@a\r\n\r\n", 400),
    "a host with a query": (b"GET / HTTP/1.1\r\nhost: a?b\r\n\r\n", 400),
    "a host with a port that is none": (b"GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", 400),
    "a user in an absolute target": (b"GET http://me@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "an absolute target of another scheme": (b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "GET *": (b"GET * HTTP/1.1\r\nhost: test\r\n\r\n", 400),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "HTTP/3.1": (b"GET / HTTP/3.1\r\n\r\n", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "CONNECT": (b"CONNECT host:443 HTTP/1.1\r\nhost: host\r\n\r\n", 405),
    "length and chunked": (HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and length": (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400),
    "the same length twice": (HEAD + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
    "a list of lengths": (HEAD + b"content-length: 3, 3\r\n\r\nabc", 400),
    "a negative length": (HEAD + b"content-length: -1\r\n\r\nabc", 400),
    "a length with a sign": (HEAD + b"content-length: +3\r\n\r\nabc", 400),
    "a length that overflows": (HEAD + b"content-length: 18446744073709551619\r\n\r\nabc", 400),
    "a hexadecimal length": (HEAD + b"content-length: 0x3\r\n\r\nabc", 400),
    "a folded header": (HEAD + b"x: a\r\n b\r\n\r\n", 400),
    "a folded coding": (HEAD + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a coding folded with nothing": (HEAD + b"transfer-encoding: chunked\r\n\t\r\n\r\n0\r\n\r\n", 400),
    "line feeds alone": (b"GET / HTTP/1.1\nhost: test\n\n", 400),
    "one line feed alone": (HEAD + b"x: a\ny: b\r\n\r\n", 400),
    "a carriage return alone": (HEAD + b"x: a\ry: b\r\n\r\n", 400),
    "NUL in a value": (HEAD + b"x: a\0b\r\n\r\n", 400),
    "NUL in a name": (HEAD + b"x\0: a\r\n\r\n", 400),
    "no name": (HEAD + b": a\r\n\r\n", 400),
    "a space before the colon": (HEAD + b"content-length : 3\r\n\r\nabc", 400),
    "a header without a colon": (HEAD + b"content-length\r\n\r\n", 400),
    "an unknown coding": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "a coding that is not chunked": (HEAD + b"transfer-encoding: identity\r\n\r\nabc", 501),
    "chunked, almost": (HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "chunked twice": (HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "two codings": (HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", 400),
    "HTTP/1.0 chunked": (HEAD.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a chunk size that overflows": (chunked(end=b"fffffffffffffffff\r\nabc"), 400),
    "a chunk size with a prefix": (chunked(end=b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk size with a space": (chunked(end=b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    "a negative chunk size": (chunked(end=b"-3\r\nabc\r\n0\r\n\r\n"), 400),
    "no chunk size": (chunked(end=b"\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk that is longer than its size": (chunked(end=b"2\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk that ends with a line feed": (chunked(end=b"3\r\nabc\n0\r\n\r\n"), 400),
    "a chunk size that ends with a line feed": (chunked(end=b"3\nabc\r\n0\r\n\r\n"), 400),
    "a bad trailer": (chunked(b"abc", end=b"0\r\nbad trailer\r\n\r\n"), 400),
}


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "pieces"])
@together(("request_bytes", "status"), REFUSED.values(), ids=REFUSED)
async def test_what_can_be_read_in_two_ways_is_not_read(request_bytes: bytes, status: int, in_pieces: bool) -> None:
    echo = Echo()
    client = Client(echo)
    data = request_bytes + SMUGGLED
    await client.say(*((data[at : at + 1] for at in range(len(data))) if in_pieces else (data,)))
    assert echo.seen == []
    answer = client.answers()[0]
    assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
    error = json.loads(answer.body)["error"]
    assert error == {"message": error["message"], "type": "invalid_request_error", "param": None, "code": "bad_http"}
    assert len(error["message"]) > 10
    assert client.closed
    assert client.state.tasks == set()


async def test_a_body_that_breaks_under_way_ends_the_request() -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(chunked(b"abc", end=b""), b"zzz\r\n")
    assert (echo.seen, echo.gone) == ([], 1)
    assert client.answers("POST")[0].status == 400


async def test_a_body_that_breaks_after_the_answer_began_breaks_the_answer_off() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        await send(part(b"one", True))
        assert await whole_body(receive) is None
        await send(part(b"two"))

    client = Client(app)
    await client.say(chunked(b"abc", end=b""), b"zzz\r\n")
    assert client.heard.endswith(b"\r\n\r\n3\r\none\r\n")
    assert client.wire.lost
    assert client.state.tasks == set()


async def test_a_body_that_breaks_before_the_head_of_the_answer_left_is_refused() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        client.wire.arrive(b"zzz\r\n")
        await send(part(b"one"))

    client = Client(app)
    await client.say(chunked(b"abc", end=b""))
    assert client.answers("POST")[0].status == 400


FLOODS = {
    "a URL": (b"GET /", b"a" * 1000),
    "a header name": (b"GET / HTTP/1.1\r\n", b"a" * 1000),
    "a header value": (b"GET / HTTP/1.1\r\nx: ", b"a" * 1000),
    "headers": (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 166),
    "empty lines": (b"", b"\r\n" * 500),
    "trailers": (chunked(b"abc", end=b"0\r\n"), b"x: y\r\n" * 166),
    "a trailer": (chunked(b"abc", end=b"0\r\nx: "), b"a" * 1000),
    "a chunk extension": (chunked(b"abc", end=b"3;x="), b"a" * 1000),
}


@pytest.mark.parametrize(("opening", "more"), FLOODS.values(), ids=FLOODS)
async def test_what_never_ends_is_refused(opening: bytes, more: bytes) -> None:
    echo = Echo()
    client = Client(echo)
    client.wire.arrive(opening)
    for _ in range(100):
        client.wire.arrive(more)
    await settle()
    assert client.answers()[0].status == 431
    assert client.closed
    assert echo.seen == []


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "pieces"])
@pytest.mark.parametrize(("size", "status"), [(60 * 1024, 200), (65 * 1024, 431), (200 * 1024, 431)])
async def test_a_large_head(size: int, status: int, in_pieces: bool) -> None:
    client = Client(answering(sized(b""), part()))
    request = b"GET / HTTP/1.1\r\nhost: test\r\nx: %b\r\n\r\n" % (b"a" * size)
    pieces = [request[at : at + 7000] for at in range(0, len(request), 7000)] if in_pieces else [request]
    await client.say(*pieces)
    assert client.answers()[0].status == status


async def test_a_small_head_before_a_large_body_is_no_large_head() -> None:
    echo = Echo()
    client = Client(echo)
    body = bytes(200 * 1024)
    await client.say(post(body) + post(body)[:-1], b"\0")
    assert echo.bodies == [body, body]


# --- upgrades


@pytest.mark.parametrize("cut", [0, 40, 120, -2])
async def test_a_request_that_asks_for_http2_keeps_its_body(cut: int) -> None:
    """Java's client asks so in the first request of every connection."""
    echo = Echo()
    client = Client(echo)
    request = post(
        b'{"a": 1}', b"connection: Upgrade, HTTP2-Settings", b"http2-settings: AAEAAEAAAAIAAAAB", b"upgrade: h2c"
    )
    data = request + chunked(b"x", b"y").replace(b"host: test", b"host: test\r\nConnection: upgrade\r\nUpgrade: h2c")
    await client.say(*(data[:cut], data[cut:]) if cut else (data,))
    assert echo.bodies == [b'{"a": 1}', b"xy"]
    assert echo.seen[0][2] == [(b"host", b"test"), (b"content-length", b"8"), (b"connection", b"")]
    assert all(answer.headers.get(b"connection") is None for answer in client.answers("POST", "POST"))


async def test_an_upgrade_does_not_hide_the_wish_to_close() -> None:
    client = Client(Echo())
    await client.say(post(b"abc", b"connection: close, Upgrade", b"upgrade: h2c"))
    assert client.answers("POST")[0].body == b"/ abc"
    assert client.closed


async def test_a_websocket_is_answered_as_the_request_it_also_is() -> None:
    client = Client(answering(start(404), part(b"no such page")))
    handshake = b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n"
    await client.say(GET[:-2] + handshake + b"\r\n", GET)
    assert [answer.status for answer in client.answers("GET", "GET")] == [404, 404]


async def test_many_upgrades_in_one_segment_are_requests_like_any() -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(GET.replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n") * 3000)
    for _ in range(30):
        await settle()
    assert len(echo.seen) == 1 + connection._PIPELINED


# --- applications that fail


async def test_an_application_that_raises_first_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise ArithmeticError("broken")

    client = Client(app)
    await client.say(b"GET /a%0Ab HTTP/1.1\r\nhost: test\r\n\r\n", GET)
    first, second = client.answers("GET", "GET")
    assert (first.status, second.status) == (500, 500)
    assert json.loads(first.body)["error"]["type"] == "server_error"
    assert [record.getMessage() for record in caplog.records] == [
        "the application failed on GET b'/a%0Ab'",
        "the application failed on GET b'/'",
    ]


@pytest.mark.parametrize("head", [start(), sized(b"hello")], ids=["chunked", "sized"])
async def test_an_application_that_raises_under_way_breaks_the_answer_off(
    head: Message, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(head)
        await send(part(b"hel", True))
        raise ArithmeticError("broken")

    client = Client(app)
    await client.say(GET + GET)
    assert client.wire.lost
    assert client.state.connections == set()
    with pytest.raises(h11.RemoteProtocolError):
        client.answers()
    assert len(caplog.records) == 1


async def test_an_answer_that_ends_with_the_connection_breaks_off_with_a_reset() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        await send(part(b"hel", True))

    client = Client(app)
    await client.say(b"GET / HTTP/1.0\r\n\r\n")
    assert client.wire.aborted


async def test_an_application_that_answers_nothing_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(answering())
    await client.say(GET)
    assert client.answers()[0].status == 500
    assert len(caplog.records) == 1


@pytest.mark.parametrize("messages", [(start(),), (sized(b"abc"), part(b"ab", True))], ids=["head", "part"])
async def test_an_application_that_just_returns_has_its_connection_closed(
    messages: Sequence[Message], caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(answering(*messages))
    await client.say(GET)
    assert client.wire.lost
    assert client.state.tasks == set()
    assert caplog.records == []


BAD_ANSWERS: dict[str, tuple[Message, ...]] = {
    "a control character in a value": (start(200, (b"x", b"a\x1b[1m")), part()),
    "DEL in a value": (start(200, (b"x", b"a\x7f")), part()),
    "a space in a name": (start(200, (b"x y", b"a")), part()),
    "a colon in a name": (start(200, (b"x:", b"a")), part()),
    "no name": (start(200, (b"", b"a")), part()),
    "a status of 600": (start(600), part()),
    "a line break in a value": (start(200, (b"x", b"a\r\nset-cookie: b")), part()),
    "a line feed in a value": (start(200, (b"x", b"a\nb")), part()),
    "a carriage return in a value": (start(200, (b"x", b"a\rb")), part()),
    "a line break in a name": (start(200, (b"x\r\n", b"a")), part()),
    "NUL": (start(200, (b"x", b"a\0b")), part()),
    "two lengths": (start(200, (b"content-length", b"1"), (b"content-length", b"1")), part(b"a")),
    "a length that is none": (start(200, (b"content-length", b"-1")), part()),
    "an interim status": (start(101), part()),
    "no status": (start(42), part()),
    "a body first": (part(b"a"),),
    "something else": ({"type": "http.response.trailers"},),
}


@pytest.mark.parametrize("messages", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_an_answer_that_cannot_be_written_becomes_a_500(
    messages: Sequence[Message], caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(answering(*messages))
    await client.say(GET)
    answer = client.answers()[0]
    assert answer.status == 500
    assert {b"set-cookie", b"x"}.isdisjoint(answer.headers)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "messages",
    [
        (sized(b"abc"), part(b"ab")),
        (sized(b"abc"), part(b"abcd")),
        (sized(b"abc"), part(b"ab", True), part(b"cd", True)),
        (sized(b"abc"), part(b"abc", True), start()),
        (start(), start()),
    ],
    ids=["short", "long", "long in parts", "two heads", "two heads at once"],
)
async def test_an_answer_of_another_length_than_it_says_is_never_followed(
    messages: Sequence[Message], caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(answering(*messages))
    await client.say(GET + GET)
    assert client.wire.closing
    assert client.heard.count(b"HTTP/1.1") == 1
    assert client.heard.startswith(b"HTTP/1.1 500") or client.wire.lost
    assert len(caplog.records) == 1


async def test_a_cancelled_application_breaks_off_and_leaves_nothing() -> None:
    client = Client(Held())
    await client.say(GET)
    for task in client.state.tasks:
        task.cancel()
    await settle()
    assert client.wire.lost
    assert (client.state.tasks, client.state.connections) == (set(), set())


# --- clients that leave


async def test_a_client_that_leaves_while_it_sends() -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(post(b"abc")[:-1])
    client.wire.lose(ConnectionResetError())
    await settle()
    assert (echo.seen, echo.gone) == ([], 1)
    assert (client.state.tasks, client.state.connections, client.wire.writes) == (set(), set(), [])


async def test_a_client_that_leaves_in_the_middle_of_a_head() -> None:
    client = Client(Echo())
    await client.say(GET[:-3])
    client.wire.lose()
    await settle()
    assert client.state == State()


async def test_a_client_that_leaves_while_its_request_waits_for_its_turn() -> None:
    held = Held()
    client = Client(held)
    await client.say(GET + GET)
    client.wire.lose()
    held.go.set()
    await settle()
    assert held.started == 1
    assert client.state.tasks == set()
    assert client.wire.writes == []


async def test_a_client_that_leaves_before_the_answer_is_noticed_by_a_watch() -> None:
    noticed: list[bool] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        watched = scope["extensions"][CLIENT]
        watched.watch()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            noticed.append(watched.gone)

    client = Client(app)
    await client.say(GET)
    client.wire.lose()
    await settle()
    assert noticed == [True]
    assert client.state.tasks == set()


async def test_a_client_that_left_before_the_watch_began_is_noticed_at_once() -> None:
    noticed: list[bool] = []
    go = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await go.wait()
        watched = scope["extensions"][CLIENT]
        watched.watch()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        noticed.append(watched.gone)

    client = Client(app)
    await client.say(GET)
    client.wire.lose()
    go.set()
    await settle()
    assert noticed == [True]


async def test_a_client_that_leaves_behind_a_large_body_is_noticed() -> None:
    """Reading was paused, because more of it waited than may; once it is read, the connection is listened to again."""
    noticed: list[bool] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        watched = scope["extensions"][CLIENT]
        watched.watch()
        await asyncio.sleep(0)
        await whole_body(receive)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        noticed.append(watched.gone)

    client = Client(app)
    await client.say(post(b"x" * 300_000))
    assert client.wire.reading
    client.wire.lose()
    await settle()
    assert noticed == [True]


def responding(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Application:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        scope["extensions"][RESPOND](status, list(headers), body)

    return app


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("framed", [False, True])
@together("status", [200, 204, 500])
@together(
    "more",
    [(), ((b"x-a", b"again"),), ((b"connection", b"close"),), ((b"transfer-encoding", b"gzip"),), ((b"x-new", b""),)],
    ids=["plain", "twice", "close", "coded", "unknown"],
)
async def test_a_whole_answer_leaves_as_two_messages_would_have_it(
    method: str, version: str, framed: bool, status: int, more: tuple[tuple[bytes, bytes], ...]
) -> None:
    headers = [(b"x-a", b"b"), *([(b"content-length", b"3")] if framed else []), *more]

    async def by_messages(scope: Message, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        await send(start(status, *headers))
        await send(part(b"abc"))

    asked = f"{method} / HTTP/{version}\r\nhost: test\r\n\r\n".encode()
    one, other = Client(responding(status, b"abc", *headers)), Client(by_messages)
    await one.say(asked, asked)
    await other.say(asked, asked)
    assert one.heard == other.heard
    assert len(one.wire.writes) == (1 if version == "1.0" or (b"connection", b"close") in more else 2)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"content-length", b"2")], b"abc"),
        ([(b"content-length", b"4")], b"abc"),
        ([(b"content-length", b"3"), (b"content-length", b"3")], b"abc"),
        ([(b"bad name", b"x")], b""),
        ([(b"x", b"a\r\nb: c")], b""),
    ],
)
async def test_a_whole_answer_that_cannot_be_written_leaves_room_for_an_error(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    client = Client(responding(200, body, *headers))
    await client.say(GET)
    assert [answer.status for answer in client.answers("GET")] == [500]


async def test_an_answer_is_written_once() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200))
        with pytest.raises(RuntimeError):
            scope["extensions"][RESPOND](200, [], b"again")
        await send(part(b"abc"))
        scope["extensions"][RESPOND](200, [], b"again")

    client = Client(app)
    await client.say(GET)
    assert [answer.body for answer in client.answers("GET")] == [b"abc"]


async def test_after_the_client_left_send_does_nothing() -> None:
    sent: list[bool] = []
    go = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        await send(part(b"one", True))
        await go.wait()
        for number in range(1000):
            await send(part(b"%d" % number, True))
        await send(part())
        sent.append(True)

    client = Client(app)
    await client.say(GET)
    client.wire.lose()
    go.set()
    await settle()
    assert sent == [True]
    assert len(client.wire.writes) == 1
    assert client.state.tasks == set()


# --- clients that read slowly


def pouring(parts: int, counted: list[int]) -> Application:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(parts):
            await send(part(bytes(1000), True))
            counted.append(number)
        await send(part())

    return app


async def test_send_waits_while_the_client_does_not_read() -> None:
    counted: list[int] = []
    client = Client(pouring(10, counted))
    client.connection.pause_writing()
    client.connection.pause_writing()
    await client.say(GET)
    assert counted == []
    client.connection.resume_writing()
    client.connection.pause_writing()
    await settle()
    assert counted == [0]
    client.connection.resume_writing()
    client.connection.resume_writing()
    await settle()
    assert len(counted) == 10
    assert len(client.answers()[0].body) == 10_000


async def test_pieces_can_be_written_at_once_until_the_client_does_not_keep_up() -> None:
    said: list[bool] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        write = scope["extensions"][CLIENT].write
        said.append(write(b"too early"))
        await send(start())
        said.extend([write(b"one"), write(b"two"), write(b"")])
        client.connection.pause_writing()
        said.append(write(b"too much"))
        client.connection.resume_writing()
        said.append(write(b"three"))
        await send(part(b"end"))
        said.append(write(b"too late"))

    client = Client(app)
    await client.say(GET)
    assert said == [False, True, True, False, False, True, False]
    assert client.wire.writes[0].endswith(b"\r\n\r\n3\r\none\r\n"), "the head leaves with the first piece"
    assert client.answers()[0].body == b"onetwothreeend"


@pytest.mark.parametrize(
    ("asking", "head"),
    [(GET, sized(b"hello")), (b"HEAD / HTTP/1.1\r\nhost: test\r\n\r\n", start())],
    ids=["sized", "HEAD"],
)
async def test_a_body_that_is_not_chunked_must_be_sent(asking: bytes, head: Message) -> None:
    said: list[bool] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(head)
        said.append(scope["extensions"][CLIENT].write(b"hello"))
        await send(part(b"hello"))

    client = Client(app)
    await client.say(asking)
    assert said == [False]
    assert client.heard.count(b"hello") == (asking == GET)


async def test_nothing_is_written_at_once_to_a_client_that_left() -> None:
    said: list[bool] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        write = scope["extensions"][CLIENT].write
        await send(start())
        client.wire.lose()
        said.append(write(b"hello"))

    client = Client(app)
    await client.say(GET)
    assert said == [False]


async def test_a_client_that_leaves_frees_a_send_that_waits() -> None:
    counted: list[int] = []
    client = Client(pouring(10, counted))
    client.connection.pause_writing()
    await client.say(GET)
    client.wire.lose()
    await settle()
    assert client.state.tasks == set()
    assert len(client.wire.writes) == 1


async def test_a_send_that_was_given_up_does_not_spoil_the_next() -> None:
    """As an application does that bounds a send in time and then says how it ended."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            async with asyncio.timeout(0):
                await send(part(b"one", True))
        except TimeoutError:
            await send(part(b"two", True))
            await send(part(b"three"))

    client = Client(app)
    client.connection.pause_writing()
    await client.say(GET)
    assert client.heard.endswith(b"3\r\ntwo\r\n")  # waits again
    client.connection.resume_writing()
    await settle()
    assert client.answers()[0].body == b"onetwothree"


# --- time


def test_only_idle_connections_are_closed() -> None:
    async def test() -> None:
        held = Held()
        busy, idle, fresh, half = Client(held), Client(Echo()), Client(Echo()), Client(Echo())
        await busy.say(GET)
        await idle.say(GET)
        await half.say(GET[:-1])  # a head that does not end holds nothing open
        await fresh.later(KEEP_ALIVE - 1)
        await idle.say(GET)
        await fresh.later(2)
        assert (busy.closed, idle.closed, fresh.closed, half.closed) == (False, False, True, True)
        await idle.later(KEEP_ALIVE - 3)
        assert not idle.closed
        await idle.later(3)
        assert (busy.closed, idle.closed) == (False, True)
        await busy.later(10 * KEEP_ALIVE)
        held.go.set()
        await settle()
        assert busy.answers()[0].body == b"late"
        await busy.later(KEEP_ALIVE - 1)
        assert not busy.closed
        await busy.later(KEEP_ALIVE + 1)
        assert busy.wire.lost

    on_clock(test())


def test_a_client_that_takes_nothing_for_long_is_cut_off() -> None:
    async def test() -> None:
        counted: list[int] = []
        client = Client(pouring(10, counted))
        client.connection.pause_writing()
        client.wire.unsent = 100_000
        await client.say(GET)
        for taken in (90_000, 80_000, 70_000):  # slowly, but it reads
            await client.later(KEEP_ALIVE + 1)
            client.wire.unsent = taken
        await client.later(KEEP_ALIVE + 1)
        assert not client.closed
        await client.later(KEEP_ALIVE + 1)
        assert client.wire.aborted
        assert client.state.tasks == set()

    on_clock(test())


def test_a_client_that_still_has_a_little_to_take_is_not_cut_off() -> None:
    async def test() -> None:
        held = Held(start(), part(b"late"))
        client = Client(held)
        await client.say(GET)
        client.wire.unsent = 300  # by chance the same whenever the timer looks
        for _ in range(4):
            await client.later(KEEP_ALIVE + 1)
        held.go.set()
        await settle()
        assert client.answers()[0].body == b"late"

    on_clock(test())


def test_a_closing_connection_waits_for_a_slow_client_but_not_for_a_dead_one() -> None:
    async def test() -> None:
        client = Client(answering(sized(b"hello"), part(b"hello")))
        client.wire.unsent = 5000
        await client.say(b"GET / HTTP/1.0\r\n\r\n")
        assert client.wire.closing
        for taken in (4000, 3000):
            await client.later(KEEP_ALIVE + 1)
            client.wire.unsent = taken
        await client.later(KEEP_ALIVE + 1)
        assert not client.wire.aborted
        await client.later(KEEP_ALIVE + 1)
        assert client.wire.lost

    on_clock(test())


# --- graceful stop


async def test_a_stop_closes_idle_connections_at_once() -> None:
    fresh, used, half = Client(Echo()), Client(Echo()), Client(Echo())
    await used.say(GET)
    await half.say(GET[:-1])
    for client in (fresh, used, half):
        client.connection.shutdown()
    await settle()
    assert fresh.wire.lost
    assert used.wire.lost
    assert half.wire.lost


async def test_a_stop_lets_requests_end_and_takes_no_more() -> None:
    held = Held()
    client = Client(held)
    await client.say(post(b"abc") + GET + post(b"abc")[:-1])
    client.connection.shutdown()
    held.go.set()
    await settle()
    await client.say(b"c" + GET)
    answers = client.answers("POST", "GET", "POST")
    assert [answer.headers.get(b"connection") for answer in answers] == [None, None, b"close"]
    assert held.started == 3
    assert client.wire.lost


async def test_a_stop_in_the_middle_of_an_answer_closes_after_it() -> None:
    late = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        await late.wait()
        await send(part(b"hello"))

    client = Client(app)
    await client.say(GET)
    client.connection.shutdown()
    client.connection.shutdown()
    late.set()
    await settle()
    assert client.answers()[0].body == b"hello"
    assert client.wire.lost


# --- what is left behind


@pytest.mark.slow
async def test_nothing_is_left_for_the_garbage_collector() -> None:
    """The collector rarely runs in the product: what only it can free would be growth."""
    client = Client(Echo())

    def count() -> Counter[str]:
        return Counter(type(thing).__name__ for thing in gc.get_objects())

    async def some(times: int) -> None:
        for _ in range(times):
            await client.say(post(b"abc"), chunked(b"a", b"b"))
            other = Client(answering(start(), part(b"a", True), part()))
            await other.say(GET + GET, GET[:7])
            other.wire.lose()
            client.wire.writes.clear()
            client.connection.app = Echo()

    await some(5)
    gc.collect()
    gc.disable()
    try:
        await some(5)
        before = count()
        await some(50)
        grown = count() - before
    finally:
        gc.enable()
    kept = {
        "ServerRequest",
        "ServerConnection",
        "Task",
        "_asyncio.Task",
        "coroutine",
        "Future",
        "dict",
        "list",
        "HttpRequestParser",
    }
    assert {name: grown[name] for name in kept if grown[name] > 10} == {}


async def test_a_connection_is_freed_when_it_is_lost() -> None:
    client = Client(Echo())
    await client.say(GET)
    client.wire.lose()
    gone = weakref.ref(client.connection)
    await settle()
    gc.disable()
    try:
        del client
        assert gone() is None
    finally:
        gc.enable()


# --- any way of cutting

_NAMES = st.sampled_from([b"accept", b"x-a", b"X-B", b"authorization", b"Expect"])
_VALUES = st.sampled_from([b"", b"*/*", b"a b\tc", b"\xe9", b"100-continue", b"x" * 300])
_TARGETS = st.sampled_from([b"/", b"/v1/chat/completions", b"/a%2Fb?c=d&e", b"/?", b"/" + b"p" * 300])
_PARTS = st.lists(st.binary(max_size=200), max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, tuple[str, bytes, list[tuple[bytes, bytes]], bytes]]:
    """A request as bytes, and as the application should see it."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH"]))
    target = draw(_TARGETS)
    headers = [(b"host", b"test"), *draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=4))]
    parts = draw(_PARTS)
    body = b"".join(parts)
    if draw(st.booleans()):
        headers.append((b"Transfer-Encoding", b"chunked"))
        sent = b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in parts if piece) + b"0\r\nx: y\r\n\r\n"
    elif body or draw(st.booleans()):
        headers.append((b"Content-Length", b"%d" % len(body)))
        sent = body
    else:
        sent = b""
    upgrade = [(b"connection", b"upgrade"), (b"upgrade", b"h2c")] if draw(st.booleans()) else []
    head = b"%b %b HTTP/1.1\r\n" % (method, target)
    head += b"".join(b"%b: %b\r\n" % header for header in upgrade + headers) + b"\r\n"
    seen = [(name.lower(), value) for name, value in headers]
    return head + sent, (method.decode(), target.rstrip(b"?"), [(b"connection", b"")] * bool(upgrade) + seen, body)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def conversation(pieces: Sequence[bytes]) -> tuple[Echo, bytes, bool]:
    """What the application saw, what the client heard, and whether the connection was closed."""
    echo = Echo()

    async def talk() -> tuple[bytes, bool]:
        client = Client(echo)
        await client.say(*pieces)
        for _ in range(5):
            await settle()
        heard = b"".join(write for write in client.wire.writes if write != CONTINUE)  # whether it is said may differ
        closed = client.closed
        client.wire.lose()
        await settle()
        assert client.state.tasks == set()
        assert client.state.connections == set()
        return heard, closed

    heard, closed = asyncio.run(talk())
    return echo, heard, closed


@examples(120, derandomize=True)
@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(min_value=0), max_size=12))
def test_however_the_bytes_are_cut_the_application_sees_the_same(
    asked: list[tuple[bytes, tuple[str, bytes, list[tuple[bytes, bytes]], bytes]]], places: list[int]
) -> None:
    echo, heard, closed = conversation(cut(b"".join(raw for raw, _ in asked), places))
    assert echo.seen == [seen for _, seen in asked]
    answers = read(heard, *(seen[0] for _, seen in asked))
    assert [answer.body for answer in answers] == [b"%b %b" % (seen[1], seen[3]) for _, seen in asked]
    assert not closed


@examples(120, derandomize=True)
@given(
    st.lists(requests(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(min_value=0), st.binary(max_size=2), st.integers(0, 2)), max_size=3),
    st.lists(st.integers(min_value=0), max_size=12),
)
def test_however_broken_bytes_are_cut_they_are_understood_the_same(
    asked: list[tuple[bytes, Any]], damage: list[tuple[int, bytes, int]], places: list[int]
) -> None:
    data = b"".join(raw for raw, _ in asked)
    for place, insertion, removed in damage:
        at = place % (len(data) + 1)
        data = data[:at] + insertion + data[at + removed :]
    whole, heard, closed = conversation([data])
    in_pieces, heard_in_pieces, closed_in_pieces = conversation(cut(data, places))
    assert in_pieces.seen == whole.seen
    assert heard_in_pieces == heard
    assert closed_in_pieces == closed


# --- over loopback, under uvicorn


async def exchange(port: int, request: bytes) -> bytes:
    """Send, and read until the server closes."""
    async with connected(port) as (reader, writer):
        writer.write(request)
        return await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)


@on_both_loops
async def test_requests_over_a_socket() -> None:
    echo = Echo()
    async with serving(echo) as (running, port):
        last = post(b"z", b"connection: close")
        raw = await exchange(port, post(b"a") + chunked(b"b", b"c") + GET + last)
        assert [answer.body for answer in read(raw, "POST", "POST", "GET", "POST")] == [b"/ a", b"/ bc", b"/ ", b"/ z"]
        assert running.server_state.total_requests == 4
        assert read(await exchange(port, b"\0"), "GET")[0].status == 400


@on_both_loops
async def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(413, (b"content-length", b"3")))
        await send(part(b"no!"))

    async with serving(app) as (_, port), connected(port) as (reader, writer):
        writer.write(post(bytes(8 * MIB)))
        await asyncio.wait_for(writer.drain(), PATIENCE_SECONDS)
        await asyncio.sleep(0.05)  # so that a reset, were there one, would have come before we read
        answer = read(await asyncio.wait_for(reader.read(), PATIENCE_SECONDS), "POST")[0]
        assert (answer.status, answer.body) == (413, b"no!")


@on_both_loops
async def test_a_slow_reader_holds_the_application_and_not_the_memory() -> None:
    counted: list[int] = []
    done = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(1000):
            await send(part(bytes(65536), True))
            counted.append(number)
        await send(part())
        done.set()

    async with serving(app) as (running, port), connected(port) as (reader, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        before = -1
        while before != len(counted) or not counted:
            before = len(counted)
            await asyncio.sleep(0.03)
        (connection,) = running.server_state.connections
        assert isinstance(connection, ServerConnection)
        assert connection._transport.get_write_buffer_size() < MIB
        assert len(counted) < 500  # what is missing waits in the application
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        size = 0
        while not done.is_set() or size < 1000 * 65536:
            size += len(await asyncio.wait_for(reader.read(MIB), PATIENCE_SECONDS))
        assert len(counted) == 1000


@on_both_loops
async def test_a_large_upload_over_a_socket_arrives_whole() -> None:
    body = random.Random(2).randbytes(6 * MIB)
    echo = Echo()
    async with serving(echo) as (_, port):
        raw = await exchange(port, post(body, b"connection: close"))
    assert echo.bodies == [body]
    assert read(raw, "POST")[0].body == b"/ " + body


@on_both_loops
async def test_a_graceful_stop_under_uvicorn() -> None:
    held = Held()
    async with (
        serving(held, timeout_graceful_shutdown=5) as (running, port),
        connected(port) as (idle, _),
        connected(port) as (busy, writer),
    ):
        writer.write(GET)
        await held.begun.wait()
        async with asyncio.TaskGroup() as group:
            stop = group.create_task(running.shutdown())
            assert await asyncio.wait_for(idle.read(), PATIENCE_SECONDS) == b""
            assert not stop.done()
            held.go.set()
            answer = read(await asyncio.wait_for(busy.read(), PATIENCE_SECONDS), "GET")[0]
        assert (answer.body, answer.headers[b"connection"]) == (b"late", b"close")
    assert running.server_state.tasks == set()


@on_both_loops
async def test_a_stop_that_takes_too_long_cancels() -> None:
    held = Held()
    async with (
        serving(held, timeout_graceful_shutdown=0) as (running, port),
        connected(port) as (reader, writer),
    ):
        writer.write(GET)
        await held.begun.wait()
        await running.shutdown()
        assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        await settle()
        assert running.server_state.tasks == set()


async def _visit(port: int, dice: random.Random, count: int) -> int:
    """Ask `count` times over some connections, leaving now and then in the middle; returns the answers received."""
    received = 0
    while count:
        async with connected(port) as (reader, writer):
            while count:
                count -= 1
                body = dice.randbytes(dice.choice((0, 10, 5000)))
                request = dice.choice((post, chunked))(body) if body else GET
                leave = dice.random()
                writer.write(request[: dice.randrange(len(request))] if leave < 0.1 else request)
                if leave < 0.1:
                    break
                if leave < 0.2:
                    writer.transport.abort()
                    break
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                assert await reader.readexactly(length) == b"/ " + body
                received += 1
    return received


@pytest.mark.slow
@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_two_thousand_requests_with_clients_that_leave_leave_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    echo = Echo()
    async with serving(echo) as (running, port):
        async with asyncio.TaskGroup() as group:
            visits = [group.create_task(_visit(port, random.Random(seed), 40)) for seed in range(50)]
        received = sum(visit.result() for visit in visits)
        assert received > 1200
        assert len(echo.seen) >= received
        state = running.server_state
        await until(lambda: not state.connections and not state.tasks, "all connections and tasks end")
    assert caplog.records == []


# --- a head that comes again

AGAIN = (
    b"POST /v1/a HTTP/1.1\r\nhost: test\r\ncontent-length: %b\r\nx-a: 1\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nhost: test\r\ncontent-length: %b\r\nx-a: 2\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nhost: test\r\nx-a: 1\r\nContent-Length:%b\r\n\r\n",
    b"PUT /v1/a?b=c HTTP/1.1\r\nHost: test\r\nX-A: content-length: 3\r\nCONTENT-LENGTH: %b\r\n\r\n",
    b"POST /v1/b HTTP/1.1\r\nhost: test\r\ncontent-length: %b \r\n\r\n",
    b"POST /v1/c HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: %b\r\n\r\n",
    b"POST http://other/v1/d HTTP/1.1\r\nhost: test\r\nx-tab:\ta\tb\r\ncontent-length: %b\r\n\r\n",
    b"POST /v1/e HTTP/1.1\r\nhost: test\r\ncontent-length: %b\r\nx-a: " + b"a" * 3000 + b"\r\n\r\n",
    b"POST /v1/f HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: %b\r\n\r\n",
    b"POST /v1/g HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\ncontent-length: %b\r\n\r\n",
)
"""Heads with the length of the body left open."""


def seen_alone(request: bytes) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes]:
    """What the application sees of a request that is the first on its connection."""
    echo, _, _ = conversation([request])
    return echo.seen[0]


@pytest.mark.slow
@examples(200, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from(AGAIN), st.binary(max_size=12)), min_size=2, max_size=8),
    st.lists(st.integers(min_value=0), max_size=8),
)
def test_a_head_that_comes_again_is_understood_as_the_first_time(
    asked: list[tuple[bytes, bytes]], places: list[int]
) -> None:
    requests = [head % b"%d" % len(body) + body for head, body in asked]
    # Most clients send a request when they have the answer to the one before: each in pieces of its own.
    echo, heard, closed = conversation([piece for request in requests for piece in cut(request, places)])
    assert echo.seen == [seen_alone(request) for request in requests]
    assert len(read(heard, *(seen[0] for seen in echo.seen))) == len(requests)
    assert not closed
    at_once, _, _ = conversation(cut(b"".join(requests), places))
    assert at_once.seen == echo.seen


@together("length", [b"", b"-1", b"+1", b"1 1", b"1,1", b"1\t", b"0x1", b"1\r\ncontent-length: 2", b"9" * 25, b"1\n"])
@together("head", AGAIN[:2])
async def test_a_length_that_is_none_is_refused_though_its_head_is_known(head: bytes, length: bytes) -> None:
    fresh, known = Client(Echo()), Client(Echo())
    for _ in range(3):
        await known.say(head % b"1" + b"a")
    said = len(known.wire.writes)
    for client in (fresh, known):
        await client.say(head % length + b"b")
    assert known.wire.writes[said:] == fresh.wire.writes
    assert known.closed == fresh.closed


async def test_a_head_that_comes_again_asks_no_parser() -> None:
    echo = Echo()
    client = Client(echo)
    request = post(b"abc", b"x-a: b")
    await client.say(request)
    parser = client.connection._reader._parser
    with Calls() as first:
        client.connection.data_received(request)
    client.connection._reader._known = None
    await settle()
    with Calls() as anew:
        client.connection.data_received(request)
    await settle()
    assert first.number < anew.number
    assert client.connection._reader._parser is parser
    assert echo.bodies == [b"abc"] * 3


async def test_heads_that_all_differ_are_not_remembered_for_long() -> None:
    client = Client(Echo())
    for number in range(20):
        await client.say(post(b"", b"x-id: %d" % number))
    assert client.connection._reader._learnt == reading._MOST_LEARNT
    assert len(client.answers(*["POST"] * 20)) == 20


async def test_a_large_body_behind_a_known_head_pauses_reading() -> None:
    go = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await go.wait()
        await Echo()(scope, receive, send)

    client = Client(app)
    head = b"POST /%b HTTP/1.1\r\nhost: test\r\ncontent-length: " % b"wait"
    go.set()
    await client.say(head + b"1\r\n\r\na")
    go.clear()
    await client.say(head + b"%d\r\n\r\n" % MIB, b"x" * (MIB // 2))
    assert not client.wire.reading
    client.wire.arrive(b"x" * (MIB // 2))
    go.set()
    for _ in range(5):
        await settle()
    assert [len(answer.body) for answer in client.answers("POST", "POST")] == [7, 6 + MIB]


async def test_a_client_that_leaves_within_a_body_behind_a_known_head() -> None:
    echo = Echo()
    client = Client(echo)
    await client.say(post(b"abc"), post(b"abcdef")[:-3])
    client.wire.lose()
    await settle()
    assert echo.gone == 1
    assert client.state.tasks == set()
