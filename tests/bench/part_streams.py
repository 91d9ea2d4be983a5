"""Streams of 64 deltas 20 ms apart: the gateway beside the model server alone."""

import os
import statistics
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.servers import KEY, LOAD, TESTED, Server, gateway, model_server, running
from tests.bench.streams import Streams, measure
from tests.bench.table import Table, progress

DELTAS, GAP_MS = 64, 20
# The model server alone must keep time, or the figures would be the load's own. Its wheel turns once a millisecond.
_LATE_MS = 2.0
_GOAL_STREAMS, _GOAL_GAP_MS, _GOAL_FIRST_MS = 512, 5.0, 10.0


def bench_streams(table: Table, folder: Path, counts: Iterable[int], rounds: int) -> None:
    """For each count: all events byte for byte, gap and time to the first event added at p99; medians."""
    settings = {"detectors": "false", "max_connections": "4096"}
    with ExitStack() as stack:
        stack.enter_context(on_the_load_core())
        upstream = stack.enter_context(running(model_server(LOAD)))
        server = gateway(TESTED, upstream.port, folder / "streams.log", **settings)
        stack.enter_context(running(server, "/readyz"))
        for count in counts:
            _row(table, count, _rounds(upstream, server, count, rounds), rounds)


def _rounds(upstream: Server, server: Server, count: int, rounds: int) -> list[tuple[Streams, Streams]]:
    """Pairs of the model server alone and through the gateway; a round in which it alone is late does not count."""
    pairs: list[tuple[Streams, Streams]] = []
    for number in range(2 * rounds):
        progress(f"{count} streams: round {number + 1}, {len(pairs)} of {rounds} count")
        alone = _load(upstream, count)
        if alone.gap_p99 <= GAP_MS + _LATE_MS and alone.whole == alone.asked:
            pairs.append((alone, _load(server, count)))
        if len(pairs) == rounds:
            break
    return pairs


def _load(server: Server, count: int) -> Streams:
    return measure(server.port, KEY, count, DELTAS, GAP_MS)


def _row(table: Table, count: int, pairs: list[tuple[Streams, Streams]], rounds: int) -> None:
    if 2 * len(pairs) < rounds:
        table.note(f"{count} streams: no figure, the load alone was late in most rounds; is the machine busy?")
        return
    alone = statistics.median(alone.gap_p99 for alone, _ in pairs)
    gap = statistics.median(through.gap_p99 - alone.gap_p99 for alone, through in pairs)
    first = statistics.median(through.first_p99 - alone.first_p99 for alone, through in pairs)
    whole = sum(through.whole for _, through in pairs)
    asked = sum(through.asked for _, through in pairs)
    has_goal = count == _GOAL_STREAMS
    table.row(
        f"{count} streams (alone: gap p99 {alone:.1f} ms), added gap / first p99, ms",
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
