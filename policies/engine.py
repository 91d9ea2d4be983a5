"""Signals in, exactly one decision out: pure, total and deterministic.

No input makes these functions raise or look at a clock, and neither the order of the signals nor the rules that
do not concern them change the outcome. The cost of a decision grows with the rules that match, not with the
size of the policy.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, NamedTuple

from policies.compiling import Expression, Leaf, Policy, Reroute, Rule, Throttle, compile_policy
from policies.conditions import AllOf, AnyOf, InOneText, Not, RequestIs
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

Cut = tuple[int, int, str]
ALL_DETECTORS = "*"


@dataclass(frozen=True, slots=True)
class Signal:
    """One detector's score for one slug on one text.

    `detector` is `name@version`, `score` calibrated 0 to 1, `passage` the index of the text within the exchange,
    `spans` half-open ranges of its code points with the label of what was found. A score that is not a number
    matches no rule, nor does a detector that the policy was not compiled with.
    """

    slug: str
    score: float
    detector: str
    direction: Literal["prompt", "response"]
    channel: str
    passage: int = 0
    spans: tuple[Cut, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision depends on beside the signals. Everything that is not given matches no name.

    `draw` is the request's number from 0, below 1: a canary rule acts when its share is larger. `earlier` has, by
    rule, how often its condition held before for this caller, or its end user as the rule says, within the time that
    the rule looks back. `silent` says who gave no answer: a rule that denies what they could have found is left to
    `on_failure`.
    """

    model: str = ""
    caller: str = ""
    draw: float = 0.0
    earlier: Mapping[str, int] = field(default_factory=dict)
    silent: "frozenset[Silent]" = frozenset()


class Silent(NamedTuple):
    """A detector, by name or id, or ALL_DETECTORS, that gave no answer about the texts of a channel, or of any."""

    detector: str
    channel: str = ""

    def keeps_from(self, leaf: Leaf) -> bool:
        """Whether this condition may have missed something for it."""
        heard_elsewhere = self.channel and leaf.channels and self.channel not in leaf.channels
        return not heard_elsewhere and (
            self.detector == ALL_DETECTORS or any(_is_from(each.detector, self.detector) for each in leaf.thresholds)
        )


_ANY = Context()


class Redaction(NamedTuple):
    """Code points `start` to `end` of text `passage` are to be replaced by their label."""

    passage: int
    start: int
    end: int
    label: str


_passage_of = attrgetter("passage")


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched: what it asks for, whether that is done here, and the slugs that made it match.

    `mode` tells a rule that only monitors from a canary that this request was not drawn for.
    """

    rule: str
    action: Action
    enforced: bool
    slugs: tuple[str, ...]
    mode: Mode = Mode.ENFORCE

    @property
    def carried(self) -> Action:
        """What is done: a rule that only monitors is recorded, and changes no traffic."""
        if self.enforced or self.action.severity <= Action.FLAG.severity:
            return self.action
        return Action.FLAG


@dataclass(frozen=True, slots=True)
class Evidence:
    """The strongest of what made a rule match: this score reached this threshold, asked for in this `place`."""

    slug: str
    detector: str
    direction: str
    channel: str
    score: float
    threshold: float
    place: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a text, and why.

    `action` is carried out; `would` is the action had every rule been enforced; `rule` decided, the first in the
    file among the severest. `reason` holds nothing of the user's text. `redactions` are sorted and disjoint; under
    a block they are what the redact rules would have cut, and under a reroute they are cut. `matched` is sorted as
    rules decide. `replacement` stands in place of the text when the action is to replace it, `reroute` says where the
    request goes when that is the action. `throttles` are the strictest that enforced rules ask for, one for
    the caller and one for the end user, whatever decided. `counted` are the rules that count this request, whether they
    matched yet or not.
    """

    action: Action
    would: Action
    rule: str | None
    reason: str
    revision: str
    redactions: tuple[Redaction, ...] = ()
    matched: tuple[Match, ...] = ()
    evidence: Evidence | None = None
    replacement: str = ""
    reroute: Reroute | None = None
    throttles: tuple[Throttle, ...] = ()
    counted: tuple[str, ...] = ()

    def cuts(self, passage: int) -> tuple[Cut, ...]:
        """The redactions of one text, as `redact` takes them."""
        first = bisect_left(self.redactions, passage, key=_passage_of)
        last = bisect_left(self.redactions, passage + 1, first, key=_passage_of)
        return tuple((r.start, r.end, r.label) for r in self.redactions[first:last])


class Hit(NamedTuple):
    """A signal that reached a threshold of a rule, with those of its spans that the rule asks for."""

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


def decide(policy: Policy, signals: Iterable[Signal], *, route: str, about: Context = _ANY) -> Decision:
    """The decision on all the texts of one direction of one exchange."""
    hits = hits_by_rule(policy, signals, route=route, about=about)
    if not hits:
        return Decision(Action.ALLOW, Action.ALLOW, None, "no rule matched", policy.revision)
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


