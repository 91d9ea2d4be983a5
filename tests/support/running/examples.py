"""How many examples a property is tried on, and how large they are: in `make check` fewer and smaller ones."""

import os
from typing import Any

from hypothesis import Phase, settings

FEW = bool(os.environ.get("FEW_EXAMPLES"))
_LEAST = 5
# `make check` neither looks up examples that failed before nor keeps any: each would be a file.
_AT_ONCE: dict[str, Any] = {"database": None, "phases": (Phase.explicit, Phase.generate, Phase.shrink)}


def size(number: int) -> int:
    """How long a hostile text is: a quadratic search of a tenth of it still takes a hundred times as long."""
    return number // 10 if FEW else number


def some(number: int) -> range:
    """So many tries, or a quarter of them, spread evenly: steps at which something is given up, seeds of a world."""
    return range(0, number, 4 if FEW else 1)


def examples(number: int, **more: Any) -> settings:
    """Hypothesis' settings with this number of examples, or a twentieth of it."""
    return (
        settings(max_examples=max(_LEAST, number // 20), **_AT_ONCE, **more)
        if FEW
        else settings(max_examples=number, **more)
    )
