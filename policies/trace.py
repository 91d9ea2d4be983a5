"""Explains a decision: every rule, part by part, and whether it held."""

from collections.abc import Iterable, Iterator, Sequence

from policies.compiled import Policy, Rule
from policies.engine import Context, Hits, Signal, decide, hits_by_rule, matching_hits
from policies.expressions import AllOf, AnyOf, Expression, InOneText, Leaf, Not, RequestIs
from policies.model import Direction

_SIGNS = {True: "+", False: "-"}


def trace(
    policy: Policy, signals: Sequence[Signal], *, direction: Direction, route: str, about: Context
) -> Iterator[str]:
    """Lines: each rule with its action and whether it matched, and below it its parts, with `+` if one holds."""
    hits = hits_by_rule(policy, signals, route=route, about=about)
    matched = {match.rule for match in decide(policy, signals, route=route, about=about).matched}
    for rule in policy.rules:
        found = hits.get(rule, {})
        state = "matched" if rule.id in matched else "no match"
        yield f"rule {rule.id} ({rule.action}, {_mode(rule, about)}): {state}"
        if all(threshold.direction != direction for threshold in rule.thresholds):
            yield f"    it is not for a {direction}"
            continue
        yield from _part(rule.tree, found, signals, route, about, 1)
        if rule.count is not None:
            earlier = f", {about.earlier.get(rule.id, 0)} before this" if rule.count.by != "conversation" else ""
            yield f"    counted by {rule.count.by}: at least {rule.count.at_least} are needed{earlier}"


def _mode(rule: Rule, about: Context) -> str:
    if 0 < rule.share < 1:
        return f"canary of {100 * rule.share:g} %, {'drawn' if rule.acts(about.draw) else 'not drawn'}"
    return "enforced" if rule.enforced else "monitored"


def _part(
    tree: Expression, found: Hits, signals: Sequence[Signal], route: str, about: Context, depth: int
) -> Iterator[str]:
    sign = _SIGNS[matching_hits(tree, found, route, about) is not None]
    indent = "  " * depth + sign
    match tree:
        case Leaf():
            yield f"{indent} {_looks_for(tree)}{_nearest(tree, signals)}"
        case RequestIs():
            names = [*sorted(tree.names), *(f"{prefix}*" for prefix in tree.prefixes)]
            yield f"{indent} {tree.key} is {' or '.join(names)}"
        case Not():
            yield f"{indent} not"
            yield from _part(tree.part, found, signals, route, about, depth + 1)
        case InOneText():
            yield f"{indent} in one text"
            yield from _part(tree.part, found, signals, route, about, depth + 1)
        case AllOf() | AnyOf():
            yield f"{indent} {'all of' if isinstance(tree, AllOf) else 'one of'}"
            for part in tree.parts:
                yield from _part(part, found, signals, route, about, depth + 1)


def _looks_for(leaf: Leaf) -> str:
    slugs = dict.fromkeys(t.slug for t in leaf.thresholds)
    words = [", ".join(slugs)]
    for name, values in (("channel", leaf.channels), ("language", leaf.languages), ("finding", leaf.findings)):
        if values:
            words.append(f"{name} {' or '.join(sorted(values))}")
    if leaf.agree > 1:
        words.append(f"{leaf.agree} detectors agree")
    return f"{leaf.place}: {'; '.join(words)}"


def _nearest(leaf: Leaf, signals: Iterable[Signal]) -> str:
    """The score that came nearest to its threshold or exceeded it most, in any text."""
    limits = {(t.slug, t.direction, t.detector): t.score for t in leaf.thresholds}
    heard = [
        (signal.score - limits[key], signal.score, limits[key], signal.slug, signal.detector, signal.channel)
        for signal in signals
        if (key := (signal.slug, signal.direction, signal.detector)) in limits
    ]
    if not heard:
        return " (no verdict)"
    _, score, limit, slug, detector, channel = max(heard)
    return f" ({slug} {score:.4f} of {detector} in {channel}, threshold {limit:.4f})"
