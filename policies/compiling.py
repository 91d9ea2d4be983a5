"""From a written policy to one that can be asked: names checked, false alarms turned into thresholds, indexed.

Threshold lookup: a detector's table holds, for each share of benign texts, the score that this share reaches or
exceeds (the empirical quantile of the scores of benign texts). A rule that allows itself a share gets the
score of the largest measured share not above it.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from policies.model import DEFAULT_FALSE_ALARMS, Action, Direction, Document, Mode, OnError, When
from policies.model import Rule as WrittenRule
from policies.source import Path, PolicyError, Problem, nearest

# (false-alarm rate, score), rates ascending.
Table = tuple[tuple[float, float], ...]
# By (detector as name@version, slug, "prompt" or "response").
Operating = Mapping[tuple[str, str, str], Table]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The rule matches when `detector` gives `slug` at least `score` in this direction."""

    slug: str
    direction: Direction
    detector: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule with its thresholds; `order` is its place in the file. Empty sets restrict nothing.

    `heard` are the (slug, direction) pairs among its thresholds.
    """

    order: int
    id: str
    action: Action
    enforced: bool
    on_error: OnError
    channels: frozenset[str]
    routes: frozenset[str]
    findings: frozenset[str]
    thresholds: tuple[Threshold, ...]
    heard: frozenset[tuple[str, Direction]]


# (slug, direction, detector, route or None for every route) to (score, rule), scores ascending.
_Index = Mapping[tuple[str, str, str, str | None], Sequence[tuple[float, Rule]]]
# (slug, direction, route or None) to the rules that redact or block.
_Guards = Mapping[tuple[str, str, str | None], Sequence[Rule]]


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A compiled policy: immutable, safe to share between threads.

    `revision` is a hash of what the policy decides, that is of its rules in order, their modes and the thresholds
    they came to; comments and spelling do not change it. `warnings` are sentences for the operator. `detectors`
    maps each name to the versions that were offered, `known` is every valid slug, `routes` are the routes that
    rules name.
    """

    revision: str
    mode: Mode
    rules: tuple[Rule, ...]
    warnings: tuple[str, ...]
    detectors: Mapping[str, tuple[str, ...]]
    known: frozenset[str]
    routes: frozenset[str]
    _slugs: frozenset[str]
    _index: _Index
    _least: Mapping[tuple[str, str, str], float]
    _guards: _Guards
    _needs: Mapping[tuple[str, str | None], frozenset[str]]

    def slugs(self) -> frozenset[str]:
        """Every slug that some rule listens to."""
        return self._slugs

    def needs(self, direction: str, route: str) -> frozenset[str]:
        """The slugs an enforced redact or block rule needs before this text may pass; empty: no inline work."""
        found = self._needs.get((direction, route))
        return self._needs.get((direction, None), frozenset()) if found is None else found

    def least(self, slug: str, direction: str, detector: str) -> float:
        """The lowest score of such a verdict that any rule minds, infinite when none does: spare the others."""
        return self._least.get((slug, direction, detector), math.inf)

    def reached(self, slug: str, direction: str, detector: str, score: float, route: str) -> Iterator[Rule]:
        """The rules whose threshold such a verdict reaches, whatever they say of channels and findings."""
        for key in (None, route):
            for threshold, rule in self._index.get((slug, direction, detector, key), ()):
                if not score >= threshold:  # so written because a score that is not a number reaches nothing
                    break
                yield rule

    def guards(self, slug: str, direction: str, route: str) -> Iterator[Rule]:
        """The redact and block rules, enforced or not, that listen to `slug` here."""
        for key in (None, route):
            yield from self._guards.get((slug, direction, key), ())


def compile_policy(
    document: Document,
    *,
    categories: Mapping[str, Sequence[str]],
    operating: Operating,
    findings: Iterable[str] = (),
) -> Policy:
    """Resolve every rule of `document` against the detectors there are.

    `categories` are the taxonomy's, each with its slugs; `operating` has a key for all that a detector can say,
    an empty table where its false alarms were never measured (such a detector can be used with `score` only).
    When `findings` is not empty, labels outside it are refused. Raises `PolicyError` with every problem found.
    """
    offer = _Offer(categories, operating, frozenset(findings))
    problems: list[Problem] = []
    warnings: list[str] = []
    rules: list[Rule] = []
    for order, written in enumerate(document.rules):
        resolved = offer.resolve(written.when)
        for path, what, remedy in resolved.faults:
            problems.append(Problem(document.where("rules", order, "when", *path), what, remedy))
        place = f"{document.where('rules', order)}: rule {written.id!r}"
        warnings += [f"{place}: {remark}" for remark in resolved.remarks]
        rules.append(_rule(order, written, document.mode, resolved))
    if problems:
        raise PolicyError(problems)
    guards = [rule for rule in rules if rule.action.severity >= Action.REDACT.severity]
    index = _index(rules)
    return Policy(
        revision=_revision(rules),
        mode=document.mode,
        rules=tuple(rules),
        warnings=tuple(warnings),
        detectors=MappingProxyType(offer.names),
        known=frozenset(offer.slugs),
        routes=frozenset(route for rule in rules for route in rule.routes),
        _slugs=frozenset(slug for rule in rules for slug, _ in rule.heard),
        _index=index,
        _least=_least(index),
        _guards=_guard_index(guards),
        _needs=_needs([rule for rule in guards if rule.enforced]),
    )


