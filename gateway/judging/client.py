"""The detectors, in a process of their own: what is asked, what comes back, and the gateway's side of the line.

Judging costs milliseconds of pure computing. In the gateway's process it would stand in the way of every other
request, so a child process does it (`gateway.judging.process`) and this side only waits. Frames are a 4-byte big-endian
length and a msgpack body, on a socket pair.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, cast

import msgspec

from detectors.manifest import MODELS

log = logging.getLogger("assay")

Span = tuple[int, int, str]
EXPIRED = "expired"  # `Findings.unreadable` of a case that was taken up too late
_FRAME = 4
_FIRST_RESTART_SECONDS = 0.2
_LAST_RESTART_SECONDS = 10.0


class Case(msgspec.Struct, array_like=True):
    """One exchange to judge, as raw bytes.

    `prompt_slugs` and `answer_slugs` name what is wanted of each side: None everything, empty nothing. With
    `fresh` only what the last turn added to the prompt is judged. `urgent` cases go first. Past `expires_at`
    (seconds of the monotonic clock, which all processes share; 0 never) nobody waits for the findings any more.
    """

    id: int
    urgent: bool
    operation: str
    prompt: bytes
    answer: bytes
    stream: bool
    encoding: str
    prompt_slugs: list[str] | None
    answer_slugs: list[str] | None
    fresh: bool
    expires_at: float = 0.0


class Opinion(msgspec.Struct, array_like=True):
    """A detector's verdict on one passage; `flagged` at its default operating point."""

    detector: str
    slug: str
    score: float
    flagged: bool
    spans: list[Span]


class Finding(msgspec.Struct, array_like=True):
    """One text of the exchange and what was found in it.

    `digest` is a keyed hash of the text, in hex; `language` an ISO 639-1 code, empty where it is not clear.
    """

    direction: str
    channel: str
    path: list[str | int]
    choice: int
    fresh: bool
    digest: str
    opinions: list[Opinion]
    language: str = ""


class Findings(msgspec.Struct, array_like=True):
    """The reply to a case. `coverage` counts texts by (detector, state); `failed` has the detectors that raised,
    with the exception's type. `unreadable` says why nothing of the answer could be read, else empty; `cut`
    that there was more text than is judged at once; `remembered` counts, by detector,
    the texts that it had judged before."""

    id: int
    findings: list[Finding]
    coverage: list[tuple[str, str, int]]
    failed: dict[str, str]
    unreadable: str = ""
    cut: bool = False
    remembered: list[tuple[str, int]] = []


class Hello(msgspec.Struct, array_like=True):
    """The first frame of the child: which detectors answer, and why others do not."""

    ready: list[str]
    absent: dict[str, str]


class JudgeError(Exception):
    """No findings: `reason` is one of not_ready, worker_died, timed_out, failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_encoder = msgspec.msgpack.Encoder()
_findings = msgspec.msgpack.Decoder(Findings)
_hello = msgspec.msgpack.Decoder(Hello)


def frame(message: object) -> bytes:
    body = _encoder.encode(message)
    return len(body).to_bytes(_FRAME, "big") + body


class FrameReader:
    """Bytes in, frame bodies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= _FRAME:
            length = int.from_bytes(buffer[start : start + _FRAME], "big")
            end = start + _FRAME + length
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[start + _FRAME : end]))
            start = end
        del buffer[:start]
        return frames


