"""A sliding window over a streamed answer: events in, stretches of text to judge out, then the events that may leave.

The last characters of every text (a channel of a choice) are held back until more of it has come. So what a rule finds
within so many characters is found before any of it has left. What leaves is the upstream's own bytes, in order; an
event is rewritten only when a part of its text is cut out. No I/O, and no decisions: those are passed in.
"""

import re
import sys
from collections import deque
from collections.abc import Iterable, Sequence

from gateway.delivery.budget import STRAND_COST, event_cost
from gateway.delivery.leaving import Choices, HeldEvent, HeldText, Writer
from gateway.delivery.strand import Cut, Strand, boundary, run_start
from gateway.delivery.strands import Strands
from gateway.exchange import Stretch, Treatment
from gateway.openai_api import (
    DONE_DATA,
    STRAYS,
    Channel,
    EventRead,
    EventText,
    Operation,
    Path,
    Unread,
    gatherer_of_answer,
    has_too_many_values,
    place_of,
    read_event,
    sse,
    told_apart,
)
from gateway.openai_api.bodies import texts

_CONTEXT = 128  # least characters that have left and are judged again, because rules look at what precedes a finding
# A word that is not part of an address, with its full stop; or a line.
_SENTENCE_OVER = re.compile(r"(?:\b[^\W\d_]+[.!?…:;][\"')\]”’*`]*\s*|\n\s*|[。！？]\s*)\Z")
_LONGEST_ENDING = 64
_WRITTEN_ANEW = 16  # times as much work as an event that leaves as it came
_EVENT_WORK = 256  # what an event costs beside its bytes, in bytes


