"""Counts the steps of a piece of work, where a stopwatch would measure the machine."""

import sys
from collections.abc import Callable
from types import FrameType


def steps(work: Callable[[], object]) -> int:
    """Calls that `work` makes, of Python's functions and of built-in ones: the same on every machine."""
    counted = 0

    def on_event(frame: FrameType, event: str, arg: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted
