"""Signals go in, exactly one decision comes out: pure, total and deterministic.

These functions never raise and never look at a clock. Neither the order of the signals nor rules that do not concern
them change the outcome. The cost of a decision grows with the rules that match, not with the size of the policy.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from policies.compiled import Policy, Reroute, Rule, Throttle
from policies.compiling import compile_policy
from policies.decision import (
    ALL_DETECTORS,
    ANY,
    Context,
    Cut,
    Decision,
    Evidence,
    Match,
    Redaction,
    Signal,
    Silent,
    is_from,
    is_span,
    redact,
    unite,
)
from policies.expressions import AllOf, AnyOf, Expression, InOneText, Leaf, Not, RequestIs
from policies.model import Action, Mode

__all__ = [
    "ALL_DETECTORS",
    "Action",
    "Context",
    "Decision",
    "Evidence",
    "Match",
    "Mode",
    "Policy",
    "Redaction",
    "Reroute",
    "Signal",
    "Silent",
    "Throttle",
    "compile_policy",
    "decide",
    "join",
    "on_failure",
    "redact",
]


class Hit(NamedTuple):
    """A signal that reached a threshold of a rule, with the spans that the rule asks for."""

    signal: Signal
    spans: tuple[Cut, ...]
    threshold: float
    leaf: Leaf


Hits = Mapping[Leaf, list[Hit]]


class _Found(NamedTuple):
    """A rule that matched, and through what."""

    match: Match
    rule: Rule
    matching: list[Hit]


def decide(policy: Policy, signals: Iterable[Signal], *, route: str, about: Context = ANY) -> Decision:
    """The decision about all texts of one direction of one exchange."""
    hits = hits_by_rule(policy, signals, route=route, about=about)
    if not hits:
        return _nothing_matched(policy.revision)
    found: list[_Found] = []
    counted: list[Rule] = []
    for rule, by_leaf in hits.items():
        matching = matching_hits(rule.tree, by_leaf, route, about)
        if not matching:
            continue
        if rule.count is not None and rule.count.by != "conversation":
            counted.append(rule)
        if _is_often_enough(rule, by_leaf, route, about):
            found.append(_Found(_match(rule, matching, about), rule, matching))
    found.sort(key=lambda item: (-item.match.carried.severity, item.rule.order))
    counts = tuple(rule.id for rule in sorted(counted, key=_in_file))
    if not found:
        return Decision(Action.ALLOW, Action.ALLOW, None, "no rule matched", policy.revision, counted=counts)
    return _decision(policy, found, counts)


@lru_cache(64)
def _nothing_matched(revision: str) -> Decision:
    """The usual decision, which is made once because it has a dozen fields."""
    return Decision(Action.ALLOW, Action.ALLOW, None, "no rule matched", revision)


def hits_by_rule(
    policy: Policy, signals: Iterable[Signal], *, route: str, about: Context = ANY
) -> dict[Rule, dict[Leaf, list[Hit]]]:
    """For each rule and part of it, the signals that reach its threshold in the texts it looks at."""
    hits: dict[Rule, dict[Leaf, list[Hit]]] = {}
    gates = policy.gates(route, about.model, about.caller)
    for signal in signals:
        for rule, leaf, threshold in policy.reached(
            signal.slug, signal.direction, signal.detector, signal.score, gates
        ):
            if hit := _hit(leaf, signal, threshold):
                hits.setdefault(rule, {}).setdefault(leaf, []).append(hit)
    return hits


def _decision(policy: Policy, found: list[_Found], counted: tuple[str, ...]) -> Decision:
    lead = found[0]
    action = lead.match.carried
    evidence = _evidence(lead.matching)
    cut = (
        (hit.signal.passage, span)
        for match, rule, matching in found
        if match.enforced and rule.action is Action.REDACT
        for hit in matching
        for span in hit.spans
    )
    limits = [rule.throttle for match, rule, _ in found if match.enforced and rule.throttle is not None]
    return Decision(
        action=action,
        would=_severest(match.action for match, _, _ in found),
        rule=lead.rule.id,
        reason=f"{evidence.slug} in the {evidence.direction} ({evidence.channel}), found by {evidence.detector}",
        revision=policy.revision,
        redactions=unite(cut),
        matched=tuple(match for match, _, _ in found),
        evidence=evidence,
        replacement=lead.rule.message if action is Action.REPLACE else "",
        reroute=lead.rule.reroute if action is Action.REROUTE else None,
        throttles=_strictest(limits),
        counted=counted,
    )


def on_failure(
    policy: Policy,
    slugs: Iterable[str],
    *,
    direction: str,
    route: str,
    detector: str | None = None,
    channel: str = "",
    instead: Collection[str] = (),
    about: Context = ANY,
) -> Decision:
    """The decision if no verdict on `slugs` came: a detector raised, ran out of time or is absent.

    With `detector` (its name, with or without version) only rules that listen to it are affected, with `channel` only
    rules that look at texts of that channel. Rules that also listen to a detector which read the texts `instead` are
    not affected. It blocks if an enforced rule among those affected says so, and allows otherwise; `rule` is the first
    that decided, None if no enforced rule is affected. The reason is `detector_error`.
    """
    gates = policy.gates(route, about.model, about.caller)
    affected = {
        rule.order: rule
        for slug in slugs
        for rule in policy.guards(slug, direction, gates)
        if _listens(rule, slug, direction, detector, channel)
        and not _answers(rule, direction, instead)
        and all(_holds(asked, route, about) for asked in rule.asked)
    }
    return _unjudged([affected[order] for order in sorted(affected)], about, policy.revision)


def _unjudged(rules: Iterable[Rule], about: Context, revision: str) -> Decision:
    """What these rules say about texts that they could not judge."""
    found = [(rule, Action.BLOCK if rule.on_error == "block" else Action.ALLOW) for rule in rules]
    enforced = [pair for pair in found if pair[0].acts(about.draw)]
    action = _severest(asked for _, asked in enforced)
    return Decision(
        action=action,
        would=_severest(asked for _, asked in found),
        rule=next((rule.id for rule, asked in enforced if asked is action), None),
        reason="detector_error",
        revision=revision,
        matched=tuple(
            Match(rule.id, asked, rule.acts(about.draw), tuple(sorted({slug for slug, _ in rule.judges_on})), rule.mode)
            for rule, asked in found
        ),
    )


def _answers(rule: Rule, direction: str, instead: Collection[str]) -> bool:
    """Whether a condition of the rule listens, in this direction, to a detector that read the texts instead."""
    heard = [each.detector for leaf in rule.leaves for each in leaf.thresholds if each.direction == direction]
    return any(is_from(detector, one) for detector in heard for one in instead)


def _listens(rule: Rule, slug: str, direction: str, detector: str | None, channel: str) -> bool:
    """Whether a condition of the rule looks for this slug in texts of this channel, and listens to this detector."""
    return any(
        (t.slug, t.direction) == (slug, direction) and (detector is None or is_from(t.detector, detector))
        for leaf in rule.leaves
        if not (channel and leaf.channels) or channel in leaf.channels
        for t in leaf.thresholds
    )


def join(first: Decision, second: Decision) -> Decision:
    """One decision of two about the same texts: the severer decides, or the first if both are equally severe."""
    lead = second if second.action.severity > first.action.severity else first
    return Decision(
        action=lead.action,
        would=_severest((first.would, second.would)),
        rule=lead.rule,
        reason=lead.reason,
        revision=lead.revision,
        redactions=unite((r.passage, (r.start, r.end, r.label)) for r in first.redactions + second.redactions),
        matched=first.matched + second.matched,
        evidence=lead.evidence,
        replacement=lead.replacement,
        reroute=lead.reroute,
        throttles=_strictest(first.throttles + second.throttles),
        counted=tuple(dict.fromkeys(first.counted + second.counted)),
    )


def _hit(leaf: Leaf, signal: Signal, threshold: float) -> Hit | None:
    """The hit for a part of a rule, by a signal that reaches its threshold; None in another channel or language."""
    if leaf.channels and signal.channel not in leaf.channels:
        return None
    if leaf.languages and signal.language not in leaf.languages:
        return None
    spans = tuple(s for s in signal.spans if not leaf.findings or s[2] in leaf.findings)
    return Hit(signal, spans, threshold, leaf) if spans or not leaf.findings else None


def matching_hits(tree: Expression, hits: Hits, route: str, about: Context) -> list[Hit] | None:
    """The hits that make the condition hold; None if it does not hold. A `not` that holds gives no hits."""
    match tree:
        case Leaf():
            return _agreed(tree, hits.get(tree)) or None
        case AllOf():
            matching: list[Hit] = []
            for part in tree.parts:
                below = matching_hits(part, hits, route, about)
                if below is None:
                    return None
                matching += below
            return matching
        case AnyOf():
            parts = [below for part in tree.parts if (below := matching_hits(part, hits, route, about)) is not None]
            return [hit for below in parts for hit in below] if parts else None
        case InOneText():
            each = [matching_hits(tree.part, alone, route, about) for alone in _by_text(hits)]
            return [hit for below in each for hit in below or ()] or None
        case Not():
            if about.silent and _may_be_silenced(tree.part, about.silent):
                return None
            return [] if matching_hits(tree.part, hits, route, about) is None else None
        case RequestIs():
            return [] if _holds(tree, route, about) else None


def _agreed(leaf: Leaf, matching: list[Hit] | None) -> list[Hit]:
    """The hits in texts in which enough detectors agree."""
    if matching is None or leaf.agree == 1:
        return matching or []
    detectors: dict[int, set[str]] = {}
    for hit in matching:
        detectors.setdefault(hit.signal.passage, set()).add(hit.signal.detector)
    return [hit for hit in matching if len(detectors[hit.signal.passage]) >= leaf.agree]


def _may_be_silenced(tree: Expression, silent: frozenset[Silent]) -> bool:
    match tree:
        case Leaf():
            return any(one.keeps_from(tree) for one in silent)
        case AllOf() | AnyOf():
            return any(_may_be_silenced(part, silent) for part in tree.parts)
        case Not() | InOneText():
            return _may_be_silenced(tree.part, silent)
        case RequestIs():
            return False


def _holds(asked: RequestIs, route: str, about: Context) -> bool:
    return asked.holds(route if asked.key == "route" else about.model if asked.key == "model" else about.caller)


def _is_often_enough(rule: Rule, hits: Hits, route: str, about: Context) -> bool:
    """Whether the rule's condition held often enough: in requests over time, or in the texts of a conversation."""
    if rule.count is None:
        return True
    if rule.count.by != "conversation":
        return about.earlier.get(rule.id, 0) + 1 >= rule.count.at_least
    passages = {hit.signal.passage for matching in hits.values() for hit in matching}
    if len(passages) < rule.count.at_least:
        return False
    often = sum(bool(matching_hits(rule.tree, alone, route, about)) for alone in _by_text(hits))
    return often >= rule.count.at_least


