"""Many streams at once: the gateway beside the model server alone.

Up to 512 of them have 64 deltas, one every 20 ms: as many events a second as one core of load can send, receive and
time. More streams have half as many events a second in all, in fewer rounds: 2,048 have 16 deltas, one every 160 ms.
Where the load alone cannot keep that pace, it is halved, and halved again, and the row says which one it was.
"""

import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.serving.descriptors import raise_limit
from tests.bench.servers import KEY, LOAD, TESTED, Server, gateway, model_server, nginx_proxy, running
from tests.bench.streams import Streams, measure
from tests.bench.table import Table, progress

DELTAS, GAP_MS = 64, 20
# The model server alone must keep time, or the figures would be the load's own. Its wheel turns once a millisecond.
_LATE_MS = 2.0
_GOAL_STREAMS, _GOAL_GAP_MS, _GOAL_FIRST_MS = (512, 2048), 5.0, 10.0
_MOST_EVEN = 512  # streams of that shape
_ROUNDS_OF_MORE = 3
_PACES = 3
_FEWEST_DELTAS = 6


class Shape(NamedTuple):
    """Deltas of a stream, and milliseconds between them."""

    deltas: int
    gap_ms: int


class Taken(NamedTuple):
    """What one server did in a round, and the processor's time that it took."""

    streams: Streams
    cpu_seconds: float


def shape(count: int) -> Shape:
    """Of `count` streams at once."""
    if count <= _MOST_EVEN:
        return Shape(DELTAS, GAP_MS)
    times = round(count / _MOST_EVEN)
    return Shape(max(2, DELTAS // times), 2 * GAP_MS * times)


def paces(count: int) -> list[Shape]:
    """What is tried, the fastest first."""
    deltas, gap_ms = shape(count)
    return [Shape(max(_FEWEST_DELTAS, deltas >> slower), gap_ms << slower) for slower in range(_PACES)]


def bench_streams(table: Table, folder: Path, counts: Iterable[int], rounds: int) -> None:
    """For each count: all events byte for byte, gap and time to the first event added at p99; medians. nginx shows what
    a proxy adds on this machine that does nothing but pass bytes on."""
    settings = {"detectors": "false", "max_connections": "4096"}
    raise_limit()
    with ExitStack() as stack:
        stack.enter_context(on_the_load_core())
        upstream = stack.enter_context(running(model_server(LOAD)))
        proxy = stack.enter_context(running(nginx_proxy(folder, TESTED, upstream.port, streams=True)))
        server = gateway(TESTED, upstream.port, folder / "streams.log", **settings)
        stack.enter_context(running(server, "/readyz"))
        for count in counts:
            most = rounds if count <= _MOST_EVEN else min(rounds, _ROUNDS_OF_MORE)
            _count(table, (upstream, proxy, server), count, most)


def _count(table: Table, servers: Sequence[Server], count: int, rounds: int) -> None:
    """The rows of so many streams, at the fastest pace that the load alone keeps. Where it keeps none, nothing is said
    of what is added; how many come whole, and what an event costs, does not depend on the load's clock."""
    for pace in paces(count):
        taken, late = _rounds(servers, count, pace, rounds)
        streams = f"{count:,} streams of {pace.deltas} deltas, {pace.gap_ms} ms"
        if 2 * len(taken) >= rounds:
            _rows(table, streams, taken, count)
            return
        by = statistics.median(each.streams.gap_p99 for each in late) - pace.gap_ms
        table.note(f"{streams}: nothing can be said of gaps, the load alone was late by {by:.1f} ms at p99")
    nginx, ours = (_load(server, count, pace) for server in servers[1:])
    table.row(f"{streams}: whole", f"{ours.streams.whole:,} of {ours.streams.asked:,}")
    _cost(table, [ours], [nginx])


def _rounds(servers: Sequence[Server], count: int, pace: Shape, rounds: int) -> tuple[list[list[Taken]], list[Taken]]:
    """What each server did, the model server alone first; and what that did in the rounds that do not count, because it
    alone was late. When these are more than the others no more are taken."""
    taken: list[list[Taken]] = []
    late: list[Taken] = []
    while len(taken) < rounds and len(late) <= max(1, len(taken)):
        progress(f"{count} streams every {pace.gap_ms} ms: {len(taken)} of {rounds} rounds, {len(late)} do not count")
        alone = _load(servers[0], count, pace)
        if alone.streams.gap_p99 <= pace.gap_ms + _LATE_MS and alone.streams.whole == alone.streams.asked:
            taken.append([alone, *(_load(server, count, pace) for server in servers[1:])])
        else:
            late.append(alone)
    return taken, late


def _load(server: Server, count: int, pace: Shape) -> Taken:
    before = server.cpu_seconds()
    streams = measure(server.port, KEY, count, *pace)
    return Taken(streams, server.cpu_seconds() - before)


def _rows(table: Table, streams: str, taken: Sequence[Sequence[Taken]], count: int) -> None:
    alone, nginx, ours = zip(*taken, strict=True)
    _row(table, f"{streams}: added gap / first, p99 ms", alone, ours, has_goal=count in _GOAL_STREAMS)
    gap = statistics.median(each.streams.gap_p99 for each in alone)
    _row(table, f"  through nginx (without either: gap p99 {gap:.1f} ms)", alone, nginx, has_goal=False)
    _cost(table, ours, nginx)


def _cost(table: Table, ours: Sequence[Taken], nginx: Sequence[Taken]) -> None:
    spent = [statistics.median(1e6 * each.cpu_seconds / each.streams.events for each in of) for of in (ours, nginx)]
    table.row("  processor's time an event, \u00b5s; nginx's", f"{spent[0]:.0f} / {spent[1]:.0f}")


def _row(table: Table, what: str, alone: Sequence[Taken], through: Sequence[Taken], *, has_goal: bool) -> None:
    pairs = [(one.streams, other.streams) for one, other in zip(alone, through, strict=True)]
    gap = statistics.median(other.gap_p99 - one.gap_p99 for one, other in pairs)
    first = statistics.median(other.first_p99 - one.first_p99 for one, other in pairs)
    whole = sum(other.whole for _, other in pairs)
    asked = sum(other.asked for _, other in pairs)
    table.row(
        what,
        f"{gap:+.1f} / {first:+.1f}",
        f"{whole:,} of {asked:,}",
        "<= 5 / 10 ms, all whole" if has_goal else "",
        (gap <= _GOAL_GAP_MS and first <= _GOAL_FIRST_MS and whole == asked) if has_goal else None,
    )


@contextmanager
def on_the_load_core() -> Iterator[None]:
    """This process is the load here: it must not touch the core of what is tested."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(LOAD)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
