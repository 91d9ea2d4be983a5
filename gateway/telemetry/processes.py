"""What the processes of a gateway use: processor time, memory, file descriptors. Read from Linux' `/proc`.

Each gateway process reports itself and its detector processes; with several workers Prometheus sees each by its `pid`.
"""

import os
import resource
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.telemetry import metrics

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Positions of fields in /proc/PID/stat after the name in brackets; the name itself may contain anything.
_USER_TICKS, _SYSTEM_TICKS, _PAGES = 11, 12, 21


class ProcessUse(NamedTuple):
    """Processor time in seconds since the process began, resident bytes, open descriptors."""

    cpu_seconds: float
    resident_bytes: int
    descriptors: int


def open_files(folder: Path) -> int:
    """How many files a process has open; `folder` is its `fd` in /proc. Raises OSError.

    Since Linux 6.2 the size of the folder is that number. Listing thousands of open files would block the event loop
    for milliseconds.
    """
    size = folder.stat().st_size if folder.is_relative_to("/proc") else 0
    if size:
        return size
    with os.scandir(folder) as found:
        return sum(1 for _ in found)


def taken(pid: int, proc: Path = Path("/proc")) -> ProcessUse | None:
    """What a process uses; None where it has ended, or the system does not say."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        descriptors = open_files(proc / str(pid) / "fd")
    except OSError:
        return None
    ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return ProcessUse(ticks / _TICKS, int(fields[_PAGES]) * _PAGE, descriptors)


def children_seconds(pids: Iterable[int]) -> float:
    """Processor time in seconds of these running children of this process and of all children that have ended."""
    ended = os.times()
    return ended.children_user + ended.children_system + sum(each.cpu_seconds for pid in pids if (each := taken(pid)))


class Processes:
    """`pids` gives the ids of processes by their kind; several of one kind are added up."""

    def __init__(self, pids: Callable[[], Mapping[str, Iterable[int]]]) -> None:
        self._pids = pids

    def show(self) -> None:
        """Set the gauges."""
        for process, pids in self._pids().items():
            found = [each for pid in pids if (each := taken(pid)) is not None]
            metrics.PROCESS_CPU.labels(process).set(sum(each.cpu_seconds for each in found))
            metrics.PROCESS_MEMORY.labels(process).set(sum(each.resident_bytes for each in found))
            metrics.PROCESS_DESCRIPTORS.labels(process).set(sum(each.descriptors for each in found))
        metrics.PROCESS_MOST_DESCRIPTORS.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
