"""The files through which worker processes share their metrics, with disk space reserved in advance.

They are mapped into memory. If the disk is full when a new part of such a file is first written, the system kills the
process (SIGBUS).
"""

import logging
import os
from pathlib import Path

log = logging.getLogger("assay")

# The first size of each file of a process, by the beginning of its name. The library doubles a file that is full, and
# `look` then reserves the added part.
_KINDS = {
    "counter": 2**20,
    "histogram": 2**20,
    "gauge_livesum": 2**18,
    "gauge_liveall": 2**18,
    "gauge_mostrecent": 2**18,
}
BYTES = sum(_KINDS.values())  # of one process


class SharedFiles:
    """The files of one process."""

    def __init__(self, folder: Path, pid: int) -> None:
        self._folder = folder
        self._pid = pid
        self._is_short = False

    def reserve(self) -> None:
        """Create the files that are missing. If that fails all of them are removed. Raises OSError."""
        try:
            for kind, size in _KINDS.items():
                file = self._folder / f"{kind}_{self._pid}.db"
                if not file.exists():
                    # Other processes read every file with the ending .db, so it gets its name when it is complete.
                    making = file.with_suffix(".new")
                    take_room(making, size)
                    making.rename(file)
        except OSError:
            for file in self._folder.glob(f"*_{self._pid}.*"):
                file.unlink()
            raise

    def look(self) -> None:
        """Reserve the disk space of files that have grown. If there is none, say so in the log, once."""
        try:
            for kind in _KINDS:
                file = self._folder / f"{kind}_{self._pid}.db"
                take_room(file, file.stat().st_size)
        except OSError as error:
            if not self._is_short:
                log.error(
                    "no disk space is left for metrics in %s (%s), and a worker process may crash at any time; free "
                    "some, or name a larger folder in TMPDIR and restart",
                    self._folder,
                    error.strerror,
                )
            self._is_short = True
        else:
            self._is_short = False


def take_room(file: Path, size: int) -> None:
    """Reserve so many bytes of disk space for a file, where the system can. Raises OSError."""
    with file.open("ab") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, size)
        else:
            opened.truncate(size)
