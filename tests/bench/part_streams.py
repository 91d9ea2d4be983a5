"""Many streams at once: the gateway beside the model server alone.

Up to 512 of them have 64 deltas, one every 20 ms: as many events a second as one core of load can send, receive and
time. More streams have half as many events a second in all, in fewer rounds: 2,048 have 16 deltas, one every 160 ms.
"""

import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

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


def shape(count: int) -> tuple[int, int]:
    """Deltas of a stream and milliseconds between them, where there are `count` at once."""
    if count <= _MOST_EVEN:
        return DELTAS, GAP_MS
    times = round(count / _MOST_EVEN)
    return max(2, DELTAS // times), 2 * GAP_MS * times


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
            taken = _rounds((upstream, proxy, server), count, most)
            deltas, gap_ms = shape(count)
            streams = f"{count:,} streams of {deltas} deltas, {gap_ms} ms"
            if 2 * len(taken) < most:
                table.note(f"{streams}: no figure, the load alone was late in most rounds; is the machine busy?")
                continue
            pairs = [(first, through) for first, _, through in taken]
            _row(table, f"{streams}: added gap / first, p99 ms", pairs, has_goal=count in _GOAL_STREAMS)
            alone = statistics.median(first.gap_p99 for first, _, _ in taken)
            pairs = [(first, through) for first, through, _ in taken]
            _row(table, f"  through nginx (without either: gap p99 {alone:.1f} ms)", pairs, has_goal=False)


def _rounds(servers: Sequence[Server], count: int, rounds: int) -> list[list[Streams]]:
    """What each server did, the model server alone first; a round in which it alone is late does not count."""
    taken: list[list[Streams]] = []
    for number in range(2 * rounds):
        progress(f"{count} streams: round {number + 1}, {len(taken)} of {rounds} count")
        alone = _load(servers[0], count)
        if alone.gap_p99 <= shape(count)[1] + _LATE_MS and alone.whole == alone.asked:
            taken.append([alone, *(_load(server, count) for server in servers[1:])])
        if len(taken) == rounds:
            break
    return taken


def _load(server: Server, count: int) -> Streams:
    return measure(server.port, KEY, count, *shape(count))


def _row(table: Table, what: str, pairs: Sequence[tuple[Streams, Streams]], *, has_goal: bool) -> None:
    gap = statistics.median(through.gap_p99 - alone.gap_p99 for alone, through in pairs)
    first = statistics.median(through.first_p99 - alone.first_p99 for alone, through in pairs)
    whole = sum(through.whole for _, through in pairs)
    asked = sum(through.asked for _, through in pairs)
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
