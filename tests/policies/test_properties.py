"""What holds for every policy and every list of signals."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compiling import Policy
from policies.engine import Action, Decision, Signal, decide, on_failure, redact
from policies.model import CHANNELS, Document
from tests.policies.world import with_tables

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
)
signal_lists = st.lists(signals, max_size=6)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    rules = [{"id": f"r{n}", **body} for n, body in enumerate(draw(st.lists(bodies, max_size=6)))]
    mode = draw(st.sampled_from(("monitor", "enforce")))
    return with_tables(Document.model_validate({"version": 1, "mode": mode, "rules": rules}))


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
@settings(max_examples=150, deadline=None)
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


@given(policies(), signal_lists, signals)
@settings(max_examples=80, deadline=None)
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
@settings(max_examples=80, deadline=None)
def test_a_failure_has_one_decision_too(policy: Policy, slugs: list[str], direction: str) -> None:
    decision = on_failure(policy, slugs, direction=direction, route="chat")
    assert decision == on_failure(policy, reversed(slugs), direction=direction, route="chat")
    assert decision.action in (Action.ALLOW, Action.BLOCK)
    assert decision.would.severity >= decision.action.severity
    assert (decision.rule is not None) == bool(policy.needs(direction, "chat") & set(slugs))


@given(st.text(max_size=30), st.lists(spans, max_size=5))
@settings(max_examples=100, deadline=None)
def test_redacting_keeps_all_the_rest(text: str, cuts: list[tuple[int, int, str]]) -> None:
    gone = {at for start, end, _ in cuts for at in range(start, end)}
    rest = "".join(letter for at, letter in enumerate(text) if at not in gone)
    redacted = redact(text, cuts)
    for label in LABELS:
        redacted = redacted.replace(f"[REDACTED:{label}]", "")
    assert redacted == rest


def test_actions_have_an_order() -> None:
    assert [action.severity for action in Action] == [0, 1, 2, 3]
    assert list(Action) == ["allow", "flag", "redact", "block"]
