"""How many file descriptors the process has left. Without any, no connection comes in and no detector is restarted."""

import errno
import logging
import resource
from pathlib import Path
from typing import NamedTuple

from gateway.telemetry.processes import open_files

log = logging.getLogger("assay")

_SHORT = 0.9  # share in use from which the log reports a shortage
_ENOUGH = 0.8  # share in use below which the shortage is over
_BESIDE = 64  # descriptors for everything but connections: files, the detectors, Redis


class DescriptorUse(NamedTuple):
    """How many descriptors are open, and how many may be."""

    open: int
    most: int


def raise_limit() -> None:
    """Raise the soft limit to the hard limit, for which no permission is needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def in_use() -> DescriptorUse:
    """The descriptors of this process. If they cannot be counted because none is left, all are in use."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return DescriptorUse(open_files(Path("/proc/self/fd")), most)
    except OSError as error:
        return DescriptorUse(most if error.errno in (errno.EMFILE, errno.ENFILE) else 0, most)


def shortfall(in_flight: int, most: int) -> str:
    """A warning for the start if `in_flight` exchanges, with a connection on each side, need more than the `most`
    descriptors that are allowed; empty if not."""
    needed = 2 * in_flight + _BESIDE
    if needed <= most:
        return ""
    return (
        f"{most} file descriptors are allowed, but {in_flight} requests in flight (max_requests_in_flight) may need "
        f"{needed}: raise the limit (ulimit -n, LimitNOFILE=) to that, or max_requests_in_flight must be at most "
        f"{max(1, (most - _BESIDE) // 2)}"
    )


class Shortage:
    """Logs once when descriptors run short, and once when there are enough again."""

    def __init__(self) -> None:
        self._short = False

    def look(self, use: DescriptorUse) -> None:
        if not self._short and use.open >= _SHORT * use.most:
            self._short = True
            log.error(
                "%d of %d file descriptors are in use; at the limit connections fail and dead detectors stay down. "
                "Raise the limit (ulimit -n, LimitNOFILE=) or lower max_connections",
                use.open,
                use.most,
            )
        elif self._short and use.open < _ENOUGH * use.most:
            self._short = False
            log.warning("%d of %d file descriptors are in use: enough are free again", use.open, use.most)
