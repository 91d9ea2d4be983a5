"""Counts the work that something takes, where a stopwatch would measure how busy the machine is."""

import gc
import math
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_ROUNDS = 3
_LEAST_SECONDS = 0.002  # of the processor's time; less cannot be measured


class Calls:
    """Counts the calls within a `with` block, of Python's functions and of built-in ones: the same on every machine."""

    def __init__(self) -> None:
        self.number = 0
        self._profile: Any = None
        self._collects = True

    def _on_event(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.number += event in ("call", "c_call")

    def __enter__(self) -> Self:
        """Garbage is not collected meanwhile: what earlier tests left would call its finalizers."""
        self._profile, self._collects = sys.getprofile(), gc.isenabled()
        gc.disable()
        sys.setprofile(self._on_event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._profile)
        self.number -= 2  # this method, and the call above
        if self._collects:
            gc.enable()


def steps(work: Callable[[], object]) -> int:
    """The calls that `work` makes."""
    with Calls() as calls:
        work()
    return calls.number


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
