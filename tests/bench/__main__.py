"""`make bench`: one table from one run. Every figure is a ratio to something measured in the same run.

The thing under test has core 0 for itself; load and upstream share core 1. Targets are interleaved round by round and
medians are printed; a window with a failed request does not count. Absolute figures are this machine's, this hour's.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from detectors import manifest
from tests.bench.detectors import bench_detectors
from tests.bench.parts.growth import bench_growth
from tests.bench.parts.hostile import bench_hostile
from tests.bench.parts.peers import bench_peers
from tests.bench.parts.policies import bench_policies
from tests.bench.parts.process import bench_process
from tests.bench.parts.soak import bench_slow_reader, bench_soak
from tests.bench.parts.streams import bench_streams
from tests.bench.parts.texts import bench_texts
from tests.bench.parts.traffic import bench_overload, bench_plain
from tests.bench.parts.workers import bench_workers
from tests.bench.table import Table, out


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for: seconds a window, windows a target, how many streams at once, how many soaking requests."""

    folder: Path
    seconds: float
    rounds: int
    streams: list[int]
    requests: int


def _detectors(table: Table, asked: Choice) -> None:
    if "encoder" in manifest.load(weights=False):
        bench_detectors(table, asked.rounds)
    else:
        table.note("no trained encoder is among the shipped models: the part `detectors` has nothing to measure")


class Part(NamedTuple):
    """What it does, and how many seconds it usually takes with five rounds of two seconds, on two cores."""

    bench: Callable[[Table, Choice], None]
    seconds: float


PARTS: Mapping[str, Part] = {
    "plain": Part(lambda table, asked: bench_plain(table, asked.folder, asked.seconds, asked.rounds), 160),
    "peers": Part(lambda table, asked: bench_peers(table, asked.folder, asked.seconds, asked.rounds), 70),
    "overload": Part(lambda table, asked: bench_overload(table, asked.folder, asked.seconds, asked.rounds), 60),
    "streams": Part(lambda table, asked: bench_streams(table, asked.folder, asked.streams, asked.rounds), 200),
    "process": Part(lambda table, asked: bench_process(table, asked.folder, asked.rounds), 90),
    "growth": Part(lambda table, asked: bench_growth(table, asked.folder, asked.seconds, asked.rounds), 170),
    "workers": Part(lambda table, asked: bench_workers(table, asked.folder, asked.seconds, asked.rounds), 30),
    "policies": Part(lambda table, asked: bench_policies(table, asked.folder, asked.seconds, asked.rounds), 110),
    "hostile": Part(lambda table, _: bench_hostile(table), 20),
    "detectors": Part(_detectors, 25),
    "texts": Part(lambda table, _: bench_texts(table), 60),
    "soak": Part(lambda table, asked: bench_soak(table, asked.folder, asked.requests), 200),
    "slow-reader": Part(lambda table, asked: bench_slow_reader(table, asked.folder), 30),
}
_ONLY_WHEN_NAMED = frozenset({"soak", "slow-reader"})
DEFAULT = ",".join(name for name in PARTS if name not in _ONLY_WHEN_NAMED)
_USUAL_SECONDS = 10.0  # of the windows of a target, which the parts' times are of


def run(
    table: Table,
    parts: Sequence[str],
    asked: Choice,
    most_seconds: float,
    *,
    known: Mapping[str, Part] = PARTS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """One part after the other. One that would not end within `most_seconds` in all is left out, and the table says so,
    as it does of those that nobody asked for."""
    began = clock()
    longer = max(1.0, asked.seconds * asked.rounds / _USUAL_SECONDS)
    for name in parts:
        started = clock()
        usual = known[name].seconds * longer
        if started - began + usual > most_seconds:
            left = max(0.0, most_seconds - started + began)
            table.skip(name, f"it takes about {usual:.0f} s, and {left:.0f} s are left of --minutes")
            continue
        known[name].bench(table, asked)
        table.note(f"{name}: took {clock() - started:.0f} s")
    if others := [name for name in known if name not in parts]:
        table.skip(", ".join(others), "not named in --only")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench BENCH=…", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="length of a window, whole seconds (2)")
    parser.add_argument("--rounds", type=int, default=5, help="windows a target (5)")
    parser.add_argument("--only", default=DEFAULT, help=f"parts, comma-separated, of {', '.join(PARTS)}")
    parser.add_argument("--streams", default="64,512,2048", help="how many streams at once (64,512,2048)")
    parser.add_argument("--minutes", type=float, default=20, help="parts that would take longer are left out (20)")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of the soak (100000)")
    asked = parser.parse_args()
    parts = asked.only.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if (os.cpu_count() or 1) < 2:
        sys.exit("make: the benchmark needs two cores: one for what is tested, one for the load")
    machine = (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {asked.rounds} rounds of {asked.seconds:g} s"
    )
    out(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # nginx's worker drops its rights
        counts = [int(count) for count in asked.streams.split(",")]
        choice = Choice(folder, asked.seconds, asked.rounds, counts, asked.requests)
        table = Table()
        run(table, parts, choice, 60 * asked.minutes)
        table.close(time.monotonic() - began)


if __name__ == "__main__":
    main()
