"""A judged sample, as everything downstream gets it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Literal, Protocol

import msgspec

from detectors.opinions import Opinion, strongest
from gateway.exchange import Sample
from gateway.judging.messages import Finding
from policies.engine import Decision

Direction = Literal["prompt", "response"]
DIRECTIONS: tuple[Direction, ...] = ("prompt", "response")
PROBE = "probe:"  # begins the name of a detector that is a probe: it says what a change to the request did


Texts = Mapping[tuple[str, tuple[str | int, ...]], str]  # by direction and path


class Judged(msgspec.Struct, frozen=True):
    """One exchange that was sampled and judged.

    `at` is Unix seconds: when the exchange was closed. `probability` is the known probability with which it was
    sampled. `unread` says why not all of it was read, empty when it was: `unreadable`, `truncated` or `detector`.
    `language` is that of the prompt's last text, an ISO 639-1 code or empty. `findings` has each text with what was
    found, `scores` is what `scores_of` makes of them. `texts` reads the texts themselves anew, by direction and path:
    personal data, for sinks that the operator allowed to have them. `sample` is the exchange itself as raw bytes, None
    where this is not about one exchange as it was.
    """

    id: str
    at: float
    probability: float
    route: str
    model: str
    caller: str
    operation: str
    outcome: str
    stream: bool
    guarded: bool
    language: str
    unread: str
    findings: Sequence[Finding]
    scores: Sequence[tuple[Direction, Opinion]]
    decisions: Mapping[Direction, Decision]
    texts: Callable[[], Texts] = dict
    sample: Sample | None = None

    @property
    def is_flagged(self) -> bool:
        return any(opinion.flagged for _, opinion in self.scores)


def scores_of(findings: Sequence[Finding]) -> list[tuple[Direction, Opinion]]:
    """Of each direction and sub-category the strongest opinion over all texts, flagged when any of them was."""
    found: list[tuple[Direction, Opinion]] = []
    for direction in DIRECTIONS:
        own = chain.from_iterable([finding.opinions for finding in findings if finding.direction == direction])
        found += [(direction, opinion) for opinion in strongest(own).values()]
    return found


class Sink(Protocol):
    """Takes judged samples. Sinks do not know each other, and none of them may wait."""

    def take(self, judged: Judged) -> None: ...
