"""How many file descriptors the process has left. Without any, no connection comes in, and no detector is restarted."""

import errno
import logging
import resource
from pathlib import Path
from typing import NamedTuple

from gateway.telemetry.processes import open_files

log = logging.getLogger("assay")

_SHORT = 0.9  # the share in use from which the log tells of it
_BESIDE = 64  # descriptors for all that is no connection: files, the detectors, Redis
_ENOUGH = 0.8  # and below which that is over


class Use(NamedTuple):
    """Descriptors that are open, and how many may be."""

    open: int
    most: int


def raise_limit() -> None:
    """Take as many as the system lets this process have without asking anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def in_use() -> Use:
    """The descriptors of this process; all that there may be where not even that can be looked up."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return Use(open_files(Path("/proc/self/fd")), most)
    except OSError as error:
        return Use(most if error.errno in (errno.EMFILE, errno.ENFILE) else 0, most)


def shortfall(in_flight: int, most: int) -> str:
    """What to say at the start where `in_flight` exchanges, with a connection each on both sides, need more than the
    `most` descriptors that are allowed; empty where they do not."""
    needed = 2 * in_flight + _BESIDE
    if needed <= most:
        return ""
    return (
        f"{most} file descriptors are allowed, but {in_flight} requests in flight (max_requests_in_flight) may need "
        f"{needed}: raise the limit (ulimit -n, LimitNOFILE=) to that, or max_requests_in_flight must be at most "
        f"{max(1, (most - _BESIDE) // 2)}"
    )


class Shortage:
    """Logs when descriptors run short, and when there are enough again; once each."""

    def __init__(self) -> None:
        self._short = False

    def look(self, use: Use) -> None:
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
