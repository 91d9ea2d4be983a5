"""Two workers on two cores beside one worker on one, each core shared with its part of the load.

One worker that has a core for itself, while wrk and the upstream use the other, is under no contention; two workers
must share both cores with them. So that the load weighs alike, the one worker, its wrk and its upstream have one core
together, and the two workers have two, with twice the wrk threads, upstream processes and connections.
"""

from contextlib import ExitStack
from pathlib import Path

from tests.bench.load import Windows, Wrk, rate, say_failed, target
from tests.bench.servers import BOTH, TESTED, gateway, running, static_upstream
from tests.bench.table import Table, progress


def bench_workers(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Throughput at 64 connections a worker."""
    setups = {1: TESTED, 2: BOTH}
    windows = Windows(map(str, setups))
    with ExitStack() as stack:
        aims = {}
        for workers, cores in setups.items():
            static = stack.enter_context(running(static_upstream(folder, cores, workers)))
            server = gateway(
                cores, static.port, folder / f"workers-{workers}.log", detectors="false", workers=str(workers)
            )
            aims[workers] = target(stack.enter_context(running(server, "/readyz")))
        for number in range(rounds + 1):
            for workers, cores in setups.items():
                progress(f"workers: round {number} of {rounds}, {workers}")
                shot = Wrk(folder, cores, workers).shoot(aims[workers], 64 * workers, seconds if number else 1)
                if number:
                    windows.add(str(workers), shot)
                    say_failed(table, "workers", str(workers), shot)
    ratio = windows.ratio("2", "1", rate)
    table.row("one worker and its load on one core, c=64, req/s", f"{windows['1'].rate:,.0f}", "1")
    table.row(
        "two workers and twice the load on two cores, req/s",
        f"{windows['2'].rate:,.0f}",
        f"{ratio:.2f}",
        ">= 1.7",
        ratio >= 1.7,
    )
