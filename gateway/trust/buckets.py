"""In which stretches of time a sample is added, and in which cells of each.

Samples are added by minute and by hour. What is complete is rolled up further, into stretches of ten minutes, of six
hours and of a day, so that a window is read from few buckets. Whatever is added late to a bucket takes away the wider
ones that hold it, in the same step; they are rolled up anew later, and what lacks meanwhile is read from the narrower
ones.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from gateway.trust.moments import ALL, EDGES, Cell, Weighed, merge, opined, parts_of, wider_than
from gateway.trust.packed import BLOCK, Column, Layout, Packed, Seen, layout_of
from gateway.trust.per_caller import OF_CALLERS, OfCaller, PerCaller
from gateway.trust.second_opinion import SecondOpinion

MINUTE, TEN_MINUTES, HOUR, SIX_HOURS, DAY = 60, 600, 3_600, 21_600, 86_400  # seconds
# Width of sums → seconds for which they are kept: enough for the longest window and the one before it.
SUMS_KEPT = {MINUTE: 3 * HOUR, TEN_MINUTES: 3 * HOUR, HOUR: 15 * DAY, SIX_HOURS: 15 * DAY, DAY: 15 * DAY}
# Width → that of the buckets that it is rolled up from.
ROLLED_UP: Mapping[int, int] = {TEN_MINUTES: MINUTE, SIX_HOURS: HOUR, DAY: HOUR}
# Width → the wider ones that are rolled up from it, widest first.
ROLLED_INTO: Mapping[int, tuple[int, ...]] = {
    width: tuple(sorted((wide for wide, narrow in ROLLED_UP.items() if narrow == width), reverse=True))
    for width in (MINUTE, HOUR)
}

_T = TypeVar("_T")
Bucket = tuple[int, int, Cell]  # width and start in seconds, and cell
Buckets = dict[Bucket, Packed]
CallerBuckets = dict[Bucket, PerCaller]

_CODES = BLOCK // 3  # of a column: each band, flagged or not
_THOUSANDTHS = 1000
# By thousandths of a score twice its band: EDGES are whole thousandths.
_TWICE_BAND = tuple(2 * bisect_right(EDGES, part / _THOUSANDTHS) for part in range(_THOUSANDTHS + 1))


class Timed(Weighed, Protocol):
    """A judged sample at its time, as `ledger.Entry` has it."""

    @property
    def at(self) -> float: ...
    @property
    def cohort(self) -> tuple[str, ...]: ...


_Sample = TypeVar("_Sample", bound=Timed)


class Columnar(NamedTuple, Generic[_Sample]):
    """A judged sample with its scores by column: to be taken apart once, for the sums and to be stored."""

    sample: _Sample
    columns: list[Column]
    scores: list[float]
    flags: list[bool]

    @classmethod
    def of(cls, sample: _Sample) -> "Columnar[_Sample]":
        scores = sample.scores
        columns = [(score.slug, score.direction, score.detector) for score in scores]
        return cls(sample, columns, [score.score for score in scores], [score.flagged for score in scores])


def buckets(samples: Iterable[Columnar[_Sample]]) -> Buckets:
    """The sums of these samples, by minute and by hour, for each of their cells."""
    counts = _Counts()
    for sample in samples:
        counts.add(sample)
    return spread(counts.packed())


class _Places(dict[Column, int]):
    """Where the codes of each column begin, in the order in which columns are met."""

    def __missing__(self, column: Column) -> int:
        place = self[column] = len(self) * _CODES
        return place


class _Counts:
    """Samples of equal weight are alike but for their scores: they are counted by column, band and flag, as one number,
    before anything is multiplied."""

    def __init__(self) -> None:
        self._places = _Places()
        self._alike: dict[tuple[Any, ...], tuple[Timed, list[int]]] = {}  # a sample of each kind, and all their codes

    def add(self, of: Columnar[_Sample]) -> None:
        sample = of.sample
        key = (sample.at // MINUTE, sample.probability, *sample.cohort)
        alike = self._alike.get(key)
        if alike is None:
            alike = self._alike[key] = (sample, [])
        alike[1].extend(self._codes(of))

    def _codes(self, of: Columnar[_Sample]) -> list[int]:
        places = self._places
        found = zip(of.columns, of.scores, of.flags, strict=True)
        try:
            return [places[column] + _TWICE_BAND[int(score * _THOUSANDTHS)] + flag for column, score, flag in found]
        except (ValueError, IndexError, OverflowError):  # a score that is none
            found = zip(of.columns, of.scores, of.flags, strict=True)
            return [places[column] + 2 * bisect_right(EDGES, score) + flag for column, score, flag in found]

    def packed(self) -> Iterable[tuple[int, Cell, Packed]]:
        """By minute and cell, one or several times each."""
        cells: dict[tuple[int, Cell, float], Counter[int]] = {}
        for entry, codes in self._alike.values():
            minute = int(entry.at // MINUTE) * MINUTE
            for cell in parts_of(entry):
                cells.setdefault((minute, cell, entry.probability), Counter()).update(codes)
        layout = layout_of(self._places)
        offsets = [layout.places[column] for column in self._places]
        for (minute, cell, probability), counted in cells.items():
            yield minute, cell, _weighted(counted, 1 / probability, layout, offsets)


def _weighted(counted: Mapping[int, int], weight: float, layout: Layout, offsets: Sequence[int]) -> Packed:
    """What `moments.add_judged` does sample by sample."""
    packed = Packed(layout)
    values, square = packed.values, weight * weight
    for code, n in counted.items():
        column, within = divmod(code, _CODES)
        band, flagged = divmod(within, 2)
        at = offsets[column] + 6 * band
        values[at] += n
        values[at + 1] += n * weight
        values[at + 2] += n * square
        if flagged:
            values[at + 3] += n * weight
            values[at + 4] += n * square
            values[at + 5] += n * square
    return packed


def spread(parts: Iterable[tuple[int, Cell, Packed]]) -> Buckets:
    """Sums by minute and narrowest cell, in all buckets that they belong in."""
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
    """What further opinions on samples change in the sums, with those that they replace taken away: of each sample the
    opinions before, and the further ones."""
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
    """In the buckets of the groups that the sample is of."""
    pair, language, _ = parts_of(entry)
    for group in (ALL, pair, *wider_than(pair), language):
        for bucket in ((MINUTE, minute, OF_CALLERS + group), (HOUR, minute // HOUR * HOUR, OF_CALLERS + group)):
            known = found.get(bucket)
            found[bucket] = known.plus(labels) if known else labels


def of_callers(more: Buckets) -> CallerBuckets:
    """What of these concerns each caller, in the buckets that hold all of them."""
    found: dict[Bucket, dict[str, Packed]] = {}
    for (width, start, cell), sums in more.items():
        if cell[0] == "caller":
            found.setdefault((width, start, OF_CALLERS), {})[cell[1]] = sums
    return {bucket: PerCaller.of(sums) for bucket, sums in found.items()}


def wider_buckets(changed: Iterable[Bucket]) -> set[Bucket]:
    """The rolled-up ones that hold these."""
    return {(wide, start // wide * wide, cell) for width, start, cell in changed for wide in ROLLED_INTO.get(width, ())}


def rolled_up(narrower: Sequence[tuple[int, Packed]]) -> Packed | None:
    """Buckets as one, by their start, in the order of time; None of none."""
    if not narrower:
        return None
    sums = together(narrower)
    return Packed(sums.layout, sums.values, sums.opined, seen_in(narrower))


def together(some: Sequence[tuple[int, Packed]]) -> Packed:
    """Their sum."""
    return Packed.together([sums for _, sums in some])


def seen_in(some: Iterable[tuple[int, Packed]]) -> Seen:
    """When each detector was in use, by the narrowest buckets."""
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
    """Buckets of this width or rolled up from it that begin within [since, until), in the order of time; none lies in
    two. `read` gives those of a width that begin within some spans."""
    found: list[tuple[int, _T]] = []
    gaps: list[Span] = [(since, until)]
    for wide in (*ROLLED_INTO[width], width):
        whole = [span for gap in gaps if (span := _whole(gap, wide, width))]
        more = await read(wide, whole) if whole else []
        gaps = _left(gaps, [start for start, _ in more], wide)
        found += more
    return sorted(found, key=lambda bucket: bucket[0])


def _whole(gap: Span, wide: int, width: int) -> Span | None:
    """Where buckets may begin that lie in a gap from end to end: narrow ones may begin at its very end."""
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
