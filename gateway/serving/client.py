"""The client of a request as our own server shows it to the application, beyond what ASGI tells.

ASGI tells of a disconnect only to who waits in `receive`; a task that waits there would cost a good part of what the
whole request costs. So `scope["extensions"]` has the request itself: see `gateway.serving.request`.
"""

from typing import Any, Protocol

CLIENT = "assay.client"  # in scope["extensions"]: a `Client`
RESPOND = "assay.respond"  # and a function that writes a whole answer at once: status, headers, body


class Client(Protocol):
    """Who sent a request, and what can be done with it without waiting."""

    watched: bool  # set it to False, and the task is not cancelled any more
    gone: bool  # tells the cancellation by a client that went from others

    @property
    def notes(self) -> dict[Any, Any]:
        """What was made of the request's head, and holds for every request with the same one but for the length of its
        body. Whoever reads a head may leave here what it would find again."""
        ...

    def watch(self) -> None:
        """From here the client's going cancels the task that the application runs in."""
        ...

    def take(self) -> bytes | None:
        """What was not received yet of the body, if all of it is here; else None, and it must be received."""
        ...

    def write(self, data: bytes) -> bool:
        """Write a piece of a body at once. False when it was not written and must be sent: the client does not keep up,
        or the piece needs more care."""
        ...


class UnknownClient:
    """Behind another server: its going is noticed when it is written to, and nothing is done without waiting."""

    watched = gone = False

    def __init__(self) -> None:
        self.notes: dict[Any, Any] = {}

    def watch(self) -> None:
        """Nobody tells."""

    def take(self) -> bytes | None:
        return None

    def write(self, _data: bytes) -> bool:
        return False
