"""How events leave a window: as they came, without what was cut out of them or blocked, or not at all.

`Writer` also writes what stands in place of blocked choices, and the end of an answer of which nothing more leaves.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.delivery.strand import Strand
from gateway.openai_api import (
    DONE_DATA,
    EventRead,
    EventText,
    Operation,
    Path,
    answers_of,
    parse,
    rewrite,
    says_nothing,
    sse,
    without_alternatives,
    without_choices,
    without_logprobs,
)


@dataclass(slots=True)
class Choices:
    """What became of the choices of an answer, each a set of their numbers."""

    going: set[int] = field(default_factory=set)  # they came and are not blocked
    speaking: set[int] = field(default_factory=set)  # something of them has left
    blocked: set[int] = field(default_factory=set)
    replaced: set[int] = field(default_factory=set)  # a message replaces them
    cut: set[int] = field(default_factory=set)  # something was cut out of them

    @property
    def all_blocked(self) -> bool:
        """Whether every choice that has come is blocked."""
        return bool(self.blocked) and not self.going

    def block(self, choice: int) -> None:
        """Note that nothing more of it leaves."""
        self.blocked.add(choice)
        self.going.discard(choice)


class HeldText(NamedTuple):
    """A text in an event: which part of which strand."""

    strand: Strand
    said: EventText
    start: int
    end: int


class HeldEvent(NamedTuple):
    """An event that waits, and what was read in it."""

    event: sse.Event
    read: EventRead | None
    pieces: list[HeldText]
    cost: int


class Writer:
    """Writes the events that leave, and the words of the surface where choices are blocked.

    `choices` is the record of the window, which keeps it up to date. `has_choices`: each is blocked by itself.
    `changed`: what left differs from the upstream's own bytes. `usage` is that of a response that ended.
    """

    def __init__(self, operation: Operation, model: str, choices: Choices, *, drops_alternatives: bool) -> None:
        answers = answers_of(operation)
        self.has_choices = answers.has_choices
        self.changed = False
        self.usage: Any = None
        self._choices = choices
        self._drops_alternatives = drops_alternatives
        self._ending = answers.ending(model)
        self._notices: list[bytes] = []
        self._message = ""
        self._begun = False
        self._done = False  # the upstream's [DONE] has left
        self._closed = False  # the ending was written

    def first(self, data: bytes) -> None:
        """The data of an event, of which the first says what the ending needs."""
        if not self._begun:
            self._begun = True
            self._ending.first(data)

    def block(self, choice: int, message: str) -> None:
        """Say at once that a choice is blocked, or that `message` stands in its place."""
        self.changed = True
        self._message = message
        self._notices.append(self._ending.blocked(choice, message))

    @property
    def has_notices(self) -> bool:
        return bool(self._notices)

    def notices(self) -> list[bytes]:
        """What is to be said of choices that were blocked since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def close(self) -> bytes:
        """The end of an answer of which nothing more leaves; empty after the first time."""
        if self._closed:
            return b""
        self._closed = True
        return self._ending.close(done=self._done, message=self._message, usage=self.usage)

    def event(self, entry: HeldEvent) -> bytes:
        """The bytes of an event that leaves: its own, or other ones; none if nothing of it may leave."""
        event, read = entry.event, entry.read
        if read is None:
            self._done = self._done or event.data.strip() == DONE_DATA
            return event.raw
        changes, blocked = self._changes(entry), self._choices.blocked
        data: bytes | None = rewrite(event.data, changes) if changes else event.data
        if changes and self.has_choices and not any(changes.values()):
            data = None if says_nothing(data or b"") else data
        if any(piece.strand.choice in blocked and piece.said.at[0] != "choices" for piece in entry.pieces):
            data = None  # its text stands beside its choices
        if data is not None and not blocked.isdisjoint(read.choices):
            data = without_choices(data, blocked)
        if data is not None and not self._choices.cut.isdisjoint(read.with_logprobs):
            data = without_logprobs(data, self._choices.cut)
        if data is not None and self._drops_alternatives:
            data = without_alternatives(data)
        self._note(read, changes, None if data is event.data else data)
        if data is event.data:
            return event.raw
        self.changed = True
        if data is None:
            return b""
        return sse.encode(data, event.event.decode(errors="replace") if event.event is not None else None)

    def _changes(self, entry: HeldEvent) -> dict[Path, str]:
        """The texts of an event that lose something, each by its path."""
        changes: dict[Path, str] = {}
        for piece in entry.pieces:
            if piece.strand.ends and piece.strand.choice not in self._choices.blocked:
                text = piece.strand.without_cuts(piece.said.text, piece.start)
                if text != piece.said.text:
                    changes[piece.said.at] = text
        return changes

    def _note(self, read: EventRead, changes: dict[Path, str], changed: bytes | None) -> None:
        """Tell the ending what left: the texts as they left, and the event as `changed`."""
        said = [one._replace(text=changes.get(one.at, one.text)) for one in read.said] if changes else read.said
        self._ending.sent(read.value if changed is None else parse(changed), said)
