"""A sliding window over a streamed answer: events in, stretches of text to judge out, then the events that may leave.

Of every text (a channel of a choice) the last characters are held back until more of it came, so that what a rule finds
within so many characters is found before any of it has left. What leaves is the upstream's own bytes, in order; an
event is written anew only when a part of its text is cut out. No I/O, and no opinion of its own: what becomes of a text
is passed in.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from gateway.delivery.budget import STRAND_COST, event_cost
from gateway.exchange import Stretch, Treatment
from gateway.openai_api import (
    DONE_DATA,
    Channel,
    EventRead,
    EventText,
    Operation,
    Path,
    Unread,
    answers_of,
    read_event,
    rewrite,
    says_nothing,
    sse,
    texts,
    without_choices,
    without_logprobs,
)

Cut = texts.Cut
_CONTEXT = 128  # characters that left already and are judged again, at least: what a rule looks at before a finding
_LONGEST_RUN = 8192  # characters without a space that are kept together: longer than any token a rule knows
_SENTENCE_END = re.compile(r"(?:[.!?…][\"')\]”’]*\s+|\n|[。！？])")
_RUN = re.compile(r"[!-~]*")
# A word, which is no part of an address, and its full stop; or a line.
_SENTENCE_OVER = re.compile(r"(?:\b[^\W\d_]+[.!?…:;][\"')\]”’*`]*\s*|\n\s*|[。！？]\s*)\Z")
_LONGEST_ENDING = 64


class _Strand:
    """One text of the answer. Offsets count its characters from the first; what is held begins at `released`."""

    __slots__ = (
        "after",
        "channel",
        "choice",
        "closed",
        "context",
        "cuts",
        "digest",
        "ends",
        "held",
        "is_json",
        "length",
        "look_at",
        "path",
        "released",
    )

    def __init__(self, said: EventText, look_at: int) -> None:
        self.path = said.path
        self.choice = said.choice
        self.channel: Channel = said.channel
        self.held: list[str] = []
        self.context = ""
        self.length = self.released = 0
        self.look_at = look_at  # the length at which it may be time to judge
        self.after = 0  # characters of the same choice's other texts since its last one
        self.closed = False
        self.is_json: bool | None = None  # as soon as that can be told
        self.digest = blake2b(digest_size=16)
        self.cuts: list[Cut] = []
        self.ends: list[int] = []

    def add(self, text: str) -> None:
        self.held.append(text)
        self.length += len(text)
        self.after = 0
        self.digest.update(text.encode("utf-8", "surrogatepass"))

    def waiting(self) -> str:
        """What is held, as one text."""
        self.held = ["".join(self.held)]
        if self.is_json is None and self.held[0].strip():
            self.is_json = texts.is_json(self.held[0])
        return self.held[0]

    def readable(self, target: int) -> texts.Written | None:
        """What waits, behind its context, without the escapes of the JSON that it is; None when there are none."""
        text = self.context + self.waiting()
        if not self.released and target == self.length:
            return texts.read(text)
        return texts.read_part(text) if self.is_json else None

    def release(self, end: int, cuts: Iterable[Cut], context: int) -> None:
        """Everything up to `end` may leave, without these cuts."""
        held = self.waiting()
        for cut in cuts:
            self.cuts.append(cut)
            self.ends.append(cut[1])
        said = self.without_cuts(held[: end - self.released], self.released)
        past = self.context + said
        at = _run_start(past, max(0, len(past) - context))
        self.context = past[at:]
        self.held = [held[end - self.released :]]
        self.released = end

    def without_cuts(self, text: str, start: int) -> str:
        """A part of the text that begins at `start`, as it may leave: a cut is named where it begins."""
        at = bisect_right(self.ends, start)
        end = start + len(text)
        found: list[Cut] = []
        for cut in self.cuts[at:]:
            if cut[0] >= end:
                break
            if cut[0] < start:
                text, start = text[cut[1] - start :], min(cut[1], end)
            else:
                found.append((cut[0] - start, cut[1] - start, cut[2]))
        return texts.cut_out(text, found) if found else text


class _Piece(NamedTuple):
    """A text in an event: which part of which strand."""

    strand: _Strand
    said: EventText
    start: int
    end: int


class _Entry(NamedTuple):
    """An event that waits, and what was read in it."""

    event: sse.Event
    read: EventRead | None
    pieces: list[_Piece]
    cost: int


class Window:
    """`characters` of every text are held back, None for all of it until the end.

    `choices` is how many the request asked for: when all of them are blocked, nothing more of the upstream is needed
    (`over`), unless the client asked for the usage at its end (`include_usage`). A text that pauses at the end of a
    sentence while as many characters come of others in the same choice counts as ended; one that pauses elsewhere keeps
    what comes after it back, until it goes on or ends.
    """

    def __init__(
        self,
        operation: Operation,
        model: str,
        *,
        characters: int | None,
        choices: int = 1,
        include_usage: bool = False,
    ) -> None:
        self._operation = operation
        self._characters = characters
        self._choices = choices
        self._include_usage = include_usage
        self._usage: Any = None  # of a response that ended
        answers = answers_of(operation)
        self._has_choices = answers.has_choices
        self._ending = answers.ending(model)
        self._begun = False
        self._ended = False
        self._closed = False  # the ending was written
        self._done = False
        self._queue: deque[_Entry] = deque()
        self._known: dict[Path, list[_Strand]] = {}
        self._growing: dict[Path, _Strand] = {}
        self._open: dict[int, _Strand] = {}  # with characters that nobody ruled on, by identity
        self._asked: list[tuple[_Strand, int, texts.Written | None]] = []
        self._notice = b""
        self._seen: set[int] = set()
        self._blocked: set[int] = set()
        self._replaced: set[int] = set()  # those in whose place a message stands
        self._cut: set[int] = set()  # those of which something was cut out
        self._message = ""
        self.size = 0  # bytes that wait
        self.held = 0  # bytes of memory that are held for it, about
        self.unread: list[Unread] = []  # what came that nobody can read; for the caller to act on and to reset
        self.changed = False  # what left is not the upstream's own bytes
        self.over = False

    @property
    def slides(self) -> bool:
        """Whether some of it may leave before the end."""
        return self._characters is not None

    @property
    def all_blocked(self) -> bool:
        """Whether no choice of those that came may be served."""
        return bool(self._blocked) and self._seen <= self._blocked

    @property
    def replaced(self) -> bool:
        """Whether a message replaces some choice."""
        return bool(self._replaced)

    # --- in

    def feed(self, event: sse.Event) -> None:
        """The next event of the upstream."""
        data = event.data.strip()
        pieces: list[_Piece] = []
        read = None
        if data == DONE_DATA:
            self._done = True
            self._close(())
        elif data:
            read = read_event(self._operation, data)
            if read is None:
                self.unread.append(Unread("assistant", "event"))
            else:
                self._read(data, read, pieces)
        elif sse.says_more(event.raw):
            self.unread.append(Unread("assistant", "event"))
        cost = event_cost(event, read)
        self.size += len(event.raw)
        self.held += cost
        self._queue.append(_Entry(event, read, pieces, cost))

    def _read(self, data: bytes, read: EventRead, pieces: list[_Piece]) -> None:
        if not self._begun:
            self._begun = True
            self._ending.first(data)
        self.unread += read.unread
        self._seen.update(read.choices)
        pieces += [
            self._whole(said) if said.whole else self._delta(said)
            for said in read.said
            if said.choice not in self._blocked
        ]
        for path in read.ends:
            self._close(path)
        if () in read.ends:  # the usage is the event's own, or that of the response in it
            ended = read.value.get("response", read.value)
            self._usage = (ended.get("usage") if isinstance(ended, dict) else None) or self._usage

    def _delta(self, said: EventText) -> _Piece:
        strand = self._growing.get(said.path)
        if strand is None:
            strand = self._growing[said.path] = self._begin(said)
        strand.closed = False  # some servers say in the middle of a text that it ended
        start = strand.length
        strand.add(said.text)
        self._open[id(strand)] = strand
        for other in self._open.values() if self._characters is not None else ():
            if other is not strand and other.choice == strand.choice:
                other.after += len(said.text)
        return _Piece(strand, said, start, strand.length)

    def _whole(self, said: EventText) -> _Piece:
        """An event that repeats a text: most often one that came in deltas and was ruled on already."""
        digest = blake2b(said.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for strand in self._known.get(said.path, ()):
            if strand.length == len(said.text) and strand.digest.digest() == digest:
                strand.closed = True
                return _Piece(strand, said, 0, strand.length)
        strand = self._begin(said)
        strand.add(said.text)
        strand.closed = True
        self._open[id(strand)] = strand
        return _Piece(strand, said, 0, strand.length)

    def _begin(self, said: EventText) -> _Strand:
        strand = _Strand(said, 0 if self._characters is None else self._characters + 1)
        self.held += STRAND_COST
        self._known.setdefault(said.path, []).append(strand)
        return strand

    def _close(self, path: Path) -> None:
        for strand in self._open.values():
            if strand.path[: len(path)] == path:
                strand.closed = True

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._close(())
        self.over = self.over or self._is_over()

    # --- ruled on

    def stretches(self) -> list[Stretch]:
        """What is to be judged now; empty when nothing could be released by it. `settle` takes the treatments."""
        self._asked = []
        if self._characters is None and not self._ended:
            return []
        for strand in list(self._open.values()):
            target = self._target(strand)
            if target > strand.released:
                self._asked.append((strand, target, strand.readable(target)))
        return [
            Stretch(
                strand.choice, strand.channel, strand.context + strand.waiting() if written is None else written.text
            )
            for strand, _, written in self._asked
        ]

    def _target(self, strand: _Strand) -> int:
        """Up to where the text may leave if nothing is found."""
        if strand.closed or self._characters is None or self._is_left_behind(strand, self._characters):
            return strand.length
        if strand.length < strand.look_at:
            return 0
        held = strand.waiting()
        if strand.is_json and strand.channel == "arguments":
            return 0  # nobody can use a part of them
        at = _boundary(held, len(held) - self._characters, self._characters // 2)
        if strand.is_json:
            at -= texts.unfinished(held[:at])
        if not at:
            strand.look_at = strand.length + max(1, len(held) // 8)
        return strand.released + at

    def _is_left_behind(self, strand: _Strand, characters: int) -> bool:
        """Whether a text counts as ended because another one took over: in the middle of a sentence it may go on."""
        return strand.after >= characters and bool(_SENTENCE_OVER.search(strand.waiting()[-_LONGEST_ENDING:]))

    def settle(self, treatments: Sequence[Treatment]) -> None:
        """Treatments on what `stretches` gave, in its order."""
        asked, self._asked = self._asked, []
        for (strand, _, _), treatment in zip(asked, treatments, strict=True):
            if treatment.blocked:
                self._block(strand.choice, treatment.message)
        for (strand, target, written), treatment in zip(asked, treatments, strict=True):
            if strand.choice not in self._blocked:
                cuts = treatment.cuts if written is None else written.put_back(treatment.cuts)
                self._release(strand, target, cuts)

    def block_all(self) -> None:
        """No choice may go on, and none that is still to come."""
        for choice in sorted(self._seen or {0}):
            self._block(choice)
        self._drop()
        self.over = True

    def _release(self, strand: _Strand, target: int, cuts: Iterable[Cut]) -> None:
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
            self._cut.add(strand.choice)
        strand.release(target, kept, max(_CONTEXT, characters // 2))
        strand.look_at = strand.length + max(1, characters // 2, (strand.length - target) // 4)
        if strand.released == strand.length:
            del self._open[id(strand)]

    def _before_cuts(self, strand: _Strand, target: int, found: Sequence[Cut]) -> int:
        """A finding that reaches past the target may yet grow: it stays whole, with the word it begins in."""
        held = strand.waiting()
        for start, end, _ in reversed(found):
            if start < target < end:
                target = strand.released + _run_start(held, start - strand.released)
        return target

    def _block(self, choice: int, message: str = "") -> None:
        if choice in self._blocked:
            return
        if message and self._has_begun(choice):
            message = ""
        self._blocked.add(choice)
        if message:
            self._replaced.add(choice)
        self.changed = True
        self._message = message
        self._notice += self._ending.blocked(choice, message)
        self._open = {key: strand for key, strand in self._open.items() if strand.choice != choice}
        if self._has_choices:
            self.over = self._is_over()
        else:
            self._drop()
            self.over = True

    def _drop(self) -> None:
        """Nothing of what waits leaves."""
        self.held -= sum(entry.cost for entry in self._queue)
        self._queue.clear()
        self.size = 0

    def _is_over(self) -> bool:
        """Whether every choice of chat or completions is blocked and nothing else is waited for."""
        waits = self._include_usage and not self._ended
        return bool(self._blocked) and len(self._blocked) >= self._choices and self._seen <= self._blocked and not waits

    def _has_begun(self, choice: int) -> bool:
        """Whether something that this choice says has left."""
        return any(strand.released for strands in self._known.values() for strand in strands if strand.choice == choice)

    # --- out

    def take(self) -> bytes:
        """Everything that may leave now, as whole events."""
        out = [self._notice] if self._notice else []
        self._notice = b""
        if self._characters is not None or self._ended or self.over:
            while self._queue and all(self._may_leave(piece) for piece in self._queue[0].pieces):
                entry = self._queue.popleft()
                self.size -= len(entry.event.raw)
                self.held -= entry.cost
                out.append(self._written(entry))
        if self.over and not self._closed:
            self._closed = True
            out.append(self._ending.close(done=self._done, message=self._message, usage=self._usage))
        return b"".join(out)

    def _may_leave(self, piece: _Piece) -> bool:
        return piece.strand.released >= piece.end or piece.strand.choice in self._blocked

    def _changes(self, entry: _Entry) -> dict[Path, str]:
        """The texts of an event that lose something, each by its path."""
        changes: dict[Path, str] = {}
        for piece in entry.pieces:
            if piece.strand.ends and piece.strand.choice not in self._blocked:
                text = piece.strand.without_cuts(piece.said.text, piece.start)
                if text != piece.said.text:
                    changes[piece.said.at] = text
        return changes

    def _written(self, entry: _Entry) -> bytes:
        event, read = entry.event, entry.read
        if read is None:
            return event.raw
        changes = self._changes(entry)
        data: bytes | None = rewrite(event.data, changes) if changes else event.data
        if changes and self._has_choices and not any(changes.values()):
            data = None if says_nothing(data or b"") else data
        if any(piece.strand.choice in self._blocked and piece.said.at[0] != "choices" for piece in entry.pieces):
            data = None  # what it says stands beside its choices
        if data is not None and not self._blocked.isdisjoint(read.choices):
            data = without_choices(data, self._blocked)
        telling = {choice for choice in read.with_logprobs if self._may_tell(choice, entry)}
        if data is not None and telling:
            data = without_logprobs(data, telling)
        self._note(read, changes)
        if data is event.data:
            return event.raw
        self.changed = True
        if data is None:
            return b""
        return sse.encode(data, event.event.decode(errors="replace") if event.event is not None else None)

    def _may_tell(self, choice: int, entry: _Entry) -> bool:
        """Whether token log-probabilities may spell out what is or will be cut: they came without their text."""
        return choice in self._cut or all(piece.said.choice != choice for piece in entry.pieces)

    def _note(self, read: EventRead, changes: dict[Path, str]) -> None:
        """Tell the ending what left: the texts as they left, and the event's own texts in the same way."""
        said = read.said
        value: dict[str, Any] = read.value
        if changes:
            said = [one._replace(text=changes.get(one.at, one.text)) for one in said]
            for at, text in changes.items():
                _put(value, at, text)
        self._ending.sent(value, said)


def _put(value: Any, at: Path, text: str) -> None:
    for key in at[:-1]:
        value = value[key]
    value[at[-1]] = text


def _boundary(text: str, limit: int, back: int) -> int:
    """Where to part the text at `limit` or before: after a sentence at most `back` before it, else between words."""
    if limit <= 0:
        return 0
    ended = [found.end() for found in _SENTENCE_END.finditer(text, max(0, limit - back), limit)]
    return ended[-1] if ended else _run_start(text, limit)


def _run_start(text: str, at: int) -> int:
    """`at`, or where the word around it begins: a run of visible ASCII characters, in which a token may stand."""
    if not 0 < at < len(text) or not "!" <= text[at] <= "~":
        return at
    behind = text[max(0, at - _LONGEST_RUN) : at]
    found = _RUN.match(behind[::-1])
    length = found.end() if found else 0
    return at if length == _LONGEST_RUN else at - length
