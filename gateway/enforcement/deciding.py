"""Decides about one direction of one exchange: asks the detectors, decides for each choice, and records the outcome.

When the detectors do not answer, each rule's `on_error` decides, and what passes unjudged is counted with its reason.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from time import monotonic
from typing import Any, Protocol

from gateway.enforcement.counts import Counts, Throttles
from gateway.enforcement.signals import Direction, draw_of, signals
from gateway.enforcement.subjects import Subject, subject_named
from gateway.errors import GatewayError
from gateway.exchange import MODEL_CHARACTERS, Exchange
from gateway.judging.client import Judging, JudgingError
from gateway.judging.messages import Finding, Findings, JudgingRequest
from gateway.openai_api import Passage, Path, Unread, edits
from gateway.telemetry import metrics
from gateway.turns import LARGE_BYTES, Turns
from policies.engine import ALL_DETECTORS, Action, Context, Decision, Policy, Silent, Throttle, decide, join, on_failure

PASSING = frozenset({Action.ALLOW, Action.FLAG, Action.THROTTLE})  # any other action but a cut stops a text
_COUNTED = frozenset(action for action in Action if action.acts)  # flags are counted on the side path, for all traffic
NOT_WHOLLY_READ = frozenset({"truncated", "unreadable", "timed_out"})
_IN_ITS_CHANNEL = frozenset({"image", "audio", "file", "tokens", "part"})  # other reasons may hide texts of any channel
_UNJUDGED = "detector_error"  # the reason of a decision that rests on no verdict
_SEVERITY = {action.value: action.severity for action in Action}


class Journal(Protocol):
    """Where decisions are written down."""

    def append(self, kind: str, fields: Mapping[str, Any]) -> None: ...


@dataclass(slots=True)
class Shared:
    """What all decisions share. `policy` is the one in force; a decider keeps the one that it began with."""

    policy: Policy
    judging: Judging
    audit: Journal
    counts: Counts
    throttles: Throttles
    timeout_seconds: float
    turns: Turns = field(default_factory=Turns)


class Decider:
    """Decides about one direction of one exchange. Close it when done."""

    def __init__(self, shared: Shared, exchange: Exchange, direction: Direction, needed: Collection[str]) -> None:
        assert exchange.route is not None
        self.needed = needed
        self.policy = shared.policy
        self._shared = shared
        self._exchange = exchange
        exchange.ruling.revision = self.policy.revision
        self._direction: Direction = direction
        self._route = exchange.route.name
        self._error = ""
        self.caller = caller = caller_of(exchange)
        self._subject = subject_of(exchange) if self.policy.names_end_users else Subject(caller)
        self._about = Context(
            exchange.asked.model,
            caller,
            draw_of(exchange.id),
            self._earlier(shared.counts) if self.policy.counted else {},
        )
        self._counts: dict[str, None] = {}
        self._throttles: list[Throttle] = []
        self._failures: dict[str, None] = {}
        self._unread: dict[tuple[str, str], None] = {}
        self._bypassed: set[str] = set()
        self._severest: Decision | None = None
        self._counted: set[tuple[str, Action]] = set()

    def _earlier(self, counts: Counts) -> dict[str, int]:
        """How often each rule's condition held for this caller or end user in earlier exchanges."""
        earlier = counts.earlier(self._subject, self.policy.counted, self.policy.counted_by_end_user)
        return {rule: often - (rule in self._exchange.ruling.counted) for rule, often in earlier.items()}

    @property
    def judged_all(self) -> bool:
        """Whether everything was read and judged."""
        return not (self._unread or self._failures or self._error)

    @property
    def compared(self) -> Collection[str]:
        """The slugs for which detectors compare a text with what was said before."""
        return self._shared.judging.compared

    async def ask(self, wanted: JudgingRequest, seconds: float | None = None) -> Findings:
        """The findings; none if the detectors do not answer, which `rule` then takes into account.

        Waits at most `seconds`, or as long as the rules' own budgets allow. A large request is sent in a turn of its
        own and settled in another, because many may run out of time at once. Stretches of a stream do not wait.
        """
        is_large = len(wanted.prompt) + len(wanted.answer) > LARGE_BYTES and not wanted.stretches
        if is_large:
            await self._shared.turns.take(self.caller)
        began = monotonic()
        self._error = ""
        findings = Findings(0, [], [], {})
        try:
            findings = await self._shared.judging.judge(wanted, self._patience() if seconds is None else seconds)
        except JudgingError as error:
            self._error = error.reason
        spent = monotonic() - began
        self._exchange.timing.guard_seconds += spent
        metrics.GUARD.labels(self._direction).observe(spent)
        self._unread |= dict.fromkeys(findings.unread_in(self._direction))
        if is_large:
            await self._shared.turns.take(self.caller)
        return findings

    def _patience(self) -> float:
        """The longest wait in seconds that the rules' own budgets allow."""
        about = self._about
        own = self.policy.patience(self._direction, self._route, about.draw, model=about.model, caller=about.caller)
        return min(self._shared.timeout_seconds, own)

    def rule(self, groups: Mapping[int, Sequence[Finding]], found: Findings) -> dict[int, Decision]:
        """One decision for each group of texts, by the number of its choice; for choice 0 if there are no texts."""
        failures = {Silent(ALL_DETECTORS): self._error} if self._error else _failures_of(found, self._direction)
        about = replace(self._about, silent=frozenset(failures))
        by_failure = {silent: self._without(silent, about) for silent in failures}
        fallbacks = by_failure.values()
        decisions = {}
        for choice, findings in (groups or {0: ()}).items():
            heard = signals(findings, self._direction, self.policy)
            decisions[choice] = reduce(join, fallbacks, decide(self.policy, heard, route=self._route, about=about))
        # If no enforced rule listens to what failed, that is no bypass.
        reasons = dict.fromkeys(failures[silent] for silent, fallback in by_failure.items() if fallback.rule)
        if any(decision.action is not Action.BLOCK for decision in decisions.values()):
            for reason in reasons.keys() - self._bypassed:
                self._bypassed.add(reason)
                metrics.BYPASSES.labels(self._direction, reason).inc()
        self._failures |= reasons
        closed = {id(match) for fallback in fallbacks for match in fallback.matched}
        for decision in decisions.values():
            self._note(decision, closed)
        return decisions

    def _without(self, silent: Silent, about: Context) -> Decision:
        """What `on_error` says if this detector gave no answer."""
        return on_failure(
            self.policy,
            self.needed,
            direction=self._direction,
            route=self._route,
            detector=None if silent.detector == ALL_DETECTORS else silent.detector,
            channel=silent.channel,
            instead=silent.instead,
            about=about,
        )

    def stops_unread(self) -> bool:
        """Whether a rule stops what nobody can read."""
        return self._without(Silent(ALL_DETECTORS), self._about).action not in PASSING

    def unread(self, unread: Sequence[Unread]) -> Decision:
        """The decision about text that no detector can read."""
        for channel, reason in unread:
            metrics.UNREAD.labels(channel, reason).inc()
            self._unread[channel, reason] = None
        told: list[tuple[str, str, str]] = [(self._direction, channel, reason) for channel, reason in unread]
        return self.rule({}, Findings(0, [], [], {}, unread=told))[0]

    def error(self, what: str, decision: Decision, param: str | None = None, *, place: str = "") -> GatewayError:
        """The error with which this decision stops a prompt or an answer, or the `place` in it."""
        place = place or f"the {what}"
        if decision.reason != _UNJUDGED:
            sentence = f"{place} was blocked by rule {decision.rule!r} (policy {decision.revision}): "
            return GatewayError(f"{what}_blocked", sentence + decision.reason, param=param)
        parts = ", ".join(f"{reason} ({channel})" for channel, reason in self._unread)
        why = f"{', '.join(self._failures)}" + (f"; unread: {parts}" if parts else "")
        sentence = f"{place} was blocked because it could not be judged, as rule {decision.rule!r} asks: {why}"
        return GatewayError(f"{what}_unjudged", sentence, param=param)

    def _note(self, decision: Decision, closed: Collection[int]) -> None:
        self._counts |= dict.fromkeys(decision.counted)
        self._throttles += decision.throttles
        for match in decision.matched:
            key = (match.rule, match.action)
            if match.enforced and match.action in _COUNTED and key not in self._counted:
                self._counted.add(key)
                effect = "fail_closed" if id(match) in closed else "enforced"
                metrics.DECISIONS.labels(self._direction, match.action, match.rule, effect).inc()
        if self._severest is None:
            self._severest = decision
        else:
            would = max(self._severest.would, decision.would, key=lambda action: action.severity)
            graver = decision.action.severity > self._severest.action.severity
            self._severest = replace(decision if graver else self._severest, would=would)
        if _SEVERITY[decision.action] > _SEVERITY[self._exchange.ruling.decision]:
            self._exchange.ruling.decision = decision.action.value

    def close(self) -> None:
        """Record the severest decision, if there is anything to record, and what to remember about the caller."""
        exchange, decision = self._exchange, self._severest
        again = self._counts.keys() - exchange.ruling.counted
        self._shared.counts.add(self._subject, again, self.policy.counted_by_end_user)
        exchange.ruling.counted = exchange.ruling.counted.union(self._counts)
        for throttle in self._throttles:
            self._shared.throttles.start(self._subject, throttle)
        exchange.ruling.guarded = self._direction == "response" and decision is not None and not self._failures
        if decision is None or (decision.action is Action.ALLOW and not self._failures):
            return
        self._shared.audit.append(
            "decision",
            {
                "request": exchange.id,
                "route": self._route,
                "principal": exchange.principal.name if exchange.principal else "",
                "operation": exchange.asked.operation,
                "model": exchange.asked.model[:MODEL_CHARACTERS],
                "direction": self._direction,
                "action": decision.action,
                "would": decision.would,
                "rule": decision.rule,
                "reason": decision.reason,
                "score": decision.evidence and round(decision.evidence.score, 4),
                "threshold": decision.evidence and round(decision.evidence.threshold, 4),
                "condition": decision.evidence and decision.evidence.place,
                "failure": ", ".join(self._failures),
                "unread": [list(entry) for entry in self._unread],
                "revision": decision.revision,
            },
        )


