"""The buckets to which a sample is added: stretches of time, and cells of each.

Samples are added by minute and by hour. Complete stretches are rolled up into wider buckets (ten minutes, six hours, a
day), so that a window is read from few buckets. When a bucket changes later, the wider ones that contain it are deleted
in the same step. They are rolled up again later; until then their time is read from the narrower buckets.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, Protocol, TypeVar

from gateway.trust.moments import ALL, Cell, Weighed, bands_of, merge, opined, parts_of, wider_than
from gateway.trust.packed import BLOCK, ROW, Packed, ScoreColumns, Seen, layout_of
from gateway.trust.per_caller import OF_CALLERS, OfCaller, PerCaller
from gateway.trust.second_opinion import SecondOpinion

MINUTE, TEN_MINUTES, HOUR, SIX_HOURS, DAY = 60, 600, 3_600, 21_600, 86_400  # seconds
# Width of buckets → seconds for which they are kept: enough for the longest window and the window before it.
SUMS_KEPT = {MINUTE: 3 * HOUR, TEN_MINUTES: 3 * HOUR, HOUR: 15 * DAY, SIX_HOURS: 15 * DAY, DAY: 15 * DAY}
# Width → the width of the buckets that it is rolled up from.
ROLLED_UP: Mapping[int, int] = {TEN_MINUTES: MINUTE, SIX_HOURS: HOUR, DAY: HOUR}
# Width → the wider widths that are rolled up from it, widest first.
ROLLED_INTO: Mapping[int, tuple[int, ...]] = {
    width: tuple(sorted((wide for wide, narrow in ROLLED_UP.items() if narrow == width), reverse=True))
    for width in (MINUTE, HOUR)
}

_T = TypeVar("_T")
Bucket = tuple[int, int, Cell]  # width and start in seconds, and cell
Buckets = dict[Bucket, Packed]
CallerBuckets = dict[Bucket, PerCaller]


class Timed(Weighed, Protocol):
    """A judged sample with its time and its packed scores, as `ledger.Entry` has them."""

    @property
    def at(self) -> float: ...
    @property
    def cohort(self) -> tuple[str, ...]: ...
    @property
    def schema(self) -> ScoreColumns: ...
    @property
    def values(self) -> bytes: ...
    @property
    def flags(self) -> bytes: ...


def buckets(samples: Iterable[Timed]) -> Buckets:
    """The sums of these samples, by minute and by hour, for each of their cells."""
    alike: dict[tuple[Any, ...], tuple[Timed, list[bytes], list[bytes]]] = {}
    for sample in samples:
        key = (sample.at // MINUTE, sample.probability, sample.schema, *sample.cohort)
        group = alike.get(key)
        if group is None:
            group = alike[key] = (sample, [], [])
        group[1].append(sample.values)
        group[2].append(sample.flags)
    return spread(_packed(alike.values()))


def _packed(groups: Collection[tuple[Timed, list[bytes], list[bytes]]]) -> Iterable[tuple[int, Cell, Packed]]:
    """The sums by minute and narrowest cell of groups of samples; the samples of a group differ only in scores and
    flags."""
    cells: dict[tuple[int, Cell], dict[tuple[float, ScoreColumns], tuple[list[bytes], list[bytes]]]] = {}
    for sample, values, flags in groups:
        minute, bands, flagged = int(sample.at // MINUTE) * MINUTE, bands_of(b"".join(values)), b"".join(flags)
        for cell in parts_of(sample):
            of_cell = cells.setdefault((minute, cell), {}).setdefault((sample.probability, sample.schema), ([], []))
            of_cell[0].append(bands)
            of_cell[1].append(flagged)
    layout = layout_of({column for sample, _, _ in groups for column in sample.schema.columns})
    for (minute, cell), parts in cells.items():
        packed = Packed(layout)
        for (probability, schema), (all_bands, all_flags) in parts.items():
            places = [layout.places[column] for column in schema.columns]
            _count(packed.values, places, b"".join(all_bands), b"".join(all_flags), 1 / probability)
        yield minute, cell, packed


def _count(values: list[float], places: Sequence[int], bands: bytes, flags: bytes, weight: float) -> None:
    """Does what `moments.add_judged` does for one sample, for many samples of equal weight at once, column by column:
    counting bytes is the quickest way. `places` has the index of each column's first number in `values`."""
    square = weight * weight
    for number, place in enumerate(places):
        column, flagged = bands[number :: len(places)], flags[number :: len(places)]
        left = len(column)
        for band, at in enumerate(range(place, place + BLOCK, ROW)):
            if n := column.count(band):
                values[at] += n
                values[at + 1] += n * weight
                values[at + 2] += n * square
                left -= n
                if not left:  # most scores lie in the lowest bands
                    break
        if 1 in flagged:
            for band, n in Counter(compress(column, flagged)).items():
                at = place + ROW * band
                values[at + 3] += n * weight
                values[at + 4] += n * square
                values[at + 5] += n * square