def _by_text(hits: Hits) -> Iterable[Hits]:
    """The hits of each text."""
    by_passage: dict[int, dict[Leaf, list[Hit]]] = {}
    for leaf, matching in hits.items():
        for hit in matching:
            by_passage.setdefault(hit.signal.passage, {}).setdefault(leaf, []).append(hit)
    return by_passage.values()


def _match(rule: Rule, matching: list[Hit], about: Context) -> Match:
    """The match of a rule. If a redact rule matched a text in which nothing can be cut out, it asks for a block."""
    action = rule.action
    if action is Action.REDACT:
        cuttable = {hit.signal.passage for hit in matching if any(is_span(s) for s in hit.spans)}
        if any(hit.signal.passage not in cuttable for hit in matching):
            action = Action.BLOCK
    slugs = tuple(sorted({hit.signal.slug for hit in matching}))
    return Match(rule.id, action, rule.acts(about.draw), slugs, rule.mode)


def _evidence(matching: list[Hit]) -> Evidence:
    best = min(matching, key=_weakness)
    signal = best.signal
    return Evidence(
        signal.slug,
        signal.detector,
        signal.direction,
        signal.channel,
        signal.score,
        best.threshold,
        best.leaf.place,
    )


def _weakness(hit: Hit) -> tuple[float | str, ...]:
    signal = hit.signal
    return -signal.score, signal.slug, signal.detector, signal.direction, signal.channel, hit.threshold, hit.leaf.place


def _strictness(limit: Throttle) -> tuple[int, int, str]:
    return limit.per_minute, -limit.for_seconds, limit.rule


def _strictest(limits: Iterable[Throttle]) -> tuple[Throttle, ...]:
    """The strictest limit for the caller and for the end user, in that order."""
    found: dict[str, Throttle] = {}
    for limit in sorted(limits, key=_strictness):
        found.setdefault(limit.by, limit)
    return tuple(found[by] for by in sorted(found))


def _in_file(rule: Rule) -> int:
    return rule.order


def _severest(actions: Iterable[Action]) -> Action:
    return max(actions, key=lambda action: action.severity, default=Action.ALLOW)
