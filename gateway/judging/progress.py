"""What a detector process is working on, in shared memory, so that the gateway knows it even if the process hangs."""

import mmap
import os
import struct
import tempfile
from collections.abc import Sequence

_MOST = 16  # most requests that are named
_HEAD = struct.Struct("<QQ")  # pieces of work begun, requests named
_IDS = struct.Struct(f"<{_MOST}Q")
SIZE = _HEAD.size + _IDS.size


def _memory_file() -> int:
    """An unnamed file, outside all folders if the system can do that: a full folder must not stop the guard."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("assay-progress")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Progress:
    """One side's view of a shared file; `fd` is for the child to inherit. One process writes, one reads."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, SIZE)
        self._pieces = 0

    @classmethod
    def shared(cls) -> "Progress":
        """A new one, in an unnamed file that ends with the processes. Raises OSError."""
        fd = _memory_file()
        try:
            os.truncate(fd, SIZE)
            return cls(fd)
        except OSError:
            os.close(fd)
            raise

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    def begin(self, ids: Sequence[int]) -> None:
        """A piece of work on these requests begins."""
        self._pieces += 1
        named = [*ids[:_MOST], *[0] * (_MOST - len(ids))]
        self._memory[:] = _HEAD.pack(self._pieces, min(len(ids), _MOST)) + _IDS.pack(*named)

    @property
    def pieces(self) -> int:
        """A number that grows with every piece of work."""
        return int(_HEAD.unpack_from(self._memory)[0])

    @property
    def at_work_on(self) -> list[int]:
        """The requests of the latest piece of work."""
        _, named = _HEAD.unpack_from(self._memory)
        return list(_IDS.unpack_from(self._memory, _HEAD.size)[:named])
