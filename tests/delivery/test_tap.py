"""An answer on its way to the client: passed as it comes or held, with a bounded transcript."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.answers import unpacked
from gateway.delivery.budget import MemoryBudget
from gateway.delivery.tap import Tap
from gateway.errors import GatewayError, UpstreamError
from gateway.exchange import Asked, Exchange, Headers, Route, Streams, Stretch, Treatment
from gateway.openai_api import Operation, Unread
from gateway.openai_api.sse import PING
from tests.support.fakes import DONE, chunk, upstream

EVENTS: Headers = [(b"content-type", b"text/event-stream")]
PACKED: Headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
JSON: Headers = [(b"content-type", b"application/json"), (b"content-length", b"99"), (b"etag", b"1")]


class ScriptedAnswer:
    """An upstream's answer in pieces; `pauses` are the seconds before each, `error` is how it ends."""

    def __init__(self, *pieces: bytes, status: int = 200, complete: bool = False, error: str = "") -> None:
        self.status = status
        self.complete = complete
        self.pauses: list[float] = []
        self._pieces = list(pieces)
        self._error = error

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken

    async def more(self) -> bytes:
        """Cancelling it loses no piece, as it is with a real answer."""
        if self.pauses:
            seconds = self.pauses[0]
            self.pauses[0] = 0.0
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.pauses[0] = seconds - (loop.time() - began)
                raise
            del self.pauses[0]
        if not self._pieces and self._error:
            raise UpstreamError(self._error, "it broke off")
        return self._pieces.pop(0) if self._pieces else b""

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        while data := await self.more():
            if not offer(data):
                await settle()
        return b""


class Screen:
    """What reached the client."""

    def __init__(self) -> None:
        self.started = False
        self.status = 0
        self.headers: Headers = []
        self.decided = False
        self.pieces: list[bytes] = []
        self.finished = False

    async def start(self, status: int, headers: Headers, *, decided: bool = True) -> None:
        assert not self.started
        self.started, self.status, self.headers, self.decided = True, status, headers, decided

    async def at_once(self, status: int, headers: Headers, data: bytes, *, decided: bool = True) -> None:
        await self.start(status, headers, decided=decided)
        await self.finish(data)

    def offer(self, data: bytes) -> bool:
        """Every other piece must wait, as with a client that is slow."""
        if len(self.pieces) % 2:
            self._unsent = data
            return False
        self.pieces.append(data)
        return True

    async def settle(self) -> None:
        data, self._unsent = self._unsent, b""
        await self.send(data)

    async def send(self, data: bytes) -> None:
        assert self.started
        assert not self.finished
        assert data
        self.pieces.append(data)

    async def finish(self, data: bytes = b"") -> None:
        assert self.started
        assert not self.finished
        self.finished = True
        self.pieces.append(data)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


class Ruler:
    """A guard that holds when told to, does to an answer what `rule` says, and blocks a stream when that refuses."""

    drops_alternatives = False

    def __init__(self, *, holding: bool = False, rule: Callable[[bytes], bytes] = lambda body: body) -> None:
        self.holding = holding
        self.seen: list[bytes] = []
        self.heard: list[str] = []
        self.closed = False
        self._rule = rule

    def holds(self, exchange: Exchange) -> bool:
        return self.holding

    async def whole(self, body: bytes) -> bytes:
        self.seen.append(body)
        return self._rule(body)

    def head(self, headers: Headers) -> Headers:
        return headers

    def inspection(self, exchange: Exchange, *, failed: bool = False) -> "Ruler":
        return self

    async def judge(self, stretches: Sequence[Stretch]) -> list[Treatment]:
        self.heard += [stretch.text for stretch in stretches]
        return [Treatment(blocked=self._rule is refuse) for _ in stretches]

    def unread(self, unread: Sequence[Unread]) -> bool:
        return False

    def refusal(self) -> GatewayError | None:
        return GatewayError("answer_blocked", "no") if self._rule is refuse else None

    def close(self) -> None:
        self.closed = True


