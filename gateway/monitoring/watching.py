"""Starts a look at the sketches now and then, in a separate process, and shows what it found."""

import asyncio
import contextlib
import logging
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from gateway.monitoring.changes import Change, distinct
from gateway.monitoring.findings import SUBCATEGORIES, LookReports, Report
from gateway.monitoring.store import MonitorError, SketchPlace, SketchStore
from gateway.telemetry import metrics

log = logging.getLogger("assay")

_FIRST_SECONDS = 30.0
_POLL_SECONDS = 15.0  # between two checks for new findings
_STILL_SECONDS = 3600.0  # after this time there is a look even if nothing was written
_LOOK_SECONDS = 240.0  # a look that takes longer is stopped

Look = Callable[[float], Awaitable[Sequence[Report]]]  # at Unix seconds; raises MonitorError


class Reports:
    """`latest` has the reports by sub-category, after the first look. `clock` gives Unix seconds.

    One of the processes that share the store looks: every `look_seconds` while something new is written, and every hour
    otherwise. All of them show what it found."""

    def __init__(
        self, store: SketchStore, look: Look, *, clock: Callable[[], float], look_seconds: float = 300.0
    ) -> None:
        self._store = store
        self._look = look
        self._clock = clock
        self._seconds = look_seconds
        self._at = 0.0
        self._seen = -1
        self._alarms: dict[str, int] = {}
        self.latest: Mapping[str, Report] = {}
        self._show([Report(slug) for slug in SUBCATEGORIES])  # the series exist from the start, as NaN

    async def run(self) -> None:
        """Look until cancelled. While the store cannot be read the latest findings stay."""
        await asyncio.sleep(min(_FIRST_SECONDS, self._seconds))
        while True:
            with contextlib.suppress(MonitorError):  # the sink logs it
                await self.turn()
            await asyncio.sleep(min(_POLL_SECONDS, self._seconds))

    async def turn(self) -> None:
        """Show what another process found, and look if it is time to. Raises MonitorError."""
        found = await self._store.findings()
        if found is not None and found.at > self._at:
            self._adopt(found)
        seen, now = await self._store.written(), self._clock()
        is_due = seen != self._seen or not 0 <= now - self._at < _STILL_SECONDS  # the window moves on
        if is_due and await self._store.claim(now, self._seconds):
            await self._look_now(now, seen)

    async def look(self) -> None:
        """Look now, whether or not another process does. Raises MonitorError."""
        await self._look_now(self._clock(), await self._store.written())

    async def _look_now(self, now: float, seen: int) -> None:
        found = LookReports(now, seen, list(await self._look(now)))
        await self._store.keep(found)
        self._adopt(found)

    def _adopt(self, found: LookReports) -> None:
        self._at, self._seen = found.at, found.seen
        self.latest = {report.subcategory: report for report in found.reports}
        self._show(self.latest.values())

    async def tell(self, change: Change) -> None:
        """Store a change. Raises MonitorError."""
        await self._store.tell(change)

    async def changes(self) -> list[Change]:
        """The changes whose effects are measured, the latest first, then the pinned reference. Raises MonitorError."""
        known = await self._store.changes()
        pinned = [change for change in known if change.kind == "reference"][:1]
        return [*distinct(change for change in known if change.kind != "reference")[::-1], *pinned]

    def _show(self, reports: Iterable[Report]) -> None:
        for report in reports:
            estimate, low, high = report.headline or (math.nan,) * 3
            metrics.MONITOR_ESTIMATE.labels(report.subcategory).set(estimate)
            metrics.MONITOR_LOW.labels(report.subcategory).set(low)
            metrics.MONITOR_HIGH.labels(report.subcategory).set(high)
            has_looked = bool(report.rows or report.alarms)
            metrics.MONITOR_FOUND.labels(report.subcategory).set(report.found if report.rows else math.nan)
            metrics.MONITOR_ALARM.labels(report.subcategory).set(len(report.alarms) if has_looked else math.nan)
            if len(report.alarms) > self._alarms.get(report.subcategory, 0):
                log.warning("the monitor of %s raises an alarm; see /trust/v1/alarms", report.subcategory)
            self._alarms[report.subcategory] = len(report.alarms)


class _Answer(msgspec.Struct):
    reports: list[Report] = []
    problem: str = ""


def beside(place: SketchPlace) -> Look:
    """A look in a process of its own, `gateway.monitoring.looking`."""

    async def look(now: float) -> Sequence[Report]:
        asked = msgspec.json.encode({"place": place, "now": now})
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.monitoring.looking", stdin=-1, stdout=-1, stderr=-1
        )
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                out, err = await process.communicate(asked)
            answer = msgspec.json.decode(out, type=_Answer)
        except (TimeoutError, msgspec.DecodeError) as error:
            last = "" if isinstance(error, TimeoutError) else err.decode("utf-8", "replace").strip()[-200:]
            raise MonitorError(f"a look at the monitors' sketches failed: {last or 'it took too long'}") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if answer.problem:
            raise MonitorError(answer.problem)
        return answer.reports

    return look
