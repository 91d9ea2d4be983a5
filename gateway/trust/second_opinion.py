"""A second opinion on a judged sample, by a judge model or a person, and the samples that wait for one."""

from typing import Literal

import msgspec

Kind = Literal["judge", "person"]
KINDS: tuple[Kind, ...] = ("judge", "person")
Reason = Literal["flagged", "doubt", "floor"]
# An answer that shows one of these was wrong. They may be labelled where no detector judges them.
WRONG = frozenset({"misinformation", "hallucination", "limited_logical_reasoning", "limited_causal_reasoning"})


class Label(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Whether one direction of a sample shows one sub-category: 0 no, 1 yes, between them a probability."""

    direction: str
    slug: str
    value: float


class SecondOpinion(msgspec.Struct, array_like=True, frozen=True):
    """What a source says of a sample.

    `at` is when it was given, in Unix seconds. `name` says who gave it: a judge as name@version, or a reviewer. There
    is one opinion for each (sample, kind, name); a later one replaces it. `probability`, above 0 and at most 1, is that
    with which the judged sample was drawn for an opinion of this kind. `labels` holds what the source answered; an
    empty list says that it was asked and did not answer.
    """

    sample: str
    at: float
    kind: Kind
    name: str
    probability: float
    labels: list[Label]

    def __post_init__(self) -> None:
        _check_probability(self.probability)
        for label in self.labels:  # here and not in Label: thousands are read at once
            if not 0 <= label.value <= 1:
                raise ValueError(f"a label is a share from 0 to 1, not {label.value}")


class Waiting(msgspec.Struct, array_like=True, frozen=True):
    """A sample that was drawn for an opinion of this kind and has not received it yet.

    `at` is the sample's time in Unix seconds; `probability` is as in SecondOpinion, into which it is copied. `reason`
    says why it was drawn; `slug` and `direction` are what weighed most in that. `texts` are (direction, text), kept
    only where the operator allows it. The sample waits until `wanted` different sources have given their opinion.
    """

    sample: str
    at: float
    kind: Kind
    probability: float
    reason: Reason
    direction: str
    slug: str
    texts: list[tuple[str, str]] = []
    wanted: int = 1

    def __post_init__(self) -> None:
        _check_probability(self.probability)


def _check_probability(value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"an inclusion probability is above 0 and at most 1, not {value}")