def refuse(body: bytes) -> bytes:
    raise GatewayError("answer_blocked", "no")


def exchange(*, sampled: bool = True, streams: Streams = "hold") -> Exchange:
    opened = Exchange("req_1", Asked("POST", "/v1/chat/completions"))
    opened.asked.operation = Operation.CHAT
    opened.transcript.sampled = sampled
    opened.route = Route("default", (upstream(1),), 1.0, streams=streams)
    return opened


def tap(
    guard: Ruler,
    *,
    sample: int = 1000,
    held: int = 1000,
    budget: MemoryBudget | None = None,
    ping: float = 5.0,
    observed: Callable[[Exchange], None] = lambda exchange: None,
) -> Tap:
    return Tap(
        guard,
        sample_bytes=sample,
        held_bytes=held,
        budget=budget or MemoryBudget(10**6),
        window_characters=16,
        ping_seconds=ping,
        observed=observed,
    )


# --- passed as it comes


async def test_a_small_answer_leaves_in_one_piece() -> None:
    screen, opened = Screen(), exchange()
    await tap(Ruler()).pass_on(opened, ScriptedAnswer(b"{", b"}", complete=True), [*JSON], screen)
    assert (screen.status, screen.pieces, screen.finished) == (200, [b"{}"], True)
    assert screen.headers == JSON
    assert opened.transcript.pieces == [b"{}"]


async def test_a_long_answer_leaves_piece_by_piece() -> None:
    screen = Screen()
    await tap(Ruler()).pass_on(exchange(), ScriptedAnswer(b"one", b"two"), [*JSON], screen)
    assert screen.pieces == [b"one", b"two", b""]


@given(st.lists(st.integers(1, 40), min_size=1), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.sampled_from([1, 2, 3]))
def test_a_stream_leaves_in_whole_lines_and_byte_for_byte(cuts: list[int], end: bytes, ends: int) -> None:
    stream = b"".join(b"data: %d" % number + end * ends for number in range(20)) + b": end" + end * ends
    pieces, at, turn = list[bytes](), 0, 0
    while at < len(stream):
        pieces.append(stream[at : at + cuts[turn % len(cuts)]])
        at, turn = at + cuts[turn % len(cuts)], turn + 1
    screen = Screen()
    asyncio.run(tap(Ruler()).pass_on(exchange(), ScriptedAnswer(*pieces), [*EVENTS], screen))
    assert screen.body == stream
    assert all(piece.endswith((b"\r", b"\n")) for piece in screen.pieces if piece)


@pytest.mark.parametrize("line", [b"data: 1\n", b"data: 1\r\n", b"data: 1\r", b": still there\n", b"event: ping\n"])
async def test_a_line_never_waits_for_the_next(line: bytes) -> None:
    screen = Screen()
    await tap(Ruler()).pass_on(exchange(), ScriptedAnswer(*[line] * 5), [*EVENTS], screen)
    assert screen.pieces == [line] * 5 + [b""]


async def test_what_broke_off_in_the_middle_of_a_line_is_not_sent() -> None:
    screen = Screen()
    answer = ScriptedAnswer(chunk("a") + b"data: {", b'"x', error="truncated")
    with pytest.raises(UpstreamError):
        await tap(Ruler()).pass_on(exchange(), answer, [*EVENTS], screen)
    assert screen.body == chunk("a")
    assert not screen.finished


async def test_a_line_without_end_is_not_kept_back_for_ever() -> None:
    screen = Screen()
    pieces = [b"x" * 40_000, b"x" * 40_000, b"\n\n"]
    await tap(Ruler()).pass_on(exchange(), ScriptedAnswer(*pieces), [*EVENTS], screen)
    assert screen.body == b"".join(pieces)
    assert len(screen.pieces[0]) == 80_000


