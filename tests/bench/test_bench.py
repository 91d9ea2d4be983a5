"""The benchmark's own logic: the table, medians, what a stream's reader counts. No figure is judged here."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from detectors import panel
from detectors.base import Text
from detectors.trained import tokens
from detectors.trained.onnx import Tokenizer
from tests.bench import __main__ as command
from tests.bench.detectors import GOALS_MS, text_of
from tests.bench.load import Shot, Windows, p99, rate
from tests.bench.model_server import Connection, State, events, flood_piece
from tests.bench.parts import texts as part_texts
from tests.bench.parts.growth import body
from tests.bench.parts.streams import paces, shape
from tests.bench.servers import ANSWER
from tests.bench.soak import Soak, whole
from tests.bench.streams import Reader, body_of, read, request, summed_up
from tests.bench.table import Table
from tests.support.judges.shipped import shipped
from tests.support.running.patience import PATIENCE_SECONDS


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def ticking() -> Iterator[float]:
    return iter(range(10_000))


@asynccontextmanager
async def serving(state: State) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_the_table_marks_goals_and_sums_them_up() -> None:
    lines: list[str] = []
    table = Table(lines.append)
    table.row("fast", "1", met=True)
    table.row("  slow", "2", goal="<= 1", met=False)
    table.row("only told", "3")
    table.close(125.0)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:5]]
    assert [row[-1] for row in cells] == ["met", "MISSED", ""]
    assert lines[-2:] == ["1 of 2 goals met; missed: slow", "took 2 min 5 s"]
    assert len({len(line) for line in lines[:5]}) == 1


def test_figures_are_medians_and_ratios_are_taken_within_a_round() -> None:
    windows = Windows(("base", "other", "broken"))
    for rate_of_base, rate_of_other in ((10, 20), (100, 300), (20, 100)):
        windows.add("base", Shot(rate_of_base, 1, 5, 0))
        windows.add("other", Shot(rate_of_other, 3, 9, 0))
        windows.add("broken", Shot(1000, 1, 1, 1))
    assert windows["base"] == Shot(20, 1, 5, 0)
    assert windows.ratio("other", "base", rate) == 3
    assert windows.added("other", "base", p99) == 4
    assert "base" in windows
    assert "broken" not in windows


def test_a_window_with_a_failed_request_does_not_count() -> None:
    windows = Windows(("base", "other"))
    for failed, rate_of_other in ((0, 20), (1, 1), (0, 40)):
        windows.add("base", Shot(10, 1, 1, 0))
        windows.add("other", Shot(rate_of_other, 1, 1, failed))
    assert windows["other"].rate == 30
    assert windows.ratio("other", "base", rate) == 3


def test_parts_that_run_only_when_named_are_no_default() -> None:
    assert set(command.PARTS) - set(command.DEFAULT.split(",")) == {"soak", "slow-reader"}


@dataclass
class Clock:
    """Each part takes as long as it usually does."""

    now: float = 0.0

    def part(self, seconds: float) -> Callable[[Table, command.Choice], None]:
        def bench(_table: Table, _asked: command.Choice) -> None:
            self.now += seconds

        return bench


def test_what_would_take_too_long_is_skipped_and_said(tmp_path: Path) -> None:
    clock, lines = Clock(), list[str]()
    parts = {name: command.Part(clock.part(seconds), seconds) for name, seconds in {"a": 50, "b": 60, "c": 30}.items()}
    table = Table(lines.append)
    asked = command.Choice(tmp_path, seconds=2, rounds=5, streams=[], requests=0)
    command.run(table, ["a", "b"], asked, 100, known=parts, clock=lambda: clock.now)
    table.close(clock.now)
    assert lines[-4:] == [
        "  a: took 50 s",
        "0 of 0 goals met",
        "skipped: b (it takes about 60 s, and 50 s are left of --minutes); c (not named in --only)",
        "took 0 min 50 s",
    ]


def test_the_whole_benchmark_is_sized_to_end_within_twenty_minutes() -> None:
    assert sum(command.PARTS[name].seconds for name in command.DEFAULT.split(",")) < 18 * 60


def test_streams_are_tried_ever_more_slowly() -> None:
    assert paces(512) == [(64, 20), (32, 40), (16, 80)]
    assert paces(2048) == [(16, 160), (8, 320), (6, 640)]


@pytest.mark.parametrize("turns", [1, 2, 200])
def test_a_body_has_the_size_asked_for(turns: int) -> None:
    text = body(100_000, turns)
    assert len(text) == 100_000
    assert len(json.loads(text)["messages"]) == turns


@pytest.mark.parametrize("length", GOALS_MS)
def test_a_text_has_the_word_pieces_asked_for(length: int) -> None:
    vocabulary = shipped()["encoder"].vocabulary
    assert vocabulary is not None
    tokenizer = Tokenizer(vocabulary)
    found = tokens.pieces(tokenizer, [text_of(length, tokenizer)])[0]
    assert len(tokens.window(found, 0, length + 100).tokens) == length


def test_a_piece_of_the_flood_divides_a_mebibyte() -> None:
    assert 2**20 % len(flood_piece()) == 0


def chunked(*pieces: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 10_000])
def test_a_reader_counts_every_event_however_the_bytes_are_cut(ticking: Iterator[float], size: int) -> None:
    data = chunked(*events(4))
    wire, reader = Wire(), Reader(b"asking", 2, lambda: next(ticking))
    reader.connection_made(wire)
    for _ in range(2):
        for at in range(0, len(data), size):
            reader.data_received(data[at : at + size])
    assert [len(arrived) for arrived in reader.arrivals] == [1 + 4 + 2] * 2
    assert wire.written == [b"asking"] * 2
    assert wire.closed
    assert summed_up([reader], 4, 2).whole == 2


@pytest.mark.parametrize(("count", "expected"), [(64, (64, 20)), (512, (64, 20)), (1024, (32, 80)), (2048, (16, 160))])
def test_more_streams_are_no_more_events_a_second(count: int, expected: tuple[int, int]) -> None:
    deltas, gap_ms = shape(count)
    assert (deltas, gap_ms) == expected
    assert count / gap_ms <= 512 / 20


def test_gaps_are_between_events_and_the_first_counts_from_the_request() -> None:
    times = iter([0.0, 0.5, 0.52, 0.54])
    reader = Reader(b"", 1, lambda: next(times))
    reader.connection_made(Wire())
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in events(2)]
    for data in (head + pieces[0], pieces[1], pieces[2] + b"0\r\n\r\n"):
        reader.data_received(data)
    found = summed_up([reader], 2, 1)
    assert found.whole == found.asked == 1
    assert found.first_p50 == pytest.approx(500)
    assert found.gap_p99 == pytest.approx(20)


@pytest.mark.parametrize(
    "answer",
    [
        chunked(b"data")[:-1],
        chunked(b"data")[:-7],
        chunked(b"data") + b"x",
        chunked(b"data").replace(b" 200 ", b" 502 "),
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndata",
    ],
)
def test_what_is_not_a_whole_chunked_answer_has_no_body(answer: bytes) -> None:
    assert body_of(chunked(b"da", b"ta")) == b"data"
    assert body_of(answer) == b""


def test_a_plain_answer_is_whole_at_its_length() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    assert whole(head[:-1]) is None
    assert whole(head + b"dat") is None
    assert whole(head + b"data") == b"data"
    assert whole(head.replace(b"200", b"500") + b"data") == b""


async def test_streams_and_plain_answers_come_whole_from_the_model_server() -> None:
    async with serving(State()) as port:
        readers = await read(port, request("key", "bench-5x1"), 3, 0.01, 2)
        found = summed_up(readers, 5, 6)
        assert found.whole == 6
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("key", "demo-small", stream=False))
        head = await reader.readuntil(b"\r\n\r\n")
        assert whole(head + await reader.readexactly(len(ANSWER))) == ANSWER.encode()
        writer.close()
        await writer.wait_closed()


@pytest.mark.slow
async def test_a_soak_ends_every_request_and_leaves_nothing_open() -> None:
    state = State()
    async with serving(state) as port:
        soak = Soak(port, "key", 300, 8)
        await soak.run()
        assert soak.fates.total() == 300
        assert soak.fates["wrong"] == 0
        assert any(fate.startswith("left") for fate in soak.fates)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(500):
                await asyncio.sleep(0.01 if state.open else 0)
    assert json.loads(state.report()) == {"connections": 0, "streams": 0}


def test_texts_of_a_set_are_drawn_by_role_and_always_the_same(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl.gz"
    rows = [
        {"text": f"{role} {n}", "role": role, "context": None, "set": "x"}
        for n in range(20)
        for role in ("prompt", "response")
    ]
    file.write_bytes(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows)))
    drawn = part_texts.drawn(file, "response", 5)
    assert drawn == part_texts.drawn(file, "response", 5)
    assert len({text.text for text in drawn}) == 5
    assert {text.role for text in drawn} == {"response"}


def test_every_text_is_judged_by_itself_and_in_a_batch() -> None:
    cost = part_texts.cost_of(panel.load(only={"limited_logical_reasoning"}), [Text("1 + 1 = 3", "prompt")] * 11)
    assert len(cost.singly) == 11
    assert cost.characters == 9
    assert cost.percentile(0.5) <= cost.percentile(0.99) == max(cost.singly)


def test_without_the_public_sets_it_says_so(tmp_path: Path) -> None:
    lines: list[str] = []
    part_texts.bench_texts(Table(lines.append), tmp_path / "nowhere")
    assert "set ASSAY_DATA" in lines[-1]