class _Offer:
    """What the detectors can say, arranged for look-up."""

    def __init__(self, categories: Mapping[str, Sequence[str]], operating: Operating, findings: frozenset[str]) -> None:
        self.categories = categories
        self.findings = findings
        self.slugs = {slug for members in categories.values() for slug in members}
        self.slugs.update(slug for _, slug, _ in operating)
        self.heard: dict[tuple[str, str], list[tuple[str, Table]]] = {}
        names: dict[str, set[str]] = {}
        for (detector, slug, role), table in sorted(operating.items()):
            self.heard.setdefault((slug, role), []).append((detector, table))
            names.setdefault(_name(detector), set()).add(detector)
        self.names = {name: tuple(sorted(ids)) for name, ids in names.items()}
        self._resolved: dict[tuple[object, ...], _Resolution] = {}

    def resolve(self, when: When) -> "_Resolution":
        """Rules that differ only in route and channel share one resolution."""
        subject = (when.subcategory, when.any, when.category, when.detector, when.finding)
        key = (*subject, when.false_alarms, when.score, when.directions, "on" in when.model_fields_set)
        if key not in self._resolved:
            self._resolved[key] = _Resolution(when, self)
        return self._resolved[key]


class _Resolution:
    """A condition held against the offer: its thresholds, what is wrong with it, what its author should know.

    `faults` are (path below `when`, what, remedy).
    """

    def __init__(self, when: When, offer: _Offer) -> None:
        self.faults: list[tuple[Path, str, str]] = []
        self.remarks: list[str] = []
        self._when, self._offer = when, offer
        self._found: list[Threshold] = []
        slugs = self._named_slugs(when)
        self._check_names(when)
        if not self.faults:
            self._resolve(slugs)
        self.thresholds = tuple(self._found)
        self.heard = frozenset((t.slug, t.direction) for t in self._found)

    def _fault(self, what: str, remedy: str, *path: str | int) -> None:
        self.faults.append((path, what, remedy))

    def _named_slugs(self, when: When) -> tuple[str, ...]:
        offer = self._offer
        if when.category is not None:
            if when.category in offer.categories:
                return tuple(offer.categories[when.category])
            what = f"the category {when.category!r} is unknown"
            self._fault(what, nearest(when.category, offer.categories), "category")
            return ()
        named = (when.subcategory,) if when.subcategory is not None else when.any or ()
        for place, slug in enumerate(named):
            if slug not in offer.slugs:
                path = ("any", place) if when.subcategory is None else ("subcategory",)
                remedy = nearest(slug, offer.slugs)
                if slug in offer.categories:
                    remedy = f"it is a category, write `category: {slug}` in a rule of its own"
                self._fault(f"the sub-category {slug!r} is unknown", remedy, *path)
        return tuple(dict.fromkeys(named))

    def _check_names(self, when: When) -> None:
        offer = self._offer
        if when.detector is not None and when.detector not in offer.names:
            what = f"the detector {when.detector!r} is unknown"
            self._fault(what, nearest(when.detector, offer.names), "detector")
        for place, label in enumerate(when.finding or ()):
            if offer.findings and label not in offer.findings:
                what = f"the finding {label!r} is unknown"
                self._fault(what, nearest(label, offer.findings), "finding", place)

    def _resolve(self, slugs: tuple[str, ...]) -> None:
        when = self._when
        unheard: dict[Direction, list[str]] = {d: [] for d in when.directions}
        for direction in when.directions:
            for slug in slugs:
                heard = [
                    pair
                    for pair in self._offer.heard.get((slug, direction), ())
                    if when.detector in (None, _name(pair[0]))
                ]
                if heard:
                    self._look_up(slug, direction, heard)
                else:
                    unheard[direction].append(slug)
        deaf = [d for d in when.directions if len(unheard[d]) == len(slugs)]
        # A direction that was written must be served; of the two that stand for "both" one suffices.
        refused = deaf if "on" in when.model_fields_set or len(deaf) == len(when.directions) else []
        for direction in when.directions:
            if direction in refused:
                self._unserved(slugs, direction)
            elif unheard[direction]:
                self.remarks.append(f"no detector speaks of {', '.join(unheard[direction])} in a {direction}")

    def _unserved(self, slugs: tuple[str, ...], direction: Direction) -> None:
        when = self._when
        speaker = f"the detector {when.detector!r} does not speak" if when.detector else "no detector speaks"
        served = {
            slug
            for (slug, role), pairs in self._offer.heard.items()
            if role == direction and any(when.detector in (None, _name(pair[0])) for pair in pairs)
        }
        key = next(name for name in ("subcategory", "any", "category") if getattr(when, name) is not None)
        self._fault(f"{speaker} of {', '.join(slugs)} in a {direction}", nearest(slugs[0], served), key)

    def _look_up(self, slug: str, direction: Direction, heard: list[tuple[str, Table]]) -> None:
        when = self._when
        if when.score is not None:
            self._found += [Threshold(slug, direction, detector, when.score) for detector, _ in heard]
            return
        asked = DEFAULT_FALSE_ALARMS if when.false_alarms is None else when.false_alarms
        unmet: list[tuple[str, Table]] = []
        for detector, table in heard:
            rows = [row for row in table if row[0] <= asked * (1 + 1e-9)]
            if rows:
                self._found.append(Threshold(slug, direction, detector, rows[-1][1]))
            else:
                unmet.append((detector, table))
        for detector, table in unmet:
            what, remedy = _not_measured(detector, table, slug, direction, asked)
            if len(unmet) < len(heard):
                self.remarks.append(f"{what}; the rule does without it")
            else:
                self._fault(what, remedy, "false_alarms")


