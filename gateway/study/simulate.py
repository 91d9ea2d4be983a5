"""What another policy would have done with recorded traffic: it decides again on the verdicts in an audit file.

An audit file has the verdicts on sampled exchanges, so rates are weighted by the samples' inclusion probabilities. What
it does not have cannot be simulated; the report says so and counts it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from gateway.enforcement.counts import Counts
from gateway.enforcement.signals import Direction, draw_of
from gateway.enforcement.subjects import Subject
from policies.engine import Action, Context, Decision, Policy, Signal, decide

_DIRECTIONS: tuple[Direction, ...] = ("prompt", "response")
_NO_RULE = "(no rule)"

CAVEATS = (
    "Only sampled exchanges are in an audit file; the shares are estimates for all traffic, weighted by each sample's "
    "inclusion probability.",
    "Texts are not judged again: a new detector or a new version of one cannot be simulated. Of a prompt only the last "
    "turn was judged, so counts over a conversation are too low.",
    "The audit file names no end users: counts by end user are made by caller, and are too high.",
    "Requests that were blocked before they went upstream have no answer, and rerouted or replaced ones would have had "
    "other answers.",
)


class _Text(msgspec.Struct):
    direction: str
    channel: str
    scores: dict[str, float]
    spans: list[tuple[int, int, str]] = []
    by: dict[str, dict[str, float]] | None = None
    found: dict[str, list[tuple[int, int, str]]] = {}
    language: str = ""


class _Decided(msgspec.Struct):
    action: str = "allow"
    would: str = "allow"
    rule: str | None = None


class _Line(msgspec.Struct):
    kind: str = ""
    at: str = ""
    sample: str = ""
    route: str = ""
    principal: str = ""
    model: str = ""
    probability: float = 1.0
    decisions: dict[str, _Decided] = {}
    texts: list[_Text] = []


_decode = msgspec.json.Decoder(_Line).decode


@dataclass(slots=True)
class _Row:
    """Of one rule: the exchanges that it matched and decided, and those that are treated differently now."""

    matched: int = 0
    weight: float = 0.0
    decided: int = 0
    stopped: int = 0  # acted on now, but not when they were recorded
    spared: int = 0  # acted on by this rule when they were recorded, but not now


@dataclass(slots=True)
class Simulation:
    """Takes the lines of an audit file in their order, then gives the report."""

    policy: Policy
    exchanges: int = 0
    weight: float = 0.0
    unread: int = 0
    others: int = 0
    foreign: Counter[str] = field(default_factory=Counter)
    unnamed: int = 0
    rows: dict[str, _Row] = field(default_factory=dict)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _now: float = 0.0
    _counts: Counts = field(init=False)
    _known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._counts = Counts(lambda: self._now)
        self._known = frozenset(id for ids in self.policy.detectors.values() for id in ids)
        self.rows = {rule.id: _Row() for rule in self.policy.rules}

    def take(self, raw: bytes) -> None:
        """Read one line. A line that is not a verdict on an exchange is counted and skipped."""
        if not raw.strip():
            return
        try:
            line = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unread += 1
            return
        if line.kind not in ("verdict", "flag"):
            self.others += 1
            return
        self.exchanges += 1
        weight = 1 / line.probability if 0 < line.probability <= 1 else 1.0
        self.weight += weight
        self._now = _seconds(line.at, self._now)
        touched: set[str] = set()
        for direction in _DIRECTIONS:
            decision = self._decide(line, direction)
            touched.update(match.rule for match in decision.matched)
            self._compare(line.decisions.get(direction, _Decided()), decision, direction)
        for rule in touched:
            self.rows[rule].matched += 1
            self.rows[rule].weight += weight

    def _decide(self, line: _Line, direction: Direction) -> Decision:
        caller = Subject(line.principal)
        earlier = self._counts.earlier(caller, self.policy.counted)
        about = Context(line.model, line.principal, draw_of(line.sample), earlier)
        decision = decide(self.policy, self._signals(line, direction), route=line.route, about=about)
        self._counts.add(caller, decision.counted)
        return decision

    def _signals(self, line: _Line, direction: Direction) -> Iterator[Signal]:
        for passage, text in enumerate(line.texts):
            if text.direction != direction:
                continue
            if text.by is None:  # written by a release that named no detectors: count it for each that could have
                self.unnamed += 1
            by = dict.fromkeys(self._known, text.scores) if text.by is None else text.by
            for detector, scores in by.items():
                if detector not in self._known:
                    self.foreign[detector] += 1
                    continue
                spans = tuple(text.spans if text.by is None else text.found.get(detector, ()))
                for slug, score in scores.items():
                    yield Signal(
                        slug,
                        score,
                        detector,
                        direction,
                        text.channel,
                        passage,
                        spans,
                        text.language,
                    )

    def _compare(self, before: _Decided, now: Decision, direction: str) -> None:
        acted, acts = _acts(before.action), now.action.acts
        if now.rule is not None:
            self.rows[now.rule].decided += 1
        if before.action != now.action:
            self.changes[direction, before.action, now.action] += 1
        if acts and not acted and now.rule is not None:
            self.rows[now.rule].stopped += 1
        if acted and not acts:
            self.rows.setdefault(before.rule or _NO_RULE, _Row()).spared += 1

    def report(self) -> str:
        """The table, and what it leaves out, as text."""
        return "\n".join([*self._head(), "", *self._table(), "", *self._changed(), *self._left_out()]) + "\n"

    def _head(self) -> Iterable[str]:
        policy = self.policy
        yield f"policy revision {policy.revision}, mode {policy.mode}: {self.exchanges:,} recorded exchanges"

    def _table(self) -> Iterator[str]:
        actions = {rule.id: f"{rule.action} ({_mode(rule.share)})" for rule in self.policy.rules}
        wide = max([4, *map(len, self.rows)])
        titles = f"{'action':<20} {'matched':>8} {'share':>8} {'decides':>8} {'now acted':>10} {'no more':>8}"
        yield f"{'rule':<{wide}}  {titles}"
        for name, row in self.rows.items():
            share = f"{100 * row.weight / self.weight:.2f} %" if self.weight else "-"
            action = actions.get(name, "(recorded only)")
            yield (
                f"{name:<{wide}}  {action:<20} {row.matched:>8,} {share:>8} {row.decided:>8,} {row.stopped:>10,} "
                f"{row.spared:>8,}"
            )

    def _changed(self) -> Iterator[str]:
        if not self.changes:
            yield "no decision changes"
        for (direction, before, now), number in sorted(self.changes.items()):
            yield f"{number:,} {direction}s: {before} → {now}"

    def _left_out(self) -> Iterator[str]:
        yield ""
        if self.unread:
            yield f"{self.unread:,} lines could not be read."
        if self.others:
            yield f"{self.others:,} lines are decisions taken inline: they hold no verdicts, so they were skipped."
        for detector, texts in sorted(self.foreign.items()):
            yield f"{detector} judged {texts:,} texts but is not installed: its verdicts were left out."
        if self.unnamed:
            yield f"{self.unnamed:,} texts were recorded without the detectors' names: every detector got their scores."
        yield from CAVEATS


def _acts(action: str) -> bool:
    return action in Action.__members__.values() and Action(action).acts


def _mode(share: float) -> str:
    return "monitor" if share == 0 else "enforce" if share >= 1 else f"canary {100 * share:g} %"


def _seconds(at: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return otherwise
