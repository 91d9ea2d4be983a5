"""The gateway's side of the detector processes.

Judging takes milliseconds of pure computing. In the gateway's process that would delay every other request, so child
processes do it (`gateway.judging.process`) and this side only waits.
"""

import asyncio
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol

import msgspec

from detectors.manifest import MODELS
from detectors.own.specs import NONE, OwnDetectors
from gateway.judging.detector_process import DetectorProcess, Program
from gateway.judging.messages import Findings, JudgingRequest

MOST_BYTES = 128 * 2**20
_GRACE_SECONDS = 3.0  # how long requests still wait for a new process after one was lost


class JudgingError(Exception):
    """No findings: `reason` is one of not_ready, worker_died, timed_out, overloaded, turned_off."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Judging(Protocol):
    """What the rest of the gateway needs of the detector processes. `detectors` are those that answer; `compared` are
    the slugs for which some of them compare a text with what was said before."""

    @property
    def detectors(self) -> Sequence[str]: ...

    @property
    def compared(self) -> Collection[str]: ...

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        """Raises JudgingError when there are no findings in time."""
        ...


class TracedJudging:
    """Judging that appears in the trace of its request. `guarding` is entered for each call, with its direction."""

    def __init__(self, judging: Judging, guarding: Callable[[str], AbstractContextManager[None]]) -> None:
        self._judging = judging
        self._guarding = guarding

    @property
    def detectors(self) -> Sequence[str]:
        return self._judging.detectors

    @property
    def compared(self) -> Collection[str]:
        return self._judging.compared

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        """Raises JudgingError when there are no findings in time."""
        answers = bool(request.answer or request.stretches)
        with self._guarding("response" if answers else "prompt"):
            return await self._judging.judge(request, timeout_seconds)


class Covered(Protocol):
    """Counts what became of texts; called once for every reply."""

    def __call__(
        self,
        coverage: Iterable[tuple[str, str, int]],
        remembered: Iterable[tuple[str, int]],
        unread: Iterable[tuple[str, str, str]],
    ) -> None: ...


class _Waiting(NamedTuple):
    """A request, its future reply, and the bytes it holds."""

    request: JudgingRequest
    reply: "asyncio.Future[Findings]"
    size: int


class JudgingClient:
    """Keeps `processes` detector processes running, shares the requests out among them and matches replies to them.

    `nice` is their niceness: judging on the side path yields to traffic. `hash_key` keys the digests. `models` is the
    directory of the detectors; `fingerprints` and `own` are the operator's. `most_bytes` bounds what is being judged or
    waits, for all callers together; one caller gets at most half of what the others have left. A process that spends
    `hang_seconds` on one piece of work is ended: the request of that piece fails, the others go to the next process.
    `covered` counts coverage. `command` replaces the detectors' program.
    """

    def __init__(
        self,
        *,
        hash_key: bytes,
        covered: Covered,
        processes: int = 1,
        nice: int = 0,
        models: Path = MODELS,
        fingerprints: Path | None = None,
        own: OwnDetectors = NONE,
        most_bytes: int = MOST_BYTES,
        hang_seconds: float = 10.0,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "gateway.judging.process"),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        described = msgspec.json.encode(own).decode() if own.specs else ""
        behind = [str(nice), str(models), str(fingerprints or ""), described]
        program = Program(command, behind, hash_key, dict(os.environ if environ is None else environ))
        self._processes = [
            DetectorProcess(
                program,
                hang_seconds=hang_seconds,
                on_ready=self._process_is_ready,
                on_findings=self._answered,
                on_stalled=self._process_is_stalled,
                on_lost=self._process_is_lost,
            )
            for _ in range(processes)
        ]
        self._covered = covered
        self._most_bytes = most_bytes
        self._clock = clock
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: dict[int, JudgingRequest] = {}
        self._bytes = 0
        self._bytes_of: Counter[str] = Counter()
        self._next_id = 0
        self._lost_at = -math.inf
        self._up = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether detectors answer."""
        return any(process.is_ready for process in self._processes)

    @property
    def detectors(self) -> list[str]:
        """The detectors that answer."""
        return next((process.detectors for process in self._processes if process.is_ready), [])

    @property
    def compared(self) -> Collection[str]:
        """The slugs for which some detector compares a text with what was said before."""
        return next((process.compared for process in self._processes if process.is_ready), ())

    @property
    def absent(self) -> dict[str, str]:
        """The detectors that do not answer, by name, and why."""
        return next((process.absent for process in self._processes if process.absent), {})

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    @property
    def bytes_held(self) -> int:
        """Bytes that are being judged or wait, here and in the processes."""
        return self._bytes

    async def ready(self) -> None:
        """Wait until detectors answer."""
        await self._up.wait()

    async def run(self) -> None:
        """Keep the processes running until cancelled."""
        async with asyncio.TaskGroup() as group:
            for process in self._processes:
                group.create_task(process.run())

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        """Raises JudgingError when there are no findings in time."""
        return await self.ask(request, timeout_seconds)

    def ask(self, request: JudgingRequest, timeout_seconds: float) -> Coroutine[Any, Any, Findings]:
        """Send a request now; the returned coroutine waits for its findings and must be awaited. Raises
        JudgingError."""
        if not self.is_ready and self._clock() - self._lost_at > _GRACE_SECONDS:
            raise JudgingError("not_ready")
        size = request.size()
        # A share of what is free (Choudhury & Hahne 1998): a caller that asks for much leaves room for others.
        if self._bytes_of[request.caller] + size > self._most_bytes - self._bytes:
            raise JudgingError("overloaded")
        self._next_id = request.id = self._next_id + 1
        request.expires_at = monotonic() + timeout_seconds
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future(), size)
        self._waiting[request.id] = waiting
        self._bytes += size
        self._bytes_of[request.caller] += size
        self._send(request)
        return self._wait(waiting, loop.time() + timeout_seconds)

    def _send(self, request: JudgingRequest, but: DetectorProcess | None = None) -> None:
        ready = [process for process in self._processes if process.is_ready and process is not but]
        if ready:
            min(ready, key=lambda process: process.owed_bytes).send(request)
        else:
            self._unsent[request.id] = request

    async def _wait(self, waiting: _Waiting, deadline: float) -> Findings:
        try:
            async with asyncio.timeout_at(None if waiting.reply.done() else deadline):
                findings = await waiting.reply
        except TimeoutError:
            findings = None
        finally:
            request = waiting.request
            if self._unsent.pop(request.id, None) or any(process.withdraw(request) for process in self._processes):
                self._forget(request.id)
        if findings is None or findings.expired:  # the process may notice it before our own timer does
            self._covered([(detector, "timed_out", 1) for detector in self.detectors], [], [])
            raise JudgingError("timed_out")
        self._covered(findings.coverage, findings.remembered, findings.unread)
        return findings

    def _forget(self, id: int) -> None:
        """Free the bytes of a request that was answered or never will be. Until then a process holds it."""
        waiting = self._waiting.pop(id, None)
        if waiting is None:
            return
        caller = waiting.request.caller
        self._bytes -= waiting.size
        self._bytes_of[caller] -= waiting.size
        if not self._bytes_of[caller]:
            del self._bytes_of[caller]

    def _answered(self, findings: Findings) -> None:
        waiting = self._waiting.get(findings.id)
        self._forget(findings.id)
        if waiting is not None and not waiting.reply.done():
            waiting.reply.set_result(findings)

    def _process_is_ready(self) -> None:
        self._up.set()
        if self.is_ready:
            unsent, self._unsent = self._unsent, {}
            for request in unsent.values():
                self._send(request)

    def _process_is_stalled(self, stalled: DetectorProcess) -> None:
        if any(process.is_ready and process is not stalled for process in self._processes):
            for request in stalled.take_back():
                self._send(request, but=stalled)

    def _process_is_lost(self, at_work: Sequence[JudgingRequest], others: Sequence[JudgingRequest]) -> None:
        """One of the requests that it was working on is to blame. If there were several, each is tried once more,
        alone; a single one fails. The other requests go to the next process."""
        self._lost_at = self._clock()
        if not any(process.is_up for process in self._processes):
            self._up.clear()
        for request in at_work:
            if len(at_work) == 1 or request.alone:
                self._fail(request.id, "worker_died")
            else:
                request.alone = True
        for request in [*at_work, *others]:
            waiting = self._waiting.get(request.id)
            if waiting is not None and waiting.reply.cancelled():
                self._forget(request.id)
            elif waiting is not None and not waiting.reply.done():
                self._send(request)

    def _fail(self, id: int, reason: str) -> None:
        waiting = self._waiting.get(id)
        self._forget(id)
        if waiting is not None and not waiting.reply.done():
            waiting.reply.set_exception(JudgingError(reason))
