"""The commands about policies: test, explain, simulate, cost, schema. They load the detectors, so this file is imported
only when one of them is run."""

import argparse
import sys
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from detectors.base import State
from detectors.catalogue import RULES
from detectors.panel import Answer
from gateway.enforcement.deciding import NOT_WHOLLY_READ
from gateway.enforcement.local_tables import LocalTables
from gateway.enforcement.signals import SHIPPED, policy_path
from gateway.judging.language import language_of
from gateway.study import offline
from gateway.study.cost import cost, data_files, read_rows, table
from gateway.study.installed import Installed, installed
from gateway.study.panel_signals import PanelSignals, signals_of
from gateway.study.simulate import Simulation
from policies.cases import Report, run_cases
from policies.compiled import Policy
from policies.detectable import Threshold
from policies.engine import Context, Decision, Signal, Silent, decide, join, on_failure, redact
from policies.model import Direction
from policies.reading import load_cases, schema_text
from policies.source import PolicyError, Problem
from policies.trace import trace

_CHANNEL_OF: dict[Direction, str] = {"prompt": "user", "response": "assistant"}

_NONE = frozenset[str]()


def policy_test(parsed: argparse.Namespace) -> int:
    """`assay policy test FILE`: 1 if a case failed."""
    report = run_beside(parsed.file, installed(parsed.config))
    sys.stdout.write(report.render())
    return 0 if report.ok else 1


