"""Brings hidden text to light before anything is judged: gives the views of a text that a reader or a model may see.

Pure, bounded and linear in the text; an ordinary text costs only a few searches that find nothing. The other modules of
`hiding` say what is undone, and how.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from detectors.base import Judgement, Span, State, Steps, Text, Verdict, finish
from detectors.hiding import disguises, encodings
from detectors.hiding.disguises import Edit
from detectors.hiding.tricks import Trick

MAX_DEPTH = 3  # encodings within one another
MAX_SHOWN = 100_000  # code points of decoded text in all
MAX_VIEWS = 64  # decoded texts in all
MAX_ROUNDS = 4  # disguises over one another
PIECE = 8_000  # code points that are handled in one step: 40 ms for the worst of texts


class Decoded(NamedTuple):
    """What the stretch [start, end) of a text says once it is decoded."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Revealed:
    """The views of one text.

    `plain` is the text without its disguise, None if it has none. `decoded` is what was in encoded runs or invisible
    characters, outermost first. `firsts` and `lasts` have, for each code point of `plain`, the first and the last one
    of `text` that it stands for.
    """

    text: str
    plain: str | None = None
    decoded: tuple[Decoded, ...] = ()
    tricks: frozenset[Trick] = frozenset()
    firsts: Sequence[int] = ()
    lasts: Sequence[int] = ()

    @property
    def views(self) -> tuple[str, ...]:
        """What has to be judged: the text as given, then what it hides."""
        plain = (self.plain,) if self.plain is not None else ()
        return (self.text, *plain, *(found.text for found in self.decoded))

    def locate(self, view: int, span: Span) -> Span:
        """Where a non-empty span of `views[view]` lies in `text`; for a decoded view, the whole encoded stretch."""
        if view == 0:
            return span
        if view == 1 and self.plain is not None:
            return Span(self.firsts[span.start], self.lasts[span.end - 1] + 1, span.label)
        found = self.decoded[view - 1 - (self.plain is not None)]
        return Span(found.start, found.end, span.label)


def reveal(text: str) -> Revealed:
    """Every view of a text; only the text itself if nothing is hidden in it."""
    revealed = finish(reveal_in_steps(text))
    assert revealed is not None, "nobody stopped it"
    return revealed


def reveal_in_steps(text: str) -> Steps[Revealed | None]:
    """The same in bounded pieces of work; None if it is stopped before the end."""
    return _reveal(text, MAX_DEPTH)


def shown(texts: Sequence[Text], revealed: Sequence[Revealed]) -> list[Text]:
    """What a detector has to judge: every view of each text, one text after the other."""
    return [
        text if view is text.text else replace(text, text=view)
        for text, found in zip(texts, revealed, strict=True)
        for view in found.views
    ]


def folded(revealed: Sequence[Revealed], judged: Iterable[Judgement]) -> list[Judgement]:
    """One judgement for each text from those of its views, in the order of `shown`: the worst counts.

    Spans are in the texts as given; for something hidden, the stretch that hides it.
    """
    each = iter(judged)
    return [_worst(found, [next(each) for _ in found.views]) for found in revealed]


