"""One detector process as the gateway sees it: it is started, watched, ended when it hangs, and started again."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from gateway.judging.line import line_over
from gateway.judging.messages import Findings, Hello, JudgingRequest
from gateway.judging.outbox import Outbox
from gateway.judging.progress import Progress

log = logging.getLogger("assay")

_FIRST_RESTART_SECONDS = 0.1
_LAST_RESTART_SECONDS = 10.0
_WATCH_SECONDS = 0.25  # between two looks at a process; a piece of work takes a tenth of that

_findings = msgspec.msgpack.Decoder(Findings)
_hello = msgspec.msgpack.Decoder(Hello)


@dataclass(frozen=True, slots=True)
class Program:
    """What a detector process runs. `hash_key` keys the digests; `before` and `behind` are its arguments before and
    after the numbers of the two files that it inherits."""

    before: Sequence[str]
    behind: Sequence[str]
    hash_key: bytes
    environ: Mapping[str, str]


class DetectorProcess:
    """Keeps one process running.

    `on_ready` is called when it answers, `on_findings` with each reply, `on_stalled` when it has done nothing for a
    moment, and `on_lost` when it is gone: with the requests that it was working on, and the others that it owed. A
    process that owes answers and does no piece of work for `hang_seconds` hangs, and is ended.
    """

    def __init__(
        self,
        program: Program,
        *,
        hang_seconds: float,
        on_ready: Callable[[], None],
        on_findings: Callable[[Findings], None],
        on_stalled: Callable[["DetectorProcess"], None],
        on_lost: Callable[[Sequence[JudgingRequest], Sequence[JudgingRequest]], None],
    ) -> None:
        self._program = program
        self._hang_seconds = hang_seconds
        self._on_ready = on_ready
        self._on_findings = on_findings
        self._on_stalled = on_stalled
        self._on_lost = on_lost
        self._owed: dict[int, JudgingRequest] = {}
        self._progress: Progress | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._outbox = Outbox()
        self._is_full = False  # the line takes no more for now
        self._is_due = False  # `_write` runs in the next turn of the loop
        self._gone = asyncio.Event()
        self._stirred = asyncio.Event()  # the process was sent something, or is gone
        self._moved_at = 0.0
        self._pieces = 0
        self.is_up = False
        self.owed_bytes = 0
        self.detectors: list[str] = []
        self.compared: list[str] = []
        self.absent: dict[str, str] = {}

    @property
    def is_ready(self) -> bool:
        return self.is_up and bool(self.detectors)

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    def send(self, request: JudgingRequest) -> None:
        """Send a request; only while the process is ready."""
        if not self._owed:
            self._moved_at = asyncio.get_running_loop().time()
            self._stirred.set()
        self._owed[request.id] = request
        self.owed_bytes += request.size()
        self._outbox.add(request)
        if not self._is_due:  # write it together with what else is sent in this turn of the loop
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._write)

    def withdraw(self, request: JudgingRequest) -> bool:
        """Drop a request that nobody waits for. True if it was here, unsent, and now never will be sent."""
        if request.id not in self._owed or not self._outbox.withdraw(request):
            return False
        del self._owed[request.id]
        self.owed_bytes -= request.size()
        return True

    def _write(self) -> None:
        """Write as much as the line takes."""
        self._is_due = False
        now = asyncio.get_running_loop().time()
        while self._transport is not None and not self._is_full:
            parts = self._outbox.together(now)
            if not parts:
                return
            self._transport.write(parts)

    def _set_full(self, is_full: bool) -> None:
        self._is_full = is_full
        if not is_full:
            self._write()

    def take_back(self) -> list[JudgingRequest]:
        """Requests that the process has not begun: others may do them. If it answers after all, that does no harm."""
        assert self._progress is not None
        at_work = set(self._progress.at_work_on)
        taken = [request for id, request in self._owed.items() if id not in at_work]
        for request in taken:
            self._outbox.withdraw(request)
            del self._owed[request.id]
            self.owed_bytes -= request.size()
        return taken

    async def run(self) -> None:
        """Keep a process running until cancelled. The pause before a restart grows while processes end before they
        serve.

        If a start fails (no memory, no file handle left), it is tried again.
        """
        pause = _FIRST_RESTART_SECONDS
        try:
            while True:
                served = await self._live()
                pause = _FIRST_RESTART_SECONDS if served else min(pause * 2, _LAST_RESTART_SECONDS)
                log.warning("a detector process ended; it is started again in %.1f s", pause)
                await asyncio.sleep(pause)
        finally:
            await self._stop()

    async def _live(self) -> bool:
        """Run one process until it ends. Returns whether it served."""
        try:
            await self._start()
            await self._watch()
        except OSError as error:
            log.error("a detector process could not be started: %s", error)
        served = self.is_up
        await self._stop()
        return served

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._progress = Progress.shared()
                self._gone.clear()
                self._process = await self._spawn(theirs.fileno(), self._progress.fd)
                await self._hand_over_key(self._process)
                self._outbox, self._is_full = Outbox(), False
                self._transport = await line_over(ours, self._received, self._lost, self._set_full)
            except BaseException:
                ours.close()
                raise

    async def _spawn(self, *fds: int) -> asyncio.subprocess.Process:
        program = self._program
        return await asyncio.create_subprocess_exec(
            *program.before,
            *map(str, fds),
            *program.behind,
            pass_fds=fds,
            stdin=asyncio.subprocess.PIPE,
            env=program.environ,
        )

    async def _hand_over_key(self, process: asyncio.subprocess.Process) -> None:
        """Send the key by standard input: in the arguments, every user of the machine could read it."""
        assert process.stdin is not None
        process.stdin.write(self._program.hash_key)
        process.stdin.close()

    async def _watch(self) -> None:
        """Watch the process; returns when it is gone or hangs."""
        loop = asyncio.get_running_loop()
        while not self._gone.is_set():
            if not self._owed:
                self._stirred.clear()
                await self._stirred.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_WATCH_SECONDS, self._hang_seconds / 2)):
                    await self._gone.wait()
            assert self._progress is not None
            if self._progress.pieces != self._pieces or not self._owed:
                self._pieces, self._moved_at = self._progress.pieces, loop.time()
            elif loop.time() - self._moved_at > self._hang_seconds:
                log.error("a detector process did no work for %.1f s; it is ended", self._hang_seconds)
                return
            else:
                self._on_stalled(self)

    def _lost(self) -> None:
        self._gone.set()
        self._stirred.set()

    def _received(self, body: bytes) -> None:
        if not self.is_up:
            hello = _hello.decode(body)
            self.detectors, self.absent, self.compared = hello.ready, hello.absent, hello.compared
            for name, why in hello.absent.items():
                log.error("detector %s is not available: %s", name, why)
            self.is_up = True
            self._on_ready()
            return
        findings = _findings.decode(body)
        self._moved_at = asyncio.get_running_loop().time()
        request = self._owed.pop(findings.id, None)
        if request is not None:
            self.owed_bytes -= request.size()
        self._outbox.answered(findings.id)
        self._write()
        self._on_findings(findings)

    async def _stop(self) -> None:
        """End the process if it runs, and report what it leaves undone."""
        served, self.is_up = self.is_up, False
        self.detectors = []
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()  # it holds nothing that a gentler ending would save
            await self._process.wait()
            self._process = None
        suspects = set(self._progress.at_work_on) if self._progress is not None else set()
        if self._progress is not None:
            self._progress.close()
            self._progress = None
        owed, self._owed, self.owed_bytes = self._owed, {}, 0
        if not served:
            return
        at_work = [request for id, request in owed.items() if id in suspects]
        self._on_lost(at_work, [request for id, request in owed.items() if id not in suspects])
