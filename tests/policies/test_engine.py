"""Single sentences of the semantics; what holds for every policy is in test_properties."""

import pytest

from policies.engine import Action, Context, Redaction, Signal, Silent, decide, join, on_failure, redact
from tests.support.worlds.policy_world import HEAD, compiled

POLICY = compiled(
    HEAD
    + "  - {id: flag, when: {subcategory: toxicity, on: response}, then: flag}\n"
    + "  - {id: cut, when: {subcategory: privacy_violation, on: response, score: 0.5}, then: redact, on_error: block}\n"
    + "  - {id: cards, when: {subcategory: privacy_violation, on: prompt, score: 0.5, finding: iban}, then: redact}\n"
    + "  - {id: stop, when: {subcategory: violence, on: response, channel: assistant}, then: block}\n"
    + "  - {id: late, when: {subcategory: violence, on: response}, then: block}\n"
    + "  - {id: trial, when: {subcategory: hate, on: response}, then: block, mode: monitor, on_error: block}\n"
)


def said(slug: str, *spans: tuple[int, int, str], score: float = 1.0, **more: object) -> Signal:
    name = "secrets@2" if slug == "privacy_violation" else "ngram@1"
    passage = more.get("passage", 0)
    assert isinstance(passage, int)
    return Signal(slug, score, name, "response", str(more.get("channel", "assistant")), passage, spans)


def test_nothing_found_is_allowed() -> None:
    decision = decide(POLICY, [said("violence", score=0.49)], route="r")
    assert (decision.action, decision.would, decision.rule, decision.matched) == ("allow", "allow", None, ())
    assert decision.revision == POLICY.revision


def test_the_threshold_itself_matches() -> None:
    assert decide(POLICY, [said("violence", score=0.5)], route="r").action is Action.BLOCK


def test_the_severest_decides_then_the_first_in_the_file() -> None:
    decision = decide(POLICY, [said("toxicity"), said("violence")], route="r")
    assert (decision.action, decision.rule) == (Action.BLOCK, "stop")
    assert [match.rule for match in decision.matched] == ["stop", "late", "flag"]
    assert decision.reason == "violence in the response (assistant), found by ngram@1"
    assert decide(POLICY, [said("violence", channel="reasoning")], route="r").rule == "late"


def test_a_monitoring_rule_is_recorded_and_changes_nothing() -> None:
    decision = decide(POLICY, [said("hate")], route="r")
    assert (decision.action, decision.would, decision.rule) == (Action.FLAG, Action.BLOCK, "trial")
    assert [(m.action, m.carried, m.enforced) for m in decision.matched] == [(Action.BLOCK, Action.FLAG, False)]


def test_overlapping_findings_are_cut_as_one() -> None:
    found = [
        said("privacy_violation", (10, 20, "b"), (5, 12, "a"), (30, 31, "c"), passage=1),
        said("privacy_violation", (0, 2, "d"), (2, 3, "e")),
    ]
    decision = decide(POLICY, found, route="r")
    assert decision.action is Action.REDACT
    assert decision.redactions == (
        Redaction(0, 0, 2, "d"),
        Redaction(0, 2, 3, "e"),
        Redaction(1, 5, 20, "a"),
        Redaction(1, 30, 31, "c"),
    )
    assert decision.cuts(1) == ((5, 20, "a"), (30, 31, "c"))


def test_nothing_to_cut_out_of_a_text_blocks() -> None:
    placed, unplaced = said("privacy_violation", (0, 2, "a")), said("privacy_violation")
    assert decide(POLICY, [placed, unplaced], route="r").action is Action.REDACT
    elsewhere = said("privacy_violation", (4, 4, "empty"), passage=1)
    decision = decide(POLICY, [placed, elsewhere], route="r")
    assert (decision.action, decision.rule, decision.redactions) == (Action.BLOCK, "cut", (Redaction(0, 0, 2, "a"),))


def test_only_the_findings_asked_for_match_and_are_cut() -> None:
    spans = ((0, 4, "email"), (6, 9, "iban"))
    signal = Signal("privacy_violation", 1.0, "pii@1", "prompt", "user", 0, spans)
    assert decide(POLICY, [signal], route="r").redactions == (Redaction(0, 6, 9, "iban"),)
    only_email = Signal("privacy_violation", 1.0, "pii@1", "prompt", "user", 0, spans[:1])
    assert decide(POLICY, [only_email], route="r").action is Action.ALLOW


def test_a_score_that_is_no_number_or_from_a_stranger_matches_nothing() -> None:
    odd = [said("violence", score=float("nan")), Signal("violence", 1.0, "ngram@9", "response", "assistant")]
    assert decide(POLICY, odd, route="r").action is Action.ALLOW


