"""How much memory all held answers take together, and what an event of one costs.

An event that was read takes many times the bytes in which it came, so its real cost is counted. The costs were measured
with tracemalloc on CPython 3.12; they are upper estimates for every form of event that was tried.
"""

import sys
from types import TracebackType

from gateway.errors import GatewayError
from gateway.openai_api import EventRead
from gateway.openai_api.sse import Event

_EVENT = 500  # an event and what is kept beside it
_TEXT = 300  # a text in it: where it stands, and which part of which text it is
_VALUE = 130  # one value in its JSON: an object in a list costs most
STRAND_COST = 1500  # one text of an answer, from its beginning to the answer's end


class MemoryBudget:
    """`most` bytes for all answers that one process holds at a time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def share(self) -> "Share":
        """What one answer may hold, nothing at first. Use it in `with`, which gives all of it back at the end."""
        return Share(self)


class Share:
    """What one answer holds of the budget."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._held = 0

    def __enter__(self) -> "Share":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.hold(0)

    def hold(self, size: int) -> None:
        """Hold so many bytes from now on. Raises GatewayError overloaded if all answers together would hold too much;
        then this answer holds what it held before."""
        budget = self._budget
        more = size - self._held
        if more > 0 and budget.held + more > budget.most:
            raise GatewayError(
                "overloaded",
                f"the answers that wait here to be judged fill {budget.most} bytes (max_answers_bytes); "
                "try again shortly",
                retry_after_seconds=1,
            )
        budget.held += more
        self._held = size


def event_cost(event: Event, read: EventRead | None) -> int:
    """About how many bytes of memory an event holds: its raw bytes, its payload, what was read in it, its texts."""
    data = event.data
    values = data.count(b",") + data.count(b"{") + data.count(b"[")
    said = sum(_TEXT + 2 * sys.getsizeof(one.text) for one in read.said) if read is not None else 0
    return _EVENT + len(event.raw) + len(data) + _VALUE * values + said
