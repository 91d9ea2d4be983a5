"""What the language can say: conditions inside conditions, agreement, counts, actions and their shares."""

import time

import pytest

from policies.engine import (
    ALL_DETECTORS,
    Action,
    Context,
    Decision,
    Mode,
    Reroute,
    Signal,
    Silent,
    Throttle,
    decide,
    join,
    on_failure,
)
from policies.model import Document
from policies.source import PolicyError
from tests.support.running.together import together
from tests.support.worlds.policy_world import HEAD, compiled, with_tables


def said(slug: str, score: float = 1.0, **more: object) -> Signal:
    fields: dict[str, object] = {"detector": "ngram@1", "direction": "prompt", "channel": "user", **more}
    return Signal(slug, score, **fields)  # type: ignore[arg-type]  # the fields that a test names


def rule(when: str, then: str = "block", more: str = "") -> str:
    return f"{HEAD}  - {{id: r, when: {when}, then: {then}{more}}}\n"


def asked(when: str, *signals: Signal, route: str = "default", **about: object) -> Action:
    context = Context(**about)  # type: ignore[arg-type]  # the fields that a test names
    return decide(compiled(rule(when)), signals, route=route, about=context).action


VIOLENCE, TOXICITY, UNSAFE = said("violence"), said("toxicity", passage=1), said("unsafe")
ALLOW, BLOCK = Action.ALLOW, Action.BLOCK


@together(
    ("when", "signals", "action"),
    [
        ("{all: [violence, toxicity]}", [VIOLENCE], ALLOW),
        ("{all: [violence, toxicity]}", [VIOLENCE, TOXICITY], BLOCK),
        ("{subcategory: violence, not: toxicity}", [VIOLENCE], BLOCK),
        ("{subcategory: violence, not: toxicity}", [VIOLENCE, TOXICITY], ALLOW),
        ("{any: [{subcategory: violence, score: 0.9}, {all: [toxicity, unsafe]}]}", [said("violence", 0.8)], ALLOW),
        ("{any: [{subcategory: violence, score: 0.9}, {all: [toxicity, unsafe]}]}", [TOXICITY, UNSAFE], BLOCK),
        ("{all: [violence, {any: [toxicity, unsafe]}], score: 0.95}", [VIOLENCE, said("unsafe", 0.94)], ALLOW),
        ("{all: [violence, {any: [toxicity, unsafe]}], score: 0.95}", [VIOLENCE, said("unsafe", 0.95)], BLOCK),
        ("{subcategory: violence, not: {all: [toxicity, unsafe]}}", [VIOLENCE, TOXICITY], BLOCK),
        ("{subcategory: violence, not: {all: [toxicity, unsafe]}}", [VIOLENCE, TOXICITY, UNSAFE], ALLOW),
        ("{all: [violence, toxicity], same_text: true}", [VIOLENCE, TOXICITY], ALLOW),
        ("{all: [violence, toxicity], same_text: true}", [VIOLENCE, TOXICITY, said("toxicity")], BLOCK),
        ("{all: [violence, {any: [toxicity, unsafe]}], same_text: true}", [VIOLENCE, UNSAFE], BLOCK),
        ("{any: [{all: [violence, toxicity], same_text: true}, unsafe]}", [VIOLENCE, TOXICITY], ALLOW),
        ("{subcategory: violence, not: toxicity, same_text: true}", [VIOLENCE, TOXICITY], BLOCK),
        ("{subcategory: violence, not: toxicity, same_text: true}", [VIOLENCE, said("toxicity")], ALLOW),
        ("{all: [violence, {subcategory: toxicity, not: violence, same_text: true}]}", [VIOLENCE, TOXICITY], BLOCK),
        ("{subcategory: violence, channel: tool}", [said("violence", channel="retrieved")], BLOCK),
        ("{subcategory: violence, channel: retrieved}", [said("violence", channel="tool")], ALLOW),
        ("{subcategory: violence, language: [de, fr]}", [said("violence", language="fr")], BLOCK),
        ("{subcategory: violence, language: [de, fr]}", [VIOLENCE], ALLOW),
    ],
)
def test_conditions_stand_inside_conditions(when: str, signals: list[Signal], action: Action) -> None:
    assert asked(when, *signals) is action