async def test_a_packed_stream_passes_as_the_bytes_it_is() -> None:
    screen, opened = Screen(), exchange()
    headers = [*EVENTS, (b"content-encoding", b"gzip")]
    await tap(Ruler()).pass_on(opened, ScriptedAnswer(b"\x1f\x8b", b"\x08"), headers, screen)
    assert screen.pieces == [b"\x1f\x8b", b"\x08", b""]
    assert opened.transcript.encoding == "gzip"


async def test_the_answers_own_type_says_whether_it_is_a_stream() -> None:
    for headers, status, asked, is_stream in (
        (EVENTS, 200, False, True),
        (JSON, 200, True, False),
        (JSON, 500, True, True),
    ):
        opened = exchange()
        opened.transcript.stream = asked
        await tap(Ruler()).pass_on(opened, ScriptedAnswer(b"x", status=status), [*headers], Screen())
        assert opened.transcript.stream is is_stream


@pytest.mark.parametrize("room", [0, 1, 5, 6, 7, 100])
async def test_the_transcript_is_bounded_and_says_when_it_was_cut(room: int) -> None:
    opened = exchange()
    await tap(Ruler(), sample=room).pass_on(opened, ScriptedAnswer(b"abc", b"def"), [*JSON], Screen())
    assert b"".join(opened.transcript.pieces) == b"abcdef"[:room]
    assert opened.transcript.cut is (room < 6)


async def test_nothing_is_kept_of_what_is_no_sample() -> None:
    opened = exchange(sampled=False)
    await tap(Ruler()).pass_on(opened, ScriptedAnswer(b"abc"), [*JSON], Screen())
    assert opened.transcript.pieces == []


# --- held


async def test_a_held_answer_is_judged_whole_before_a_byte_leaves() -> None:
    screen, guard = Screen(), Ruler(holding=True)
    await tap(guard).pass_on(exchange(), ScriptedAnswer(b"one", b"two"), [*JSON], screen)
    assert guard.seen == [b"onetwo"]
    assert screen.pieces == [b"onetwo"]
    assert screen.headers == JSON


async def test_a_rewritten_answer_gets_headers_of_its_own() -> None:
    screen, guard = Screen(), Ruler(holding=True, rule=lambda body: b"changed")
    headers = [*JSON, (b"content-encoding", b"gzip"), (b"x-other", b"kept")]
    await tap(guard).pass_on(exchange(), ScriptedAnswer(gzip.compress(b"one"), complete=True), headers, screen)
    assert screen.body == b"changed"
    assert screen.headers == [(b"content-type", b"application/json"), (b"x-other", b"kept"), (b"content-length", b"7")]


async def test_an_error_of_the_upstream_is_judged_as_well() -> None:
    screen, guard = Screen(), Ruler(holding=True)
    await tap(guard).pass_on(exchange(), ScriptedAnswer(b"down", status=500), [*JSON], screen)
    assert (screen.status, screen.body, guard.seen) == (500, b"down", [b"down"])


@pytest.mark.parametrize("headers", [JSON, EVENTS])
async def test_what_is_too_large_to_hold_does_not_leave(headers: Headers) -> None:
    screen, guard = Screen(), Ruler(holding=True)
    with pytest.raises(GatewayError) as caught:
        await tap(guard, held=5).pass_on(exchange(), ScriptedAnswer(b"abc", b"def"), [*headers], screen)
    assert caught.value.reason == "answer_too_large"
    assert not screen.started
    assert not guard.seen
    assert not guard.heard


@pytest.mark.parametrize("headers", [JSON, EVENTS])
async def test_what_does_not_fit_beside_other_answers_does_not_leave(headers: Headers) -> None:
    budget = MemoryBudget(20_000)
    screen, guard = Screen(), Ruler(holding=True)
    with budget.share() as another:
        another.hold(19_500)
        with pytest.raises(GatewayError) as caught:
            await tap(guard, budget=budget).pass_on(
                exchange(), ScriptedAnswer(*[chunk("word ")] * 5), [*headers], screen
            )
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("overloaded", 1)
    assert not screen.started
    assert not guard.seen
    assert not guard.heard
    assert budget.held == 0
    await tap(guard, budget=budget).pass_on(exchange(), ScriptedAnswer(*[chunk("word ")] * 5, DONE), EVENTS, screen)
    assert screen.body == chunk("word ") * 5 + DONE
    assert budget.held == 0


