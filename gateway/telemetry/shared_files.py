"""The files in which worker processes keep their metrics for each other, with their room on the disk taken in advance.

They are mapped into memory: where the disk is full when such a file is first written to somewhere, the system ends the
process (SIGBUS).
"""

import logging
import os
from pathlib import Path

log = logging.getLogger("assay")

# By the beginning of their names: what a process has at first. One that grows beyond doubles, and is looked after.
_KINDS = {
    "counter": 2**20,
    "histogram": 2**20,
    "gauge_livesum": 2**18,
    "gauge_liveall": 2**18,
    "gauge_mostrecent": 2**18,
}
BYTES = sum(_KINDS.values())  # of one process


class SharedFiles:
    """Those of one process."""

    def __init__(self, folder: Path, pid: int) -> None:
        self._folder = folder
        self._pid = pid
        self._is_short = False

    def reserve(self) -> None:
        """Make those that are missing. Raises OSError; then there are none."""
        try:
            for kind, size in _KINDS.items():
                file = self._folder / f"{kind}_{self._pid}.db"
                if not file.exists():
                    # Others read every file with this ending: it appears when it is whole.
                    making = file.with_suffix(".new")
                    take_room(making, size)
                    making.rename(file)
        except OSError:
            for file in self._folder.glob(f"*_{self._pid}.*"):
                file.unlink()
            raise

    def look(self) -> None:
        """Take the room of those that have grown; where there is none, the log tells of it once."""
        try:
            for kind in _KINDS:
                file = self._folder / f"{kind}_{self._pid}.db"
                take_room(file, file.stat().st_size)
        except OSError as error:
            if not self._is_short:
                log.error(
                    "no room is left for metrics in %s (%s), so that a worker process may end at any time; free some, "
                    "or name a larger folder in TMPDIR and restart",
                    self._folder,
                    error.strerror,
                )
            self._is_short = True
        else:
            self._is_short = False


def take_room(file: Path, size: int) -> None:
    """Give a file so many bytes on the disk, where the system can. Raises OSError."""
    with file.open("ab") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, size)
        else:
            opened.truncate(size)
