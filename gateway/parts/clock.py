"""The clock of the parts that record when something happened."""

import time


def wall_clock() -> float:
    """Unix seconds, because samples and files carry times that other processes must understand."""
    return time.time()  # noqa: TID251 - see above
