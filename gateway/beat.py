"""One beat for all that looks after something every so often.

An idle process should sleep: each time it wakes, a request that comes just then waits. Whatever has to be done every
half second is done at the same moments: there are two of them in a second, however many parts look after something.
"""

import asyncio

OFTEN_SECONDS = 0.5
_TOO_SOON_SECONDS = 0.01  # timers are rounded: this beat has been


async def beat(seconds: float = OFTEN_SECONDS) -> None:
    """Sleep until the loop's clock is at a multiple of `seconds`."""
    left = seconds - asyncio.get_running_loop().time() % seconds
    await asyncio.sleep(left if left > _TOO_SOON_SECONDS else left + seconds)
