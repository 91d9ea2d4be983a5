"""The texts of one streamed answer, as many as an upstream may begin: each step costs the same however many there are.

Deltas add to a text, whole texts repeat one or begin another. A text is due when it may be time to judge it: it is long
enough, it ended, or the others of its choice have said so much since that it may have ended.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from gateway.delivery.strand import Strand
from gateway.openai_api import EventText, Path

_STEM = 2  # keys that lead to what ends at once: a choice, an item, a block of content


@dataclass(slots=True)
class _Choice:
    """What one choice has said in deltas, in characters, and its texts that nobody ruled on, by identity."""

    said: int = 0
    open: dict[int, Strand] = field(default_factory=dict)
    quiet: OrderedDict[int, Strand] = field(default_factory=OrderedDict)  # the one that paused longest is first


class Strands:
    """`characters` of each text are held back, None for all of it."""

    def __init__(self, characters: int | None) -> None:
        self._characters = characters
        self._growing: dict[Path, Strand] = {}
        self._wholes: dict[tuple[Path, int, bytes], Strand] = {}
        self._choices: dict[int, _Choice] = {}
        self._going: dict[Path, dict[int, Strand]] = {}  # that have not ended, by the first keys of their paths
        self._due: dict[int, Strand] = {}
        self.begun = 0

    def said_since(self, strand: Strand) -> int:
        """Characters that the deltas of its choice's other texts had since its own last one."""
        return self._choices[strand.choice].said - strand.said_before

    def delta(self, said: EventText) -> Strand:
        """The text that this is added to."""
        strand = self._growing.get(said.path)
        if strand is None:
            strand = self._growing[said.path] = self._begin(said)
        strand.add(said.text)
        strand.closed = False  # some servers say in the middle of a text that it ended
        choice = self._choices[strand.choice]
        choice.said += len(said.text)
        strand.said_before = choice.said
        choice.open[id(strand)] = strand
        self._going.setdefault(strand.path[:_STEM], {})[id(strand)] = strand
        if self._characters is not None:
            if strand.length >= strand.look_at:
                self._due[id(strand)] = strand
            choice.quiet[id(strand)] = strand
            choice.quiet.move_to_end(id(strand))
            self._leave_behind(choice, self._characters)
        return strand

    def _leave_behind(self, choice: _Choice, characters: int) -> None:
        while choice.quiet:
            key, strand = next(iter(choice.quiet.items()))
            if choice.said - strand.said_before < characters:
                return
            del choice.quiet[key]
            if key in choice.open:
                self._due[key] = strand

    def whole(self, said: EventText) -> Strand:
        """The text that this repeats, or a new one; it has ended."""
        strand = Strand(said, 0)
        strand.add(said.text)
        digest = strand.digest.digest()
        grown = self._growing.get(said.path)
        known = self._wholes.get((said.path, strand.length, digest))
        if known is None and grown is not None and grown.length == strand.length and grown.digest.digest() == digest:
            known = grown
        if known is not None:
            self._end(known)
            return known
        self.begun += 1
        self._wholes[said.path, strand.length, digest] = strand
        self._choice(said.choice).open[id(strand)] = strand
        self._end(strand)
        return strand

    def _begin(self, said: EventText) -> Strand:
        self.begun += 1
        self._choice(said.choice)
        return Strand(said, 0 if self._characters is None else self._characters + 1)

    def _choice(self, number: int) -> _Choice:
        return self._choices.setdefault(number, _Choice())

    def close(self, path: Path) -> None:
        """All texts below this path have ended."""
        stems = [path[:_STEM]] if len(path) >= _STEM else [stem for stem in self._going if stem[: len(path)] == path]
        for stem in stems:
            for strand in list(self._going.get(stem, {}).values()):
                if strand.path[: len(path)] == path:
                    self._end(strand)

    def _end(self, strand: Strand) -> None:
        strand.closed = True
        stem = strand.path[:_STEM]
        if (going := self._going.get(stem)) is not None:
            going.pop(id(strand), None)
            if not going:
                del self._going[stem]
        if id(strand) in self._choices[strand.choice].open:
            self._due[id(strand)] = strand

    def drop(self, choice: int) -> None:
        """Nobody asks for the texts of this choice any more."""
        dropped = self._choices.pop(choice, _Choice())
        for key, strand in dropped.open.items():
            self._due.pop(key, None)
            if (going := self._going.get(strand.path[:_STEM])) is not None:
                going.pop(key, None)
        self._choices[choice] = _Choice(dropped.said)

    def ruled_on(self, strand: Strand) -> None:
        """All of it that came was ruled on."""
        del self._choices[strand.choice].open[id(strand)]

    def is_due(self) -> bool:
        return bool(self._due)

    def take_due(self) -> list[Strand]:
        """What may be judged now, each text once until something changes about it."""
        due, self._due = list(self._due.values()), {}
        return due
