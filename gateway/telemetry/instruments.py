"""Makes metrics, adds to them cheaply, and renders them for Prometheus.      [prometheus_client]

With several worker processes the values live in memory-mapped files (prometheus_client's multiprocess mode, switched on
by `PROMETHEUS_MULTIPROC_DIR` before this module is imported) and `render` sums them.
"""

import os
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
    multiprocess,
    values,
)
from prometheus_client.exposition import choose_encoder

from gateway.telemetry.shared_files import SharedFiles

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter, which nobody needs
REGISTRY = CollectorRegistry()
problem = ""  # a message for the log, which is not set up yet while this module is loaded


def _shared_files() -> SharedFiles | None:
    """The shared files, where this process is one of several. If there is no room for them it counts for itself."""
    global problem
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return None
    files = SharedFiles(Path(folder), os.getpid())
    try:
        files.reserve()
    except OSError as error:
        problem = (
            f"no room for metrics in {folder} ({error.strerror}): /metrics of the other processes leaves this one out; "
            "free some disk space, or name a larger folder in TMPDIR, and restart"
        )
        values.ValueClass = values.MutexValue
        return None
    return files


_files = _shared_files()
_MULTIPROCESS = _files is not None


def counter(name: str, question: str, *labels: str) -> Counter:
    return Counter(name, question, labels, registry=REGISTRY)


def gauge(name: str, question: str, *labels: str, over_workers: str = "livesum") -> Gauge:
    return Gauge(name, question, labels, registry=REGISTRY, multiprocess_mode=over_workers)  # type: ignore[arg-type]


def histogram(name: str, question: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, question, labels, registry=REGISTRY, buckets=buckets)


class Tally:
    """A labelled counter that adds up here and is added to the metric by the next `flush`, so that counting is cheap.

    `waiting` is the count since the last flush; code that runs for every request may add to it directly.
    """

    __slots__ = ("_child", "waiting")

    def __init__(self, counter: Counter, labels: tuple[str, ...]) -> None:
        self._child = counter.labels(*labels) if labels else counter
        self.waiting = 0.0

    def add(self, amount: float = 1.0) -> None:
        self.waiting += amount

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, 0.0
        if waiting:
            self._child.inc(waiting)


class Spread:
    """The same for a labelled histogram: `observe` only keeps a value, and `flush` puts all of them into buckets."""

    __slots__ = ("_child", "_values", "observe")

    def __init__(self, histogram: Histogram, labels: tuple[str, ...]) -> None:
        self._child = histogram.labels(*labels) if labels else histogram
        self._values: list[float] = []
        self.observe = self._values.append

    def flush(self) -> None:
        # The library can only observe values one by one. Its buckets are separate counters, not cumulative ones
        # (tests/telemetry/test_metrics.py compares the result with that of the library's `observe`).
        values = self._values
        if not values:
            return
        self._child._sum.inc(sum(values))  # noqa: SLF001 - without taking the library's locks for each value
        values.sort()
        before = 0
        for bucket, bound in zip(self._child._buckets, self._child._upper_bounds, strict=True):  # noqa: SLF001
            until = bisect_right(values, bound)
            if until > before:
                bucket.inc(until - before)
            before = until
        values.clear()


_tallies: dict[tuple[Counter, tuple[str, ...]], Tally] = {}
_spreads: dict[tuple[Histogram, tuple[str, ...]], Spread] = {}


def tally(counter: Counter, *labels: str) -> Tally:
    """The tally of these labels, always the same object. Code that uses it often should keep it."""
    found = _tallies.get((counter, labels))
    if found is None:
        found = _tallies[counter, labels] = Tally(counter, labels)
    return found


def spread(histogram: Histogram, *labels: str) -> Spread:
    """The spread of these labels, always the same object."""
    found = _spreads.get((histogram, labels))
    if found is None:
        found = _spreads[histogram, labels] = Spread(histogram, labels)
    return found


def flush() -> None:
    """Add what tallies and spreads have gathered to the metrics. Call it from the thread that fills them."""
    for counted in _tallies.values():
        counted.flush()
    for timed in _spreads.values():
        timed.flush()


def render(accept: str = "") -> tuple[bytes, str]:
    """The exposition, summed over all worker processes, and its content type: OpenMetrics for clients that accept it.

    May take milliseconds: call it off the event loop.
    """
    generate, content_type = choose_encoder(accept)
    if "openmetrics" not in content_type:
        generate, content_type = generate_latest, CONTENT_TYPE
    return generate(_whole()), content_type


def _whole() -> CollectorRegistry:
    if not _MULTIPROCESS:
        return REGISTRY
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    _forget_dead_workers(folder)
    merged = CollectorRegistry()
    multiprocess.MultiProcessCollector(merged, path=folder)  # type: ignore[no-untyped-call]
    return merged


def samples(name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The current values of one metric over all workers, by sorted pairs of labels. Too slow for the request path."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for metric in _collected(name)
        for sample in metric.samples
        if sample.name == name
    }


def _collected(name: str) -> Iterable[Metric]:
    if not _MULTIPROCESS:
        return REGISTRY.restricted_registry([name]).collect()
    merged = CollectorRegistry()
    multiprocess.MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
    return merged.collect()


def keep_room() -> None:
    """Reserve disk space for what the metrics of this process have grown by, if they are kept in files."""
    if _files is not None:
        _files.look()


def _forget_dead_workers(folder: str) -> None:
    """Remove the live gauges (in flight, connections) of workers that crashed; else they would stay in the sum."""
    for file in Path(folder).glob("gauge_live*_*.db"):
        pid = int(file.stem.rsplit("_", 1)[1])
        if not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def forget_this_process() -> None:
    """Called at the end of a worker: removes its live gauges from the sum."""
    if _MULTIPROCESS:
        multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
