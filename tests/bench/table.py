"""The one table that a run of the benchmark prints: rows as they come, each with its goal and whether it was met."""

import os
import sys
from collections.abc import Callable

_ROW = "| {:<62} | {:>17} | {:>17} | {:<24} | {:<6} |"
_WIDTHS = (62, 17, 17, 24, 6)
_MARKS = {True: "met", False: "MISSED", None: ""}


def out(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """What is being measured now, on a terminal only."""
    if sys.stderr.isatty() and os.environ.get("CI") is None:
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


class Table:
    """Rows of what was measured, the figure, its ratio, the goal and whether it was met."""

    def __init__(self, write: Callable[[str], None] = out) -> None:
        self._write = write
        self._met = 0
        self._missed: list[str] = []
        self._skipped: list[str] = []
        self._line("what", "measured", "ratio", "goal", "")
        self._line(*("-" * width for width in _WIDTHS))

    def row(self, what: str, measured: str, ratio: str = "", goal: str = "", met: bool | None = None) -> None:
        """`met` None is a figure without a goal."""
        self._line(what, measured, ratio, goal, _MARKS[met])
        if met is True:
            self._met += 1
        elif met is False:
            self._missed.append(what.strip())

    def note(self, text: str) -> None:
        """A sentence between the rows: why a figure is missing or does not count."""
        progress("")
        self._write(f"  {text}")

    def skip(self, what: str, why: str) -> None:
        """Something was not measured; the sum says so."""
        self._skipped.append(f"{what} ({why})")

    def close(self, seconds: float) -> None:
        """The sum: how many goals were met, which were missed, what was skipped, how long it took."""
        progress("")
        missed = f"; missed: {'; '.join(self._missed)}" if self._missed else ""
        self._write(f"{self._met} of {self._met + len(self._missed)} goals met{missed}")
        if self._skipped:
            self._write(f"skipped: {'; '.join(self._skipped)}")
        self._write(f"took {int(seconds) // 60} min {int(seconds) % 60} s")

    def _line(self, *cells: str) -> None:
        progress("")
        self._write(_ROW.format(*cells))
