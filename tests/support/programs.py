"""Fast tests start no other Python: one takes as long to start as fifty tests take to run."""

import sys
from pathlib import Path
from typing import Any

import pytest

# Tests that `make check` leaves out: by mark, or by folder.
_LONG_MARKS = ("slow", "server")
_LONG_FOLDERS = ("e2e", "foreign", "proofs")


class NoSecondPython:
    """Fails a fast test that starts one, and says what to do. It watches until this process ends."""

    def __init__(self) -> None:
        self._running: pytest.Item | None = None
        sys.addaudithook(self._watch)

    def runs(self, item: pytest.Item | None) -> None:
        self._running = item

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and self._running is not None and not _is_long(self._running):
            program = arguments[1][0]
            if Path(program).name.startswith("python"):
                pytest.fail("this test starts a Python of its own, so it is for `make test` alone: mark it slow")


def _is_long(item: pytest.Item) -> bool:
    folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return folder in _LONG_FOLDERS or any(map(item.get_closest_marker, _LONG_MARKS))