def spread(parts: Iterable[tuple[int, Cell, Packed]]) -> Buckets:
    """Sums by minute and narrowest cell, added to all buckets that they belong to."""
    found: Buckets = {}

    def put(width: int, start: int, cell: Cell, sums: Packed) -> None:
        known = found.get((width, start, cell))
        found[width, start, cell] = known.plus(sums) if known else sums

    for minute, cell, sums in parts:
        put(MINUTE, minute, cell, sums)
    for (_, start, cell), sums in list(found.items()):  # wider cells from narrower ones: fewer sums than from samples
        for wider in wider_than(cell):
            put(MINUTE, start, wider, sums)
    for (_, start, cell), sums in list(found.items()):
        if cell[0] == "route":
            put(MINUTE, start, ALL, sums)
    for (_, start, cell), sums in list(found.items()):
        put(HOUR, start // HOUR * HOUR, cell, sums)
    return found


def changes(
    given: Iterable[tuple[Timed, Sequence[SecondOpinion], Sequence[SecondOpinion]]],
) -> tuple[Buckets, CallerBuckets]:
    """How new opinions change the sums; the opinions that they replace are taken away. `given` has, for each sample,
    the opinions that there were and the new ones."""
    parts: list[tuple[int, Cell, Packed]] = []
    labels: CallerBuckets = {}
    for entry, before, more in given:
        now = {(opinion.kind, opinion.name): opinion for opinion in (*before, *more)}
        sums = opined(entry, list(now.values()))
        merge(sums, opined(entry, before), -1)
        packed, minute = Packed.of(sums), int(entry.at // MINUTE) * MINUTE
        parts += [(minute, cell, packed) for cell in parts_of(entry)]
        _put(labels, minute, entry, PerCaller({entry.caller: OfCaller.labelled(sums)}))
    found = spread(parts)
    return found, {**of_callers(found), **labels}


def _put(found: CallerBuckets, minute: int, entry: Timed, labels: PerCaller) -> None:
    """Add a caller's labels to the buckets of all groups that the sample belongs to."""
    pair, language, _ = parts_of(entry)
    for group in (ALL, pair, *wider_than(pair), language):
        for bucket in ((MINUTE, minute, OF_CALLERS + group), (HOUR, minute // HOUR * HOUR, OF_CALLERS + group)):
            known = found.get(bucket)
            found[bucket] = known.plus(labels) if known else labels


def of_callers(more: Buckets) -> CallerBuckets:
    """The callers' cells of these sums, gathered into the buckets that hold all callers."""
    found: dict[Bucket, dict[str, Packed]] = {}
    for (width, start, cell), sums in more.items():
        if cell[0] == "caller":
            found.setdefault((width, start, OF_CALLERS), {})[cell[1]] = sums
    return {bucket: PerCaller.of(sums) for bucket, sums in found.items()}


def wider_buckets(changed: Iterable[Bucket]) -> set[Bucket]:
    """The wider buckets that contain these."""
    return {(wide, start // wide * wide, cell) for width, start, cell in changed for wide in ROLLED_INTO.get(width, ())}


def rolled_up(narrower: Sequence[tuple[int, Packed]]) -> Packed | None:
    """Buckets, given with their start in the order of time, as one; None where there are none."""
    if not narrower:
        return None
    sums = together(narrower)
    return Packed(sums.layout, sums.values, sums.opined, seen_in(narrower))


def together(some: Sequence[tuple[int, Packed]]) -> Packed:
    """The sum of these buckets."""
    return Packed.together([sums for _, sums in some])


def seen_in(some: Iterable[tuple[int, Packed]]) -> Seen:
    """The starts of the first and the last narrow bucket in which each detector was in use."""
    found: dict[str, tuple[int, int]] = {}
    for start, sums in some:
        for detector in sums.detectors():
            first, last = sums.seen.get(detector, (start, start))
            known = found.get(detector, (first, last))
            found[detector] = (min(first, known[0]), max(last, known[1]))
    return found


# --- from which buckets a stretch of time is read

Span = tuple[float, float]  # half open, in seconds
Read = Callable[[int, Sequence[Span]], Awaitable[list[tuple[int, _T]]]]


async def covering(read: Read[_T], width: int, since: float, until: float) -> list[tuple[int, _T]]:
    """Buckets that together cover [since, until) without overlap, in the order of time: of this width, or wider ones
    that are rolled up from it. `read` gives the buckets of a width that begin within some spans."""
    found: list[tuple[int, _T]] = []
    gaps: list[Span] = [(since, until)]
    for wide in (*ROLLED_INTO[width], width):
        whole = [span for gap in gaps if (span := _whole(gap, wide, width))]
        more = await read(wide, whole) if whole else []
        gaps = _left(gaps, [start for start, _ in more], wide)
        found += more
    return sorted(found, key=lambda bucket: bucket[0])


def _whole(gap: Span, wide: int, width: int) -> Span | None:
    """The range in which a wide bucket may begin so that it lies wholly in the gap; None where none can. A gap is a
    range of starts of narrow buckets, so the last of these may end after the gap."""
    first, end = -(-gap[0] // wide) * wide, gap[1] - wide + width
    return (first, end) if first < end else None


def _left(gaps: Sequence[Span], starts: Sequence[int], wide: int) -> list[Span]:
    found: list[Span] = []
    for since, until in gaps:
        for start in sorted(start for start in starts if since <= start < until):
            found.append((since, start))
            since = start + wide
        found.append((since, until))
    return [gap for gap in found if gap[0] < gap[1]]
