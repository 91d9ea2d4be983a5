"""One shared beat for everything that is done regularly.

An idle process should sleep: a request that arrives just when it wakes has to wait. So all that is due every half
second runs at the same moments, and the process wakes twice a second however many parts have something to do.
"""

import asyncio

OFTEN_SECONDS = 0.5
_TOO_SOON_SECONDS = 0.01  # timers are rounded: so shortly before a beat, that beat has already run


async def beat(seconds: float = OFTEN_SECONDS) -> None:
    """Sleep until the loop's clock is at a multiple of `seconds`."""
    left = seconds - asyncio.get_running_loop().time() % seconds
    await asyncio.sleep(left if left > _TOO_SOON_SECONDS else left + seconds)
