"""How long a test waits for what must happen, and how it waits."""

import asyncio
from collections.abc import Callable

# Long, because the machine may be busy; what happens earlier costs nothing, and what never happens fails the test.
PATIENCE_SECONDS = 240.0
_TURNS = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two looks: looking costs the processor's time as well


async def until(true: Callable[[], bool], what: str = "") -> None:
    """Wait for something that is about to happen."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    pause = _FIRST_PAUSE
    while not true():
        assert loop.time() < end, f"it did not happen: {what}"
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)


async def turns() -> None:
    """Let this event loop look at its sockets a few times: what one of its tasks sent over loopback, another has read.

    Counted, because a pause may be over before anything was read where other processes had the processor.
    """
    for _ in range(_TURNS):
        await asyncio.sleep(0)