class Window:
    """`characters` of every text are held back, None for all of it until the end.

    `choices` is how many the request asked for: when all of them are blocked, nothing more from the upstream is needed
    (`over`), unless the client asked for the usage at the end (`include_usage`). A text that pauses at the end of a
    sentence counts as ended when other texts of its choice have said as many characters since. A text that pauses
    within a sentence holds back what follows until it goes on or ends. `drops_alternatives`: alternatives to tokens do
    not leave. `asked` is the request: what the answer repeats of it says nothing new.

    Strays wait as a text of their own from the fourth word on; if that text is blocked, the whole answer is.
    """

    def __init__(
        self,
        operation: Operation,
        model: str,
        *,
        characters: int | None,
        choices: int = 1,
        include_usage: bool = False,
        drops_alternatives: bool = False,
        asked: bytes = b"",
    ) -> None:
        self._operation = operation
        self._characters = characters
        self._wanted = choices
        self._include_usage = include_usage
        self._choices = Choices()
        self._writer = Writer(operation, model, self._choices, drops_alternatives=drops_alternatives)
        self._ended = False
        self._queue: deque[HeldEvent] = deque()
        self._passed = 0  # pieces of the next event that may leave
        self._strands = Strands(characters)
        self._gatherer = gatherer_of_answer(asked)
        self._told: dict[Path, str] = {}  # what the last event said in fields of unknown form
        self._asked: list[tuple[Strand, int, texts.Written | None, int]] = []  # and the number of its stretch
        self.size = 0  # bytes that wait
        self.sent = 0  # bytes that came and have left
        self.held = 0  # bytes of memory that are held for it, about
        self.unread: list[Unread] = []  # what nobody can read; the caller acts on it and resets it
        self.over = False

    @property
    def slides(self) -> bool:
        """Whether some of it may leave before the end."""
        return self._characters is not None

    @property
    def all_blocked(self) -> bool:
        """Whether every choice that has come is blocked."""
        return self._choices.all_blocked

    @property
    def replaced(self) -> bool:
        """Whether a message replaces some choice."""
        return bool(self._choices.replaced)

    @property
    def changed(self) -> bool:
        """Whether what left differs from the upstream's own bytes."""
        return self._writer.changed

    # --- in

    def feed(self, event: sse.Event) -> None:
        """The next event of the upstream."""
        data = event.data.strip()
        pieces: list[HeldText] = []
        read = None
        if data == DONE_DATA:
            self._strands.close(())
        elif data:
            if has_too_many_values(data):
                self.unread.append(Unread("assistant", "too_long"))
            elif (read := read_event(self._operation, data)) is None:
                self.unread.append(Unread("assistant", "event"))
            else:
                self._read(data, read, pieces)
        if sse.says_beside(event) or (not data and sse.says_more(event.raw)):
            self.unread.append(Unread("assistant", "event"))
        cost = event_cost(event, read)
        self.size += len(event.raw)
        self.held += cost
        self._queue.append(HeldEvent(event, read, pieces, cost))

    def _read(self, data: bytes, read: EventRead, pieces: list[HeldText]) -> None:
        self._writer.first(data)
        self.unread += read.unread
        blocked = self._choices.blocked
        self._choices.going.update(choice for choice in read.choices if choice not in blocked)
        pieces += [self._piece(said) for said in told_apart(read.said, self._told) if said.choice not in blocked]
        pieces += self._strays(read)
        for path in read.ends:
            self._strands.close(path)
        if () in read.ends:  # the usage is the event's own, or that of the response in it
            ended = read.value.get("response", read.value)
            self._writer.usage = (ended.get("usage") if isinstance(ended, dict) else None) or self._writer.usage

    def _strays(self, read: EventRead) -> list[HeldText]:
        """What an event says where no row reads it, as pieces of one text, which counts as a choice that goes on."""
        pieces = []
        for stray in self._gatherer.take_event(read.value, read.said):
            choice, defined = min(self._choices.going, default=0), stray.is_defined
            path: Path = (STRAYS, choice, int(defined))
            channel: Channel = "system" if defined else "assistant"
            pieces.append(self._piece(EventText(channel, place_of(stray), path, stray.text, False, choice)))
            strand = pieces[-1].strand
            strand.add(" ")
            strand.is_little = not self._gatherer.is_text(defined=defined)
            self._strands.look_at(strand)
        return pieces

    def _piece(self, said: EventText) -> HeldText:
        """A text of an event. One that comes whole has mostly come in deltas before."""
        begun = self._strands.begun
        if said.whole:
            strand, start = self._strands.whole(said)
        else:
            strand = self._strands.delta(said)
            start = strand.length - len(said.text)
        self.held += STRAND_COST * (self._strands.begun - begun)
        return HeldText(strand, said, start, start + len(said.text))

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._strands.close(())
        self.over = self.over or self._is_over()

    # --- ruled on

    @property
    def is_due(self) -> bool:
        """Whether `stretches` may have something to be judged."""
        return (self._characters is not None or self._ended) and self._strands.is_due()

    @property
    def work(self) -> int:
        """How much the next ruling may touch, as a number of bytes."""
        return self.size + _EVENT_WORK * len(self._choices.going)

    def stretches(self) -> list[Stretch]:
        """What has to be judged now; empty if that would release nothing. `settle` takes the treatments."""
        self._asked = []
        if not self.is_due:
            return []
        numbers: dict[Stretch, int] = {}  # a text and what its tokens spell are the same stretch
        for strand in self._strands.take_due():
            target = self._target(strand)
            if strand.says_little:
                self._release(strand, strand.length, ())
            elif target > strand.released:
                written = strand.readable(target)
                text = strand.context + strand.waiting() if written is None else written.text
                number = numbers.setdefault(Stretch(strand.choice, strand.channel, text), len(numbers))
                self._asked.append((strand, target, written, number))
        return list(numbers)

    def _target(self, strand: Strand) -> int:
        """How far the text may leave if nothing is found."""
        if strand.closed or self._characters is None or self._is_left_behind(strand, self._characters):
            return strand.length
        if strand.length < strand.look_at:
            return 0
        if strand.is_json and strand.channel == "arguments":
            strand.wait_for_end()  # nobody can use a part of the arguments
            return 0
        held = strand.waiting()
        at = boundary(held, len(held) - self._characters, self._characters // 2)
        if strand.is_json:
            at -= texts.unfinished(held[:at])
        if not at:
            strand.look_at = strand.length + max(1, len(held) // 8)
        return strand.released + at

    def _is_left_behind(self, strand: Strand, characters: int) -> bool:
        """Whether a text counts as ended because others went on; within a sentence it does not."""
        paused = self._strands.said_since(strand) >= characters
        if strand.is_of_strays:
            return paused
        return paused and bool(_SENTENCE_OVER.search(strand.ending(_LONGEST_ENDING)[-_LONGEST_ENDING:]))

    def settle(self, treatments: Sequence[Treatment]) -> None:
        """Take the treatments of what `stretches` gave, in the same order."""
        asked, self._asked = self._asked, []
        for strand, _, _, number in asked:
            if treatments[number].blocked:
                self._block(strand.choice, treatments[number].message)
                if strand.is_of_strays:
                    self._block_others()
        for strand, target, written, number in asked:
            if strand.choice not in self._choices.blocked:
                cuts = treatments[number].cuts if written is None else written.put_back(treatments[number].cuts)
                self._release(strand, target, cuts)

    def block_all(self) -> None:
        """Block all choices, those that are still to come too."""
        if not self._choices.going and not self._choices.blocked:
            self._block(0)
        self._block_others()

    def _block_others(self) -> None:
        for choice in sorted(self._choices.going):
            self._block(choice)
        self._drop()
        self.over = True

    def _release(self, strand: Strand, target: int, cuts: Iterable[Cut]) -> None:
        if cuts and strand.is_json and not strand.released and texts.is_valid(strand.waiting()):
            cuts = texts.within_json(strand.waiting(), cuts)
        offset = strand.released - len(strand.context)
        found = [(max(s + offset, strand.released), e + offset, label) for s, e, label in cuts]
        found = [cut for cut in found if cut[1] > strand.released]
        if target < strand.length:
            target = self._before_cuts(strand, target, found)
        characters = self._characters or 0
        kept = [cut for cut in found if cut[1] <= target]
        if kept:
            self._choices.cut.add(strand.choice)
        strand.release(target, kept, max(_CONTEXT, characters // 2))
        strand.look_at = strand.length + max(1, characters // 2, (strand.length - target) // 4)
        if strand.released and not strand.is_of_strays:
            self._choices.speaking.add(strand.choice)
        if strand.released == strand.length:
            self._strands.ruled_on(strand)

    def _before_cuts(self, strand: Strand, target: int, found: Sequence[Cut]) -> int:
        """The target, moved before findings that reach past it: they may still grow, so all of them stays, with the
        word in which they begin."""
        held = strand.waiting()
        for start, end, _ in reversed(found):
            if start < target < end:
                target = strand.released + run_start(held, start - strand.released)
        return target

    def _block(self, choice: int, message: str = "") -> None:
        if choice in self._choices.blocked:
            return
        if choice in self._choices.speaking:
            message = ""
        self._choices.block(choice)
        if message:
            self._choices.replaced.add(choice)
        self._writer.block(choice, message)
        self._strands.drop(choice)
        if self._writer.has_choices:
            self.over = self._is_over()
        else:
            self._drop()
            self.over = True

    def _drop(self) -> None:
        """Drop everything that waits."""
        self.held -= sum(entry.cost for entry in self._queue)
        self._queue.clear()
        self._passed = self.size = 0

    def _is_over(self) -> bool:
        """Whether every choice of chat or completions is blocked and nothing else is waited for."""
        waits = self._include_usage and not self._ended
        return self.all_blocked and len(self._choices.blocked) >= self._wanted and not waits

    # --- out

    def take(self, most: int = sys.maxsize) -> bytes:
        """Whole events that may leave now, about as many as take the work of `most` bytes. `has_more` says whether more
        may leave.
        """
        out = self._writer.notices()
        done = 0
        while self._may_go_on() and done < most:
            entry = self._queue.popleft()
            self._passed = 0
            self.size -= len(entry.event.raw)
            self.sent += len(entry.event.raw)
            self.held -= entry.cost
            out.append(self._writer.event(entry))
            work = 1 if out[-1] is entry.event.raw else _WRITTEN_ANEW
            done += len(entry.event.raw) * work + _EVENT_WORK
        if self.over and not self.has_more:
            out.append(self._writer.close())
        return b"".join(out)

    @property
    def has_more(self) -> bool:
        """Whether more may leave after what was taken."""
        return self._writer.has_notices or self._may_go_on()

    @property
    def next_size(self) -> int:
        """Bytes of the next event."""
        return len(self._queue[0].event.raw) if self._queue else 0

    def _may_go_on(self) -> bool:
        if self._characters is None and not self._ended and not self.over:
            return False
        pieces = self._queue[0].pieces if self._queue else []
        while self._passed < len(pieces) and self._may_leave(pieces[self._passed]):
            self._passed += 1
        return bool(self._queue) and self._passed == len(pieces)

    def _may_leave(self, piece: HeldText) -> bool:
        return piece.strand.released >= piece.end or piece.strand.choice in self._choices.blocked
