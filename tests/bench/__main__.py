"""`make bench`: one table from one run. Every figure is a ratio to something measured in the same run.

The thing under test has core 0 for itself; load and upstream share core 1. Targets are interleaved round by round and
medians are printed; a window with a failed request does not count. Absolute figures are this machine's, this hour's.
"""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.load import Shot, Streams, Wrk, stream
from tests.bench.servers import KEY, Server, demo_upstream, free_port, gateway, nginx_proxy, running, static_upstream

TESTED, LOAD = "0", "1"
_ROW = "| {:<58} | {:>14} | {:>14} | {:<22} |"


def out(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    if sys.stderr.isatty() or os.environ.get("CI") is None:
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


class Table:
    """Rows of what, figure, ratio or goal; printed as they come."""

    def __init__(self) -> None:
        progress("")
        out(_ROW.format("what", "measured", "ratio", "goal"))
        out(_ROW.format("-" * 58, "-" * 14, "-" * 14, "-" * 22))

    def row(self, what: str, measured: str, ratio: str = "", goal: str = "") -> None:
        progress("")
        out(_ROW.format(what, measured, ratio, goal))


def interleaved(
    wrk: Wrk, targets: dict[str, Server], connections: int, seconds: float, rounds: int, what: str
) -> dict[str, Shot]:
    """Medians over the rounds, each round loading every target once; windows with failures are dropped and said."""
    shots: dict[str, list[Shot]] = {name: [] for name in targets}
    for number in range(rounds + 1):
        for name, server in targets.items():
            progress(f"{what}: round {number} of {rounds}, {name}")
            shot = wrk.shoot(server.url, connections, seconds if number else 1.0)
            if number and shot.failed:
                out(f"  {name}: {shot.failed} failed requests, the window does not count")
            elif number:  # round 0 warms up
                shots[name].append(shot)
    return {name: _median(taken) for name, taken in shots.items() if taken}


def _median(shots: Iterable[Shot]) -> Shot:
    taken = list(shots)
    return Shot(
        statistics.median(shot.rate for shot in taken),
        statistics.median(shot.p50 for shot in taken),
        statistics.median(shot.p99 for shot in taken),
        0,
    )


def bench_plain(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Throughput at c=64, added latency at c=1 and c=10, beside nginx; guards off, sampled, enforcing."""
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        targets = {"nginx": stack.enter_context(running(nginx_proxy(folder, TESTED, static.port)))}
        modes = {
            "guards off": {"detectors": "false"},
            "1 % sampled": {"sample_rate": "0.01"},
            "enforcing": {"policy": "default", "sample_rate": "0.01"},
        }
        for name, settings in modes.items():
            server = gateway(TESTED, static.port, folder / f"{name}.log", **settings)
            targets[name] = stack.enter_context(running(server, "/readyz"))
            for child in _children(server.pid):  # the detector process runs beside the load, on the other core
                os.sched_setaffinity(child, {int(LOAD)})
        wrk = Wrk(folder, KEY, LOAD)
        many = interleaved(wrk, targets, 64, seconds, rounds, "c=64")
        nginx, bare = many["nginx"], many["guards off"]
        table.row("nginx proxy_pass, c=64, req/s", f"{nginx.rate:,.0f}", "1")
        table.row(
            "guards off, c=64, req/s", f"{bare.rate:,.0f}", f"{bare.rate / nginx.rate:.3f} nginx", ">= 0.25 nginx"
        )
        goals = {"1 % sampled": ">= 0.95; p99 <= 1.2", "enforcing": ""}
        for name, goal in goals.items():
            shot = many[name]
            ratio = f"{shot.rate / bare.rate:.2f}; p99 {shot.p99 / bare.p99:.2f}"
            table.row(f"{name}, c=64, req/s (to guards off)", f"{shot.rate:,.0f}", ratio, goal)
        for connections, goal in ((1, "<= 0.15 / 0.6 ms"), (10, "")):
            few = interleaved(wrk, targets, connections, seconds, rounds, f"c={connections}")
            floor = few["nginx"]
            for name in ("guards off", "1 % sampled", "enforcing"):
                shot = few[name]
                table.row(
                    f"{name}, c={connections}, p50 / p99 added to nginx, ms",
                    f"{shot.p50 - floor.p50:.2f} / {shot.p99 - floor.p99:.2f}",
                    f"{shot.p50 / floor.p50:.1f} x",
                    goal if name == "guards off" else "",
                )


def bench_overload(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Everything sampled, far more than can be judged: traffic must not notice; drops are counted."""
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        bare = stack.enter_context(running(gateway(TESTED, static.port, detectors="false"), "/readyz"))
        full = stack.enter_context(
            running(gateway(TESTED, static.port, folder / "full.log", sample_rate="1"), "/readyz")
        )
        for child in _children(full.pid):
            os.sched_setaffinity(child, {int(LOAD)})
        wrk = Wrk(folder, KEY, LOAD)
        pairs: list[tuple[Shot, Shot]] = []
        for number in range(rounds):
            progress(f"all sampled: round {number + 1} of {rounds}")
            pairs.append((wrk.shoot(bare.url, 64, seconds), wrk.shoot(full.url, 64, seconds)))
            while _metric(full, "assay_sample_queue_items") > 0:  # what waits would slow the next round's load down
                time.sleep(0.2)
        rate = statistics.median(after.rate / before.rate for before, after in pairs)
        p99 = statistics.median(after.p99 / before.p99 for before, after in pairs)
        failed = sum(shot.failed for pair in pairs for shot in pair)
        table.row(
            "100 % sampled, c=64 (to guards off): rate; p99",
            f"{failed} failed",
            f"{rate:.2f}; p99 {p99:.2f}",
            "p99 <= 1.5",
        )
        judged, dropped = (_metric(full, f'assay_samples_total{{fate="{fate}"') for fate in ("judged", "dropped"))
        table.row("  samples judged / dropped (counted)", f"{judged:,.0f} / {dropped:,.0f}")
        table.row("  memory of all processes after it, MiB", f"{full.rss_mib():.0f}", "", "bounded by queue_bytes")


def _metric(server: Server, name: str) -> float:
    """The sum of the series whose line begins with `name`."""
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def bench_streams(table: Table, folder: Path, counts: Iterable[int]) -> None:
    """Streams of 64 deltas 20 ms apart: the gateway beside the upstream alone."""
    with running(demo_upstream(LOAD)) as upstream:
        settings = {"detectors": "false", "max_connections": "4096"}
        with running(gateway(TESTED, upstream.port, folder / "streams.log", **settings), "/readyz") as server:
            for count in counts:
                progress(f"{count} streams, direct")
                direct = _streams(upstream.port, count)
                progress(f"{count} streams, through the gateway")
                through = _streams(server.port, count)
                added = f"{through.gap_p99 - direct.gap_p99:+.1f} / {through.first_p99 - direct.first_p99:+.1f}"
                whole = f"{through.complete} of {through.asked}"
                table.row(f"{count} streams: added p99 gap / first frame, ms", added, whole, "<= 5 / 10 ms, all whole")


def _streams(port: int, count: int) -> Streams:
    return asyncio.run(stream(port, KEY, count, 64, 20))


def bench_process(table: Table, folder: Path, rounds: int) -> None:
    """Cold start, memory at rest, after a burst."""
    with running(static_upstream(folder, LOAD)) as static:
        for name, goal, settings in (
            ("without detectors", "<= 90 MB", {"detectors": "false"}),
            ("with detectors", "<= 220 MB", {}),
        ):
            starts = []
            for number in range(rounds):
                progress(f"cold start {name}, {number + 1} of {rounds}")
                server = gateway(TESTED + "," + LOAD, static.port, folder / "cold.log", **settings)
                try:
                    starts.append(server.wait("/readyz"))
                    if number == rounds - 1:
                        _memory(table, folder, server, name, goal)
                finally:
                    server.stop()
            table.row(f"cold start {name}, s", f"{statistics.median(starts):.2f}", "", "<= 1.5 s")


def _memory(table: Table, folder: Path, server: Server, name: str, goal: str) -> None:
    wrk = Wrk(folder, KEY, LOAD)
    wrk.shoot(server.url, 1, 4)
    idle = server.rss_mib()
    wrk.shoot(server.url, 256, 5)
    wrk.shoot(server.url, 1, 3)
    after = server.rss_mib()
    table.row(f"memory {name}, all processes, MiB", f"{idle:.0f}", "", goal)
    table.row("  after a burst of 256 connections, MiB", f"{after:.0f}", f"{after / idle:.2f}", "<= 1.10")


def bench_growth(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """10,000 keys and routes beside one; big bodies and long conversations."""
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        big = folder / "big.yaml"
        routes = "\n".join(f"  r{n}: {{models: ['model-{n}', 'family-{n}-*'], upstreams: [u]}}" for n in range(10_000))
        keys = "\n".join(f"  - {{name: k{n}, key: sk-bench-filler-{n:06d}}}" for n in range(9_999))
        big.write_text(
            f"upstreams:\n  u: {{url: 'http://127.0.0.1:{static.port}/v1'}}\nroutes:\n{routes}\n"
            f"  last: {{models: ['*'], upstreams: [u]}}\nkeys:\n{keys}\n  - {{name: bench, key: {KEY}}}\n"
        )
        few = stack.enter_context(running(gateway(TESTED, static.port, detectors="false"), "/readyz"))
        many = _from_file(big, folder)
        targets = {"one": few, "10,000": stack.enter_context(running(many, "/readyz"))}
        shots = interleaved(Wrk(folder, KEY, LOAD), targets, 64, seconds, rounds, "growth")
        ratio = shots["10,000"].rate / shots["one"].rate
        table.row(
            "10,000 keys and routes, c=64 (to one of each)",
            f"{shots['10,000'].rate:,.0f}",
            f"{ratio:.2f}",
            "0.95 … 1.05",
        )
        _bodies(table, folder, few, seconds)


def _from_file(file: Path, folder: Path) -> Server:
    port = free_port()
    env = {"ASSAY_CONFIG": str(file), "ASSAY_DETECTORS": "false", "ASSAY_PORT": str(port)}
    return Server([sys.executable, "-m", "gateway", "serve"], TESTED, port, env, folder / "growth.log")


def _bodies(table: Table, folder: Path, server: Server, seconds: float) -> None:
    """Time per request against the size of its body."""

    def body(size: int, turns: int) -> str:
        text = "word " * (size // (5 * turns))
        messages = ",".join(
            f'{{"role":"{("user", "assistant")[turn % 2]}","content":"{text}"}}' for turn in range(turns)
        )
        return f'{{"model":"demo-small","messages":[{messages}]}}'

    def measure(text: str) -> float:
        return Wrk(folder, KEY, LOAD, text).shoot(server.url, 1, seconds).p50

    small, large = measure(body(1_000_000, 1)), measure(body(10_000_000, 1))
    table.row("10 MB body beside 1 MB, p50 ms", f"{large:.1f} / {small:.1f}", f"{large / small:.1f}", "about 10")
    one, turns = measure(body(100_000, 1)), measure(body(100_000, 200))
    table.row(
        "200 turns beside one of the same bytes, p50 ms", f"{turns:.2f} / {one:.2f}", f"{turns / one:.2f}", "about 1"
    )


def bench_workers(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Two workers on two cores, with the load on both, beside one worker under the same contention."""
    both = f"{TESTED},{LOAD}"
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, both)))
        targets = {
            str(workers): stack.enter_context(
                running(
                    gateway(both, static.port, folder / "workers.log", detectors="false", workers=str(workers)),
                    "/readyz",
                )
            )
            for workers in (1, 2)
        }
        shots = interleaved(Wrk(folder, KEY, both), targets, 64, seconds, rounds, "workers")
        ratio = shots["2"].rate / shots["1"].rate
        table.row(
            "--workers 2 on two cores (to one worker), c=64, req/s", f"{shots['2'].rate:,.0f}", f"{ratio:.2f}", ">= 1.7"
        )


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window (4)")
    parser.add_argument("--rounds", type=int, default=5, help="windows a target (5)")
    parser.add_argument(
        "--only", default="plain,overload,streams,process,growth,workers", help="parts, comma-separated"
    )
    parser.add_argument("--streams", default="64,512", help="how many streams at once")
    chosen = parser.parse_args()
    parts = chosen.only.split(",")
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {chosen.rounds} rounds"
    out(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}")
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # nginx's worker drops its rights
        table = Table()
        if "plain" in parts:
            bench_plain(table, folder, chosen.seconds, chosen.rounds)
        if "overload" in parts:
            bench_overload(table, folder, chosen.seconds, chosen.rounds)
        if "streams" in parts:
            bench_streams(table, folder, [int(count) for count in chosen.streams.split(",")])
        if "process" in parts:
            bench_process(table, folder, chosen.rounds)
        if "growth" in parts:
            bench_growth(table, folder, chosen.seconds, chosen.rounds)
        if "workers" in parts:
            bench_workers(table, folder, chosen.seconds, chosen.rounds)


if __name__ == "__main__":
    main()
