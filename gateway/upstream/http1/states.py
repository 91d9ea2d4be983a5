"""The life of a connection to an upstream: its states, the events, and which state follows from which event."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class State(IntEnum):
    """Where a connection stands."""

    IDLE = 0  # it may carry a request
    SENDING = 1  # the body of the request is still being sent; nothing of an answer is here
    WAITING = 2  # the whole request was sent; nothing of an answer is here
    EARLY = 3  # the answer began before the whole request was sent
    RECEIVING = 4  # the whole request was sent, and the answer's head is here
    SPENT = 5  # the answer is complete, and no other request may follow: the connection ends next
    CLOSED = 6


class ConnectionEvent(IntEnum):
    """What happens to a connection."""

    ASKED = 0  # a whole request was sent
    BEGAN_TO_ASK = 1  # the head of a request was sent, and its body follows
    SENT = 2  # the last of that body was sent
    HEAD = 3  # the head of an answer came
    END = 4  # the last byte of the answer came
    SPOILED = 5  # something came that belongs to no request, or the connection must not be used again
    CLOSED = 6


class Framing(IntEnum):
    """How the end of an answer is known."""

    BY_CLOSE = 0  # it ends with the connection
    BY_LENGTH = 1
    BY_CHUNKS = 2
    SMALL = 3  # by a length of at most `WHOLE_BYTES`: we wait for all of such an answer


# What is in no row cannot happen: it would be a bug, and raises KeyError.
TRANSITIONS: Mapping[ConnectionEvent, Mapping[State, State]] = MappingProxyType(
    {
        ConnectionEvent.ASKED: {State.IDLE: State.WAITING},
        ConnectionEvent.BEGAN_TO_ASK: {State.IDLE: State.SENDING},
        ConnectionEvent.SENT: {State.SENDING: State.WAITING, State.EARLY: State.RECEIVING},
        ConnectionEvent.HEAD: {State.SENDING: State.EARLY, State.WAITING: State.RECEIVING},
        # After an early answer, the rest of the request must not become a part of the next one.
        ConnectionEvent.END: {State.EARLY: State.SPENT, State.RECEIVING: State.IDLE},
        ConnectionEvent.SPOILED: {State.IDLE: State.SPENT, State.SPENT: State.SPENT, State.CLOSED: State.CLOSED},
        ConnectionEvent.CLOSED: dict.fromkeys(State, State.CLOSED),
    }
)
UNDER_WAY = frozenset({State.SENDING, State.WAITING, State.EARLY, State.RECEIVING})
BEGUN = frozenset({State.EARLY, State.RECEIVING})