def _not_measured(detector: str, table: Table, slug: str, direction: str, asked: float) -> tuple[str, str]:
    if not table:
        what = f"the false alarms of {detector} for {slug} in a {direction} were never measured"
        return what, "give a `score` in place of `false_alarms`"
    rate, score = table[0]
    what = f"{asked:g} false alarms were asked of {detector} for {slug} in a {direction}"
    return f"{what}, the lowest rate measured is {rate:g}", (
        f"ask for `false_alarms: {rate:g}` or more, or give a `score` (there it is {score:.4g})"
    )


def _rule(order: int, written: WrittenRule, mode: Mode, resolved: _Resolution) -> Rule:
    when = written.when
    return Rule(
        order=order,
        id=written.id,
        action=Action(written.then),
        enforced=(written.mode or mode) is Mode.ENFORCE,
        on_error=written.on_error,
        channels=frozenset(when.channel or ()),
        routes=frozenset(when.route or ()),
        findings=frozenset(when.finding or ()),
        thresholds=resolved.thresholds,
        heard=resolved.heard,
    )


def _name(detector: str) -> str:
    return detector.partition("@")[0]


def _least(index: _Index) -> Mapping[tuple[str, str, str], float]:
    found: dict[tuple[str, str, str], float] = {}
    for (slug, direction, detector, _), entries in index.items():
        key = (slug, direction, detector)
        found[key] = min(entries[0][0], found.get(key, math.inf))
    return MappingProxyType(found)


def _index(rules: list[Rule]) -> _Index:
    gathered: dict[tuple[str, str, str, str | None], list[tuple[float, Rule]]] = defaultdict(list)
    for rule in rules:
        for t in rule.thresholds:
            for route in rule.routes or (None,):
                gathered[t.slug, t.direction, t.detector, route].append((t.score, rule))
    for pairs in gathered.values():
        pairs.sort(key=_by_score)
    return dict(gathered)


def _by_score(pair: tuple[float, Rule]) -> tuple[float, int]:
    return pair[0], pair[1].order


def _guard_index(guards: list[Rule]) -> _Guards:
    gathered: dict[tuple[str, str, str | None], list[Rule]] = defaultdict(list)
    for rule in guards:
        for slug, direction in rule.heard:
            for route in rule.routes or (None,):
                gathered[slug, direction, route].append(rule)
    return dict(gathered)


def _needs(guards: list[Rule]) -> dict[tuple[str, str | None], frozenset[str]]:
    everywhere: dict[str, set[str]] = defaultdict(set)
    on_route: dict[tuple[str, str], set[str]] = defaultdict(set)
    for rule in guards:
        for slug, direction in rule.heard:
            if not rule.routes:
                everywhere[direction].add(slug)
            for route in rule.routes:
                on_route[direction, route].add(slug)
    needs: dict[tuple[str, str | None], frozenset[str]] = {
        (direction, None): frozenset(slugs) for direction, slugs in everywhere.items()
    }
    needs.update({key: frozenset(slugs | everywhere[key[0]]) for key, slugs in on_route.items()})
    return needs


def _revision(rules: list[Rule]) -> str:
    content = [
        (
            *(rule.id, rule.action, rule.enforced, rule.on_error),
            *(sorted(rule.channels), sorted(rule.routes), sorted(rule.findings)),
            sorted((t.slug, t.direction, t.detector, t.score) for t in rule.thresholds),
        )
        for rule in rules
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:12]
