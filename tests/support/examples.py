"""How many examples a property is tried on: all of them in `make test` and in CI, a few in `make check`."""

import os
from typing import Any

from hypothesis import settings

FEW = bool(os.environ.get("FEW_EXAMPLES"))
_LEAST = 10


def examples(number: int, **more: Any) -> settings:
    """Hypothesis' settings with this number of examples, or a tenth of it."""
    return settings(max_examples=max(_LEAST, number // 10) if FEW else number, **more)
