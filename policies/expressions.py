"""Compiled conditions: trees of what must be found in texts and what the request must be, for `engine` to evaluate."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from policies.detectable import Threshold
from policies.model import DIRECTIONS, Direction
from policies.source import KeyPath

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """Something that must be found in a text. Empty sets restrict nothing.

    At least `agree` detectors must find it in the same text. `place` says where it is written in the rule, for people.
    """

    thresholds: tuple[Threshold, ...]
    channels: frozenset[str]
    languages: frozenset[str]
    findings: frozenset[str]
    agree: int
    place: str

    def implies(self, other: "Leaf") -> bool:
        """Whether the other is found in every text in which this is found."""
        lowest: dict[tuple[str, str, str], float] = {}
        for t in other.thresholds:
            lowest[t.slug, t.direction, t.detector] = t.score
        return (
            all(lowest.get((t.slug, t.direction, t.detector), 2.0) <= t.score for t in self.thresholds)
            and _within(self.channels, other.channels)
            and _within(self.languages, other.languages)
            and _within(self.findings, other.findings)
            and self.agree >= other.agree
        )


@dataclass(frozen=True, slots=True, eq=False)
class AllOf:
    """Every part holds."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True, eq=False)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Not:
    """The part does not hold."""

    part: "Expression"


@dataclass(frozen=True, slots=True, eq=False)
class InOneText:
    """The part holds for one text alone, whatever the others contain."""

    part: "Expression"


@dataclass(frozen=True, slots=True, eq=False)
class RequestIs:
    """The request's `key` (route, model or caller) is one of the names or begins with one of the prefixes."""

    key: str
    names: frozenset[str]
    prefixes: tuple[str, ...]
    path: KeyPath  # where it is written, below `when`

    def implies(self, other: "RequestIs") -> bool:
        """Whether the other holds wherever this one does."""
        return (
            self.key == other.key
            and all(map(other.holds, self.names))
            and all(prefix.startswith(other.prefixes) for prefix in self.prefixes)
        )

    def excludes(self, other: "RequestIs") -> bool:
        """Whether the two never hold together."""
        if self.key != other.key:
            return False
        alike = any(a.startswith(b) or b.startswith(a) for a in self.prefixes for b in other.prefixes)
        return not (alike or any(map(other.holds, self.names)) or any(map(self.holds, other.names)))

    def holds(self, value: str) -> bool:
        return value in self.names or (bool(self.prefixes) and value.startswith(self.prefixes))


Expression = Leaf | AllOf | AnyOf | Not | InOneText | RequestIs


def leaves(tree: Expression) -> Iterator[Leaf]:
    """Everything that the tree looks for, in written order."""
    match tree:
        case Leaf():
            yield tree
        case AllOf() | AnyOf():
            for part in tree.parts:
                yield from leaves(part)
        case Not() | InOneText():
            yield from leaves(tree.part)


def directions_of(tree: Expression) -> frozenset[Direction]:
    """The directions in which the tree can hold."""
    match tree:
        case Leaf():
            return frozenset(t.direction for t in tree.thresholds)
        case AllOf():
            return frozenset(DIRECTIONS).intersection(*map(directions_of, tree.parts))
        case AnyOf():
            return frozenset[Direction]().union(*map(directions_of, tree.parts))
        case InOneText():
            return directions_of(tree.part)
        case Not() | RequestIs():
            return frozenset(DIRECTIONS)


def routes_of(tree: Expression) -> frozenset[str] | None:
    """The routes on which the tree can hold; None for any."""
    match tree:
        case RequestIs(key="route"):
            return tree.names
        case AllOf():
            named = [routes for part in tree.parts if (routes := routes_of(part)) is not None]
            return named[0].intersection(*named[1:]) if named else None
        case AnyOf():
            each = [routes_of(part) for part in tree.parts]
            return None if None in each else frozenset[str]().union(*(routes for routes in each if routes))
        case _:
            return None


def shape(tree: Expression) -> object:
    """What the tree means, as plain values: equal for trees that are built alike and so decide alike."""
    match tree:
        case Leaf():
            heard = sorted((t.slug, t.direction, t.detector, t.score) for t in tree.thresholds)
            return [heard, sorted(tree.channels), sorted(tree.languages), sorted(tree.findings), tree.agree]
        case AllOf():
            return ["all", *map(shape, tree.parts)]
        case AnyOf():
            return ["any", *map(shape, tree.parts)]
        case Not():
            return ["not", shape(tree.part)]
        case InOneText():
            return ["in one text", shape(tree.part)]
        case RequestIs():
            return [tree.key, sorted(tree.names), sorted(tree.prefixes)]


def _within(inner: frozenset[T], outer: frozenset[T]) -> bool:
    """Whether the inner set is within the outer; an empty set restricts nothing."""
    return not outer or (bool(inner) and inner <= outer)
