"""Work on large bodies takes turns on the event loop, so that a small request waits for one piece of it at most.

Parsing, routing, judging and settling a body of 300 KB keeps the loop busy for a millisecond or two. If fifty such
bodies arrive at once, or run out of judging time at once, all that work would be done in one turn of the loop, and
every small request would wait for it. Here the loop looks at the network after each piece, and the callers take turns
however much each of them has sent.
"""

import asyncio
from collections import deque

LARGE_BYTES = 16 * 1024  # of a body: a smaller one is not worth a turn of its own


class Turns:
    """The turns of one event loop. A piece of work is what a task does from `take` to its next pause."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by caller, the next one first
        self._is_taken = False  # a piece of work is being done in this turn of the loop

    async def take(self, caller: str) -> None:
        """Wait for this caller's turn; there is no wait if nobody has taken this one. May be cancelled."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._next)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        await turn

    def _next(self) -> None:
        """The loop has looked at the network: let the next caller work. Tasks that were cancelled are skipped."""
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