def is_unjudged(decision: Decision) -> bool:
    """Whether the decision rests on no verdict, so that nobody knows which text it is about."""
    return decision.reason == _UNJUDGED


def caller_of(exchange: Exchange) -> str:
    return exchange.principal.name if exchange.principal else ""


def subject_of(exchange: Exchange) -> Subject:
    """The end user that the request names, else its caller. The result is kept."""
    asked, caller = exchange.asked, caller_of(exchange)
    if asked.end_user is None:
        asked.end_user = subject_named(caller, asked.operation, asked.body).end_user
    return Subject(caller, asked.end_user)


def needed_of(policy: Policy, direction: Direction, exchange: Exchange) -> frozenset[str]:
    """What must be judged in this exchange, without canary rules that do not act on it."""
    if not policy.acts:
        return frozenset()
    assert exchange.route is not None
    draw = draw_of(exchange.id)
    return policy.needs(direction, exchange.route.name, draw, model=exchange.asked.model, caller=caller_of(exchange))


def _failures_of(findings: Findings, direction: str) -> dict[Silent, str]:
    """Who did not judge all of the text, and why. Unread text never counts as clean.

    What one detector did not read silences the rules that listen to it in that channel; what nobody read silences all
    rules that look there.
    """
    failures = {
        Silent(detector, channel, findings.read_instead_of(detector)): state if state in NOT_WHOLLY_READ else "detector"
        for side, channel, detector, state in findings.unjudged
        if side == direction
    }
    placed = {detector for _, _, detector, _ in findings.unjudged}
    anywhere = {detector: state for detector, state, _ in findings.coverage if state in NOT_WHOLLY_READ}
    anywhere |= dict.fromkeys(findings.failed, "detector")
    failures |= {Silent(detector): why for detector, why in anywhere.items() if detector not in placed}
    for channel, reason in findings.unread_in(direction):
        if reason != "language":  # each detector reports that itself
            nobody = Silent(ALL_DETECTORS, channel if reason in _IN_ITS_CHANNEL else "")
            only_long = reason == "too_long" and failures.get(nobody, "truncated") == "truncated"
            failures[nobody] = "truncated" if only_long else "unreadable"
    return failures


def edits_of(by_path: Mapping[Path, Passage], findings: Sequence[Finding], decision: Decision) -> dict[Path, str]:
    """The strings of the body that change, as they are after the cuts. Findings name the places of their texts."""
    found: dict[Path, str] = {}
    for index, finding in enumerate(findings):
        if cuts := decision.cuts(index):
            found |= edits(by_path[tuple(finding.path)], cuts)
    return found
