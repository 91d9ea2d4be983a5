"""Short requests: throughput and added latency beside nginx, in three modes; everything sampled and overloaded."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.bench.load import BODY, VARIED, Windows, Wrk, ask, interleaved, p50, p99, rate, target
from tests.bench.servers import (
    LOAD,
    TESTED,
    Server,
    gateway,
    metric,
    move_detectors,
    nginx_proxy,
    running,
    spare_detectors,
    static_upstream,
)
from tests.bench.table import Table, progress

_QUEUE_MIB = 64  # the default of `queue_bytes`, which bounds what waits
_WARM_SECONDS = 60.0
MODES = {
    "guards off": {"detectors": "false"},
    "1 % sampled": {"sample_rate": "0.01"},
    "enforcing": {"policy": "default", "sample_rate": "0.01"},
}


def bench_plain(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Throughput at c=64, added latency at c=1 and c=10, beside nginx; guards off, sampled, enforcing.

    What is sampled is judged and observed out of the load's way, so that the figure is that of recording;
    `bench_overload` is about judging. All but `enforcing` send the same body again and again.
    """
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        targets = {"nginx": target(stack.enter_context(running(nginx_proxy(folder, TESTED, static.port))))}
        for name, settings in MODES.items():
            server = gateway(TESTED, static.port, folder / f"{name}.log", **settings)
            stack.enter_context(running(server, "/readyz"))
            targets[name] = target(server, VARIED if name == "enforcing" else BODY)
            if name != "guards off":
                warm_up(server, requests=100)
            (move_detectors if name == "enforcing" else spare_detectors)(server)
        wrk = Wrk(folder, LOAD)
        _throughput(table, interleaved(wrk, table, targets, 64, seconds, rounds, "c=64"))
        for connections in (1, 10):
            shots = interleaved(wrk, table, targets, connections, seconds, rounds, f"c={connections}")
            _latency(table, shots, connections)


def _throughput(table: Table, windows: Windows) -> None:
    share = windows.ratio("guards off", "nginx", rate)
    table.row("nginx proxy_pass, c=64, req/s", f"{windows['nginx'].rate:,.0f}", "1")
    table.row(
        "guards off, c=64, req/s",
        f"{windows['guards off'].rate:,.0f}",
        f"{share:.3f} nginx",
        ">= 0.30 nginx",
        share >= 0.30,
    )
    for name, goal in (("1 % sampled", ">= 0.97; p99 <= 1.2"), ("enforcing", "")):
        kept, slower = windows.ratio(name, "guards off", rate), windows.ratio(name, "guards off", p99)
        table.row(
            f"{name}, c=64, req/s (to guards off)",
            f"{windows[name].rate:,.0f}",
            f"{kept:.2f}; p99 {slower:.2f}",
            goal,
            (kept >= 0.97 and slower <= 1.2) if goal else None,
        )


def _latency(table: Table, windows: Windows, connections: int) -> None:
    for name in MODES:
        median, tail = windows.added(name, "nginx", p50), windows.added(name, "nginx", p99)
        has_goal = connections == 1 and name == "guards off"
        table.row(
            f"{name}, c={connections}, p50 / p99 added to nginx, ms",
            f"{median:.2f} / {tail:.2f}",
            f"{windows.ratio(name, 'nginx', p50):.1f} x",
            "<= 0.15 / 0.6 ms" if has_goal else "",
            (median <= 0.15 and tail <= 0.6) if has_goal else None,
        )


class _Round(NamedTuple):
    """What one gateway with everything sampled did: MiB of all its processes, samples judged and dropped."""

    idle: float
    after: float
    judged: float
    dropped: float


def bench_overload(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Everything sampled, far more than can be judged: traffic must not notice; drops are counted.

    Each round has a gateway of its own. What still waits to be judged at its end would take minutes, and would slow the
    next round down, because the detectors share the load's core; it goes with that gateway.
    """
    windows = Windows(("bare", "full"))
    seen: list[_Round] = []
    failed = 0
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        bare = stack.enter_context(running(gateway(TESTED, static.port, detectors="false"), "/readyz"))
        wrk = Wrk(folder, LOAD)
        for number in range(rounds):
            progress(f"all sampled: round {number + 1} of {rounds}")
            with running(gateway(TESTED, static.port, folder / "full.log", sample_rate="1"), "/readyz") as full:
                move_detectors(full)
                warm_up(full)
                move_detectors(full)  # the process of the monitors, which the first sample started
                idle = full.rss_mib()
                for name, server in (("bare", bare), ("full", full)):
                    shot = wrk.shoot(target(server, VARIED), 64, seconds)
                    failed += shot.failed
                    windows.add(name, shot)
                fates = [metric(full, f'assay_samples_total{{fate="{fate}"') for fate in ("judged", "dropped")]
                seen.append(_Round(idle, full.rss_mib(), *fates))
    _overload_rows(table, windows, failed, seen)


def warm_up(server: Server, requests: int = 1) -> None:
    """Until a sample was judged, so that all of its processes are there; so many requests at a time."""
    deadline = time.monotonic() + _WARM_SECONDS
    while metric(server, 'assay_process_resident_memory_bytes{process="monitors"}') < 1:
        assert time.monotonic() < deadline, "the detectors judged nothing"
        for _ in range(requests):
            ask(target(server, VARIED))
        time.sleep(0.1)


def _overload_rows(table: Table, windows: Windows, failed: int, seen: Sequence[_Round]) -> None:
    kept, slower = windows.ratio("full", "bare", rate), windows.ratio("full", "bare", p99)
    table.row(
        "100 % sampled, c=64 (to guards off): rate; p99",
        f"{failed} failed",
        f"{kept:.2f}; p99 {slower:.2f}",
        "p99 <= 1.5; 0 failed",
        slower <= 1.5 and failed == 0,
    )
    judged, dropped = (sum(getattr(each, fate) for each in seen) for fate in ("judged", "dropped"))
    table.row("  samples judged / dropped (counted), the rest waited", f"{judged:,.0f} / {dropped:,.0f}")
    most = max(seen, key=lambda each: each.after - each.idle)
    table.row(
        "  memory of all processes before / after it, MiB",
        f"{most.idle:.0f} / {most.after:.0f}",
        "",
        f"<= {_QUEUE_MIB} more (queue)",
        most.after <= most.idle + _QUEUE_MIB,
    )