async def test_a_packed_stream_counts_unpacked_and_read() -> None:
    budget, screen = MemoryBudget(100_000), Screen()
    packed = gzip.compress(chunk("word ") * 1000)
    with pytest.raises(GatewayError, match="max_answers_bytes"):
        await tap(Ruler(holding=True), held=10**6, budget=budget).pass_on(
            exchange(), ScriptedAnswer(packed), [*EVENTS, (b"content-encoding", b"gzip")], screen
        )
    assert not screen.started
    assert budget.held == 0


@pytest.mark.slow
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
async def test_what_a_stream_holds_is_counted_while_it_waits_and_given_back(sizes: list[int]) -> None:
    """A window lets out what it judged, so that it holds less than the whole of the same stream would."""
    most = []
    for streams in ("hold", "window"):
        budget, seen = MemoryBudget(10**7), [0]
        pieces = [chunk("word and word. " * size) for size in sizes] * 20

        class Watching(Ruler):
            async def judge(self, stretches: Sequence[Stretch]) -> list[Treatment]:
                seen.append(budget.held)  # noqa: B023 - called within this turn
                return [Treatment() for _ in stretches]

        opened = exchange(streams=streams)
        await tap(Watching(holding=True), held=10**6, budget=budget).pass_on(
            opened, ScriptedAnswer(*pieces, DONE), EVENTS, Screen()
        )
        assert budget.held == 0
        most.append(max(seen))
    assert most[0] > most[1]
    assert most[0] > 600 * 20 * len(sizes)


async def test_a_refused_body_leaves_nothing() -> None:
    screen = Screen()
    with pytest.raises(GatewayError):
        await tap(Ruler(holding=True, rule=refuse)).pass_on(exchange(), ScriptedAnswer(b"x"), [*JSON], screen)
    assert not screen.started


async def test_a_refused_stream_ends_for_every_choice_it_had() -> None:
    screen, opened = Screen(), exchange()
    events = [chunk("a"), chunk("b").replace(b'"index": 0', b'"index": 1'), DONE]
    with pytest.raises(GatewayError):
        await tap(Ruler(holding=True, rule=refuse)).pass_on(opened, ScriptedAnswer(*events), [*EVENTS], screen)
    assert screen.body.count(b'"finish_reason":"content_filter"') == 2
    assert b'"id": "c1"' in screen.body or b'"id":"c1"' in screen.body  # of the upstream's own stream
    assert screen.body.endswith(DONE)
    assert screen.finished
    assert opened.transcript.pieces  # what was blocked is what the side path wants to see


async def test_silence_of_a_held_stream_is_filled_with_comments() -> None:
    screen, guard = Screen(), Ruler(holding=True)
    answer = ScriptedAnswer(chunk("a"), DONE)
    answer.pauses = [35.0, 0.0]
    await tap(guard, ping=10.0).pass_on(exchange(), answer, [*EVENTS], screen)
    assert screen.pieces.count(PING) == 3
    assert screen.body.replace(PING, b"") == chunk("a") + DONE
    assert not screen.decided
    assert guard.heard == ["a"]
    assert guard.closed


async def test_no_comment_is_sent_while_something_leaves() -> None:
    screen, guard = Screen(), Ruler(holding=True)
    texts = ["these words leave in time, one by one. "] * 5
    answer = ScriptedAnswer(*map(chunk, texts), DONE)
    answer.pauses = [4.0] * 6
    await tap(guard, ping=10.0).pass_on(exchange(streams="window"), answer, [*EVENTS], screen)
    assert screen.pieces.count(PING) == 0
    assert screen.body == b"".join(map(chunk, texts)) + DONE


