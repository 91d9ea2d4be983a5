"""Work on large bodies takes turns on the event loop, so that a small request waits for one piece of it at most.

To parse, route, offer to the detectors and settle a body of 300 KB takes the loop a millisecond or two. Fifty callers
whose bodies are there at once, or whose time with the detectors runs out at once, would have all of that done in one
turn of the loop, and what is small would wait for its end. Here one piece is done between two looks at the network,
and callers follow one another however much each of them has sent.
"""

import asyncio
from collections import deque

LARGE_BYTES = 16 * 1024  # of a body: a smaller one is not worth a turn of its own


class Turns:
    """Of one event loop. A piece of work is what a task does from `take` to its next pause."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by caller, the next one first
        self._is_taken = False  # this turn of the loop has its piece

    async def take(self, caller: str) -> None:
        """Returns when it is this caller's turn: at once, where none has been taken. May be cancelled."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._next)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        await turn

    def _next(self) -> None:
        """The loop has had a look at the network: let the next one go, then the next caller. Who gave up has none."""
        while self._waiting:
            caller = next(iter(self._waiting))
            turns = self._waiting.pop(caller)
            turn = turns.popleft()
            if turns:
                self._waiting[caller] = turns
            if not turn.done():
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._is_taken = False
