"""Shows the beginning of an answer to a record while the answer passes."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from gateway.delivery.answers import Answer
from gateway.exchange import Exchange

_MOST_BYTES = 64 * 1024


class Record(Protocol):
    """Remembers who made an answer: see `access.stored.StoredAnswers`."""

    def awaits(self, exchange: Exchange) -> bool: ...

    def note(self, exchange: Exchange, begun: bytes) -> bool: ...


def noted(exchange: Exchange, answer: Answer, record: Record) -> "Noted | None":
    """The same answer, shown to the record while it passes; None if its id need not be remembered."""
    if answer.status >= 300 or not record.awaits(exchange):
        return None
    return Noted(answer, partial(record.note, exchange))


class Noted:
    """The same answer. `note` gets its first bytes; if they do not suffice, it gets more of them once, at the end.
    Close it when done."""

    def __init__(self, answer: Answer, note: Callable[[bytes], bool]) -> None:
        self.status = answer.status
        self._answer = answer
        self._note: Callable[[bytes], bool] | None = note
        self._begun = bytearray()

    @property
    def complete(self) -> bool:
        return self._answer.complete

    def take(self) -> bytes:
        return self._seen(self._answer.take())

    async def more(self) -> bytes:
        return self._seen(await self._answer.more())

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        return self._seen(await self._answer.pour(lambda data: offer(self._seen(data)), settle))

    def close(self) -> None:
        """No more of it comes."""
        if self._note is not None and self._begun:
            self._note(bytes(self._begun))
        self._note = None

    def _seen(self, data: bytes) -> bytes:
        if self._note is not None and data:
            first = not self._begun
            self._begun += data[: _MOST_BYTES - len(self._begun)]
            if first and self._note(bytes(self._begun)):
                self._note = None
        return data
