"""What holds for every policy and every list of signals."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from policies.compiled import Policy
from policies.engine import ALL_DETECTORS, Action, Context, Decision, Signal, Silent, decide, join, on_failure, redact
from policies.expressions import AllOf, AnyOf, Expression, InOneText, Leaf, Not, RequestIs
from policies.model import CHANNELS, Document
from tests.support.running.examples import examples
from tests.support.worlds.policy_world import with_tables

SLUGS = ("violence", "toxicity", "privacy_violation", "unsafe")
ROUTES = ("chat", "code")
LABELS = ("email", "iban")

whens = st.fixed_dictionaries(
    {"any": st.lists(st.sampled_from(SLUGS), min_size=1, max_size=2)},
    optional={
        "channel": st.lists(st.sampled_from(CHANNELS[2:]), min_size=1, max_size=3),
        "on": st.sampled_from(("prompt", "response")),
        "route": st.sampled_from(ROUTES),
        "finding": st.sampled_from(LABELS),
        "score": st.sampled_from((0.0, 0.4, 0.8)),
    },
)
bodies = st.fixed_dictionaries(
    {"when": whens, "then": st.sampled_from(("redact", "block"))},
    optional={
        "mode": st.sampled_from(("monitor", "enforce")),
        "on_error": st.sampled_from(("allow", "block")),
    },
) | st.fixed_dictionaries({"when": whens, "then": st.just("flag")})
narrowings: dict[str, st.SearchStrategy[Any]] = {
    "channel": st.sampled_from(CHANNELS),
    "caller": st.sampled_from(("staff", "trial", "t*")),
    "model": st.sampled_from(("m", "n*")),
    "route": st.sampled_from(ROUTES),
    "language": st.sampled_from(("en", "de")),
    "agree": st.just(2),
    "score": st.sampled_from((0.0, 0.4, 0.8)),
}
together = {"same_text": st.just(True)}
conditions: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(SLUGS) | whens,
    lambda inner: (
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}, optional=narrowings | together)
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}, optional=narrowings)
        | st.fixed_dictionaries({"subcategory": st.sampled_from(SLUGS), "not": inner}, optional=narrowings | together)
    ),
    max_leaves=6,
)
counts = st.just({"at_least": 2, "by": "conversation"}) | st.just({"at_least": 3, "by": "caller", "within_minutes": 5})
any_whens = conditions.filter(lambda when: isinstance(when, dict)).flatmap(
    lambda when: st.just(when) | counts.map(lambda count: {**when, "count": count})
)
deeds = st.sampled_from(
    (
        {"then": "flag"},
        {"then": "redact", "on_error": "block"},
        {"then": "block", "mode": "canary", "canary": 50},
        {"then": "replace", "message": "no"},
        {"then": "reroute", "to": "safer", "system": "careful"},
        {"then": "throttle", "per_minute": 3, "budget_ms": 40},
    )
)
any_bodies = st.builds(lambda when, deed: {"when": when, **deed}, any_whens, deeds)
heard_from = st.sampled_from(("ngram", "secrets@2", ALL_DETECTORS))
contexts = st.builds(
    Context,
    model=st.sampled_from(("", "m", "none")),
    caller=st.sampled_from(("", "staff", "trial")),
    draw=st.floats(0, 1, exclude_max=True) | st.floats(),
    earlier=st.dictionaries(st.sampled_from(("r0", "r1")), st.integers(0, 5)),
    silent=st.sets(st.builds(Silent, heard_from, st.sampled_from(("", "user"))), max_size=1).map(frozenset),
)
spans = st.tuples(st.integers(-2, 30), st.integers(-2, 30), st.sampled_from(LABELS))
signals = st.builds(
    Signal,
    slug=st.sampled_from(SLUGS) | st.text(max_size=3),
    score=st.floats(0, 1) | st.floats(),
    detector=st.sampled_from(("ngram@1", "secrets@2", "pii@1", "other@1")),
    direction=st.sampled_from(("prompt", "response")),
    channel=st.sampled_from(CHANNELS) | st.just("unheard-of"),
    passage=st.integers(0, 2),
    spans=st.lists(spans, max_size=3).map(tuple),
    language=st.sampled_from(("", "en", "de")),
)
signal_lists = st.lists(signals, max_size=6)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    rules = [{"id": f"r{n}", **body} for n, body in enumerate(draw(st.lists(bodies, max_size=6)))]
    mode = draw(st.sampled_from(("monitor", "enforce")))
    return with_tables(Document.model_validate({"version": 1, "mode": mode, "rules": rules}))


@st.composite
def whole_policies(draw: st.DrawFn) -> Policy:
    """Everything that the language can say; rules that are refused for themselves are left out."""
    rules = []
    for n, body in enumerate(draw(st.lists(any_bodies, max_size=5))):
        rule = {"id": f"r{n}", **body}
        try:
            with_tables(Document.model_validate({"version": 1, "mode": "enforce", "rules": [rule]}))
        except ValueError:
            continue
        rules.append(rule)
    mode: dict[str, Any] = draw(
        st.sampled_from(({"mode": "monitor"}, {"mode": "enforce"}, {"mode": "canary", "canary": 30}))
    )
    return with_tables(Document.model_validate({"version": 1, **mode, "rules": rules}))


def plain(policy: Policy, given_signals: list[Signal], route: str) -> dict[str, Any]:
    """The semantics once more, by looking at every rule for every signal."""
    matched: dict[str, tuple[int, int, Action, Action]] = {}
    for rule in policy.rules:
        told = [
            (s, [x for x in s.spans if not rule.findings or x[2] in rule.findings])
            for s in given_signals
            if (not rule.routes or route in rule.routes)
            and (not rule.channels or s.channel in rule.channels)
            and any(
                (t.slug, t.direction, t.detector) == (s.slug, s.direction, s.detector) and s.score >= t.score
                for t in rule.thresholds
            )
        ]
        told = [(s, found) for s, found in told if found or not rule.findings]
        if not told:
            continue
        passages = {s.passage for s, _ in told}
        cut = {s.passage for s, found in told if any(max(x[0], 0) < x[1] for x in found)}
        asked = Action.BLOCK if rule.action is Action.REDACT and passages - cut else rule.action
        carried = asked if rule.enforced or asked is Action.FLAG else Action.FLAG
        matched[rule.id] = (-carried.severity, rule.order, carried, asked)
    order = sorted(matched, key=lambda name: matched[name][:2])
    return {
        "action": matched[order[0]][2] if order else Action.ALLOW,
        "would": max((m[3] for m in matched.values()), key=lambda a: a.severity, default=Action.ALLOW),
        "rule": order[0] if order else None,
        "matched": order,
    }


@given(policies(), signal_lists, st.sampled_from((*ROUTES, "other")), st.randoms(use_true_random=False))
@examples(150)
def test_one_decision_whatever_the_input_and_its_order(
    policy: Policy, given_signals: list[Signal], route: str, random: Any
) -> None:
    decision = decide(policy, given_signals, route=route)
    assert {
        "action": decision.action,
        "would": decision.would,
        "rule": decision.rule,
        "matched": [match.rule for match in decision.matched],
    } == plain(policy, given_signals, route)
    shuffled = list(given_signals)
    random.shuffle(shuffled)
    assert decide(policy, [*shuffled, *given_signals], route=route) == decision
    check_redactions(decision, given_signals)


def check_redactions(decision: Decision, given_signals: list[Signal]) -> None:
    """Sorted, disjoint, and over nothing but what some span covers."""
    covered = {(s.passage, at) for s in given_signals for start, end, _ in s.spans for at in range(start, end)}
    for r in decision.redactions:
        assert 0 <= r.start < r.end
        assert all((r.passage, at) in covered for at in range(r.start, r.end))
    for before, after in zip(decision.redactions, decision.redactions[1:], strict=False):
        assert before.passage < after.passage or (before.passage == after.passage and before.end <= after.start)
    if decision.action is Action.REDACT:
        assert decision.redactions


def found_by(tree: Expression, told: list[Signal], route: str, about: Context) -> bool:
    """Whether a condition holds, once more: part by part, over every signal."""
    match tree:
        case Leaf():
            voices: dict[int, set[str]] = {}
            for s in told:
                if (
                    any(
                        (t.slug, t.direction, t.detector) == (s.slug, s.direction, s.detector) and s.score >= t.score
                        for t in tree.thresholds
                    )
                    and (not tree.channels or s.channel in tree.channels)
                    and (not tree.languages or s.language in tree.languages)
                    and (not tree.findings or any(span[2] in tree.findings for span in s.spans))
                ):
                    voices.setdefault(s.passage, set()).add(s.detector)
            return any(len(detectors) >= tree.agree for detectors in voices.values())
        case AllOf():
            return all(found_by(part, told, route, about) for part in tree.parts)
        case AnyOf():
            return any(found_by(part, told, route, about) for part in tree.parts)
        case Not():
            return not found_by(tree.part, told, route, about)
        case InOneText():
            by_text = [[s for s in told if s.passage == passage] for passage in {s.passage for s in told}]
            return any(found_by(tree.part, alone, route, about) for alone in by_text)
        case RequestIs():
            value = {"route": route, "model": about.model, "caller": about.caller}[tree.key]
            return value in tree.names or any(value.startswith(prefix) for prefix in tree.prefixes)


@pytest.mark.slow
@given(whole_policies(), signal_lists, contexts, st.sampled_from((*ROUTES, "other")), st.randoms())
@examples(300, suppress_health_check=[HealthCheck.too_slow])
def test_every_policy_gives_every_input_exactly_one_decision(
    policy: Policy, given_signals: list[Signal], about: Context, route: str, random: Any
) -> None:
    decision = decide(policy, given_signals, route=route, about=about)
    shuffled = list(given_signals)
    random.shuffle(shuffled)
    assert decide(policy, [*shuffled, *given_signals], route=route, about=about) == decision
    assert decision.would.severity >= decision.action.severity
    assert (decision.rule is None) == (decision.action is Action.ALLOW) == (decision.evidence is None)
    assert (decision.replacement != "") == (decision.action is Action.REPLACE)
    assert (decision.reroute is not None) == (decision.action is Action.REROUTE)
    assert {t.rule for t in decision.throttles} <= {m.rule for m in decision.matched if m.enforced}
    assert join(decision, decision).action is decision.action
    check_redactions(decision, given_signals)
    if not about.silent:
        held = {
            rule.id: any(
                found_by(rule.tree, [s for s in given_signals if s.direction == d], route, about) for d in d_all
            )
            for rule in policy.rules
            for d_all in [("prompt", "response")]
        }
        one_sided = len({s.direction for s in given_signals}) < 2
        for rule in policy.rules:
            matched = any(m.rule == rule.id for m in decision.matched)
            if one_sided and rule.count is None:
                assert matched == held[rule.id]
            if one_sided and rule.count is not None:
                assert held[rule.id] or not matched


@given(policies(), signal_lists, signals)
@examples(80)
def test_finding_more_never_makes_a_decision_milder(
    policy: Policy, given_signals: list[Signal], one_more: Signal
) -> None:
    """Except that a place found in a text lets a redaction replace the block for want of a place."""
    before = decide(policy, given_signals, route="chat")
    after = decide(policy, [*given_signals, one_more], route="chat")
    assert {m.rule for m in before.matched} <= {m.rule for m in after.matched}
    if not one_more.spans:
        assert after.action.severity >= before.action.severity
        assert after.would.severity >= before.would.severity
    assert after.would.severity >= after.action.severity


@given(policies(), st.lists(st.sampled_from((*SLUGS, "hate"))), st.sampled_from(("prompt", "response")))
@examples(80)
def test_a_failure_has_one_decision_too(policy: Policy, slugs: list[str], direction: str) -> None:
    decision = on_failure(policy, slugs, direction=direction, route="chat")
    assert decision == on_failure(policy, reversed(slugs), direction=direction, route="chat")
    assert decision.action in (Action.ALLOW, Action.BLOCK)
    assert decision.would.severity >= decision.action.severity
    assert (decision.rule is not None) == bool(policy.needs(direction, "chat") & set(slugs))


@given(st.text(max_size=30), st.lists(spans, max_size=5))
@examples(100)
def test_redacting_keeps_all_the_rest(text: str, cuts: list[tuple[int, int, str]]) -> None:
    gone = {at for start, end, _ in cuts for at in range(start, end)}
    rest = "".join(letter for at, letter in enumerate(text) if at not in gone)
    redacted = redact(text, cuts)
    for label in LABELS:
        redacted = redacted.replace(f"[REDACTED:{label}]", "")
    assert redacted == rest


def test_actions_have_an_order() -> None:
    assert [action.severity for action in Action] == list(range(7))
    assert list(Action) == ["allow", "flag", "throttle", "redact", "reroute", "replace", "block"]
