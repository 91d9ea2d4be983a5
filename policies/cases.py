"""Runs the examples beside a policy: which hold, which do not, and which rules matched in none of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from policies.case_model import Case, GivenSignal
from policies.engine import Context, Decision, Policy, Signal, decide
from policies.source import nearest

# (text, "prompt" or "response", channel, what was said before it) to the signals of every detector.
Judge = Callable[[str, str, str, str | None], Sequence[Signal]]


class Fate(StrEnum):
    """What became of a case: every case gets exactly one."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # it has a text, and there were no detectors to judge it


@dataclass(frozen=True, slots=True)
class Result:
    """One case: `expected` and `got` in words, both empty unless it failed."""

    name: str
    fate: Fate
    expected: str = ""
    got: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The results in the order of the cases, and the ids of the rules that matched in no case."""

    revision: str
    results: tuple[Result, ...]
    uncovered: tuple[str, ...]
    rules: int

    @property
    def ok(self) -> bool:
        """Whether no case failed. Skipped cases, and rules that matched in no case, do not matter."""
        return not self.count(Fate.FAILED)

    def count(self, fate: Fate) -> int:
        return sum(result.fate is fate for result in self.results)

    def render(self) -> str:
        """Plain text for a terminal: a line for each case, what was expected if it failed, and the coverage of
        rules."""
        lines: list[str] = []
        for result in self.results:
            lines.append(f"{result.fate:<8}{result.name}")
            if result.fate is Fate.FAILED:
                lines += [f"        expected {result.expected}", f"        got      {result.got}"]
        counts = ", ".join(f"{self.count(fate)} {fate}" for fate in Fate)
        lines += ["", f"{counts}; {self.rules - len(self.uncovered)} of {self.rules} rules matched in a case"]
        if self.uncovered:
            lines.append("never matched: " + ", ".join(self.uncovered))
        lines.append(f"policy revision {self.revision}")
        return "\n".join(lines) + "\n"


def run_cases(policy: Policy, cases: Iterable[Case], judge: Judge | None) -> Report:
    """Decide every case by its signals, or by what `judge` says about its text (skipped if `judge` is None)."""
    results: list[Result] = []
    matched: set[str] = set()
    for case in cases:
        result, decision = _run(policy, case, judge)
        results.append(result)
        if decision is not None:
            matched.update(match.rule for match in decision.matched)
    uncovered = tuple(rule.id for rule in policy.rules if rule.id not in matched)
    return Report(policy.revision, tuple(results), uncovered, len(policy.rules))


def _run(policy: Policy, case: Case, judge: Judge | None) -> tuple[Result, Decision | None]:
    if case.signals is None and judge is None:
        return Result(case.name, Fate.SKIPPED), None
    unknown = _unknown(policy, case)
    if unknown:
        return Result(case.name, Fate.FAILED, "names that the policy knows", unknown), None
    if case.text is not None and judge is not None:
        signals = list(judge(case.text, case.direction, case.channel, case.context))
    else:
        signals = [signal for given in case.signals or () for signal in _signals(policy, case, given)]
    about = Context(case.model, case.caller, case.draw, case.earlier)
    decision = decide(policy, signals, route=case.route, about=about)
    expected, got = _expected(case), _got(case, decision)
    if expected == got:
        return Result(case.name, Fate.PASSED), decision
    return Result(case.name, Fate.FAILED, expected, f"{got} ({decision.reason})"), decision


def _unknown(policy: Policy, case: Case) -> str:
    """What a case names that the policy does not know; empty if nothing. A mistyped name would just match nothing."""
    for given in case.signals or ():
        if given.detector is not None and given.detector not in policy.detectors:
            return f"the detector {given.detector!r}; {nearest(given.detector, policy.detectors)}"
        if given.subcategory not in policy.known:
            return f"the sub-category {given.subcategory!r}; {nearest(given.subcategory, policy.known)}"
    ids = {rule.id for rule in policy.rules}
    for name in (case.expect.rule, *case.earlier):
        if name is not None and name not in ids:
            return f"the rule {name!r}; {nearest(name, ids)}"
    return ""


def _signals(policy: Policy, case: Case, given: GivenSignal) -> list[Signal]:
    names = policy.detectors if given.detector is None else (given.detector,)
    spans = tuple((span.start, span.end, span.label) for span in given.spans)
    return [
        Signal(
            given.subcategory,
            given.score,
            detector,
            case.direction,
            given.channel or case.channel,
            given.passage,
            spans,
            case.language,
        )
        for name in names
        for detector in policy.detectors[name]
    ]


def _expected(case: Case) -> str:
    expect = case.expect
    return _words(expect.action, expect.rule, expect.would)


def _got(case: Case, decision: Decision) -> str:
    """What was decided, in as much detail as the case asks for."""
    expect = case.expect
    rule = decision.rule or "no rule" if expect.rule is not None else None
    return _words(decision.action, rule, decision.would if expect.would is not None else None)


def _words(action: str, rule: str | None, would: str | None) -> str:
    by = f" by {rule}" if rule is not None else ""
    if_enforced = f", enforced: {would}" if would is not None else ""
    return f"{action}{by}{if_enforced}"
