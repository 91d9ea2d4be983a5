"""The sink of the monitors: hands judged samples to the process that observes, and stores the sketches it returns."""

import asyncio
import contextlib
import logging
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from gateway.judging.line import line_over
from gateway.judging.messages import frame
from gateway.monitoring.changes import Change
from gateway.monitoring.seen import ANSWER, RETRIEVED, SYSTEM, Ask, Seen, Told
from gateway.monitoring.store import HOUR, MonitorError, SketchStore
from gateway.trust.judged import Judged

log = logging.getLogger("assay")

KEPT_DAYS = 15
WRITE_SECONDS = 15.0
PROGRAM = (sys.executable, "-m", "gateway.monitoring.sketching")
_NICE = 15  # nobody waits for the process: on a shared core traffic goes first
_MOST_BYTES = 64 * 2**20  # of samples that wait
_MOST_UNWRITTEN = 100  # as many sketches, and as many changes
TELL_SECONDS = 5.0
_FIRST_RESTART_SECONDS, _LAST_RESTART_SECONDS = 0.1, 30.0
_decode = msgspec.msgpack.Decoder(Told).decode


class Observing:
    """A sink. `clock` gives Unix seconds, as in `Judged.at`. A sample for which there is no room is left out.

    `run` starts the process (`program`) with the first sample, so there is none where nothing is judged, and starts it
    again when it ends. It is asked for its sketches every `write_seconds` and has `tell_seconds` to answer; if it ends,
    what it observed since then is lost.
    """

    def __init__(
        self,
        store: SketchStore,
        *,
        clock: Callable[[], float],
        write_seconds: float = WRITE_SECONDS,
        tell_seconds: float = TELL_SECONDS,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._store = store
        self._clock = clock
        self._write_seconds = write_seconds
        self._tell_seconds = tell_seconds
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._line: asyncio.WriteTransport | None = None
        self._early: list[bytes] = []  # frames to send once the process has started
        self._early_bytes = 0
        self._wanted, self._gone, self._news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._life = ""  # names the running process: a new one for each start
        self._asked, self._tellings = 0, 0  # questions to this process, and its answers
        self._sketches: dict[tuple[int, str], bytes] = {}  # by hour and writer, to be written
        self._changes: deque[Change] = deque(maxlen=_MOST_UNWRITTEN)
        self.problem = ""

    @property
    def pids(self) -> list[int]:
        """The id of the process, while it runs."""
        running = self._process is not None and self._process.returncode is None
        return [self._process.pid] if running and self._process else []

    @property
    def held_bytes(self) -> int:
        """The bytes of samples that wait here."""
        return self._early_bytes + (self._line.get_write_buffer_size() if self._line else 0)

    def take(self, judged: Judged) -> None:
        """Send a sample to the process. Never blocks and never raises."""
        packed = frame(seen_of(judged))
        if self.held_bytes + len(packed) > _MOST_BYTES:
            return
        if self._line is not None:
            self._line.write(packed)
        else:
            self._early.append(packed)
            self._early_bytes += len(packed)
            self._wanted.set()

    async def run(self) -> None:
        """Keep the process running and write its sketches until cancelled, and once more at the end."""
        pause = _FIRST_RESTART_SECONDS
        try:
            while True:
                await self._wanted.wait()
                await self._live()
                pause = _FIRST_RESTART_SECONDS if self._tellings else min(2 * pause, _LAST_RESTART_SECONDS)
                log.warning(
                    "the monitors' process ended, and what it observed in the last %g s is lost; it starts again in "
                    "%.1f s",
                    self._write_seconds,
                    pause,
                )
                await asyncio.sleep(pause)
        finally:
            await self._write()
            await self._store.close()

    async def _live(self) -> None:
        """Run the process once, until it ends."""
        try:
            await self._start()
            while not self._gone.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._write_seconds):
                        await self._gone.wait()
                await self.write()
        except asyncio.CancelledError:
            await self._ask()
            raise
        except OSError as error:
            log.error("the monitors' process could not be started: %s", error)
        finally:
            await self._stop()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._gone.clear()
        self._life, self._asked, self._tellings = secrets.token_hex(8), 0, 0
        with theirs:
            try:
                fd = theirs.fileno()
                self._process = await asyncio.create_subprocess_exec(
                    *self._program, str(fd), str(_NICE), pass_fds=(fd,), stdin=asyncio.subprocess.DEVNULL
                )
                self._line = await line_over(ours, self._received, self._lost)
            except BaseException:
                ours.close()
                raise
        early, self._early, self._early_bytes = self._early, [], 0
        self._line.write(b"".join(early))
        self._wanted.clear()

    async def _stop(self) -> None:
        if self._line is not None:
            self._line.abort()
            self._line = None
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()  # its sketches were asked for already
            await self._process.wait()
            self._process = None

    def _received(self, body: bytes) -> None:
        told = _decode(body)
        for start, number, sketch in told.sketches:
            self._sketches[start, f"{self._life}.{number}"] = sketch
        while len(self._sketches) > _MOST_UNWRITTEN:
            del self._sketches[next(iter(self._sketches))]
        self._changes.extend(told.changes)
        if told.failed:
            log.warning("%d samples could not be observed for the monitors (%s)", told.failed, told.why)
        self._tellings += 1
        self._news.set()

    def _lost(self) -> None:
        self._gone.set()
        self._news.set()

    async def write(self) -> None:
        """Ask for what has changed, and write it; it waits here while the store cannot be used."""
        await self._ask()
        await self._write()

    async def _ask(self) -> None:
        """Ask, and wait for the answer to this question and not to an earlier one. An answer that comes too late is
        written the next time."""
        if self._line is None or self._gone.is_set():
            return
        self._asked += 1
        mine = self._asked
        self._line.write(frame(Ask(self._clock())))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tell_seconds):
                while self._tellings < mine and not self._gone.is_set():
                    self._news.clear()
                    await self._news.wait()

    async def _write(self) -> None:
        try:
            await self._put()
        except MonitorError as error:
            if not self.problem:  # the transition only
                log.warning("the monitors' sketches cannot be written and wait in memory: %s", error)
            self.problem = str(error)
        else:
            self.problem = ""

    async def _put(self) -> None:
        """Raises MonitorError."""
        while self._sketches:
            (start, writer), sketch = next(iter(self._sketches.items()))
            await self._store.put(start, writer, sketch)
            if self._sketches.get((start, writer)) is sketch:
                del self._sketches[start, writer]
        while self._changes:
            await self._store.tell(self._changes[0])
            self._changes.popleft()
        await self._store.prune(self._clock() - KEPT_DAYS * 24 * HOUR)


