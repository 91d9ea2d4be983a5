"""Whom a policy counts and slows down: a caller, or one of the end users that the caller names in its requests.

An end user is known by a hash, whose key differs in every process, and belongs to its caller: two callers that name the
same one mean two. Callers are the configured keys, so they are few. Callers may name any number of end users, so what
is remembered about those is bounded.
"""

import secrets
from collections import OrderedDict
from collections.abc import Hashable, Sized
from hashlib import blake2b
from typing import Generic, NamedTuple, Protocol, TypeVar

from gateway.openai_api import Operation, end_user_named

MOST_MOMENTS = 100_000  # of end users, in all: some 30 MB where each end user has one
_KEY = secrets.token_bytes(16)


class Subject(NamedTuple):
    """A caller, or one of its end users where `end_user` (a hash) is not empty."""

    caller: str
    end_user: bytes = b""


def subject_named(caller: str, operation: str, body: bytes) -> Subject:
    """The end user that a request names, or its caller if it names none or cannot be read."""
    named = end_user_named(Operation(operation), body)
    if not named:
        return Subject(caller)
    return Subject(caller, blake2b(named.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=16).digest())


class Timed(Protocol):
    """Something that keeps moments."""

    @property
    def times(self) -> Sized: ...


V = TypeVar("V", bound=Timed)


class Remembered(Generic[V]):
    """What is known about subjects, by subject and a further key.

    What is known about callers stays. End users share `most` moments; an entry without moments counts as one. When
    there are more, the caller with the most moments loses its least recently used end user, so a caller that invents
    end users pushes out its own.
    """

    def __init__(self, most: int = MOST_MOMENTS) -> None:
        self._most = most
        self._callers: dict[tuple[Subject, Hashable], V] = {}
        self._end_users: dict[str, OrderedDict[tuple[bytes, Hashable], tuple[V, int]]] = {}
        self._moments: dict[str, int] = {}  # by caller
        self._all = 0

    @property
    def has_end_users(self) -> bool:
        return bool(self._end_users)

    @property
    def moments(self) -> int:
        """How many are kept of end users, in all."""
        return self._all

    def get(self, subject: Subject, key: Hashable = "") -> V | None:
        if not subject.end_user:
            return self._callers.get((subject, key))
        of_caller = self._end_users.get(subject.caller)
        found = of_caller.get((subject.end_user, key)) if of_caller else None
        return found[0] if found else None

    def put(self, subject: Subject, value: V, key: Hashable = "") -> None:
        """Keep a value that is new or has changed, as the most recently used."""
        if not subject.end_user:
            self._callers[subject, key] = value
            return
        self.drop(subject, key)
        moments = max(1, len(value.times))
        self._end_users.setdefault(subject.caller, OrderedDict())[subject.end_user, key] = (value, moments)
        self._weigh(subject.caller, moments)
        while self._all > self._most:
            self._forget()

    def drop(self, subject: Subject, key: Hashable = "") -> None:
        if not subject.end_user:
            self._callers.pop((subject, key), None)
            return
        found = self._end_users.get(subject.caller, OrderedDict()).pop((subject.end_user, key), None)
        if found is not None:
            self._weigh(subject.caller, -found[1])

    def _forget(self) -> None:
        fullest = max(self._moments, key=self._moments.__getitem__)
        _, (_, moments) = self._end_users[fullest].popitem(last=False)
        self._weigh(fullest, -moments)

    def _weigh(self, caller: str, moments: int) -> None:
        self._all += moments
        self._moments[caller] = self._moments.get(caller, 0) + moments
        if not self._moments[caller]:
            del self._moments[caller], self._end_users[caller]