def hits_by_rule(
    policy: Policy, signals: Iterable[Signal], *, route: str, about: Context = _ANY
) -> dict[Rule, dict[Leaf, list[Hit]]]:
    """By rule and part of it: the signals that reach a threshold of it where it looks."""
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
        redactions=_unite(cut),
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
    about: Context = _ANY,
) -> Decision:
    """The decision when no verdict on `slugs` came: a detector raised, ran out of time or is absent.

    With `detector` (its name, with or without version) only the rules that listen to it are affected, with `channel`
    only those that look at the texts of that channel. Blocks when
    an enforced rule among them that would have acted says so, allows otherwise; `rule` is the first that decided, None
    when no enforced rule lost its guard. The reason is `detector_error`.
    """
    gates = policy.gates(route, about.model, about.caller)
    affected = {
        rule.order: rule
        for slug in slugs
        for rule in policy.guards(slug, direction, gates)
        if _listens(rule, slug, direction, detector, channel)
        and all(_holds(asked, route, about) for asked in rule.asked)
    }
    found = [(rule, Action.BLOCK if rule.on_error == "block" else Action.ALLOW) for _, rule in sorted(affected.items())]
    enforced = [pair for pair in found if pair[0].acts(about.draw)]
    action = _severest(asked for _, asked in enforced)
    return Decision(
        action=action,
        would=_severest(asked for _, asked in found),
        rule=next((rule.id for rule, asked in enforced if asked is action), None),
        reason="detector_error",
        revision=policy.revision,
        matched=tuple(
            Match(rule.id, asked, rule.acts(about.draw), tuple(sorted({slug for slug, _ in rule.judges_on})), rule.mode)
            for rule, asked in found
        ),
    )


def _listens(rule: Rule, slug: str, direction: str, detector: str | None, channel: str) -> bool:
    """Whether a condition of the rule looks for this, in texts of this channel, at what this detector says."""
    return any(
        (t.slug, t.direction) == (slug, direction) and (detector is None or _is_from(t.detector, detector))
        for leaf in rule.leaves
        if not (channel and leaf.channels) or channel in leaf.channels
        for t in leaf.thresholds
    )


def join(first: Decision, second: Decision) -> Decision:
    """One decision out of two on the same texts: the severer decides, the first when both are as severe."""
    lead = second if second.action.severity > first.action.severity else first
    return Decision(
        action=lead.action,
        would=_severest((first.would, second.would)),
        rule=lead.rule,
        reason=lead.reason,
        revision=lead.revision,
        redactions=_unite((r.passage, (r.start, r.end, r.label)) for r in first.redactions + second.redactions),
        matched=first.matched + second.matched,
        evidence=lead.evidence,
        replacement=lead.replacement,
        reroute=lead.reroute,
        throttles=_strictest(first.throttles + second.throttles),
        counted=tuple(dict.fromkeys(first.counted + second.counted)),
    )


def redact(text: str, spans: Sequence[Cut]) -> str:
    """`text` with each (start, end, label) replaced by `[REDACTED:label]`; what overlaps is replaced once."""
    pieces: list[str] = []
    last = 0
    for _, start, end, label in _unite((0, span) for span in spans):
        if start < len(text):
            pieces += [text[last:start], f"[REDACTED:{label}]"]
            last = end
    return "".join([*pieces, text[last:]])


def _hit(leaf: Leaf, signal: Signal, threshold: float) -> Hit | None:
    """What a signal that reaches the threshold is to a part of a rule: nothing in another channel or language."""
    if leaf.channels and signal.channel not in leaf.channels:
        return None
    if leaf.languages and signal.language not in leaf.languages:
        return None
    spans = tuple(s for s in signal.spans if not leaf.findings or s[2] in leaf.findings)
    return Hit(signal, spans, threshold, leaf) if spans or not leaf.findings else None


def matching_hits(tree: Expression, hits: Hits, route: str, about: Context) -> list[Hit] | None:
    """The hits through which the condition holds, None when it does not. What a `not` denies tells nothing."""
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
    """Requests of a caller or an end user are counted over time, a conversation's texts each by itself."""
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
    """The hits of each text apart."""
    by_passage: dict[int, dict[Leaf, list[Hit]]] = {}
    for leaf, matching in hits.items():
        for hit in matching:
            by_passage.setdefault(hit.signal.passage, {}).setdefault(leaf, []).append(hit)
    return by_passage.values()


def _match(rule: Rule, matching: list[Hit], about: Context) -> Match:
    """A redact rule that matched a text in which nothing can be cut out asks for a block instead."""
    action = rule.action
    if action is Action.REDACT:
        cuttable = {hit.signal.passage for hit in matching if any(_is_span(s) for s in hit.spans)}
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
    """One for each that is slowed down, callers first."""
    found: dict[str, Throttle] = {}
    for limit in sorted(limits, key=_strictness):
        found.setdefault(limit.by, limit)
    return tuple(found[by] for by in sorted(found))


def _in_file(rule: Rule) -> int:
    return rule.order


def _severest(actions: Iterable[Action]) -> Action:
    return max(actions, key=lambda action: action.severity, default=Action.ALLOW)


def _is_from(detector: str, name: str) -> bool:
    return detector == name or detector.partition("@")[0] == name


def _is_span(span: Cut) -> bool:
    return span[1] > max(span[0], 0)


def _unite(cuts: Iterable[tuple[int, Cut]]) -> tuple[Redaction, ...]:
    """Sorted and disjoint; of spans that overlap the one that begins first, the longest of these, names the rest."""
    ordered = sorted((passage, max(s[0], 0), -s[1], s[2]) for passage, s in cuts if _is_span(s))
    united: list[Redaction] = []
    for passage, start, negative_end, label in ordered:
        last = united[-1] if united else None
        if last is None or last.passage != passage or start >= last.end:
            united.append(Redaction(passage, start, -negative_end, label))
        elif -negative_end > last.end:
            united[-1] = last._replace(end=-negative_end)
    return tuple(united)
