"""What runs beside the traffic for as long as a process serves: judging, the audit file, watches, gauges.

A gateway whose guard has died must not go on as if it had one. So a task that ends is started again, each time after a
longer pause, with a log line and a count in `assay_background_restarts_total`. `/healthz` reports a task that keeps
failing. If the tasks cannot be kept running at all, the process ends.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from time import monotonic
from typing import NamedTuple

from gateway.telemetry import metrics

log = logging.getLogger("assay")

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 5.0  # a task that has run so long after a restart works again
PATIENCE_SECONDS = 15.0  # a task that fails for longer makes the process unhealthy


NamedTask = tuple[str, Callable[[], Awaitable[None]]]


class Failing(NamedTuple):
    """A task that does not work: since when (monotonic seconds), and why it last ended."""

    since: float
    why: str


class Task:
    """One background task. `run` works until it is cancelled, and can be called again."""

    def __init__(self, name: str, run: Callable[[], Awaitable[None]], clock: Callable[[], float]) -> None:
        self.name = name
        self._run = run
        self._clock = clock
        self._failing: Failing | None = None
        self._started_at: float | None = None  # None while it waits for its restart
        metrics.BACKGROUND_RESTARTS.labels(name)

    @property
    def failing(self) -> Failing | None:
        """Since when and why the task fails; None once it runs steadily again."""
        started = self._started_at
        if started is not None and self._clock() - started >= STEADY_SECONDS:
            return None
        return self._failing

    async def keep_running(self) -> None:
        """Run the task, again and again, until cancelled."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._started_at = self._clock()
            try:
                await self._run()
                why = "it returned"
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                if not isinstance(error, OSError):  # an OSError explains itself; anything else is a bug
                    log.error("background task %s failed", self.name, exc_info=error)
            failing = self.failing
            pause = FIRST_PAUSE_SECONDS if failing is None else min(pause * 2, LAST_PAUSE_SECONDS)
            self._failing = Failing(failing.since if failing else self._clock(), why)
            self._started_at = None
            metrics.BACKGROUND_RESTARTS.labels(self.name).inc()
            log.error("background task %s ended (%s); it is started again in %.1f s", self.name, why, pause)
            await asyncio.sleep(pause)


class Background:
    """The tasks of a process, under one owner. `end_process` is called when they cannot be kept running any more.

    A task's name becomes a metric label, so there must be only a few.
    """

    def __init__(
        self,
        tasks: Iterable[NamedTask],
        *,
        clock: Callable[[], float] = monotonic,
        end_process: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
    ) -> None:
        self._clock = clock
        self._end_process = end_process
        self._tasks = [Task(name, run, clock) for name, run in tasks]

    @property
    def failing(self) -> dict[str, str]:
        """Tasks that do not work now → why they last ended."""
        return {task.name: task.failing.why for task in self._tasks if task.failing}

    @property
    def is_healthy(self) -> bool:
        """Whether no task has been failing for longer than a passing problem would take."""
        now = self._clock()
        return all(task.failing is None or now - task.failing.since < PATIENCE_SECONDS for task in self._tasks)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep all of them running; they are cancelled at the end."""
        ending = False
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(task.keep_running(), name=task.name) for task in self._tasks]
                yield
                ending = True
                for task in tasks:
                    task.cancel()
        finally:
            if not ending:
                log.critical("the background tasks cannot be kept running; the process ends")
                self._end_process()