async def test_a_stream_that_is_only_watched_is_not_held() -> None:
    screen, guard = Screen(), Ruler(holding=True, rule=refuse)
    told: list[Exchange] = []
    opened = exchange(streams="observe")
    await tap(guard, observed=told.append).pass_on(opened, ScriptedAnswer(chunk("a"), DONE), [*EVENTS], screen)
    assert screen.body == chunk("a") + DONE
    assert not guard.seen
    assert not guard.heard
    assert told == [opened], "the side path is to judge it for certain"
    assert not screen.decided


async def test_a_window_lets_out_what_has_passed_it() -> None:
    screen, guard = Screen(), Ruler(holding=True)
    words = [chunk(f"word{number} ") for number in range(20)]
    answer = ScriptedAnswer(*words, DONE)
    await tap(guard, held=100_000).pass_on(exchange(streams="window"), answer, [*EVENTS], screen)
    assert screen.body == b"".join([*words, DONE])
    assert len(screen.pieces) > 3, "some of it left before the end"
    assert guard.heard[-1].endswith("word19 ")


async def test_a_window_that_breaks_off_serves_what_was_judged() -> None:
    screen, guard = Screen(), Ruler(holding=True)
    words = [chunk(f"word{number} ") for number in range(20)]
    answer = ScriptedAnswer(*words, error="truncated")
    with pytest.raises(UpstreamError):
        await tap(guard, held=100_000).pass_on(exchange(streams="window"), answer, [*EVENTS], screen)
    assert screen.body == b"".join(words)
    assert not screen.finished


async def test_what_left_a_window_is_judged_again_before_what_follows() -> None:
    screen, guard = Screen(), Ruler(holding=True)
    words = [f"word{number} " for number in range(100)]
    answer = ScriptedAnswer(*map(chunk, words), DONE)
    await tap(guard, held=100_000).pass_on(exchange(streams="window"), answer, [*EVENTS], screen)
    later = [stretch for stretch in guard.heard if not stretch.startswith("word0 ")]
    assert len(later) > 3
    assert all(stretch in "".join(words) for stretch in later)
    assert min(map(len, later)) > 128, "a rule may look at so many characters before what it finds"


# --- packed


class Turns:
    """How often others had a turn of the event loop."""

    taken = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.taken += 1


@asynccontextmanager
async def turns_of_others() -> AsyncIterator[Turns]:
    turns = Turns()
    async with asyncio.TaskGroup() as group:
        others = group.create_task(turns.run())
        yield turns
        others.cancel()


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.EMBEDDINGS])
async def test_a_packed_answer_is_unpacked_while_others_have_their_turn(operation: Operation) -> None:
    body = b'{"data":[' + b"0," * 50_000 + b"0]}"
    packed = gzip.compress(body)
    opened, screen = exchange(), Screen()
    opened.asked.operation = operation
    async with turns_of_others() as turns:
        answer = ScriptedAnswer(packed, complete=True)
        await tap(Ruler(holding=True), held=10**6).pass_on(opened, answer, [*PACKED], screen)
    assert screen.body == packed
    assert turns.taken > 0


async def test_a_small_packed_answer_asks_no_thread() -> None:
    """A thread takes more work than unpacking it. What only looks small is unpacked in one: see above."""
    packed = gzip.compress(b'{"data":[]}')
    opened, screen = exchange(), Screen()
    async with turns_of_others() as turns:
        await tap(Ruler(holding=True)).pass_on(opened, ScriptedAnswer(packed, complete=True), [*PACKED], screen)
    assert screen.body == packed
    assert turns.taken == 0


@pytest.mark.parametrize("size", [1, 64 * 1024, 64 * 1024 + 1, 10**6])
@pytest.mark.parametrize("most", [1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 10**6])
async def test_on_the_loop_or_off_it_the_same_is_unpacked(size: int, most: int) -> None:
    chance = random.Random(size)
    for body in (b"a" * size, chance.randbytes(size)):
        assert await unpacked(gzip.compress(body), "gzip", most) == (body[:most], size > most)
