"""The clock of the parts that write down when something was."""

import time


def wall_clock() -> float:
    """Unix seconds: samples and files carry them, and other processes understand them."""
    return time.time()  # noqa: TID251 - see above
