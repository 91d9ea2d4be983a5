"""The client of a request as our own server shows it to the application, beyond what ASGI offers.

ASGI reports a disconnect only to a task that waits in `receive`, and such a task would cost a good part of the whole
request. So `scope["extensions"]` has the request itself: see `gateway.serving.request`.
"""

from typing import Any, Protocol

CLIENT = "assay.client"  # in scope["extensions"]: a `Client`
RESPOND = "assay.respond"  # a function that writes a whole answer at once: status, headers, body


class Client(Protocol):
    """Who sent a request, and what can be done with it without waiting."""

    watched: bool  # after it is set to False, the task is not cancelled any more
    gone: bool  # whether a cancellation came because the client left

    @property
    def notes(self) -> dict[Any, Any]:
        """What was worked out from the request's head. Requests with the same head, apart from the length of the body,
        share it. Readers of a head may keep here what they would otherwise work out again."""
        ...

    def watch(self) -> None:
        """From now on, the task of the application is cancelled when the client leaves."""
        ...

    def take(self) -> bytes | None:
        """The rest of the body, if all of it is here; else None, and it must be received."""
        ...

    def write(self, data: bytes) -> bool:
        """Write a piece of a body at once. If it returns False, nothing was written and the piece must be sent: the
        client does not keep up, or the piece needs more care."""
        ...


class UnknownClient:
    """The client behind another server: its leaving is noticed only by writing, and nothing is done without waiting."""

    watched = gone = False

    def __init__(self) -> None:
        self.notes: dict[Any, Any] = {}

    def watch(self) -> None:
        """Nothing: the other server does not report a client that leaves."""

    def take(self) -> bytes | None:
        return None

    def write(self, _data: bytes) -> bool:
        return False
