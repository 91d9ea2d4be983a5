"""Signals in, exactly one decision out: pure, total and deterministic.

No input makes these functions raise or look at a clock, and neither the order of the signals nor the rules that
do not concern them change the outcome. The cost of a decision grows with the rules that match, not with the
size of the policy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from policies.compiling import Policy, Rule, compile_policy
from policies.model import Action

__all__ = [
    "Action",
    "Decision",
    "Match",
    "Policy",
    "Redaction",
    "Signal",
    "compile_policy",
    "decide",
    "join",
    "on_failure",
    "redact",
]

Cut = tuple[int, int, str]


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


class Redaction(NamedTuple):
    """Code points `start` to `end` of text `passage` are to be replaced by their label."""

    passage: int
    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched: what it asks for, whether that is enforced, and the slugs that made it match."""

    rule: str
    action: Action
    enforced: bool
    slugs: tuple[str, ...]

    @property
    def carried(self) -> Action:
        """What is done: a rule that only monitors is recorded, and changes no traffic."""
        if self.enforced or self.action.severity <= Action.FLAG.severity:
            return self.action
        return Action.FLAG


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a text, and why.

    `action` is carried out; `would` is the action had every rule been enforced; `rule` decided, the first in the
    file among the severest. `reason` holds nothing of the user's text. `redactions` are sorted and disjoint; under
    a block they are what the redact rules would have cut. `matched` is sorted as rules decide.
    """

    action: Action
    would: Action
    rule: str | None
    reason: str
    revision: str
    redactions: tuple[Redaction, ...] = ()
    matched: tuple[Match, ...] = ()

    def cuts(self, passage: int) -> tuple[Cut, ...]:
        """The redactions of one text, as `redact` takes them."""
        return tuple((r.start, r.end, r.label) for r in self.redactions if r.passage == passage)


class _Hit(NamedTuple):
    """A signal that matched a rule, with those of its spans that the rule asks for."""

    signal: Signal
    spans: tuple[Cut, ...]


def decide(policy: Policy, signals: Iterable[Signal], *, route: str) -> Decision:
    """The decision on all the texts of one direction of one exchange."""
    hits: dict[Rule, list[_Hit]] = {}
    for signal in signals:
        _collect(policy, signal, route, hits)
    if not hits:
        return Decision(Action.ALLOW, Action.ALLOW, None, "no rule matched", policy.revision)
    found = [(_match(rule, told), rule, told) for rule, told in hits.items()]
    found.sort(key=lambda item: (-item[0].carried.severity, item[1].order))
    decisive, _, told = found[0]
    cut = (
        (hit.signal.passage, span)
        for _, rule, told in found
        if rule.enforced and rule.action is Action.REDACT
        for hit in told
        for span in hit.spans
    )
    return Decision(
        action=decisive.carried,
        would=_severest(match.action for match, _, _ in found),
        rule=decisive.rule,
        reason=_reason(told),
        revision=policy.revision,
        redactions=_unite(cut),
        matched=tuple(match for match, _, _ in found),
    )


def on_failure(
    policy: Policy, slugs: Iterable[str], *, direction: str, route: str, detector: str | None = None
) -> Decision:
    """The decision when no verdict on `slugs` came: a detector raised, ran out of time or is absent.

    With `detector` (its name, with or without version) only the rules that listen to it are affected. Blocks when
    an enforced redact or block rule among them says so, allows otherwise; `rule` is the first that decided, None
    when no enforced rule lost its guard. The reason is `detector_error`.
    """
    affected = {
        rule.order: rule
        for slug in slugs
        for rule in policy.guards(slug, direction, route)
        if detector is None or any(_is_from(t.detector, detector) for t in rule.thresholds if t.slug == slug)
    }
    found = [(rule, Action.BLOCK if rule.on_error == "block" else Action.ALLOW) for _, rule in sorted(affected.items())]
    enforced = [pair for pair in found if pair[0].enforced]
    action = _severest(asked for _, asked in enforced)
    return Decision(
        action=action,
        would=_severest(asked for _, asked in found),
        rule=next((rule.id for rule, asked in enforced if asked is action), None),
        reason="detector_error",
        revision=policy.revision,
        matched=tuple(
            Match(rule.id, asked, rule.enforced, tuple(sorted({slug for slug, _ in rule.heard})))
            for rule, asked in found
        ),
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


def _collect(policy: Policy, signal: Signal, route: str, hits: dict[Rule, list[_Hit]]) -> None:
    reached = policy.reached(signal.slug, signal.direction, signal.detector, signal.score, route)
    for rule in reached:
        if rule.channels and signal.channel not in rule.channels:
            continue
        spans = tuple(s for s in signal.spans if not rule.findings or s[2] in rule.findings)
        if spans or not rule.findings:
            hits.setdefault(rule, []).append(_Hit(signal, spans))


def _match(rule: Rule, told: list[_Hit]) -> Match:
    """A redact rule that matched a text in which nothing can be cut out asks for a block instead."""
    action = rule.action
    if action is Action.REDACT:
        cuttable = {hit.signal.passage for hit in told if any(_is_span(s) for s in hit.spans)}
        if any(hit.signal.passage not in cuttable for hit in told):
            action = Action.BLOCK
    return Match(rule.id, action, rule.enforced, tuple(sorted({hit.signal.slug for hit in told})))


def _reason(told: list[_Hit]) -> str:
    best = min((-hit.signal.score, hit.signal.slug, hit.signal.detector, *_place(hit.signal)) for hit in told)
    _, slug, detector, direction, channel = best
    return f"{slug} in the {direction} ({channel}), found by {detector}"


def _place(signal: Signal) -> tuple[str, str]:
    return signal.direction, signal.channel


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
