"""Counts the work that something takes, where a stopwatch would measure how busy the machine is."""

import math
import sys
import time
from collections.abc import Callable
from types import FrameType

_ROUNDS = 3
_LEAST_SECONDS = 0.002  # of the processor's time; less cannot be measured


def steps(work: Callable[[], object]) -> int:
    """Calls that `work` makes, of Python's functions and of built-in ones: the same on every machine."""
    counted = 0

    def on_event(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


def growth(work: Callable[[str], object], small: str, large: str, most: float) -> float:
    """How many times as much of the processor's time the large text takes: for work within one built-in call.

    Other processes do not count. Measured again, a few times, where it is not below `most`; the least is given.
    """
    least = math.inf
    for _ in range(_ROUNDS):
        least = min(least, _processor_seconds(work, large) / max(_LEAST_SECONDS, _processor_seconds(work, small)))
        if least < most:
            break
    return least


def _processor_seconds(work: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    work(text)
    return time.thread_time() - began


def grows_with_the_length(work: Callable[[str], object], unit: str, size: int) -> bool:
    """Whether 16 times the text takes far less than the 256 times as much that quadratic work would take."""
    repeated = unit * (size // len(unit) + 1)
    return growth(work, repeated[: size // 16], repeated[:size], 64) < 64
