"""The texts of one streamed answer. An upstream may begin any number: each step costs the same however many there are.

A delta adds to a text. A whole text repeats one that came in deltas, or adds to earlier whole texts. The parts of one
content list are one text, which ends with the list and not with a part, because it may go on in the next part. A text
is due when it may be time to judge it: it is long enough, it has ended, or the other texts of its choice have said so
much since that it has probably ended.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b

from gateway.delivery.strand import Strand
from gateway.openai_api import Channel, EventText, Path, part_of

_STEM = 2  # keys that lead to what ends at once: a choice, an item, a block of content


class _Part:
    """A part of a strand: where it stands, as long as it is in one piece."""

    __slots__ = ("_digest", "length", "start", "strand")

    def __init__(self, strand: Strand) -> None:
        self.strand = strand
        self.start = strand.length
        self.length = 0
        self._digest: blake2b | None = blake2b(digest_size=16)

    def add(self, text: str) -> None:
        """Note the text that is about to be added to the strand."""
        if self._digest is not None and self._is_last:
            self.length += len(text)
            self._digest.update(_encoded(text))
        else:
            self._digest = None

    @property
    def _is_last(self) -> bool:
        return self.start + self.length == self.strand.length

    def says(self, text: str) -> bool:
        return self._digest is not None and self.length == len(text) and self._digest.digest() == _digest(text)

    def begins(self, text: str) -> bool:
        """Whether a text begins with all of this part and goes on."""
        return 0 < self.length < len(text) and self._is_last and self.says(text[: self.length])


@dataclass(slots=True)
class _Choice:
    """How many characters one choice has said in deltas, and its texts that nobody has decided on, by identity."""

    said: int = 0
    open: dict[int, Strand] = field(default_factory=dict)
    quiet: OrderedDict[int, Strand] = field(default_factory=OrderedDict)  # the one that paused longest is first


class Strands:
    """All texts of an answer. `characters` of each are held back; None holds all of it."""

    def __init__(self, characters: int | None) -> None:
        self._characters = characters
        self._growing: dict[tuple[Path, Channel], Strand] = {}
        self._parts: dict[Path, _Part] = {}
        self._whole: dict[tuple[Path, Channel], Strand] = {}  # texts that came whole
        self._whole_parts: dict[Path, _Part] = {}
        self._wholes: dict[tuple[Path, int, bytes], tuple[Strand, int]] = {}
        self._choices: dict[int, _Choice] = {}
        self._going: dict[Path, dict[int, Strand]] = {}  # those that have not ended, by the first keys of their paths
        self._due: dict[int, Strand] = {}
        self.begun = 0

    def said_since(self, strand: Strand) -> int:
        """How many characters other texts of its choice have said since its own last delta."""
        return self._choices[strand.choice].said - strand.said_before

    def delta(self, said: EventText) -> Strand:
        """Add a delta to its text, which is returned."""
        key = part_of(said.path), said.channel
        strand = self._growing.get(key)
        if strand is None:
            strand = self._growing[key] = self._begin(said)
        part = self._parts.get(said.path)
        if part is None:
            self.begun += 1
            part = self._parts[said.path] = _Part(strand)
        part.add(said.text)
        self._add(strand, said, said.text)
        choice = self._choices[strand.choice]
        if not strand.is_of_strays:  # strays stand between the words of other texts, which go on
            choice.said += len(said.text)
        self._pause(strand)
        return strand

    def _pause(self, strand: Strand) -> None:
        """Note that the text may go on later."""
        choice = self._choices[strand.choice]
        strand.said_before = choice.said
        if self._characters is None:
            return
        if strand.length >= strand.look_at:
            self._due[id(strand)] = strand
        choice.quiet[id(strand)] = strand
        choice.quiet.move_to_end(id(strand))
        self._leave_behind(choice, self._characters)

    def look_at(self, strand: Strand) -> None:
        """Make the text due, however short it is."""
        self._due[id(strand)] = strand

    def _add(self, strand: Strand, said: EventText, text: str) -> None:
        """Let the text grow at this path."""
        if strand.path[:_STEM] != said.path[:_STEM]:
            self._stop(strand)
        strand.path = said.path
        strand.add(text)
        strand.closed = False  # some servers say in the middle of a text that it ended
        self._choices[strand.choice].open[id(strand)] = strand
        self._going.setdefault(strand.path[:_STEM], {})[id(strand)] = strand

    def _leave_behind(self, choice: _Choice, characters: int) -> None:
        while choice.quiet:
            key, strand = next(iter(choice.quiet.items()))
            if choice.said - strand.said_before < characters:
                return
            del choice.quiet[key]
            if key in choice.open:
                self._due[key] = strand

    def whole(self, said: EventText) -> tuple[Strand, int]:
        """Add a whole text: returns the text that it repeats or is added to, and where it begins there. That text has
        ended."""
        key = said.path, len(said.text), _digest(said.text)
        known = self._wholes.get(key)
        if known is None:
            grown = self._parts.get(said.path)
            if grown is not None and grown.says(said.text):
                known = grown.strand, grown.start
            else:
                self.begun += 1
                known = self._wholes[key] = self._said_whole(said)
        if _goes_on_in_another(said.path):
            self._pause(known[0])
        else:
            self._end(known[0])
        return known

    def _said_whole(self, said: EventText) -> tuple[Strand, int]:
        """Add to earlier whole texts; some servers repeat all that was said so far with every word."""
        last = self._whole_parts.get(said.path)
        if last is not None and last.begins(said.text):
            more = said.text[last.length :]
        else:
            strand = self._whole.get((part_of(said.path), said.channel))
            if strand is None:
                strand = self._whole[part_of(said.path), said.channel] = self._begin(said)
            last, more = _Part(strand), said.text
            self._whole_parts[said.path] = last
        last.add(more)
        self._add(last.strand, said, more)
        return last.strand, last.start

    def _begin(self, said: EventText) -> Strand:
        self._choice(said.choice)
        return Strand(said, 0 if self._characters is None else self._characters + 1)

    def _choice(self, number: int) -> _Choice:
        return self._choices.setdefault(number, _Choice())

    def close(self, path: Path) -> None:
        """All texts below this path have ended; of a text with parts in several blocks, only this part has."""
        stems = [path[:_STEM]] if len(path) >= _STEM else [stem for stem in self._going if stem[: len(path)] == path]
        for stem in stems:
            for strand in list(self._going.get(stem, {}).values()):
                if strand.path[: len(path)] == path and len(path) <= _ends_with(strand.path):
                    self._end(strand)

    def _end(self, strand: Strand) -> None:
        strand.closed = True
        self._stop(strand)
        if id(strand) in self._choices[strand.choice].open:
            self._due[id(strand)] = strand

    def _stop(self, strand: Strand) -> None:
        stem = strand.path[:_STEM]
        if (going := self._going.get(stem)) is not None:
            going.pop(id(strand), None)
            if not going:
                del self._going[stem]

    def drop(self, choice: int) -> None:
        """Forget the texts of this choice: nobody needs them any more."""
        dropped = self._choices.pop(choice, _Choice())
        for key, strand in dropped.open.items():
            self._due.pop(key, None)
            if (going := self._going.get(strand.path[:_STEM])) is not None:
                going.pop(key, None)
        self._choices[choice] = _Choice(dropped.said)

    def ruled_on(self, strand: Strand) -> None:
        """All of the text that has come was decided on."""
        del self._choices[strand.choice].open[id(strand)]

    def is_due(self) -> bool:
        return bool(self._due)

    def take_due(self) -> list[Strand]:
        """The texts that may be judged now; each comes again only after it has changed."""
        due, self._due = list(self._due.values()), {}
        return due


def _goes_on_in_another(path: Path) -> bool:
    """Whether a text is a part of a message, which the next block may continue."""
    return part_of(path) != path


def _ends_with(path: Path) -> int:
    """How many keys lead to what a text ends with: its list of parts, else the text itself."""
    return len(path) - 2 if _goes_on_in_another(path) else len(path)


def _digest(text: str) -> bytes:
    return blake2b(_encoded(text), digest_size=16).digest()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