def policy_explain(parsed: argparse.Namespace) -> int:
    """`assay policy explain FILE`, with the text on standard input."""
    here = installed(parsed.config, parsed.operating)
    policy = here.policy(parsed.file)
    context = parsed.context.read_text("utf-8", "replace") if parsed.context else None
    text = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")
    channel = parsed.channel or _CHANNEL_OF[parsed.role]
    about = Context(parsed.model, parsed.caller, parsed.draw)
    answer = PanelSignals(here.detectors([policy])).answer(text, parsed.role, context)
    lines = [
        *explained(policy, answer, text, parsed.role, channel, parsed.route, about),
        *_tables(policy, here, parsed.role),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _tables(policy: Policy, here: Installed, direction: Direction) -> Iterator[str]:
    """The table from which each threshold comes, if the operator has tables of their own."""
    if not here.local:
        return
    own = {spec.id for spec in here.own.specs}
    yield ""
    for rule in policy.rules:
        for threshold in rule.thresholds:
            if threshold.direction == direction:
                basis = basis_of(threshold, here.local, own)
                yield f"{rule.id}: {threshold.slug} by {threshold.detector} from {threshold.score:.4f}, {basis}"


def basis_of(threshold: Threshold, local: LocalTables, own: Container[str]) -> str:
    """In words, the table from which a threshold comes. `own` are the operator's detectors (name@version), which have
    no card."""
    adopted = local.get((threshold.detector, threshold.slug, threshold.direction))
    rate = adopted.rate_of(threshold.score) if adopted else None
    if adopted is not None and rate is not None:
        return f"your own table: {rate:g} of {adopted.harmless:.0f} harmless exchanges"
    return "as the rule says, never measured" if threshold.detector in own else "the card's table"


def policy_simulate(parsed: argparse.Namespace) -> int:
    """`assay policy simulate --traffic FILE --policy FILE`: 1 if no line of the file could be simulated."""
    simulation = Simulation(installed(parsed.config).policy(parsed.policy))
    with (
        parsed.traffic.open("rb") as file,
        offline.progress(parsed.traffic.stat().st_size, "B", "simulating") as bar,
    ):
        for line in file:
            simulation.take(line)
            bar.update(len(line))
    sys.stdout.write(simulation.report())
    return 0 if simulation.exchanges else 1


def policy_schema(_parsed: argparse.Namespace) -> int:
    """`assay policy schema`."""
    sys.stdout.write(schema_text())
    return 0


def policy_cost(parsed: argparse.Namespace) -> int:
    """`assay policy cost --data DIR`: 2 if there are no texts to measure on."""
    here = installed(parsed.config)
    policies = [here.policy(name) for name in parsed.policy or SHIPPED]
    names = [Path(name).stem for name in parsed.policy or SHIPPED]
    try:
        sets = [(path.name.partition(".jsonl")[0], read_rows(path, parsed.most)) for path in _files(parsed)]
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    signals = PanelSignals(here.detectors(policies))
    measured = []
    with offline.progress(sum(len(rows) for _, rows in sets), " texts", "judging") as bar:
        for name, rows in sets:
            measured.append((name, cost(rows, policies, signals.several, step=bar.update)))
    sys.stdout.write(table(names, measured))
    return 0


def _files(parsed: argparse.Namespace) -> list[Path]:
    return data_files(parsed.data, parsed.sets)


def run_beside(name_or_path: str, here: Installed) -> Report:
    """Run the cases in `NAME.cases.yaml` beside the policy `NAME.yaml`; all installed detectors judge their texts.

    Raises PolicyError, ModelError, and OSError when either file cannot be read.
    """
    policy = here.policy(name_or_path)
    path = policy_path(name_or_path)
    cases_path = path.with_name(f"{path.stem}.cases.yaml")
    if not cases_path.exists():
        remedy = f"write them to {cases_path}, each with `name`, `direction`, `text` and `expect: {{action: …}}`"
        raise PolicyError([Problem(str(path), "it has no cases to test", remedy)])
    cases = load_cases(cases_path.read_text(encoding="utf-8"), str(cases_path))
    return run_cases(policy, cases, PanelSignals(here.detectors([policy])))


def explained(
    policy: Policy, answer: Answer, text: str, direction: Direction, channel: str, route: str, about: Context
) -> Iterator[str]:
    """The explanation, line by line: every signal, every rule with its parts, then the decision. `answer` is the
    panel's answer about this text."""
    signals = signals_of(answer, text, direction, channel)
    unheard = _unheard(answer)
    instead = answer.instead
    about = replace(about, silent=frozenset(Silent(name, channel, instead.get(name, _NONE)) for name in unheard))
    yield f"policy revision {policy.revision}, mode {policy.mode}"
    language = language_of(text) or "not clear"
    yield f"a {direction} of {len(text)} characters, channel {channel}, route {route}, language {language}"
    yield ""
    yield from _scores(signals)
    yield from _left_alone(text)
    yield from _unread(answer, channel)
    yield from _with_nothing_to_judge(answer)
    yield ""
    yield from trace(policy, signals, direction=direction, route=route, about=about)
    yield ""
    needed = policy.needs(direction, route, about.draw, model=about.model, caller=about.caller)
    fallbacks = [
        on_failure(
            policy,
            needed,
            direction=direction,
            route=route,
            detector=name,
            channel=channel,
            instead=instead.get(name, _NONE),
            about=about,
        )
        for name in unheard
    ]
    yield from _verdict(reduce(join, fallbacks, decide(policy, signals, route=route, about=about)), text)


def _scores(signals: Sequence[Signal]) -> Iterator[str]:
    wide = max([16, *(len(signal.detector) for signal in signals)])
    yield f"{'sub-category':<28} {'detector':<{wide}} {'score':>8}"
    if not signals:
        yield "(no detector found anything to judge)"
    for signal in sorted(signals, key=lambda signal: -signal.score):
        yield f"{signal.slug:<28} {signal.detector:<{wide}} {signal.score:>8.4f}"
        yield from (f"{'':<28} {label}: characters {start} to {end}" for start, end, label in signal.spans)


def _unheard(answer: Answer) -> dict[str, str]:
    """The detectors that did not judge all of the text, and why. For rules that use them `on_error` decides."""
    partly = {name: state for name, state in answer.states.items() if state in NOT_WHOLLY_READ}
    return partly | answer.failed


def _unread(answer: Answer, channel: str) -> Iterator[str]:
    """Whether the text counts as unread in traffic, and which detectors did not judge all of it."""
    if answer.is_unreadable:
        yield f"unread: channel {channel}, reason language"
    for name, why in _unheard(answer).items():
        yield f"not judged by {name}: {why}; the `on_error` of each rule that uses it decides"


def _with_nothing_to_judge(answer: Answer) -> Iterator[str]:
    """The detectors that gave no opinion because there was nothing for them, if others gave one."""
    for name, state in answer.states.items():
        if state == State.SKIPPED and answer.opinions:
            wanted = ": it compares a reply with its source, which --context FILE gives" if _compares(name) else ""
            yield f"{name} found nothing to judge{wanted}"


def _compares(detector: str) -> bool:
    return detector.partition("@")[0] == "pair"


def _left_alone(text: str) -> Iterator[str]:
    """What looks like a finding but is a placeholder or a known test value."""
    for name, rule in RULES.items():
        for span, reason in rule.spared(text).items():
            yield f"left alone by {name}: characters {span.start} to {span.end} ({span.label}): {reason}"


def _verdict(decision: Decision, text: str) -> Iterator[str]:
    by = f" by {decision.rule}: {decision.reason}" if decision.rule else f": {decision.reason}"
    yield f"decision: {decision.action}{by}"
    if decision.evidence is not None:
        found = decision.evidence
        yield f"because: {found.place} asks for {found.threshold:.4f} or more, the score is {found.score:.4f}"
    yield f"with every rule enforced: {decision.would}"
    for match in decision.matched:
        effect = "enforced" if match.enforced else "only recorded"
        yield f"matched: {match.rule} ({match.action}, {effect}) through {', '.join(match.slugs)}"
    if decision.redactions:
        yield f"redacted: {redact(text, decision.cuts(0))}"
    if decision.replacement:
        yield f"answered: {decision.replacement}"
