"""Fast tests start no other Python: one takes as long to start as fifty tests take to run."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

# Tests that `make check` leaves out: by mark, or by folder.
_LONG_MARKS = ("slow", "server")
_LONG_FOLDERS = ("e2e", "foreign", "proofs")


class NoSecondPython:
    """Fails a fast test that starts one, and says what to do."""

    def __init__(self) -> None:
        self._running: pytest.Item | None = None
        self._start: Callable[..., None] = subprocess.Popen.__init__
        setattr(subprocess.Popen, "__init__", self._watched())  # noqa: B010 - every way to start a program comes here

    def runs(self, item: pytest.Item | None) -> None:
        self._running = item

    def _watched(self) -> Callable[..., None]:
        def start(popen: subprocess.Popen[Any], args: str | Sequence[str], *more: Any, **named: Any) -> None:
            program = args if isinstance(args, str) else args[0]
            if Path(program).name.startswith("python") and self._running is not None and not _is_long(self._running):
                pytest.fail("this test starts a Python of its own, so it is for `make test` alone: mark it slow")
            self._start(popen, args, *more, **named)

        return start


def folder(item: pytest.Item) -> str:
    """The room of the tests that a test stands in, however deep: `e2e`, `delivery`."""
    return item.path.relative_to(item.config.rootpath / "tests").parts[0]


def _is_long(item: pytest.Item) -> bool:
    return folder(item) in _LONG_FOLDERS or any(map(item.get_closest_marker, _LONG_MARKS))
