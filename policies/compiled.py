"""A policy in the form that decides: rules with their thresholds, and indexes to find them."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from policies.detectable import Threshold
from policies.expressions import Expression, Leaf, RequestIs
from policies.model import Action, Count, Direction, Mode, OnError, Whom


class Reroute(NamedTuple):
    """The request goes to this route or upstream, with this system message. Either may be empty."""

    to: str
    system: str


class Throttle(NamedTuple):
    """`rule` lets the caller or the end user send `per_minute` requests a minute for the next `for_seconds`."""

    rule: str
    per_minute: int
    for_seconds: int
    by: Whom = "caller"


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule with its thresholds; `order` is its place in the file. Empty sets restrict nothing.

    `share` is the share of requests on which it acts: 0 if it only monitors, 1 if it is enforced. `judges_on` are the
    (slug, direction) pairs whose scores it needs, `tree` its condition. `budget_seconds` is infinite if none is
    written. `channels` and `findings` are those of the outermost condition, `routes` the only routes on which it can
    match.
    """

    order: int
    id: str
    action: Action
    mode: Mode
    share: float
    on_error: OnError
    budget_seconds: float
    message: str
    reroute: Reroute | None
    throttle: Throttle | None
    count: Count | None
    channels: frozenset[str]
    routes: frozenset[str]
    findings: frozenset[str]
    tree: Expression
    leaves: tuple[Leaf, ...]
    thresholds: tuple[Threshold, ...]
    judges_on: frozenset[tuple[str, Direction]]
    gates: tuple["Gate", ...]
    asked: tuple[RequestIs, ...]

    @property
    def enforced(self) -> bool:
        """Whether it acts on at least a share of the requests."""
        return self.share > 0

    def acts(self, draw: float) -> bool:
        """Whether it acts on the request with this draw (0 <= draw < 1)."""
        return self.share >= 1 or draw < self.share


# A property of the request by which rules are found, so that rules for other requests cost nothing: (key, name) or
# None.
Gate = tuple[str, str] | None
_EVERYWHERE: tuple[Gate, ...] = (None,)
# (slug, direction, detector, gate) to (score, rule, leaf), scores ascending.
Index = Mapping[tuple[str, str, str, Gate], Sequence[tuple[float, Rule, Leaf]]]
# (slug, direction, gate) to the rules that act.
Guards = Mapping[tuple[str, str, Gate], Sequence[Rule]]


class Inline(NamedTuple):
    """What the rules with at least this share need: their slugs, and how long they wait at most.

    `longest` is the largest of their budgets, `soonest` the smallest among those that block without a verdict.
    """

    share: float
    slugs: frozenset[str]
    longest: float
    soonest: float


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A compiled policy: immutable, safe to share between threads.

    `revision` is a hash of what the policy decides: of its rules in order, their modes and their thresholds; comments
    and spelling do not change it. `warnings` are sentences for the operator. `detectors` maps each name to the versions
    that were offered, `known` has every valid slug, and `targets` the places to which rules reroute. `counted` has, for
    each rule that counts requests of a caller or an end user, the seconds it looks back; `counted_by_end_user` are the
    rules that count end users. `names_end_users` says whether some rule counts or slows down end users. `least` has the
    lowest threshold of any rule by sub-category, direction and detector@version, without those that no rule looks for;
    `lowest` is the lowest of them, which most scores do not reach.
    """

    revision: str
    mode: Mode
    rules: tuple[Rule, ...]
    warnings: tuple[str, ...]
    detectors: Mapping[str, tuple[str, ...]]
    known: frozenset[str]
    targets: frozenset[str]
    counted: Mapping[str, float]
    counted_by_end_user: frozenset[str]
    names_end_users: bool
    least: Mapping[tuple[str, str, str], float]
    lowest: float
    _slugs: frozenset[str]
    _index: Index
    _guards: Guards
    _inline: Mapping[tuple[str, Gate], Sequence[Inline]]
    _callers: tuple[Gate, ...]
    _keys: frozenset[str]  # of the gates in use

    @property
    def acts(self) -> bool:
        """Whether some rule may change or stop an exchange."""
        return bool(self._inline)

    def gates(self, route: str, model: str, caller: str) -> tuple[Gate, ...]:
        """The gates of the rules that may concern such a request."""
        if not self._keys:
            return _EVERYWHERE
        given = (("route", route), ("model", model), ("caller", caller))
        return (None, *(gate for gate in given if gate[0] in self._keys))

    def slugs(self) -> frozenset[str]:
        """Every slug that some rule listens to."""
        return self._slugs

    def needs(
        self, direction: str, route: str, draw: float = 0.0, *, model: str | None = None, caller: str | None = None
    ) -> frozenset[str]:
        """The slugs that acting rules need for a text; if there are none, nothing has to be judged inline.

        `draw` leaves out canaries that do not act. If `model` or `caller` is None, rules for any of them count.
        """
        found = self._concerned(direction, route, draw, model, caller)
        if len(found) == 1:
            return found[0].slugs
        return frozenset[str]().union(*(entry.slugs for entry in found))

    def patience(
        self, direction: str, route: str, draw: float = 0.0, *, model: str | None = None, caller: str | None = None
    ) -> float:
        """The most seconds that a text waits for the verdicts of those rules; infinite if none has a budget."""
        found = self._concerned(direction, route, draw, model, caller)
        longest = max((entry.longest for entry in found), default=math.inf)
        return min([longest, *(entry.soonest for entry in found)])

    def _concerned(
        self, direction: str, route: str, draw: float, model: str | None, caller: str | None
    ) -> list[Inline]:
        gates = [*self.gates(route, model or "", caller or "")]
        if self._callers and (model is None or caller is None):
            open_keys = {key for key, value in (("model", model), ("caller", caller)) if value is None}
            gates += [gate for gate in self._callers if gate and gate[0] in open_keys]
        found = []
        for gate in gates:
            entries = self._inline.get((direction, gate))
            if entries:
                at = bisect_right(entries, draw, key=_share)
                if at == len(entries) and entries[-1].share >= 1:  # enforced, whatever the draw
                    at -= 1
                if at < len(entries):
                    found.append(entries[at])
        return found

    def reached(
        self, slug: str, direction: str, detector: str, score: float, gates: Iterable[Gate]
    ) -> Iterator[tuple[Rule, Leaf, float]]:
        """The rules whose threshold such a verdict reaches, with the part of the rule and the threshold."""
        for gate in gates:
            for threshold, rule, leaf in self._index.get((slug, direction, detector, gate), ()):
                if not score >= threshold:  # not `<`: a score that is not a number must reach nothing
                    break
                yield rule, leaf, threshold

    def guards(self, slug: str, direction: str, gates: Iterable[Gate]) -> Iterator[Rule]:
        """The rules that change or stop traffic, enforced or not, and listen to `slug`."""
        for gate in gates:
            yield from self._guards.get((slug, direction, gate), ())


def _share(entry: Inline) -> float:
    return entry.share
