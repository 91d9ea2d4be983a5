"""Cases beside a policy, and the policies that ship with theirs."""

import re
from pathlib import Path

import pytest

from policies.cases import Fate, Report, run_cases
from policies.engine import Signal
from policies.reading import load_cases
from policies.source import PolicyError
from tests.support.worlds.policy_world import HEAD, compiled

FOLDER = Path(__file__).parents[2] / "policies"
SHIPPED = ("observe", "default", "strict")
POLICY = compiled(
    HEAD
    + "  - {id: stop, when: {subcategory: violence}, then: block}\n"
    + "  - {id: never, when: {subcategory: toxicity}, then: flag}\n"
)
ABOUT = "direction: prompt, channel: user"


def ran(*cases: str) -> Report:
    return run_cases(POLICY, load_cases("".join(f"- {{{case}}}\n" for case in cases), "c.yaml"), None)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policies_hold_in_their_cases_and_every_rule_has_one(name: str) -> None:
    policy = compiled((FOLDER / f"{name}.yaml").read_text("utf-8"))
    cases = load_cases((FOLDER / f"{name}.cases.yaml").read_text("utf-8"), f"{name}.cases.yaml")
    report = run_cases(policy, cases, None)
    assert report.ok, report.render()
    assert report.uncovered == ()
    assert report.count(Fate.PASSED) == sum(case.signals is not None for case in cases)
    assert not [warning for warning in policy.warnings if "no detector" in warning]


def test_what_ships_does_with_traffic_what_it_says() -> None:
    observe, default, strict = (compiled((FOLDER / f"{name}.yaml").read_text("utf-8")) for name in SHIPPED)
    assert observe.needs("prompt", "default") == observe.needs("response", "default") == frozenset()
    assert "privacy_violation" in default.needs("response", "default")
    assert default.needs("prompt", "default") < strict.needs("prompt", "default")


def test_the_examples_of_the_page_work() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    policy = compiled(examples[0])
    assert run_cases(policy, load_cases(examples[1], "README.md"), None).ok
    quoted = re.search(r"^    (policy.yaml:6: .*)$", page, re.MULTILINE)
    assert quoted
    with pytest.raises(ValueError, match=re.escape(quoted[1].removeprefix("policy.yaml"))):
        compiled(HEAD + "  - id: r\n    then: flag\n    when: {subcategory: violense}\n")


def test_a_report_says_what_failed_and_what_was_never_matched() -> None:
    report = ran(
        f"name: holds, {ABOUT}, signals: [{{subcategory: violence, score: 1}}], expect: {{action: block, rule: stop}}",
        f"name: fails, {ABOUT}, signals: [], expect: {{action: flag, would: flag}}",
        f"name: waits, {ABOUT}, text: hello, expect: {{action: allow}}",
    )
    assert not report.ok
    assert report.render() == (
        "passed  holds\n"
        "failed  fails\n"
        "        expected flag, enforced: flag\n"
        "        got      allow, enforced: allow (no rule matched)\n"
        "skipped waits\n"
        "\n"
        "1 passed, 1 failed, 1 skipped; 1 of 2 rules matched in a case\n"
        "never matched: never\n"
        f"policy revision {POLICY.revision}\n"
    )


@pytest.mark.parametrize(
    ("case", "got"),
    [
        ("signals: [{subcategory: violense, score: 1}], expect: {action: allow}", "did you mean 'violence'?"),
        ("signals: [{subcategory: violence, score: 1, detector: ngrm}], expect: {action: allow}", "'ngram'?"),
        ("signals: [], expect: {action: allow, rule: stp}", "the rule 'stp'; did you mean 'stop'?"),
    ],
)
def test_a_mistyped_name_fails_its_case(case: str, got: str) -> None:
    result = ran(f"name: n, {ABOUT}, {case}").results[0]
    assert result.fate is Fate.FAILED
    assert got in result.got


def test_texts_are_judged_as_the_case_says() -> None:
    asked: list[tuple[str, str, str, str | None]] = []

    def judge(text: str, role: str, channel: str, context: str | None) -> list[Signal]:
        asked.append((text, role, channel, context))
        return [Signal("violence", 0.9, "ngram@1", "prompt", channel)]

    written = f"name: n, {ABOUT}, text: hello, expect: {{action: block}}"
    cases = load_cases(f"- {{{written}}}\n- {{{written}, context: before it}}\n", "c.yaml")
    assert [result.fate for result in run_cases(POLICY, cases, judge).results] == [Fate.PASSED] * 2
    assert asked == [("hello", "prompt", "user", None), ("hello", "prompt", "user", "before it")]


def test_given_signals_are_judged_beside_nothing() -> None:
    with pytest.raises(PolicyError, match="`context` is what a `text` is judged beside"):
        load_cases(f"- {{name: n, {ABOUT}, signals: [], context: x, expect: {{action: allow}}}}\n", "c.yaml")