def seen_of(judged: Judged) -> Seen:
    """The message about a judged sample for the process that observes."""
    sample, decision = judged.sample, judged.decisions.get("prompt")
    is_whole = sample is not None and judged.outcome == "completed"
    return Seen(
        id=judged.id,
        at=judged.at,
        weight=1 / judged.probability,
        route=judged.route,
        model=judged.model.encode("utf-8", "replace").decode(),  # clients may name half a surrogate pair
        caller=judged.caller,
        language=judged.language,
        operation=judged.operation,
        prompt=sample.prompt if sample else b"",
        answer=sample.answer if sample else b"",
        encoding=sample.encoding if sample else "",
        stream=judged.stream,
        policy=decision.revision if decision else "",
        seconds=(sample.seconds or None) if sample and is_whole else None,
        orders=_orders(judged),
        texts=[
            (
                finding.channel if finding.channel in (SYSTEM, RETRIEVED) else finding.direction,
                finding.direction,
                finding.path,
            )
            for finding in judged.findings
            if finding.direction == ANSWER
            or finding.channel == SYSTEM
            or (finding.fresh and finding.channel in ("user", RETRIEVED))
        ],
        scores=list(judged.scores),
    )


def _orders(judged: Judged) -> bool | None:
    passages = [finding for finding in judged.findings if finding.channel == RETRIEVED]
    if not passages:
        return None
    return any(opinion.flagged for each in passages for opinion in each.opinions if opinion.slug == "prompt_attacks")
