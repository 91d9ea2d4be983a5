"""The process itself: cold start, memory at rest, after a burst."""

import statistics
from pathlib import Path

from tests.bench.load import Wrk, target
from tests.bench.servers import BOTH, LOAD, Server, gateway, running, static_upstream
from tests.bench.table import Table, progress


def bench_process(table: Table, folder: Path, rounds: int) -> None:
    """Without detectors and with them; goals in MB are read as MiB."""
    with running(static_upstream(folder, LOAD)) as static:
        for name, most, settings in (
            ("without detectors", 90, {"detectors": "false"}),
            ("with detectors", 220, {}),
        ):
            starts = []
            for number in range(rounds):
                progress(f"cold start {name}, {number + 1} of {rounds}")
                server = gateway(BOTH, static.port, folder / "cold.log", **settings)
                try:
                    starts.append(server.wait("/readyz"))
                    if number == rounds - 1:
                        _memory(table, folder, server, name, most)
                finally:
                    server.stop()
            start = statistics.median(starts)
            table.row(f"cold start {name}, s", f"{start:.2f}", "", "<= 1.5 s", start <= 1.5)


def _memory(table: Table, folder: Path, server: Server, name: str, most: int) -> None:
    wrk = Wrk(folder, LOAD)
    wrk.shoot(target(server), 1, 4)
    idle = server.rss_mib()
    wrk.shoot(target(server), 256, 5)
    wrk.shoot(target(server), 1, 3)
    after = server.rss_mib()
    table.row(f"memory {name}, all processes, MiB", f"{idle:.0f}", "", f"<= {most} MB", idle <= most)
    ratio = after / idle
    table.row("  after a burst of 256 connections, MiB", f"{after:.0f}", f"{ratio:.2f}", "<= 1.10", ratio <= 1.10)
