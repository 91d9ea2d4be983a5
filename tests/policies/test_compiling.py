"""Names and rates against what the detectors offer."""

import time

import pytest

from policies.compiled import Policy
from policies.compiling import compile_policy
from policies.engine import Signal, decide
from policies.model import Document
from policies.reading import load_document
from policies.source import PolicyError
from tests.support.worlds.policy_world import CATEGORIES, HEAD, OPERATING, compiled, with_tables

V = "{id: r, when: {subcategory: violence, on: prompt, false_alarms: %s}, then: block}"


@pytest.mark.parametrize(
    ("asked", "threshold"), [("0.001", 0.9), ("0.004", 0.9), ("0.005", 0.7), ("0.01", 0.5), ("1", 0.2)]
)
def test_the_largest_measured_rate_not_above_the_asked_one_counts(asked: str, threshold: float) -> None:
    policy = compiled(f"{HEAD}  - {V % asked}\n")
    assert [t.score for t in policy.rules[0].thresholds] == [threshold]


def test_a_score_holds_for_every_detector_measured_or_not() -> None:
    policy = compiled(f"{HEAD}  - {{id: r, when: {{subcategory: privacy_violation, score: 0.3}}, then: flag}}\n")
    found = {(t.detector, t.direction): t.score for t in policy.rules[0].thresholds}
    assert found == {(d, r): 0.3 for d in ("ngram@1", "pii@1", "secrets@2") for r in ("prompt", "response")}


def test_what_a_list_cannot_be_served_with_is_a_warning() -> None:
    policy = compiled(f"{HEAD}  - {{id: r, when: {{category: robustness}}, then: block}}\n")
    assert policy.warnings == (
        "p.yaml:4: rule 'r': no detector judges distribution_shift in a prompt",
        "p.yaml:4: rule 'r': no detector judges prompt_attacks, distribution_shift in a response",
    )
    assert policy.slugs() == {"prompt_attacks"}


def test_a_detector_without_the_rate_is_left_out_while_another_has_it() -> None:
    text = "{id: r, when: {subcategory: privacy_violation, on: response, false_alarms: 0.0005}, then: redact}"
    policy = compiled(f"{HEAD}  - {text}\n")
    assert [t.detector for t in policy.rules[0].thresholds] == ["secrets@2"]
    assert len(policy.warnings) == 2
    assert "the lowest rate measured is 0.001; the rule works without it" in policy.warnings[0]


def test_findings_are_checked_where_they_are_known() -> None:
    when = "{subcategory: privacy_violation, score: 0.5, finding: [emial]}"
    document = load_document(f"{HEAD}  - {{id: r, when: {when}, then: flag}}\n", "p.yaml")
    assert with_tables(document).rules[0].findings == {"emial"}
    with pytest.raises(PolicyError, match=r"p.yaml:4: the finding 'emial' is unknown; did you mean 'email'"):
        compile_policy(
            document,
            categories=CATEGORIES,
            operating=OPERATING,
            findings={"pii@1": ["email", "iban"], "secrets@2": ["aws_key"]},
        )


@pytest.mark.parametrize(
    ("when", "complaint"),
    [
        ("detector: pii, finding: [aws_key]", "only the detector secrets gives the finding"),
        ("detector: ngram, finding: [email]", "remove `finding`: no detector of this condition gives any"),
    ],
)
def test_a_finding_that_no_detector_asked_can_give_is_refused(when: str, complaint: str) -> None:
    written = f"{{subcategory: privacy_violation, score: 0.5, {when}}}"
    document = load_document(f"{HEAD}  - {{id: r, when: {written}, then: flag}}\n", "p.yaml")
    known = {"pii@1": ["email", "iban"], "secrets@2": ["aws_key"]}
    with pytest.raises(PolicyError, match=rf"p.yaml:4: .*{complaint}"):
        compile_policy(document, categories=CATEGORIES, operating=OPERATING, findings=known)


def test_routes_are_checked_where_they_are_known() -> None:
    when = "{subcategory: violence, all: [{subcategory: hate, route: chta}]}"
    document = load_document(f"{HEAD}  - {{id: r, when: {when}, then: flag}}\n", "p.yaml")
    compile_policy(document, categories=CATEGORIES, operating=OPERATING)
    with pytest.raises(PolicyError, match=r"p.yaml:4: there is no route 'chta'; did you mean 'chat'"):
        compile_policy(document, categories=CATEGORIES, operating=OPERATING, routes=["chat", "batch"])


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ("model: gpt-4, not: {model: 'gpt-*'}", "the model is to be 'gpt-4' and not 'gpt-*'"),
        ("model: 'gpt-4*', not: {any: [{model: 'gpt-*'}, {model: x}]}", "the model is to be 'gpt-4*' and not 'gpt-*'"),
        ("caller: ada, not: {caller: ada}", "the caller is to be 'ada' and not 'ada'"),
        ("route: a, all: [{route: b, subcategory: hate}]", "no request has a route that is both"),
    ],
)
def test_names_that_contradict_each_other_are_refused(names: str, complaint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compiled(f"{HEAD}  - {{id: r, when: {{subcategory: violence, {names}}}, then: flag}}\n")
    assert str(caught.value).startswith("p.yaml:4: ")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "names", ["model: 'gpt-*', not: {model: gpt-4}", "model: [a, b], not: {model: a}", "route: [a, b], not: {route: a}"]
)
def test_names_that_leave_something_are_allowed(names: str) -> None:
    compiled(f"{HEAD}  - {{id: r, when: {{subcategory: violence, {names}}}, then: flag}}\n")


