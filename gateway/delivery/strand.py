"""One text of a streamed answer: what of it is held back, what was decided about it, and how it may leave."""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from gateway.openai_api import STRAYS, Channel, EventText, Path, says_little
from gateway.openai_api.bodies import texts

Cut = texts.Cut
_LONGEST_RUN = 8192  # characters without a space that are kept together: longer than any token a rule knows
_SENTENCE_END = re.compile(r"(?:[.!?…][\"')\]”’]*\s+|\n|[。！？])")
_RUN = re.compile(r"[!-~]*")


class Strand:
    """Offsets count the characters of the text from the first; what is held begins at `released`.

    `look_at` is the length at which it may be time to judge; `said_before` is how much its choice had said when this
    text last grew. The held pieces are joined only when they are looked at, so adding to a long text costs no more.
    """

    __slots__ = (
        "channel",
        "choice",
        "closed",
        "context",
        "cuts",
        "ends",
        "held",
        "is_json",
        "is_little",
        "is_name",
        "is_of_strays",
        "length",
        "look_at",
        "path",
        "released",
        "said_before",
    )

    def __init__(self, said: EventText, look_at: int) -> None:
        self.path: Path = said.path
        self.choice = said.choice
        self.channel: Channel = said.channel
        self.held: list[str] = []
        self.context = ""
        self.length = self.released = 0
        self.look_at: float = look_at
        self.said_before = 0
        self.closed = False
        self.is_name = said.is_name
        self.is_of_strays = said.path[:1] == (STRAYS,)
        self.is_little = False  # the strays gathered so far are not a text yet
        self.is_json: bool | None = None  # None until it can be told
        self.cuts: list[Cut] = []
        self.ends: list[int] = []

    def add(self, text: str) -> None:
        self.held.append(text)
        self.length += len(text)
        if self.is_json is None and text.strip():
            self.is_json = texts.is_json(text)

    def waiting(self) -> str:
        """What is held, as one text."""
        if len(self.held) != 1:
            self.held = ["".join(self.held)]
        return self.held[0]

    def ending(self, characters: int) -> str:
        """At least the last so many characters of what is held."""
        pieces: list[str] = []
        for piece in reversed(self.held):
            pieces.append(piece[-characters:])
            characters -= len(piece)
            if characters <= 0:
                break
        return "".join(reversed(pieces))

    @property
    def says_little(self) -> bool:
        """Whether it is a complete name that is too short to say anything, or strays that are not a text yet."""
        if self.is_of_strays:
            return self.is_little
        return self.is_name and self.closed and not self.released and says_little(self.waiting())

    def wait_for_end(self) -> None:
        """Do not look at it before it has ended."""
        self.look_at = math.inf

    def readable(self, target: int) -> texts.Written | None:
        """The context and what waits, without the escapes of JSON; None if there are none."""
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
        at = run_start(past, max(0, len(past) - context))
        self.context = past[at:]
        self.held = [held[end - self.released :]]
        self.released = end

    def without_cuts(self, text: str, start: int) -> str:
        """A part of the text that begins at `start`, as it may leave; a cut's label stands where the cut begins."""
        end = start + len(text)
        found: list[Cut] = []
        for cut in self._cuts_between(start, end):
            if cut[0] < start:
                text, start = text[cut[1] - start :], min(cut[1], end)
            else:
                found.append((cut[0] - start, cut[1] - start, cut[2]))
        return texts.cut_out(text, found) if found else text

    def _cuts_between(self, start: int, end: int) -> Iterator[Cut]:
        for number in range(bisect_right(self.ends, start), len(self.cuts)):
            if self.cuts[number][0] >= end:
                return
            yield self.cuts[number]


def boundary(text: str, limit: int, back: int) -> int:
    """Where to split the text, at `limit` or before: after a sentence that ends at most `back` before it, else between
    words."""
    if limit <= 0:
        return 0
    ended = [found.end() for found in _SENTENCE_END.finditer(text, max(0, limit - back), limit)]
    return ended[-1] if ended else run_start(text, limit)


def run_start(text: str, at: int) -> int:
    """`at`, or where the word around it begins: a run of visible ASCII characters, in which a token may stand."""
    if not 0 < at < len(text) or not "!" <= text[at] <= "~":
        return at
    behind = text[max(0, at - _LONGEST_RUN) : at]
    found = _RUN.match(behind[::-1])
    length = found.end() if found else 0
    return at if length == _LONGEST_RUN else at - length