@pytest.mark.parametrize(
    ("when", "about", "action"),
    [
        ("{subcategory: violence, model: gpt-4o}", {"model": "gpt-4o"}, BLOCK),
        ("{subcategory: violence, model: gpt-4o}", {"model": "gpt-4o-mini"}, ALLOW),
        ("{subcategory: violence, model: [o3, gpt-4*]}", {"model": "gpt-4o-mini"}, BLOCK),
        ("{subcategory: violence, caller: trial}", {"caller": "trial"}, BLOCK),
        ("{subcategory: violence, caller: trial}", {}, ALLOW),
        ("{subcategory: violence, not: {caller: [staff, test-*]}}", {"caller": "test-7"}, ALLOW),
        ("{subcategory: violence, not: {caller: [staff, test-*]}}", {"caller": "trial"}, BLOCK),
        ("{any: [{subcategory: violence, caller: trial}, unsafe]}", {"caller": "other"}, ALLOW),
        ("{subcategory: violence, caller: trial, model: m}", {"caller": "trial", "model": "n"}, ALLOW),
    ],
)
def test_who_asks_which_model(when: str, about: dict[str, str], action: Action) -> None:
    assert asked(when, VIOLENCE, **about) is action


def test_several_detectors_agree_on_one_text() -> None:
    when = "{subcategory: privacy_violation, score: 0.5, agree: 2}"
    here, there = said("privacy_violation"), said("privacy_violation", detector="secrets@2", passage=1)
    assert asked(when, here, there) is ALLOW
    assert asked(when, here, said("privacy_violation", detector="secrets@2")) is BLOCK
    assert asked(when, here, here) is ALLOW


def test_a_conversation_is_counted_over_its_texts() -> None:
    when = "{subcategory: violence, count: {at_least: 3, by: conversation}}"
    twice = [said("violence", passage=n) for n in (0, 0, 4)]
    assert asked(when, *twice) is ALLOW
    assert asked(when, *twice, said("violence", passage=9)) is BLOCK
    both = "{all: [violence, unsafe], count: {at_least: 2, by: conversation}}"
    assert asked(both, said("violence"), said("unsafe", passage=1), said("violence", passage=2)) is ALLOW


def test_an_end_user_is_counted_over_time_and_the_policy_says_which_rules_do() -> None:
    count = "count: {at_least: 2, by: end_user, within_minutes: 10}"
    policy = compiled(rule(f"{{subcategory: violence, {count}}}"))
    assert policy.counted == {"r": 600}
    assert policy.counted_by_end_user == {"r"}
    assert policy.names_end_users
    first = decide(policy, [VIOLENCE], route="x")
    assert (first.action, first.counted) == (ALLOW, ("r",))
    assert decide(policy, [VIOLENCE], route="x", about=Context(earlier={"r": 1})).action is BLOCK
    of_callers = compiled(rule("{subcategory: violence, count: {at_least: 3, by: caller, within_minutes: 10}}"))
    assert not of_callers.counted_by_end_user
    assert not of_callers.names_end_users


def test_callers_and_end_users_are_throttled_each_by_their_strictest_rule() -> None:
    policy = compiled(
        HEAD
        + "  - {id: a, when: {subcategory: violence}, then: throttle, per_minute: 1, by: end_user}\n"
        + "  - {id: b, when: {subcategory: violence}, then: throttle, per_minute: 5}\n"
        + "  - {id: c, when: {subcategory: violence}, then: throttle, per_minute: 4, by: caller}\n"
    )
    decision = decide(policy, [VIOLENCE], route="x")
    assert policy.names_end_users
    assert decision.throttles == (Throttle("c", 4, 60), Throttle("a", 1, 60, "end_user"))
    assert join(decision, decision).throttles == decision.throttles


def test_a_caller_is_counted_over_time_and_the_engine_says_what_to_count() -> None:
    policy = compiled(rule("{subcategory: violence, count: {at_least: 3, by: caller, within_minutes: 10}}"))
    assert policy.counted == {"r": 600}
    second = decide(policy, [VIOLENCE], route="x", about=Context(earlier={"r": 1}))
    assert (second.action, second.counted) == (ALLOW, ("r",))
    third = decide(policy, [VIOLENCE], route="x", about=Context(earlier={"r": 2}))
    assert (third.action, third.counted) == (BLOCK, ("r",))
    assert decide(policy, [TOXICITY], route="x", about=Context(earlier={"r": 9})).counted == ()


def test_a_canary_acts_on_its_share_and_says_what_it_would_have_done() -> None:
    policy = compiled(rule("{subcategory: violence}", "block", ", mode: canary, canary: 10"))
    drawn = decide(policy, [VIOLENCE], route="x", about=Context(draw=0.0999))
    spared = decide(policy, [VIOLENCE], route="x", about=Context(draw=0.1))
    assert (drawn.action, drawn.would) == (BLOCK, BLOCK)
    assert (spared.action, spared.would, spared.matched[0].mode) == (Action.FLAG, BLOCK, Mode.CANARY)
    assert policy.needs("prompt", "x", 0.05) == {"violence"}
    assert policy.needs("prompt", "x", 0.5) == frozenset()


