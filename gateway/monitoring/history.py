"""The sketches that a look reads, summed for the monitors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detectors.monitors.sketch import Sketch
from gateway.monitoring.changes import Change, distinct
from gateway.monitoring.opinions import Opinions, add_opinions
from gateway.monitoring.store import HOUR, SketchStore

DAY = 24 * HOUR
NOW_SECONDS = DAY  # the window that is looked at
REFERENCE_DAYS = 7  # the days before that window, where no reference is pinned


@dataclass(frozen=True, slots=True)
class Looked:
    """The sums of the latest day (`now`) and of the reference, the sketches of each hour of that day and of all hours,
    the changes, the time of the look (`at`, Unix seconds), and whether the reference was pinned."""

    now: Sketch
    reference: Sketch
    hours: Sequence[tuple[int, Sketch]]
    all_hours: Sequence[tuple[int, Sketch]]
    changes: Sequence[Change]
    at: float
    is_pinned: bool


async def read(store: SketchStore, now: float, opinions: Opinions | None = None) -> Looked:
    """Read the last 24 hours, the reference, and the hours of both, with the second opinions on their samples. Raises
    MonitorError."""
    known = await store.changes()
    pinned = next((change for change in known if change.kind == "reference"), None)
    since = int((now - NOW_SECONDS) // HOUR) * HOUR
    oldest = since - REFERENCE_DAYS * DAY
    parts: dict[int, list[Sketch]] = {}
    for start, sketch in await store.sketches(oldest, now + HOUR):
        parts.setdefault(start, []).append(sketch)
    by_hour = {start: total(sketches) for start, sketches in parts.items()}
    if opinions is not None:
        await add_opinions(parts, by_hour, opinions)
    hours = sorted(by_hour.items())
    before = [sketch for start, sketch in hours if start < since]
    if pinned is not None:
        before = [sketch for _, sketch in await store.sketches(pinned.at, pinned.until)]
    latest = [(start, sketch) for start, sketch in hours if start >= since]
    changes = distinct(change for change in known if change.kind != "reference")
    whole = total(sketch for _, sketch in latest)
    return Looked(whole, total(before), latest, hours, changes, now, pinned is not None)


def total(sketches: Iterable[Sketch]) -> Sketch:
    """The sum of these sketches."""
    found = Sketch()
    for sketch in sketches:
        found.add(sketch)
    return found
