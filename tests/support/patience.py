"""How long a test waits for what must happen, and how it waits."""

import asyncio
from collections.abc import Callable

# Long, because the machine may be busy; what happens earlier costs nothing, and what never happens fails the test.
PATIENCE_SECONDS = 120.0


async def until(true: Callable[[], bool], what: str = "") -> None:
    """Wait for something that is about to happen."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    while not true():
        assert loop.time() < end, f"it did not happen: {what}"
        await asyncio.sleep(0.002)
