"""The life of a connection to an upstream: its states, the events, and which state follows from which event."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class State(IntEnum):
    """Where a connection stands."""

    IDLE = 0  # it may carry a request
    SENDING = 1  # a request whose body is still to come; nothing of an answer is here
    WAITING = 2  # the request was sent whole; nothing of an answer is here
    EARLY = 3  # the answer began before the request was sent whole
    RECEIVING = 4  # the request was sent whole, and the answer's head is here
    SPENT = 5  # the answer is complete, and no other request may follow: the connection ends next
    CLOSED = 6


class Event(IntEnum):
    """What happens to a connection."""

    ASKED = 0  # a request was sent whole
    BEGAN_TO_ASK = 1  # a request was sent whose body follows
    SENT = 2  # the last of that body was sent
    HEAD = 3  # the head of an answer came
    END = 4  # the last byte of the answer came
    SPOILED = 5  # something was said that belongs to no request, or the connection is not to be used again
    CLOSED = 6


class Framing(IntEnum):
    """How the end of an answer is known."""

    BY_CLOSE = 0  # it ends where the connection ends
    BY_LENGTH = 1
    BY_CHUNKS = 2
    SMALL = 3  # by a length of at most `WHOLE_BYTES`: such an answer is waited for


# What is in no row cannot happen: it would be a bug of ours, and raises KeyError.
TRANSITIONS: Mapping[Event, Mapping[State, State]] = MappingProxyType(
    {
        Event.ASKED: {State.IDLE: State.WAITING},
        Event.BEGAN_TO_ASK: {State.IDLE: State.SENDING},
        Event.SENT: {State.SENDING: State.WAITING, State.EARLY: State.RECEIVING},
        Event.HEAD: {State.SENDING: State.EARLY, State.WAITING: State.RECEIVING},
        # After an early answer, what is still to come of the request has no place in a next one.
        Event.END: {State.EARLY: State.SPENT, State.RECEIVING: State.IDLE},
        Event.SPOILED: {State.IDLE: State.SPENT, State.SPENT: State.SPENT, State.CLOSED: State.CLOSED},
        Event.CLOSED: dict.fromkeys(State, State.CLOSED),
    }
)
UNDER_WAY = frozenset({State.SENDING, State.WAITING, State.EARLY, State.RECEIVING})
BEGUN = frozenset({State.EARLY, State.RECEIVING})
