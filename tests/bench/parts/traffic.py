"""Short requests: throughput and added latency beside nginx, in three modes; everything sampled and overloaded."""

import math
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.bench.load import BODY, VARIED, Windows, Wrk, ask, interleaved, p50, p99, rate, say_failed, target
from tests.bench.servers import (
    LOAD,
    TESTED,
    Server,
    gateway,
    metric,
    move_detectors,
    nginx_proxy,
    paused_detectors,
    running,
    spare_detectors,
    static_upstream,
)
from tests.bench.table import Table, progress

_QUEUE_MIB = 64  # the default of `queue_bytes`, which bounds what waits
_WARM_SECONDS = 60.0
_RECORDING_SECONDS = 1.0
_IDLE_SECONDS = 3.0
_IDLE = 0.02  # seconds of the processor's time in .3 s, of processes that have nothing to judge
MODES = {
    "guards off": {"detectors": "false"},
    "1 % sampled": {"sample_rate": "0.01"},
    "enforcing": {"policy": "default", "sample_rate": "0.01"},
}


def bench_plain(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Throughput at c=64, added latency at c=1 and c=10, beside nginx; guards off, sampled, enforcing.

    `bench_overload` is about judging. All but `enforcing` send the same body again and again.
    """
    servers: dict[str, Server] = {}
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        targets = {"nginx": target(stack.enter_context(running(nginx_proxy(folder, TESTED, static.port))))}
        for name, settings in MODES.items():
            server = gateway(TESTED, static.port, folder / f"{name}.log", **settings)
            stack.enter_context(running(server, "/readyz"))
            servers[name] = server
            targets[name] = target(server, VARIED if name == "enforcing" else BODY)
            if name != "guards off":
                warm_up(server, requests=100)
            (move_detectors if name == "enforcing" else spare_detectors)(server)
        wrk = Wrk(folder, LOAD)
        judging_nothing = {name: aim for name, aim in targets.items() if name != "1 % sampled"}
        _throughput(table, interleaved(wrk, table, judging_nothing, 64, seconds, rounds, "c=64"))
        _recording(table, wrk, servers["guards off"], servers["1 % sampled"], rounds)
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
    kept, slower = windows.ratio("enforcing", "guards off", rate), windows.ratio("enforcing", "guards off", p99)
    table.row(
        "enforcing, c=64, req/s (to guards off)", f"{windows['enforcing'].rate:,.0f}", f"{kept:.2f}; p99 {slower:.2f}"
    )


def _recording(table: Table, wrk: Wrk, off: Server, sampled: Server, rounds: int) -> None:
    """What a request costs the gateway's process when 1 % of them are recorded, beside what it costs with guards off.

    Two cores share much of a processor, so detectors at work on one slow the other down, whatever the gateway does. So
    they stand still while there is load, in windows of a second in turn. What was recorded is judged afterwards, and
    the work that the gateway has with the findings counts as that of the requests; what it does all the time, whether
    there are requests or not, does not.
    """
    idle = {"off": _idle_share(off), "sampled": _idle_share(sampled)}
    windows = Windows(("off", "sampled"))
    shares, costs = [], []
    for number in range(rounds):
        progress(f"recording: round {number + 1} of {rounds}")
        spent = {}
        for name, server in (("off", off), ("sampled", sampled))[:: 1 if number % 2 else -1]:
            before = server.own_cpu_seconds()
            began = time.monotonic()
            with paused_detectors(server):
                shot = wrk.shoot(target(server), 64, _RECORDING_SECONDS)
            _drain(server)
            windows.add(name, shot)
            say_failed(table, "recording", name, shot)
            besides = idle[name] * (time.monotonic() - began)
            spent[name] = (server.own_cpu_seconds() - before - besides) / (shot.rate * _RECORDING_SECONDS)
        shares.append(spent["off"] / spent["sampled"])
        costs.append(spent["sampled"])
    kept, slower = statistics.median(shares), windows.ratio("sampled", "off", p99)
    table.row(
        "1 % sampled, c=64, processor's time a request, µs (guards off's to it)",
        f"{statistics.median(costs) * 1e6:.0f}",
        f"{kept:.2f}; p99 {slower:.2f}",
        ">= 0.97; p99 <= 1.2",
        kept >= 0.97 and slower <= 1.2,
    )


def _idle_share(server: Server) -> float:
    """The part of a core that the gateway's process takes when nothing happens."""
    before, began = server.own_cpu_seconds(), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    return (server.own_cpu_seconds() - before) / (time.monotonic() - began)


def _drain(server: Server) -> None:
    """Until the processes beside the gateway's own have nothing to do."""
    before, now = -math.inf, 0.0
    while now - before > _IDLE:
        time.sleep(0.3)
        before, now = now, server.cpu_seconds() - server.own_cpu_seconds()


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