def test_a_file_is_a_canary_and_its_rules_may_differ() -> None:
    text = (
        "version: 1\nmode: canary\ncanary: 50\nrules:\n"
        "  - {id: a, when: {subcategory: violence}, then: block}\n"
        "  - {id: b, when: {subcategory: toxicity}, then: block, mode: canary, canary: 5}\n"
        "  - {id: c, when: {subcategory: unsafe}, then: block, mode: enforce}\n"
        "  - {id: d, when: {subcategory: hate}, then: block, mode: monitor}\n"
    )
    policy = compiled(text)
    assert [rule.share for rule in policy.rules] == [0.5, 0.05, 1, 0]
    found = [policy.needs("prompt", "x", draw) for draw in (0.01, 0.3, 0.9, 1.5, float("nan"))]
    assert [len(slugs) for slugs in found] == [3, 2, 1, 1, 1]


def test_what_a_rule_does_beside_blocking() -> None:
    calm = compiled(rule("{subcategory: mental_health}", "replace", ", message: Please call someone."))
    decision = decide(calm, [said("mental_health")], route="x")
    assert (decision.action, decision.replacement) == (Action.REPLACE, "Please call someone.")
    away = compiled(rule("{subcategory: unsafe}", "reroute", ", to: safer, system: Be careful."))
    decision = decide(away, [UNSAFE], route="x")
    assert (decision.action, decision.reroute) == (Action.REROUTE, Reroute("safer", "Be careful."))
    assert away.needs("response", "x") == frozenset()
    assert away.targets == {"safer"}
    slow = compiled(rule("{subcategory: unsafe}", "throttle", ", per_minute: 3, for_seconds: 90"))
    decision = decide(slow, [UNSAFE], route="x")
    assert (decision.action, decision.throttles) == (Action.THROTTLE, (Throttle("r", 3, 90),))


def test_a_throttle_is_started_whatever_decides_and_the_strictest_counts() -> None:
    policy = compiled(
        HEAD
        + "  - {id: a, when: {subcategory: violence}, then: throttle, per_minute: 9}\n"
        + "  - {id: b, when: {subcategory: violence}, then: throttle, per_minute: 2}\n"
        + "  - {id: c, when: {subcategory: violence}, then: throttle, per_minute: 1, mode: monitor}\n"
        + "  - {id: d, when: {subcategory: violence}, then: block}\n"
    )
    decision = decide(policy, [VIOLENCE], route="x")
    assert (decision.action, decision.rule, decision.throttles) == (BLOCK, "d", (Throttle("b", 2, 60),))
    nothing = Decision(ALLOW, ALLOW, None, "", policy.revision)
    assert join(nothing, decision).throttles == decision.throttles


def test_a_reroute_still_cuts_out_what_another_rule_redacts() -> None:
    policy = compiled(
        HEAD
        + "  - {id: cut, when: {subcategory: privacy_violation, on: prompt, score: 0.5}, then: redact}\n"
        + "  - {id: away, when: {subcategory: unsafe}, then: reroute, to: safer}\n"
    )
    decision = decide(policy, [UNSAFE, said("privacy_violation", spans=((0, 3, "x"),))], route="x")
    assert decision.action is Action.REROUTE
    assert decision.cuts(0) == ((0, 3, "x"),)


def test_the_decision_says_which_condition_was_reached_and_by_how_much() -> None:
    policy = compiled(rule("{all: [violence, {subcategory: unsafe, score: 0.3}]}"))
    evidence = decide(policy, [said("violence", 0.6), said("unsafe", 0.9)], route="x").evidence
    assert evidence is not None
    assert (evidence.slug, evidence.score, evidence.threshold, evidence.place) == ("unsafe", 0.9, 0.3, "when.all[1]")