class _Line(asyncio.Protocol):
    """The gateway's end of one child's socket."""

    def __init__(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self._reader = FrameReader()
        self._on_frame = on_frame
        self._on_lost = on_lost

    def data_received(self, data: bytes) -> None:
        for body in self._reader.feed(data):
            self._on_frame(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()


class Judge:
    """Starts the child, restarts it when it dies, and matches replies to cases.

    `nice` is the child's niceness: judging on the side path yields to traffic. `hash_key` keys the digests.
    `models` is the directory it loads its detectors from, `fingerprints` the operator's file. A child that owes
    answers and gives none for `silence_seconds` hangs on a text: it is ended, and a new one started.
    """

    def __init__(
        self,
        *,
        hash_key: bytes,
        nice: int = 0,
        models: Path = MODELS,
        fingerprints: Path | None = None,
        silence_seconds: float = 30.0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._hash_key = hash_key
        self._nice = nice
        self._models = models
        self._fingerprints = fingerprints
        self._silence_seconds = silence_seconds
        self._environ = dict(os.environ if environ is None else environ)
        self._pending: dict[int, asyncio.Future[Findings]] = {}
        self._next_id = 0
        self._owed = 0  # cases that this child was sent and has not answered, given up or not
        self._heard_at = 0.0
        self._transport: asyncio.WriteTransport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self.detectors: list[str] = []
        self.absent: dict[str, str] = {}

    @property
    def is_ready(self) -> bool:
        return self._up.is_set() and bool(self.detectors)

    @property
    def pid(self) -> int | None:
        """The child's, while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def ready(self) -> None:
        """Wait until detectors answer."""
        await self._up.wait()

    async def run(self) -> None:
        """Keep a child running until cancelled. Restarts wait longer each time one dies before it served."""
        pause = _FIRST_RESTART_SECONDS
        try:
            while True:
                await self._start()
                await self._lost.wait()
                served = self._up.is_set()
                self._forget_child()
                pause = _FIRST_RESTART_SECONDS if served else min(pause * 2, _LAST_RESTART_SECONDS)
                log.warning("the detector process ended; it is started again in %.1f s", pause)
                await asyncio.sleep(pause)
        finally:
            await self._stop()

    async def judge(self, case: Case, timeout_seconds: float) -> Findings:
        """Raises JudgeError when there are no findings in time."""
        return await self.ask(case, timeout_seconds)

    def ask(self, case: Case, timeout_seconds: float) -> Coroutine[Any, Any, Findings]:
        """Send a case now and wait for its findings later; what is returned must be awaited. Raises JudgeError."""
        if self._transport is None or not self.is_ready:
            raise JudgeError("not_ready")
        self._next_id = case.id = self._next_id + 1
        case.expires_at = monotonic() + timeout_seconds
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Findings] = loop.create_future()
        self._pending[case.id] = future
        if not self._owed:
            self._heard_at = loop.time()
        self._owed += 1
        self._transport.write(frame(case))
        return self._wait(case.id, future, loop.time() + timeout_seconds)

    async def _wait(self, id: int, future: "asyncio.Future[Findings]", deadline: float) -> Findings:
        try:
            async with asyncio.timeout_at(deadline):
                findings = await future
            if findings.unreadable == EXPIRED:  # the child saw it before our own timer did
                raise JudgeError("timed_out")
            return findings
        except TimeoutError:
            if self._owed and asyncio.get_running_loop().time() - self._heard_at > self._silence_seconds:
                self._end_child()
            raise JudgeError("timed_out") from None
        finally:
            self._pending.pop(id, None)

    # --- the child

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._lost.clear()
        self._owed = 0
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.judging.process",
                str(theirs.fileno()),
                str(self._nice),
                str(self._models),
                *([] if self._fingerprints is None else [str(self._fingerprints)]),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.PIPE,
                env=self._environ,
            )
        finally:
            theirs.close()
        assert self._process.stdin is not None
        self._process.stdin.write(self._hash_key)  # not in the arguments, where every user of the machine could read it
        self._process.stdin.close()
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: _Line(self._on_frame, self._on_lost), sock=ours
        )
        self._transport = cast(asyncio.WriteTransport, transport)

    def _on_frame(self, body: bytes) -> None:
        if not self._up.is_set():
            hello = _hello.decode(body)
            self.detectors, self.absent = hello.ready, hello.absent
            for name, why in hello.absent.items():
                log.error("detector %s is not available: %s", name, why)
            self._up.set()
            return
        findings = _findings.decode(body)
        self._owed -= 1
        self._heard_at = asyncio.get_running_loop().time()
        future = self._pending.get(findings.id)
        if future is not None and not future.done():
            future.set_result(findings)

    def _on_lost(self) -> None:
        self._transport = None
        for future in self._pending.values():
            if not future.done():
                future.set_exception(JudgeError("worker_died"))
        self._lost.set()

    def _forget_child(self) -> None:
        self._up.clear()
        self.detectors = []

    async def _stop(self) -> None:
        self._forget_child()
        if self._transport is not None:
            self._transport.close()
        self._end_child()
        if self._process is not None:
            await self._process.wait()

    def _end_child(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # it holds nothing that a gentler end would save


def case(
    operation: str,
    *,
    prompt: bytes = b"",
    answer: bytes = b"",
    stream: bool = False,
    encoding: str = "",
    prompt_slugs: Collection[str] | None = (),
    answer_slugs: Collection[str] | None = (),
    urgent: bool = False,
    fresh: bool = False,
) -> Case:
    """A case with an id still to be given; slugs as an iterable, or None for all."""
    return Case(
        id=0,
        urgent=urgent,
        operation=operation,
        prompt=prompt,
        answer=answer,
        stream=stream,
        encoding=encoding,
        prompt_slugs=None if prompt_slugs is None else sorted(prompt_slugs),
        answer_slugs=None if answer_slugs is None else sorted(answer_slugs),
        fresh=fresh,
    )
