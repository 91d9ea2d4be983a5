"""Compiles a written policy: thresholds are looked up, and rules are indexed."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from policies.compiled import Gate, Guards, Index, Inline, Policy, Reroute, Rule, Throttle
from policies.conditions import CompiledCondition, compile_condition
from policies.detectable import Detectable, Operating
from policies.expressions import AllOf, Expression, Leaf, RequestIs, directions_of, leaves, routes_of, shape
from policies.model import DEFAULT_THROTTLE_SECONDS, DIRECTIONS, Action, Direction, Document
from policies.model import Rule as WrittenRule
from policies.source import PolicyError, Problem, nearest


class Placed(NamedTuple):
    """A document and its routes, None for any. `name`, if there is one, comes before the ids of its rules."""

    document: Document
    routes: frozenset[str] | None = None
    name: str = ""


def compile_policy(
    document: Document,
    *more: Placed,
    categories: Mapping[str, Sequence[str]],
    operating: Operating,
    findings: Mapping[str, Collection[str]] = MappingProxyType({}),
    languages: Iterable[str] = (),
    targets: Iterable[str] = (),
    routes: Iterable[str] = (),
) -> Policy:
    """Resolve every rule of `document` against the available detectors.

    `categories` are the taxonomy's, each with its slugs. `operating` has a key for everything that a detector can say,
    with an empty table if its false alarms were never measured (then it can only be used with `score`). `findings` has
    the labels that each detector can give (by name@version). Unless they are empty, labels outside `findings`, codes
    outside `languages`, and names outside `targets` (routes and upstreams) and `routes` are refused. `more` are
    documents that replace this one on their routes; all become one policy. Raises `PolicyError` with every problem
    found.
    """
    detectable = Detectable(categories, operating, findings, frozenset(languages), frozenset(routes))
    build = _Build(detectable)
    for placed in (_elsewhere(document, more, frozenset(routes)), *more):
        build.add(placed)
    build.problems += _strays(build, frozenset(targets))
    build.problems += _circles(build)
    if build.problems:
        raise PolicyError(build.problems)
    return _policy(document, build.rules, build.warnings, detectable)


def _elsewhere(document: Document, more: Sequence[Placed], routes: frozenset[str]) -> Placed:
    """The document, for all routes that have no other one."""
    return Placed(document, routes.difference(*(placed.routes or () for placed in more)) if more else None)


class _Build:
    """Collects the rules of several documents, and everything that is wrong with them."""

    def __init__(self, detectable: Detectable) -> None:
        self.rules: list[Rule] = []
        self.warnings: list[str] = []
        self.problems: list[Problem] = []
        self._detectable = detectable
        self._written: dict[int, tuple[Document, int]] = {}  # by a rule's order: its document, and its place there

    def add(self, placed: Placed) -> None:
        document = placed.document
        for place, written in enumerate(document.rules):
            found = self._compiled(document, place, written)
            if placed.routes is not None:
                found = replace(found, tree=_only_on(placed.routes, found.tree))
            if routes_of(found.tree) == frozenset():
                self._warn(document, place, f"applies nowhere: {_OTHER_POLICY}")
                continue
            named = written.model_copy(update={"id": f"{placed.name}/{written.id}"}) if placed.name else written
            self._written[len(self.rules)] = document, place
            self.rules.append(_rule(len(self.rules), named, document, found))

    def where(self, rule: Rule, *path: str | int) -> str:
        """`file:line` of a part of the rule."""
        document, place = self._written[rule.order]
        return document.where("rules", place, *path)

    def _compiled(self, document: Document, place: int, written: WrittenRule) -> CompiledCondition:
        directions = _DIRECTIONS_OF.get(written.then, DIRECTIONS)
        found = compile_condition(written.when, self._detectable, directions=directions)
        for path, what, remedy in found.faults:
            self.problems.append(Problem(document.where("rules", place, "when", *path), what, remedy))
        for remark in dict.fromkeys(found.remarks):
            self._warn(document, place, remark)
        return found

    def _warn(self, document: Document, place: int, remark: str) -> None:
        self.warnings.append(f"{document.where('rules', place)}: rule {document.rules[place].id!r}: {remark}")


_OTHER_POLICY = "the routes that it asks for have another policy"


def _only_on(routes: frozenset[str], tree: Expression) -> Expression:
    """The same condition, only on these routes."""
    parts = tree.parts if isinstance(tree, AllOf) else (tree,)
    own = routes_of(tree)
    rest = tuple(part for part in parts if not (isinstance(part, RequestIs) and part.key == "route"))
    return AllOf((RequestIs("route", routes if own is None else routes & own, (), ()), *rest))


# An answer cannot be sent elsewhere.
_DIRECTIONS_OF: Mapping[str, tuple[Direction, ...]] = {"reroute": ("prompt",)}


def _policy(document: Document, rules: list[Rule], warnings: list[str], detectable: Detectable) -> Policy:
    guards = [rule for rule in rules if rule.action.acts]
    index = _index(rules)
    inline = _inline([rule for rule in guards if rule.enforced])
    by_end_user = frozenset(rule.id for rule in rules if rule.count and rule.count.by == "end_user")
    return Policy(
        revision=_revision(rules),
        mode=document.mode,
        rules=tuple(rules),
        warnings=tuple(warnings),
        detectors=MappingProxyType(detectable.names),
        known=frozenset(detectable.slugs),
        targets=frozenset(rule.reroute.to for rule in rules if rule.reroute and rule.reroute.to),
        counted=MappingProxyType(
            {rule.id: rule.count.within_minutes * 60 for rule in rules if rule.count and rule.count.within_minutes}
        ),
        counted_by_end_user=by_end_user,
        names_end_users=bool(by_end_user) or any(rule.throttle and rule.throttle.by == "end_user" for rule in rules),
        _slugs=frozenset(slug for rule in rules for slug, _ in rule.judges_on),
        _index=index,
        least=_least(index),
        lowest=min((entries[0][0] for entries in index.values()), default=math.inf),
        _guards=_guard_index(guards),
        _inline=inline,
        _keys=frozenset(gate[0] for rule in rules for gate in rule.gates if gate),
        _callers=tuple({gate for _, gate in inline if gate and gate[0] != "route"}),
    )


def _rule(order: int, written: WrittenRule, document: Document, found: CompiledCondition) -> Rule:
    when = written.when
    directions = directions_of(found.tree)
    looked_for = tuple(leaves(found.tree))
    thresholds = tuple(t for leaf in looked_for for t in leaf.thresholds if t.direction in directions)
    outermost = found.tree.parts if isinstance(found.tree, AllOf) else (found.tree,)
    asked = tuple(part for part in outermost if isinstance(part, RequestIs))
    return Rule(
        order=order,
        id=written.id,
        action=Action(written.then),
        mode=written.mode or document.mode,
        share=document.share(written),
        on_error=written.on_error,
        budget_seconds=math.inf if written.budget_ms is None else written.budget_ms / 1000,
        message=written.message or "",
        reroute=Reroute(written.to or "", written.system or "") if written.then == "reroute" else None,
        throttle=_throttle(written),
        count=when.count,
        channels=frozenset(when.channel or ()),
        routes=routes_of(found.tree) or frozenset(),
        findings=frozenset(when.finding or ()),
        tree=found.tree,
        leaves=looked_for,
        thresholds=thresholds,
        judges_on=frozenset((t.slug, t.direction) for t in thresholds),
        gates=_gates(asked),
        asked=asked,
    )


def _throttle(written: WrittenRule) -> Throttle | None:
    if written.per_minute is None:
        return None
    return Throttle(
        written.id, written.per_minute, written.for_seconds or DEFAULT_THROTTLE_SECONDS, written.by or "caller"
    )


def _gates(asked: Iterable[RequestIs]) -> tuple[Gate, ...]:
    """The gates of a rule: the names of the callers it asks for, else of the models, else of the routes."""
    plain = {ask.key: ask.names for ask in asked if not ask.prefixes}
    for key in ("caller", "model", "route"):
        if names := plain.get(key):
            return tuple((key, name) for name in sorted(names))
    return (None,)


def _strays(build: _Build, targets: frozenset[str]) -> Iterator[Problem]:
    """Reroutes to names that are not configured, if the configured names are known."""
    for rule in build.rules:
        if targets and rule.reroute and rule.reroute.to and rule.reroute.to not in targets:
            what = f"there is no route or upstream {rule.reroute.to!r}"
            yield Problem(build.where(rule, "to"), what, nearest(rule.reroute.to, targets))


def _circles(build: _Build) -> Iterator[Problem]:
    """Reroutes that lead back to where a request came from. Rules without a route are left out, because they do nothing
    to a request that is already where they send it."""
    ways: dict[str, dict[str, Rule]] = {}
    for rule in build.rules:
        for route in rule.routes if rule.reroute and rule.reroute.to else ():
            ways.setdefault(route, {}).setdefault(rule.reroute.to, rule)  # type: ignore[union-attr]
    over: set[str] = set()
    for start in ways:
        path = _circle(start, ways, over)
        if path:
            rule = ways[path[-2]][path[-1]]
            what = f"the reroutes go round in a circle: {' → '.join(path)}"
            yield Problem(build.where(rule, "to"), what, "let one of them lead elsewhere")


def _circle(start: str, ways: Mapping[str, Mapping[str, Rule]], over: set[str]) -> list[str]:
    """The first circle into which `start` leads, closed; `over` are routes that are known to lead into none."""
    path: dict[str, None] = {}
    todo = [(start, False)]
    while todo:
        route, done = todo.pop()
        if done:
            del path[route]
            over.add(route)
        elif route in path:
            steps = [*path]
            return [*steps[steps.index(route) :], route]
        elif route not in over:
            path[route] = None
            todo.append((route, True))
            todo += [(to, False) for to in ways.get(route, ())]
    return []


def _index(rules: list[Rule]) -> Index:
    gathered: dict[tuple[str, str, str, Gate], list[tuple[float, Rule, Leaf]]] = defaultdict(list)
    for rule in rules:
        for leaf in rule.leaves:
            for t in leaf.thresholds:
                if (t.slug, t.direction) in rule.judges_on:
                    for gate in rule.gates:
                        gathered[t.slug, t.direction, t.detector, gate].append((t.score, rule, leaf))
    for entries in gathered.values():
        entries.sort(key=_by_score)
    return dict(gathered)


def _by_score(entry: tuple[float, Rule, Leaf]) -> tuple[float, int]:
    return entry[0], entry[1].order


def _least(index: Index) -> Mapping[tuple[str, str, str], float]:
    found: dict[tuple[str, str, str], float] = {}
    for (slug, direction, detector, _), entries in index.items():
        key = (slug, direction, detector)
        found[key] = min(entries[0][0], found.get(key, math.inf))
    return MappingProxyType(found)


def _guard_index(guards: list[Rule]) -> Guards:
    gathered: dict[tuple[str, str, Gate], list[Rule]] = defaultdict(list)
    for rule in guards:
        for slug, direction in rule.judges_on:
            for gate in rule.gates:
                gathered[slug, direction, gate].append(rule)
    return dict(gathered)


def _inline(guards: list[Rule]) -> dict[tuple[str, Gate], Sequence[Inline]]:
    """For each direction and gate, what the rules need, by their share, in ascending order."""
    gathered: dict[tuple[str, Gate], dict[float, list[Rule]]] = defaultdict(lambda: defaultdict(list))
    for rule in guards:
        for direction in {direction for _, direction in rule.judges_on}:
            for gate in rule.gates:
                gathered[direction, gate][rule.share].append(rule)
    return {key: _by_share(key[0], by_share) for key, by_share in gathered.items()}


def _by_share(direction: str, by_share: Mapping[float, list[Rule]]) -> list[Inline]:
    found: list[Inline] = []
    slugs: frozenset[str] = frozenset()
    longest, soonest = 0.0, math.inf
    for share in sorted(by_share, reverse=True):
        rules = by_share[share]
        slugs |= {slug for rule in rules for slug, judged in rule.judges_on if judged == direction}
        longest = max(longest, *(rule.budget_seconds for rule in rules))
        soonest = min(soonest, *(rule.budget_seconds for rule in rules if rule.on_error == "block"), math.inf)
        found.append(Inline(share, slugs, longest, soonest))
    return found[::-1]


def _revision(rules: list[Rule]) -> str:
    content = [
        (
            *(rule.id, rule.action, rule.share, rule.on_error, min(rule.budget_seconds, 1e9)),
            *(rule.message, rule.reroute, rule.throttle),
            rule.count and (rule.count.at_least, rule.count.by, rule.count.within_minutes),
            shape(rule.tree),
        )
        for rule in rules
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:12]