def test_what_a_not_denies_must_have_been_looked_for() -> None:
    when = (
        "{subcategory: violence, detector: ngram, not: {subcategory: privacy_violation, detector: secrets, score: 0.5}}"
    )
    policy = compiled(rule(when))
    assert decide(policy, [VIOLENCE], route="x").action is BLOCK
    for silent in ("secrets", "secrets@2", ALL_DETECTORS):
        assert decide(policy, [VIOLENCE], route="x", about=Context(silent=frozenset({Silent(silent)}))).action is ALLOW
    assert decide(policy, [VIOLENCE], route="x", about=Context(silent=frozenset({Silent("pii")}))).action is BLOCK
    assert policy.needs("prompt", "x") == {"violence", "privacy_violation"}
    on_a_route = compiled(rule(when.replace("score: 0.5", "score: 0.5, route: y")))
    about = Context(silent=frozenset({Silent("pii")}))  # whoever is silent, the route is known
    assert decide(on_a_route, [VIOLENCE], route="x", about=about).action is BLOCK


def test_who_gave_no_answer_about_other_channels_keeps_nothing_from_a_not() -> None:
    policy = compiled(rule("{subcategory: violence, not: {subcategory: privacy_violation, channel: [user, tool]}}"))
    for channel, action in (("", ALLOW), ("user", ALLOW), ("tool", ALLOW), ("system", BLOCK)):
        about = Context(silent=frozenset({Silent(ALL_DETECTORS, channel)}))
        assert decide(policy, [VIOLENCE], route="x", about=about).action is action, channel
    anywhere = compiled(rule("{subcategory: violence, not: privacy_violation}"))
    about = Context(silent=frozenset({Silent(ALL_DETECTORS, "system")}))
    assert decide(anywhere, [VIOLENCE], route="x", about=about).action is ALLOW


def test_a_failure_concerns_the_callers_and_the_share_that_a_rule_concerns() -> None:
    policy = compiled(
        HEAD
        + "  - {id: a, when: {subcategory: violence, caller: trial}, then: block, on_error: block}\n"
        + "  - {id: b, when: {subcategory: unsafe}, then: replace, message: no, on_error: block, "
        + "mode: canary, canary: 20}\n"
    )

    def failed(slug: str, **about: object) -> Action:
        context = Context(**about)  # type: ignore[arg-type]  # the fields that a test names
        return on_failure(policy, [slug], direction="prompt", route="x", about=context).action

    assert (failed("violence", caller="trial"), failed("violence", caller="staff")) == (BLOCK, ALLOW)
    assert (failed("unsafe", draw=0.1), failed("unsafe", draw=0.3)) == (BLOCK, ALLOW)


def test_the_patience_is_that_of_the_rules_concerned() -> None:
    policy = compiled(
        HEAD
        + "  - {id: a, when: {subcategory: violence, route: quick}, then: block, budget_ms: 20}\n"
        + "  - {id: b, when: {subcategory: unsafe, route: strict}, then: block, budget_ms: 50, on_error: block}\n"
        + "  - {id: c, when: {subcategory: toxicity, route: [strict, slow]}, then: block}\n"
    )
    assert policy.patience("prompt", "quick") == 0.02
    assert policy.patience("prompt", "strict") == 0.05  # past it the answer is a block, whatever else comes
    assert policy.patience("prompt", "slow") == float("inf")


@pytest.mark.slow
def test_rules_for_other_callers_and_models_cost_nothing() -> None:
    rules = [
        {"id": f"{key}{n}", "when": {"subcategory": "violence", key: f"{key}-{n}"}, "then": "block"}
        for n in range(2_500)
        for key in ("caller", "model")
    ]
    policy = with_tables(Document.model_validate({"version": 1, "mode": "enforce", "rules": rules}))
    about = Context(model="model-7", caller="caller-9")
    began = time.process_time()
    for _ in range(200):
        decision = decide(policy, [VIOLENCE], route="x", about=about)
    assert [match.rule for match in decision.matched] == ["model7", "caller9"]
    assert time.process_time() - began < 0.5
    assert policy.needs("prompt", "x", model="model-7", caller="nobody") == {"violence"}
    assert policy.needs("prompt", "x", model="no", caller="nobody") == frozenset()
    assert policy.needs("prompt", "x") == {"violence"}