def test_a_circle_of_reroutes_is_found_where_its_routes_stand_further_in() -> None:
    rules = "".join(
        f"  - {{id: {here}, when: {{subcategory: violence, on: prompt, all: [{{subcategory: hate, route: {here}}}]}}, "
        f"then: reroute, to: {there}}}\n"
        for here, there in (("a", "b"), ("b", "a"))
    )
    with pytest.raises(PolicyError, match="circle: a → b → a"):
        compiled(HEAD + rules)


@pytest.mark.parametrize(
    ("when", "remedy"),
    [
        ("regex: '(a+)+$'", "name what a detector finds"),
        ("category: safty", "did you mean 'safety'?"),
    ],
)
def test_a_misunderstanding_is_answered_in_plain_words(when: str, remedy: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compiled(f"{HEAD}  - {{id: r, when: {{{when}}}, then: flag}}\n")
    assert remedy in str(caught.value)


def test_needs_are_those_of_enforced_rules_that_change_traffic() -> None:
    policy = compiled(
        HEAD
        + "  - {id: a, when: {subcategory: violence, on: prompt}, then: block}\n"
        + "  - {id: b, when: {subcategory: toxicity, on: prompt, route: [chat]}, then: redact}\n"
        + "  - {id: c, when: {subcategory: hate}, then: flag}\n"
        + "  - {id: d, when: {subcategory: unsafe}, then: block, mode: monitor}\n"
        + "  - {id: e, when: {subcategory: adult_content, channel: user}, then: block}\n"
    )
    assert policy.needs("prompt", "other") == {"violence", "adult_content"}
    assert policy.needs("prompt", "chat") == {"violence", "adult_content", "toxicity"}
    assert policy.needs("response", "chat") == frozenset()
    assert policy.slugs() == {"violence", "toxicity", "hate", "unsafe", "adult_content"}


def test_the_revision_follows_the_meaning_and_not_the_spelling() -> None:
    first = compiled(f"{HEAD}  - {V % 0.01}\n")
    spelled = compiled("# why\n" + HEAD + "- id: r\n  then: block\n  when: {any: [violence], on: [prompt]}\n")
    assert first.revision == spelled.revision
    assert len(first.revision) == 12
    document = load_document(f"{HEAD}  - {V % 0.01}\n", "p")
    moved = {**OPERATING, ("ngram@1", "violence", "prompt"): ((0.01, 0.6),)}
    others = [
        compiled(f"{HEAD}  - {V % 0.001}\n"),
        compiled(f"{HEAD}  - {V % 0.01}\n".replace("enforce", "monitor")),
        compile_policy(document, categories=CATEGORIES, operating=moved),
    ]
    assert len({first.revision, *(other.revision for other in others)}) == 4


@pytest.mark.slow
def test_ten_thousand_rules_compile_in_proportion_and_cost_a_decision_nothing() -> None:
    slugs = ("toxicity", "unsafe", "hate", "stereotype_bias")

    def compiled(count: int) -> tuple[Policy, float]:
        rules = [
            {"id": f"r{n}", "when": {"subcategory": slugs[n % 4], "route": f"route-{n}"}, "then": "block"}
            for n in range(count - 2)
        ]
        rules += [{"id": f"s{n}", "when": {"subcategory": "violence"}, "then": "block"} for n in range(2)]
        document = Document.model_validate({"version": 1, "mode": "enforce", "rules": rules})
        began = time.process_time()
        return with_tables(document), time.process_time() - began

    _, few = compiled(1_000)
    policy, many = compiled(10_000)
    assert many < 40 * few, "ten times the rules take about ten times as long"
    signals = [Signal(slug, 1.0, "ngram@1", "prompt", "user") for slug in (*slugs, "violence")]
    gates = policy.gates("route-8", "", "")
    reached = [rule.id for s in signals for rule, _, _ in policy.reached(s.slug, "prompt", "ngram@1", 1.0, gates)]
    assert reached == ["r8", "s0", "s1"]
    assert decide(policy, signals, route="route-8").rule == "r8"
    assert policy.needs("prompt", "route-8") == {"toxicity", "violence"}