def _reveal(text: str, depth: int) -> Steps[Revealed | None]:
    if text.isascii() and _is_plain(text.encode()):
        return Revealed(text)
    tricks: set[Trick] = set()
    decoded: list[Decoded] = []
    draft = _Draft()
    for start, end in _pieces(text):
        draft += _undressed(text[start:end], start, tricks, decoded)
        if len(text) > PIECE and (yield):
            return None
    for trick, content, start, end in encodings.encoded(draft.text):
        tricks.add(trick)
        decoded.append(Decoded(content, *draft.locate(start, end)))
    if not tricks:
        return Revealed(text)
    views = yield from _deeper(decoded, depth, tricks)
    if views is None:
        return None
    plain = None if draft.text == text else draft.text
    return Revealed(text, plain, tuple(_bounded(views)), frozenset(tricks), draft.firsts, draft.lasts)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of about PIECE code points, which end at white space if there is some."""
    start = 0
    while len(text) - start > PIECE:
        end = start + PIECE
        cut = max(text.rfind("\n", end - PIECE // 8, end), text.rfind(" ", end - PIECE // 8, end))
        end = cut + 1 if cut >= 0 else end
        yield start, end
        start = end
    yield start, len(text)


def _undressed(text: str, offset: int, tricks: set[Trick], decoded: list[Decoded]) -> "_Draft":
    """Undo all disguises of a piece that begins at `offset`."""
    draft = _Draft(text, offset)
    for _ in range(MAX_ROUNDS):
        before = draft.text
        _undress(draft, tricks, decoded)
        if draft.text == before:
            break
    return draft


def _is_plain(raw: bytes) -> bool:
    return not (encodings.may_hold_any(raw) or disguises.may_be_respelled(raw))


def _undress(draft: "_Draft", tricks: set[Trick], decoded: list[Decoded]) -> None:
    """Undo one disguise of each kind."""
    if not draft.text.isascii():
        hidden: list[Edit] = []
        found = [finding for finding in disguises.undressed(draft.text, hidden) if finding[1]]
        tricks.update(trick for trick, _ in found)
        decoded += [Decoded(content, *draft.locate(start, end)) for start, end, content in hidden]
        draft.edit([edit for _, edits in found for edit in edits])
    respellings: tuple[tuple[Trick, Callable[[str], list[Edit]]], ...] = (
        (Trick.ESCAPES, disguises.spelt),
        (Trick.SPACED, disguises.spaced),
        (Trick.LEETSPEAK, disguises.leet),
    )
    for trick, respell in respellings:
        edits = respell(draft.text)
        if edits:
            tricks.add(trick)
            draft.edit(edits)


def _deeper(decoded: Iterable[Decoded], depth: int, tricks: set[Trick]) -> Steps[list[Decoded] | None]:
    """Each decoded text and what is hidden in it, all with the same place; not many more than are shown."""
    views: list[Decoded] = []
    shown = 0
    for found in decoded:
        inner = (yield from _reveal(found.text, depth - 1)) if depth > 1 else Revealed(found.text)
        if inner is None:
            return None
        tricks |= inner.tricks
        views += (found._replace(text=view) for view in inner.views)
        shown += sum(map(len, inner.views))
        if shown >= MAX_SHOWN or len(set(views)) >= MAX_VIEWS:
            break
    return views


def _bounded(views: Iterable[Decoded]) -> Iterator[Decoded]:
    """The first MAX_VIEWS different views, with MAX_SHOWN code points in all."""
    seen: set[Decoded] = set()
    left = MAX_SHOWN
    for view in views:
        if view not in seen:
            seen.add(view)
            yield view._replace(text=view.text[:left])
            left -= len(view.text)
        if left <= 0 or len(seen) >= MAX_VIEWS:
            return


class _Draft:
    """A text under correction that knows where each of its code points comes from."""

    def __init__(self, text: str = "", offset: int = 0) -> None:
        """`offset` is where this draft begins in the text as given."""
        self.text = text
        self.firsts: array[int] = array("I", range(offset, offset + len(text)))
        self.lasts: array[int] = array("I", self.firsts)

    def __iadd__(self, behind: "_Draft") -> "_Draft":
        self.text += behind.text
        self.firsts += behind.firsts
        self.lasts += behind.lasts
        return self

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """The half-open range of the text as given for the non-empty range [start, end) of this draft."""
        return self.firsts[start], self.lasts[end - 1] + 1

    def edit(self, edits: Sequence[Edit]) -> None:
        """Make the edits; of two that overlap, the first counts."""
        if not edits:
            return
        before, after = self.firsts, self.lasts
        out: list[str] = []
        firsts, lasts = array("I"), array("I")
        position = 0
        for start, end, content in sorted(edits):
            if start < position:
                continue
            out += (self.text[position:start], content)
            firsts.extend(before[position:start])
            lasts.extend(after[position:start])
            if len(content) == end - start:
                firsts.extend(before[start:end])
                lasts.extend(after[start:end])
            else:
                firsts.extend([before[start]] * len(content))
                lasts.extend([after[end - 1]] * len(content))
            position = end
        out.append(self.text[position:])
        firsts.extend(before[position:])
        lasts.extend(after[position:])
        self.text, self.firsts, self.lasts = "".join(out), firsts, lasts


def _worst(found: Revealed, judged: Sequence[Judgement]) -> Judgement:
    """One judgement from those of a text's views."""
    if len(judged) == 1:
        return judged[0]
    best: dict[str, Verdict] = {}
    for view, judgement in enumerate(judged):
        for verdict in judgement.verdicts:
            spans = tuple(found.locate(view, span) for span in verdict.spans)
            kept = best.get(verdict.slug)
            if kept is not None:
                spans = _outermost((*kept.spans, *spans))
            score = verdict.score if kept is None else max(kept.score, verdict.score)
            best[verdict.slug] = replace(verdict, score=score, spans=spans)
    return Judgement(_state_of_all([judgement.state for judgement in judged]), tuple(best.values()))


def _state_of_all(states: Sequence[State]) -> State:
    """The state of the text itself, which comes first; but if any view was stopped, it was not wholly read."""
    if State.STOPPED in states:
        return State.STOPPED
    return next((state for state in states if state is not State.SKIPPED), State.SKIPPED)


def _outermost(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans in order, without those that lie within another."""
    out: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not out or span.end > out[-1].end:
            out.append(span)
    return tuple(out)
