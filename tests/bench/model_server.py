"""A lean model server, so that what is measured is the gateway: plain answers, many even streams, a flood.

The `model` of a request says what comes back, when `"stream"` is asked for:

    bench-64x20      64 deltas, one every 20 ms from the request on (0 ms: all at once)
    bench-flood-100  100 MiB of events as fast as they are read

Streams ride on a wheel of one-millisecond slots: all that are due in the same millisecond leave in one tick.
`GET /open` tells how many connections are open and how many streams are under way.

    python -m tests.bench.model_server PORT
"""

import asyncio
import json
import os
import re
import sys
import time
from contextlib import suppress
from functools import lru_cache
from typing import cast

import uvloop

from gateway.serving.descriptors import raise_limit
from tests.bench.servers import ANSWER

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_EVEN = re.compile(rb'"bench-(\d+)x(\d+)"')
_FLOOD = re.compile(rb'"bench-flood-(\d+)"')
_STREAM = re.compile(rb'"stream": ?true')
_EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
MEBIBYTE = 2**20


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event of a streamed chat completion."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    whole = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_767_225_600,
        "model": "demo-small",
        "choices": [choice],
    }
    return b"data: %b\n\n" % json.dumps(whole, separators=(",", ":")).encode()


@lru_cache
def events(deltas: int) -> tuple[bytes, ...]:
    """The role, then `deltas` words; the last of them comes with the end of the stream."""
    words = [event({"content": f" word{number}"}) for number in range(deltas)]
    end = event({}, "stop") + b"data: [DONE]\n\n"
    return (event({"role": "assistant", "content": ""}), *words[:-1], words[-1] + end)


@lru_cache
def flood_piece() -> bytes:
    """64 KiB of events, exactly."""
    bare = len(event({"content": ""}))
    return event({"content": "x" * (2**16 - bare)})


@lru_cache
def _writes(deltas: int) -> tuple[bytes, ...]:
    """What is written at the request and at each tick: head with the first event, the events, the end."""
    pieces = [_chunk(piece) for piece in events(deltas)]
    return (_EVENTS + pieces[0], *pieces[1:-1], pieces[-1] + _LAST_CHUNK)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


class Wheel:
    """Streams of one gap, in the slots of that many milliseconds."""

    def __init__(self, gap_ms: int) -> None:
        self.slots: list[dict[Connection, None]] = [{} for _ in range(gap_ms)]
        self._turned = _now_ms()
        self._turn()

    def add(self, connection: "Connection") -> dict["Connection", None]:
        """Its first tick is a whole gap from now."""
        slot = self.slots[self._turned % len(self.slots)]
        slot[connection] = None
        return slot

    def _turn(self) -> None:
        now = _now_ms()
        for millisecond in range(self._turned + 1, now + 1):
            for connection in tuple(self.slots[millisecond % len(self.slots)]):
                connection.tick()
        self._turned = now
        asyncio.get_running_loop().call_later(0.001, self._turn)


class State:
    """What the connections of one server share."""

    def __init__(self) -> None:
        self.open = 0
        self._wheels: dict[int, Wheel] = {}

    def wheel(self, gap_ms: int) -> Wheel:
        if gap_ms not in self._wheels:
            self._wheels[gap_ms] = Wheel(gap_ms)
        return self._wheels[gap_ms]

    def report(self) -> bytes:
        streams = sum(len(slot) for wheel in self._wheels.values() for slot in wheel.slots)
        return json.dumps({"connections": self.open, "streams": streams}).encode()


class Connection(asyncio.Protocol):
    """One request after the other; nothing is pipelined."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._buffer = bytearray()
        self._writes: tuple[bytes, ...] = ()
        self._next = 0
        self._slot: dict[Connection, None] = {}
        self._pieces = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._state.open += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._state.open -= 1
        self._slot.pop(self, None)
        self._pieces = 0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        whole = end + (int(length[1]) if length else 0)
        if len(self._buffer) >= whole:
            request = bytes(self._buffer[:whole])
            del self._buffer[:whole]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET "):
            known = request.startswith(b"GET /open ")
            self._transport.write(_whole(self._state.report() if known else b'{"object":"list","data":[]}'))
        elif not _STREAM.search(request):
            self._transport.write(_whole(ANSWER.encode()))
        elif flood := _FLOOD.search(request):
            self._transport.write(_EVENTS)
            self._pieces = int(flood[1]) * MEBIBYTE // len(flood_piece())
            self._pour()
        elif even := _EVEN.search(request):
            self._begin(int(even[1]), int(even[2]))
        else:
            self._begin(8, 0)

    def _begin(self, deltas: int, gap_ms: int) -> None:
        self._writes = _writes(deltas)
        if gap_ms == 0:
            self._transport.write(b"".join(self._writes))
            return
        self._transport.write(self._writes[0])
        self._next = 1
        self._slot = self._state.wheel(gap_ms).add(self)

    def tick(self) -> None:
        """The next event is due."""
        self._transport.write(self._writes[self._next])
        self._next += 1
        if self._next == len(self._writes):
            self._slot.pop(self, None)

    def _pour(self) -> None:
        piece = _chunk(flood_piece())
        while self._pieces and not self._paused:
            self._pieces -= 1
            self._transport.write(piece if self._pieces else piece + _LAST_CHUNK)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pour()


def _now_ms() -> int:
    return int(time.monotonic() * 1000)


async def serve(port: int) -> None:
    """Until the process is ended."""
    state = State()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    raise_limit()
    with suppress(PermissionError):  # it shares a core with the load, and must keep time
        os.nice(-10)
    uvloop.run(serve(int(sys.argv[1])))
