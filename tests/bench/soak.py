"""A client that leaves at random: one request in ten, at any phase of it, plain answers and streams alike."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import cast

from tests.bench.model_server import events
from tests.bench.servers import ANSWER
from tests.bench.streams import body_of, request
from tests.support.running.patience import PATIENCE_SECONDS

SHARE_LEFT = 0.1
# What is asked for, each as often: a plain answer, a stream at once, streams that take 16 and 40 ms.
MODELS = ("demo-small", "bench-8x0", "bench-8x2", "bench-8x5")


class Caller(asyncio.Protocol):
    """One connection that is kept over requests; `answered` is set when an answer is whole, or broke off."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.begun = asyncio.Event()
        self.answered = asyncio.Event()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.begun.set()
        self.answered.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.begun.set()
        if whole(bytes(self.buffer)) is not None:
            self.answered.set()

    def ask(self, data: bytes) -> None:
        self.buffer.clear()
        self.begun.clear()
        self.answered.clear()
        self.transport.write(data)


def whole(answer: bytes) -> bytes | None:
    """The body, when the answer has come to its end; empty for an answer that is not as it should be."""
    head, end, rest = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    if b"chunked" in head.lower():
        return body_of(answer) if answer.endswith(b"\r\n0\r\n\r\n") else None
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    if len(rest) < length:
        return None
    return rest if head.startswith(b"HTTP/1.1 200 ") else b""


class Soak:
    """`requests` requests over `connections` connections at once. `fates` counts how they ended."""

    def __init__(self, port: int, key: str, requests: int, connections: int, seed: int = 7) -> None:
        self._port = port
        self._left = requests
        self._connections = connections
        self._random = random.Random(seed)
        self._asking = {model: request(key, model, stream=model.startswith("bench")) for model in MODELS}
        stream = b"".join(events(8))
        self._wanted = {model: stream if model.startswith("bench") else ANSWER.encode() for model in MODELS}
        self.fates: Counter[str] = Counter()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._one_after_the_other())

    async def _one_after_the_other(self) -> None:
        caller: Caller | None = None
        while self._left > 0:
            self._left -= 1
            if caller is None or caller.lost:
                caller = await self._connect()
            model = self._random.choice(MODELS)
            if self._random.random() < SHARE_LEFT:
                await self._leave(caller, self._asking[model])
                caller = None
            else:
                await self._stay(caller, model)
        if caller is not None:
            caller.transport.close()

    async def _connect(self) -> Caller:
        _, caller = await asyncio.get_running_loop().create_connection(Caller, "127.0.0.1", self._port)
        return caller

    async def _stay(self, caller: Caller, model: str) -> None:
        caller.ask(self._asking[model])
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await caller.answered.wait()
        right = whole(bytes(caller.buffer)) == self._wanted[model]
        self.fates["whole" if right else "wrong"] += 1
        if not right:
            caller.transport.abort()
            caller.lost = True

    async def _leave(self, caller: Caller, asking: bytes) -> None:
        """In the head, in the body, while it waits, at the first bytes, in the answer; with a FIN or a reset."""
        phase = self._random.choice(("head", "body", "waiting", "first bytes", "answer"))
        head = asking.index(b"\r\n\r\n") + 4
        cut = {"head": self._random.randrange(1, head), "body": self._random.randrange(head, len(asking))}
        caller.ask(asking[: cut.get(phase, len(asking))])
        if phase in ("head", "body"):
            await asyncio.sleep(self._random.random() * 0.002)
        elif phase == "waiting":
            await asyncio.sleep(self._random.choice((0, 0, 0.0002, 0.001)))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await caller.begun.wait()
            if phase == "answer":
                await asyncio.sleep(self._random.random() * 0.04)
        self.fates[f"left: {phase}"] += 1
        (caller.transport.abort if self._random.random() < 0.5 else caller.transport.close)()