IMPOSSIBLE = [
    (rule("{not: violence}"), "p.yaml:4: the rule does not say what it looks for"),
    (rule("{any: [violence, {caller: x}]}"), "the condition could hold where nothing is found"),
    (rule("{all: [{caller: x}, {route: y}]}"), "the condition could hold where nothing is found"),
    (rule("{subcategory: violence, not: violence}"), "where `when` is found, so is what `when.not` denies"),
    (rule("{subcategory: violence, score: 0.9, not: {category: safety, score: 0.5}}"), "this never holds; narrow"),
    (rule("{all: [violence, {not: {any: [toxicity, violence]}}]}"), "this never holds"),
    (rule("{all: [violense, toxicity]}"), "the sub-category 'violense' is unknown; did you mean 'violence'?"),
    (rule("{any: [{subcategory: violense}]}"), "did you mean 'violence'?"),
    (rule("{subcategory: violence, on: prompt, all: [{subcategory: toxicity, on: response}]}"), "no text has this"),
    (rule("{all: [{subcategory: prompt_attacks, on: prompt}, {subcategory: refusal, on: response}]}"), "judged apart"),
    (rule("{subcategory: violence, channel: user, all: [{subcategory: unsafe, channel: tool}]}"), "no text has the ch"),
    (
        rule("{subcategory: violence, on: response, all: [{subcategory: unsafe, channel: user}]}"),
        "no text has this direction and this channel",
    ),
    (rule("{subcategory: violence, not: violence, same_text: true}"), "this never holds"),
    (rule("{subcategory: violence, same_text: true}"), "no two things that could be in the same text; remove"),
    (rule("{any: [violence, unsafe], same_text: true}"), "no two things that could be in the same text"),
    (rule("{all: [{caller: x}], same_text: true}"), "no two things that could be in the same text"),
    (rule("{subcategory: violence, agree: 2}"), "2 detectors are to agree, but only ngram@1 can find this; remove"),
    (rule("{subcategory: violence, model: 'g*4'}"), "'g*4' has a star inside"),
    (rule("{subcategory: violence, count: {at_least: 3, by: caller}}"), "add `within_minutes`"),
    (rule("{subcategory: violence, count: {at_least: 3, by: conversation, within_minutes: 1}}"), "carry no time"),
    (rule("{subcategory: violence, count: {at_least: 3, by: end_user}}"), "an end user is counted over some time; add"),
    (rule("{subcategory: violence}", "block", ", by: end_user"), "`then: block` does not use `by`; remove it or"),
    (rule("{subcategory: violence}", "throttle", ", per_minute: 1, by: enduser"), "did you mean 'end_user'?"),
    (rule("{subcategory: violence, count: {at_least: 3, by: callr}}"), "did you mean 'caller'?"),
    (rule("{subcategory: violence}", "replace"), "`then: replace` does not say how; add `message`"),
    (rule("{subcategory: violence}", "reroute"), "add `to` or `system`"),
    (rule("{subcategory: violence}", "throttle"), "add `per_minute`"),
    (rule("{subcategory: violence}", "blok"), "did you mean 'block'?"),
    (rule("{subcategory: violence}", "block", ", message: x"), "`then: block` does not use `message`"),
    (rule("{subcategory: violence, on: response}", "reroute", ", to: x"), "an answer cannot be sent elsewhere"),
    (rule("{subcategory: violence}", "flag", ", budget_ms: 5"), "it needs no budget"),
    (rule("{subcategory: violence}", "block", ", canary: 5"), "`canary` is read in `mode: canary` only"),
    (rule("{subcategory: violence}", "block", ", mode: canary"), "the canary has no size; add `canary: 10`"),
    (rule("{subcategory: violence}", "block", ", mode: canary, canary: 0"), "'canary' cannot be 0"),
    (rule(f"{{any: [{', '.join(['violence'] * 65)}]}}"), "there are too many"),
    (rule("{all: [" * 8 + "violence" + "]}" * 8), "nested more than 16 levels deep"),
    (
        HEAD
        + "  - {id: a, when: {subcategory: violence, route: x}, then: reroute, to: y}\n"
        + "  - {id: b, when: {subcategory: violence, route: y}, then: reroute, to: z}\n"
        + "  - {id: c, when: {subcategory: violence, route: [z, w]}, then: reroute, to: x}\n",
        "p.yaml:6: the reroutes go round in a circle: x → y → z → x; let one of them lead elsewhere",
    ),
    (rule("{subcategory: violence, route: x}", "reroute", ", to: x"), "in a circle: x → x"),
]


@together(("text", "expected"), IMPOSSIBLE, ids=[row[1][:48] for row in IMPOSSIBLE])
def test_what_can_never_hold_is_refused_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compiled(text)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("p.yaml:")


@pytest.mark.slow
def test_a_long_chain_of_reroutes_is_no_circle() -> None:
    rules = [
        {"id": f"r{n}", "when": {"subcategory": "violence", "route": f"a{n}"}, "then": "reroute", "to": f"a{n + 1}"}
        for n in range(3_000)
    ]
    began = time.process_time()
    policy = with_tables(Document.model_validate({"version": 1, "mode": "enforce", "rules": rules}))
    assert len(policy.targets) == 3_000
    assert time.process_time() - began < 2