def test_a_failure_blocks_only_where_an_enforced_rule_says_so() -> None:
    failed = on_failure(POLICY, ["violence", "privacy_violation"], direction="response", route="r")
    assert (failed.action, failed.rule, failed.reason) == (Action.BLOCK, "cut", "detector_error")
    open_ = on_failure(POLICY, ["violence"], direction="response", route="r")
    assert (open_.action, open_.rule, open_.reason) == (Action.ALLOW, "stop", "detector_error")
    trial = on_failure(POLICY, ["hate", "toxicity"], direction="response", route="r")
    assert (trial.action, trial.would, trial.rule) == (Action.ALLOW, Action.BLOCK, None)
    assert on_failure(POLICY, ["violence"], direction="prompt", route="r").matched == ()


def test_a_failure_affects_the_rules_that_listen_to_that_detector() -> None:
    text = "{id: s, when: {subcategory: privacy_violation, detector: secrets}, then: redact, on_error: block}"
    policy = compiled(f"{HEAD}  - {text}\n")
    slugs = ["privacy_violation"]
    for name, action in (("secrets@2", "block"), ("secrets", "block"), ("pii@1", "allow"), (None, "block")):
        failed = on_failure(policy, slugs, direction="response", route="r", detector=name)
        assert failed.action == action


def test_who_listens_to_the_one_that_read_the_text_instead_has_been_answered() -> None:
    when = "{subcategory: privacy_violation, score: 0.5, not: {subcategory: violence}}"
    both = f"{{id: s, when: {when}, then: block, on_error: block}}"
    policy, slugs = compiled(f"{HEAD}  - {both}\n"), ["privacy_violation"]
    for instead, action in ((("pii@1",), "allow"), (("ngram",), "allow"), (("encoder@9",), "block"), ((), "block")):
        failed = on_failure(policy, slugs, direction="response", route="r", detector="secrets", instead=instead)
        assert failed.action == action, instead
    found = [said("privacy_violation")]
    for name in ("ngram", "secrets"):
        about = Context(silent=frozenset({Silent("ngram", "", frozenset({name}))}))
        decided = decide(policy, found, route="r", about=about)
        assert decided.action == ("block" if name == "ngram" else "allow")


def test_what_is_denied_within_a_denial_must_be_answered_too() -> None:
    inner = "{subcategory: unsafe, channel: reasoning}"
    denied = f"not: {{all: [{{subcategory: violence, channel: assistant}}, {{not: {inner}}}]}}"
    when = f"{{subcategory: privacy_violation, score: 0.5, {denied}}}"
    policy = compiled(f"{HEAD}  - {{id: s, when: {when}, then: block}}\n")
    for channel, action in (("reasoning", "allow"), ("assistant", "allow"), ("tool", "block")):
        about = Context(silent=frozenset({Silent("ngram@1", channel)}))
        assert decide(policy, [said("privacy_violation")], route="r", about=about).action == action, channel


@pytest.mark.parametrize("kind", ["all", "any"])
def test_a_condition_with_several_parts_is_not_denied_while_one_of_them_was_not_answered(kind: str) -> None:
    denied = f"not: {{{kind}: [{{subcategory: violence}}, {{subcategory: unsafe}}]}}"
    when = f"{{subcategory: privacy_violation, score: 0.5, {denied}}}"
    policy = compiled(f"{HEAD}  - {{id: s, when: {when}, then: block}}\n")
    for name, action in (("ngram@1", "allow"), ("pii@1", "block")):
        about = Context(silent=frozenset({Silent(name)}))
        assert decide(policy, [said("privacy_violation")], route="r", about=about).action == action


def test_what_is_counted_stands_in_the_order_of_the_file() -> None:
    count = "count: {at_least: 9, by: caller, within_minutes: 1}"
    written = [f"  - {{id: r{n}, when: {{subcategory: violence, {count}}}, then: block}}\n" for n in (2, 0, 1)]
    policy = compiled(HEAD + "".join(written))
    assert decide(policy, [said("violence")], route="r").counted == ("r2", "r0", "r1")


def test_joined_the_severer_decides_and_nothing_is_lost() -> None:
    cut = decide(POLICY, [said("privacy_violation", (0, 2, "a"))], route="r")
    open_ = on_failure(POLICY, ["violence"], direction="response", route="r")
    both = join(cut, open_)
    assert (both.action, both.rule, both.redactions) == (Action.REDACT, "cut", cut.redactions)
    assert both.matched == cut.matched + open_.matched
    shut = on_failure(POLICY, ["privacy_violation"], direction="response", route="r")
    assert join(cut, shut).action is Action.BLOCK
    assert join(cut, shut).reason == "detector_error"
    one, other = (decide(POLICY, [said("violence", channel=at)], route="r") for at in ("assistant", "reasoning"))
    assert (join(one, other).rule, join(other, one).rule) == ("stop", "late")  # as severe: the first


def test_redact() -> None:
    assert redact("my key is abc, ok", [(10, 13, "key")]) == "my key is [REDACTED:key], ok"
    assert redact("abcdef", [(4, 9, "y"), (0, 2, "x")]) == "[REDACTED:x]cd[REDACTED:y]"
    assert redact("abc", [(3, 9, "x"), (2, 1, "x")]) == "abc"
    assert redact("", []) == ""
