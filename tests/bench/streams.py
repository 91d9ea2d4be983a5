"""Load of streams: many at once, each read to its last byte, with the arrival of every event."""

import asyncio
import gc
import json
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
import uvloop

from tests.bench.load import MESSAGES, PATH
from tests.bench.model_server import events

_LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Streams:
    """How many streams came whole, byte for byte, and how many events came in all; time to the first event and gaps
    between events, in milliseconds."""

    whole: int
    asked: int
    events: int
    first_p50: float
    first_p99: float
    gap_p50: float
    gap_p99: float


def request(key: str, model: str, *, stream: bool = True) -> bytes:
    """The bytes of one chat completion, on a connection that is kept."""
    body = json.dumps({"model": model, "messages": MESSAGES, "stream": stream}).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Reader(asyncio.Protocol):
    """One connection: asks for a stream, notes when each event came, and asks again when it ended."""

    def __init__(self, asking: bytes, repeats: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._asking = asking
        self._repeats = repeats
        self._clock = clock
        self._newline = False
        self.sent: list[float] = []
        self.arrivals: list[array[float]] = []
        self.answers: list[bytearray] = []
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        now = self._clock()
        found = data.count(b"\n\n") + (self._newline and data.startswith(b"\n"))
        self._newline = data.endswith(b"\n") and not data.endswith(b"\n\n")
        self.arrivals[-1].extend([now] * found)
        answer = self.answers[-1]
        answer += data
        if answer.endswith(_LAST_CHUNK):
            if len(self.answers) == self._repeats:
                self._transport.close()
            else:
                self._ask()

    def _ask(self) -> None:
        self._newline = False
        self.arrivals.append(array("d"))
        self.answers.append(bytearray())
        self.sent.append(self._clock())
        self._transport.write(self._asking)


async def read(port: int, asking: bytes, count: int, spread_seconds: float, repeats: int) -> list[Reader]:
    """`count` connections begun evenly over `spread_seconds`, each reading `repeats` streams one after the other."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(number: int) -> Reader:
        await asyncio.sleep(began + spread_seconds * number / count - loop.time())
        reader = Reader(asking, repeats)
        with suppress(OSError):  # a timeout too: what did not come is missing in the count
            async with asyncio.timeout(60):
                await loop.create_connection(lambda: reader, "127.0.0.1", port)
                await reader.closed.wait()
        return reader

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(count)]
    return [task.result() for task in tasks]


def measure(port: int, key: str, count: int, deltas: int, gap_ms: int, repeats: int = 2) -> Streams:
    """`count` streams at once: a connection whose stream ends begins the next, so that the number holds.

    The beginnings are spread over the length of a stream. With two repeats all `count` are open for as long.
    """
    asking = request(key, f"bench-{deltas}x{gap_ms}")
    gc.collect()
    gc.disable()  # a pause of the load would be read as one of the gateway
    try:
        readers = uvloop.run(read(port, asking, count, deltas * gap_ms / 1000, repeats))
    finally:
        gc.enable()
    return summed_up(readers, deltas, count * repeats)


def summed_up(readers: list[Reader], deltas: int, asked: int) -> Streams:
    """Percentiles over all streams' first events and over all gaps up to the last delta."""
    expected = b"".join(events(deltas))
    whole = sum(body_of(bytes(answer)) == expected for reader in readers for answer in reader.answers)
    firsts = [
        arrived[0] - sent
        for reader in readers
        for sent, arrived in zip(reader.sent, reader.arrivals, strict=True)
        if arrived
    ]
    gaps = [np.diff(np.array(arrived[: deltas + 1])) for reader in readers for arrived in reader.arrivals if arrived]
    first_p50, first_p99 = np.percentile(firsts or [np.nan], (50, 99)) * 1e3
    gap_p50, gap_p99 = np.percentile(np.concatenate(gaps or [np.array([np.nan])]), (50, 99)) * 1e3
    came = sum(len(arrived) for reader in readers for arrived in reader.arrivals)
    return Streams(whole, asked, came, float(first_p50), float(first_p99), float(gap_p50), float(gap_p99))


def body_of(answer: bytes) -> bytes:
    """The body of a chunked answer with status 200; empty when it is anything else, or not whole."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or b"chunked" not in head.lower():
        return b""
    body = bytearray()
    at = 0
    while at < len(rest):
        line = rest.find(b"\r\n", at)
        size = int(rest[at:line], 16) if line > at else -1
        if size <= 0:
            return bytes(body) if size == 0 and rest[line:] == b"\r\n\r\n" else b""
        body += rest[line + 2 : line + 2 + size]
        at = line + 2 + size + 2
    return b""
