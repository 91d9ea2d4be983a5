"""A judged sample, as every sink receives it."""

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
PROBE = "probe:"  # prefix of the names of probes, which measure what a change to the request did


Texts = Mapping[tuple[str, tuple[str | int, ...]], str]  # by direction and path


class Judged(msgspec.Struct, frozen=True):
    """One exchange that was sampled and judged.

    `at` is when the exchange was closed, in Unix seconds. `probability` is the known probability with which it was
    sampled. `unread` says why part of it was not read (`unreadable`, `truncated` or `detector`); it is empty when all
    of it was. `language` is that of the prompt's last text: an ISO 639-1 code, or empty. `findings` lists each text
    with what was found in it; `scores` is `scores_of(findings)`. `texts` reads the texts themselves again, by direction
    and path: personal data, for sinks that the operator allows to have them. `sample` is the exchange as raw bytes, or
    None for a record that does not describe one real exchange (a probe's result).
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
    """The strongest opinion over all texts for each direction and sub-category; flagged if any of them was flagged."""
    found: list[tuple[Direction, Opinion]] = []
    for direction in DIRECTIONS:
        own = chain.from_iterable([finding.opinions for finding in findings if finding.direction == direction])
        found += [(direction, opinion) for opinion in strongest(own).values()]
    return found


class Sink(Protocol):
    """Receives judged samples. Sinks do not know each other, and `take` must not block."""

    def take(self, judged: Judged) -> None: ...
