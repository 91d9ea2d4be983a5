"""The commands that load the detectors: score, taxonomy, policy test, policy explain.

`gateway.__main__` imports this module only when one of them is run: a process that serves holds no model code.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from detectors import registry
from detectors.base import Detector, Text
from gateway import offline, policing
from policies.cases import Report, run_cases
from policies.compiling import Policy, Rule, Threshold
from policies.engine import Decision, Signal, decide, redact
from policies.model import Direction, load_cases

_CHANNEL_OF: dict[Direction, str] = {"prompt": "user", "response": "assistant"}


def score(parsed: argparse.Namespace) -> int:
    """`assay score`: 1 when a line was bad, 2 for a slug or batch that cannot be."""
    only = frozenset(slug.strip() for slug in parsed.only.split(",")) if parsed.only else None
    try:
        bad = offline.score(sys.stdin.buffer, sys.stdout, only=only, batch=parsed.batch, progress=sys.stderr.isatty())
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    return 1 if bad else 0


def taxonomy(parsed: argparse.Namespace) -> int:
    """`assay taxonomy`."""
    rows = offline.taxonomy_rows()
    shown = json.dumps(rows, indent=1, ensure_ascii=False) if parsed.json else offline.taxonomy_table(rows)
    sys.stdout.write(shown + "\n")
    return 0


def policy_test(parsed: argparse.Namespace) -> int:
    """`assay policy test FILE`: 1 when a case failed."""
    report = run_beside(parsed.file)
    sys.stdout.write(report.render())
    return 0 if report.ok else 1


def policy_explain(parsed: argparse.Namespace) -> int:
    """`assay policy explain FILE`, the text on standard input."""
    policy = policing.load_policy(parsed.file)
    text = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")
    channel = parsed.channel or _CHANNEL_OF[parsed.role]
    sys.stdout.write("\n".join(explained(policy, text, parsed.role, channel, parsed.route)) + "\n")
    return 0


def run_beside(name_or_path: str) -> Report:
    """Run the cases of `NAME.cases.yaml` beside the policy `NAME.yaml`, their texts judged by the shipped detectors.

    Raises PolicyError, ModelError, and OSError when either file cannot be read.
    """
    policy = policing.load_policy(name_or_path)
    path = policing.policy_path(name_or_path)
    cases_path = path.with_name(f"{path.stem}.cases.yaml")
    cases = load_cases(cases_path.read_text(encoding="utf-8"), str(cases_path))
    return run_cases(policy, cases, _Judge(registry.build()))


class _Judge:
    """One text to the signals of every detector."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = detectors

    def __call__(self, text: str, direction: str, channel: str) -> list[Signal]:
        role = offline.ROLES[direction]
        return [
            Signal(
                verdict.slug,
                verdict.score,
                verdict.detector,
                role,
                channel,
                spans=tuple((span.start, span.end, span.label) for span in verdict.spans),
            )
            for detector in self._detectors
            for verdict in detector.detect([Text(text, role)])[0].verdicts
        ]


def explained(policy: Policy, text: str, direction: Direction, channel: str, route: str) -> Iterator[str]:
    """Line by line: every signal with the threshold of each rule that listens to it, then the decision."""
    signals = _Judge(registry.build())(text, direction, channel)
    yield f"policy revision {policy.revision}, mode {policy.mode}"
    yield f"a {direction} of {len(text)} characters, channel {channel}, route {route}"
    yield ""
    yield f"{'sub-category':<28} {'detector':<12} {'score':>8}  rule and its threshold"
    if not signals:
        yield "(no detector found anything to judge)"
    for signal in sorted(signals, key=lambda signal: -signal.score):
        told = [
            f"{rule.id} {asked.score:.4f}{_standing(rule, asked, signal, route)}"
            for rule in policy.rules
            for asked in rule.thresholds
            if (asked.slug, asked.direction, asked.detector) == (signal.slug, signal.direction, signal.detector)
        ]
        head = f"{signal.slug:<28} {signal.detector:<12} {signal.score:>8.4f}"
        yield f"{head}  {'; '.join(told) or 'no rule listens'}"
        yield from (f"{'':<28} {label}: characters {start} to {end}" for start, end, label in signal.spans)
    yield ""
    yield from _verdict(decide(policy, signals, route=route), text)


def _standing(rule: Rule, asked: Threshold, signal: Signal, route: str) -> str:
    if rule.channels and signal.channel not in rule.channels:
        return f" (not for channel {signal.channel})"
    if rule.routes and route not in rule.routes:
        return f" (not for route {route})"
    if rule.findings and rule.findings.isdisjoint(label for _, _, label in signal.spans):
        return f" (only for findings {', '.join(sorted(rule.findings))})"
    return " reached" if signal.score >= asked.score else ""


def _verdict(decision: Decision, text: str) -> Iterator[str]:
    by = f" by {decision.rule}: {decision.reason}" if decision.rule else f": {decision.reason}"
    yield f"decision: {decision.action}{by}"
    yield f"with every rule enforced: {decision.would}"
    for match in decision.matched:
        effect = "enforced" if match.enforced else "only recorded"
        yield f"matched: {match.rule} ({match.action}, {effect}) through {', '.join(match.slugs)}"
    if decision.redactions:
        yield f"redacted: {redact(text, decision.cuts(0))}"
