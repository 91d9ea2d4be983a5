"""What a detector is: it takes texts and gives one judgement for each, synchronously and without side effects.

Nothing here imports numpy or onnxruntime, so that the gateway's process can use these types without loading a model.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

Role = Literal["prompt", "response"]
T = TypeVar("T")

# Work that can be interrupted: it pauses after each bounded piece (some 30 ms at most) and returns its result at the
# end. Sending True into it asks it to stop: it then returns at once with what it has.
Steps = Generator[None, bool | None, T]


PIECE_CHARACTERS = 8_000  # read in one step, which takes some 4 ms
PIECE_TEXTS = 64  # read in one step at most

UNREAD = "unread"  # the channel of a turn that stands for turns left out, because they were too many or too long


class Turn(NamedTuple):
    """A text before the one to judge, and its channel: system, user, assistant, tool or retrieved.

    There are two more channels: `given` for a context of unknown origin, and UNREAD, which stands for earlier turns
    that were left out.
    """

    channel: str
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """One text to judge.

    `role` says which side wrote it; `context` is the prompt before a response, the turn before a prompt, or None.
    `turns` are all earlier texts in order, for detectors that compare.
    """

    text: str
    role: Role
    context: str | None = None
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of code points in `Text.text`, with what was found there (`email`, `aws_access_key`)."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One detector's opinion of one text for one sub-category.

    `detector` is `name@version`, `slug` a sub-category or auxiliary of `taxonomy`, `score` calibrated: the
    probability, 0 to 1, that the sub-category applies.
    """

    detector: str
    slug: str
    score: float
    spans: tuple[Span, ...] = ()


class State(StrEnum):
    """What a detector did with a text; every text gets exactly one state."""

    SCANNED = "scanned"
    SKIPPED = "skipped"  # nothing in it to judge
    TRUNCATED = "truncated"  # judged only up to the detector's limit
    UNREADABLE = "unreadable"  # much of it is in a script that the detector cannot read; only the rest was judged
    STOPPED = "stopped"  # the work was stopped before all of it was read; the verdicts are on the part that was read


@dataclass(frozen=True, slots=True)
class Judgement:
    """A text's state and its verdicts: at most one for each slug, none if the text was skipped."""

    state: State
    verdicts: tuple[Verdict, ...] = ()


Known = dict[str, Judgement]  # what detectors, by id, have said of one text


class Detector(Protocol):
    """A detector: its id (`name@version`), the slugs that it can judge, and `detect`."""

    @property
    def id(self) -> str: ...

    @property
    def slugs(self) -> frozenset[str]: ...

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order. Any text is legal input; it never raises for content."""
        ...


@runtime_checkable
class Stepwise(Detector, Protocol):
    """A detector whose work on one text may take long and can be interrupted."""

    def steps(self, texts: Sequence[Text]) -> Steps[list[Judgement]]:
        """What `detect` does, in bounded pieces. If it is stopped early, texts that were not wholly read are
        STOPPED."""
        ...


@runtime_checkable
class Comparing(Detector, Protocol):
    """A detector that compares a text with earlier ones; `compares` names the channels of `Text.turns` that it uses."""

    @property
    def compares(self) -> frozenset[str]: ...


@runtime_checkable
class Reading(Detector, Protocol):
    """A detector that reads texts, or passages of texts, in the languages of one group, and leaves others alone."""

    @property
    def group(self) -> str: ...


@runtime_checkable
class TextByText(Detector, Protocol):
    """A detector that judges each text by itself and can be interrupted in between."""

    def judging(self, text: Text) -> Steps[Judgement]:
        """The judgement of one text, in bounded pieces. If it is stopped: STOPPED, with what was found so far."""
        ...


def finish(steps: Steps[T]) -> T:
    """Do all of the work without interruption; returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


def in_pieces(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in order, in lists of about PIECE_CHARACTERS by their `size` and of PIECE_TEXTS items at most."""
    run: list[T] = []
    total = 0
    for item in items:
        run.append(item)
        total += size(item)
        if total >= PIECE_CHARACTERS or len(run) == PIECE_TEXTS:
            yield run
            run, total = [], 0
    if run:
        yield run


# For one (slug, role): (false-alarm rate, score threshold) measured on benign texts, rates ascending and so
# thresholds descending. A text counts as flagged at a rate when its score >= the threshold of that rate.
OperatingTable = tuple[tuple[float, float], ...]
