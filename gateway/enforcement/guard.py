"""Inline enforcement in a time budget: judges a prompt before it goes upstream and an answer before it goes out.

Only what an enforced rule needs is judged here; a policy that only monitors costs nothing. When the detectors do not
answer, each rule's `on_error` decides, and what passes unjudged is counted with its reason.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from time import monotonic
from typing import Any, Protocol

import msgspec

from gateway.delivery.window import Ruling, Stretch
from gateway.enforcement.counts import Counts, Throttles
from gateway.enforcement.signals import Direction, draw_of, signals
from gateway.errors import GatewayError
from gateway.exchange import MODEL_CHARACTERS, Exchange
from gateway.judging.client import Case, Finding, Findings, JudgeError, case
from gateway.openai_api import (
    SURFACES,
    Operation,
    Passage,
    answers_of,
    read_request,
    read_response,
    rewrite,
)
from gateway.openai_api.encodings import EncodingError, decode
from gateway.telemetry import metrics
from policies.engine import EVERYONE, Action, Context, Decision, Policy, Throttle, decide, join, on_failure, redact

_DECODED_BYTES = 64 * 2**20
_CONTEXT_CHARACTERS = 2000  # of the prompt, shown to the detectors beside a stretch of a stream
_LARGE_BODY = 256 * 1024  # bytes: not read on the event loop
_COUNTED = frozenset(action for action in Action if action.acts)  # flags are counted on the side path, for all alike
_PASSING = frozenset({Action.ALLOW, Action.FLAG, Action.THROTTLE})  # whatever is neither these nor cut stops a text
_CUT = frozenset({Action.REDACT, Action.REROUTE})
_NOT_WHOLLY_READ = frozenset({"truncated", "unreadable"})
_SEVERITY = {action.value: action.severity for action in Action}


class Judging(Protocol):
    """What the guard needs of the detector process."""

    @property
    def detectors(self) -> Sequence[str]: ...

    async def judge(self, case: Case, timeout_seconds: float) -> Findings: ...


class Journal(Protocol):
    """Where decisions are written down."""

    def append(self, kind: str, fields: Mapping[str, Any]) -> None: ...


class Guard:
    """`adopt` exchanges `policy` at any time; an exchange uses the one that is in force at each of its stages.

    `clock` is monotonic seconds, by which callers are counted and throttled.
    """

    def __init__(
        self,
        policy: Policy,
        judging: Judging,
        audit: Journal,
        *,
        timeout_seconds: float,
        routes: Iterable[str],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.counts = Counts(clock)
        self.throttles = Throttles(clock)
        self.judging = judging
        self.audit = audit
        self.timeout_seconds = timeout_seconds
        self._routes = tuple(routes)
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Put a policy into force, from the next stage of every exchange on."""
        self.policy = policy
        self.revision = policy.revision.encode("ascii")
        self._held_routes = frozenset(route for route in self._routes if policy.needs("response", route))

    def holds(self, exchange: Exchange) -> bool:
        """Whether an answer to this exchange must be judged before it leaves."""
        if not self._held_routes or exchange.route is None or SURFACES[exchange.asked.operation].answers is None:
            return False
        return exchange.route.name in self._held_routes and bool(_needs(self.policy, "response", exchange))

    def admit(self, exchange: Exchange) -> None:
        """Raises GatewayError throttled while a policy slows this caller down."""
        refusal = self.throttles.refusal(_caller(exchange))
        if refusal is not None:
            rule, seconds = refusal
            what = (
                f"rule {rule!r} of the policy allows this caller fewer requests for a while; try again in {seconds} s"
            )
            raise GatewayError("throttled", what, retry_after_seconds=seconds)

    async def prompt(self, exchange: Exchange, body: bytes) -> bytes:
        """The body that may go upstream: the same, or with spans cut out. Raises GatewayError prompt_blocked.

        Sets the exchange's `replacement` when that is the answer and nothing goes upstream, and its `detour` when the
        body goes elsewhere.
        """
        assert exchange.route is not None
        needed = _needs(self.policy, "prompt", exchange)
        surface = SURFACES[exchange.asked.operation]
        if not needed or not surface.judged:
            return body
        wanted = case(exchange.asked.operation, prompt=body, prompt_slugs=needed, urgent=True)
        bench = _Bench(self, exchange, "prompt", needed)
        found = await bench.ask(wanted)
        decision = bench.rule({0: found.findings}, found)[0]
        bench.close()
        if decision.action is Action.REPLACE and surface.answers is not None:
            exchange.ruling.replacement = decision.replacement
        if decision.action in _PASSING or exchange.ruling.replacement:
            return body
        if decision.action not in _CUT:
            raise GatewayError("prompt_blocked", _sentence("prompt", decision), param=surface.param)
        exchange.ruling.detour = decision.reroute
        if not decision.redactions:
            return body
        return rewrite(body, _edits(read_request(exchange.asked.operation, body), found.findings, decision))

    async def answer(self, exchange: Exchange, body: bytes) -> bytes:
        """The whole answer that may go out: the very same object, or a rewritten one without content-encoding.

        Each choice is judged by itself: one that is blocked is emptied and ends with "content_filter" as long as there
        is another one, one that is replaced says the policy's message. Raises GatewayError answer_blocked.
        """
        assert exchange.route is not None
        needed = _needs(self.policy, "response", exchange)
        wanted = case(
            exchange.asked.operation,
            prompt=exchange.asked.body,
            answer=body,
            encoding=exchange.transcript.encoding,
            answer_slugs=needed,
            urgent=True,
        )
        bench = _Bench(self, exchange, "response", needed)
        found = await bench.ask(wanted)
        decisions = bench.rule(_by_choice(found.findings), found)
        bench.close()
        messages = {n: each.replacement for n, each in decisions.items() if each.action is Action.REPLACE}
        blocked = {
            choice: each
            for choice, each in decisions.items()
            if each.action not in _PASSING | {Action.REDACT, Action.REPLACE}
        }
        surface = answers_of(exchange.asked.operation)
        if blocked and (len(blocked) == len(decisions) or not surface.has_choices):
            raise GatewayError("answer_blocked", _sentence("answer", next(iter(blocked.values()))))
        if all(decision.action in _PASSING for decision in decisions.values()):
            return body
        try:
            plain, _ = decode(body, exchange.transcript.encoding, _DECODED_BYTES)
            passages = read_response(exchange.asked.operation, plain)
            for choice, findings in _by_choice(found.findings).items():
                if decisions[choice].action is Action.REDACT:
                    plain = rewrite(plain, _edits(passages, findings, decisions[choice]))
            if messages:
                id = exchange.id.removeprefix("req_")
                plain = surface.replaced(plain, messages, model=exchange.asked.model, id=id)
            return surface.withheld(plain, blocked) if blocked else plain
        except (EncodingError, ValueError) as error:  # the detectors could read it, so this is a bug: nothing leaves
            raise GatewayError("answer_blocked", f"the answer could not be redacted: {error}") from None

    def hearing(self, exchange: Exchange) -> "Hearing":
        """The judging of a streamed answer, stretch by stretch; to be closed. The policy stays the same throughout."""
        return Hearing(self, exchange)


class _Bench:
    """One direction of one exchange: asks the detectors, rules by choice, and puts on record what came of it."""

    def __init__(self, guard: Guard, exchange: Exchange, direction: Direction, needed: Collection[str]) -> None:
        assert exchange.route is not None
        self.needed = needed
        self.policy = guard.policy
        self._guard = guard
        self._exchange = exchange
        exchange.ruling.revision = self.policy.revision
        self._direction: Direction = direction
        self._route = exchange.route.name
        self._error = ""
        caller = _caller(exchange)
        self._about = Context(
            exchange.asked.model,
            caller,
            draw_of(exchange.id),
            self._earlier(guard.counts, caller) if self.policy.counted else {},
        )
        self._counts: dict[str, None] = {}
        self._throttles: list[Throttle] = []
        self._failures: dict[str, None] = {}
        self._bypassed: set[str] = set()
        self._severest: Decision | None = None
        self._counted: set[tuple[str, Action]] = set()

    def _earlier(self, counts: Counts, caller: str) -> dict[str, int]:
        """How often each rule's condition held for this caller in other exchanges than this one."""
        earlier = counts.earlier(caller, self.policy.counted)
        return {rule: often - (rule in self._exchange.ruling.counted) for rule, often in earlier.items()}

    async def ask(self, wanted: Case) -> Findings:
        """The findings; none when the detectors do not answer, which `rule` then takes into account."""
        began = monotonic()
        self._error = ""
        findings = Findings(0, [], [], {})
        try:
            findings = await self._guard.judging.judge(wanted, self._patience())
        except JudgeError as error:
            self._error = error.reason
            if error.reason == "timed_out":
                for detector in self._guard.judging.detectors:
                    metrics.COVERAGE.labels(detector, "timed_out").inc()
        spent = monotonic() - began
        self._exchange.timing.guard_seconds += spent
        metrics.GUARD.labels(self._direction).observe(spent)
        for detector, state, texts in findings.coverage:
            metrics.COVERAGE.labels(detector, state).inc(texts)
        for detector, texts in findings.remembered:
            metrics.REMEMBERED.labels(detector).inc(texts)
        return findings

    def _patience(self) -> float:
        """Seconds to wait at most: no longer than the rules' own budgets allow."""
        about = self._about
        own = self.policy.patience(self._direction, self._route, about.draw, model=about.model, caller=about.caller)
        return min(self._guard.timeout_seconds, own)

    def rule(self, groups: Mapping[int, Sequence[Finding]], found: Findings) -> dict[int, Decision]:
        """One decision for each group of texts, by the number of its choice; for choice 0 where there are no texts."""
        failures: dict[str | None, str] = {None: self._error} if self._error else _failures_of(found)
        about = replace(self._about, silent=frozenset(name or EVERYONE for name in failures))
        by_failure = {
            name: on_failure(
                self.policy, self.needed, direction=self._direction, route=self._route, detector=name, about=about
            )
            for name in failures
        }
        fallbacks = by_failure.values()
        decisions = {}
        for choice, findings in (groups or {0: ()}).items():
            heard = signals(findings, self._direction, self.policy)
            decisions[choice] = reduce(join, fallbacks, decide(self.policy, heard, route=self._route, about=about))
        # Where no enforced rule listens to what failed, nothing was passed by.
        reasons = dict.fromkeys(failures[name] for name, fallback in by_failure.items() if fallback.rule is not None)
        if any(decision.action is not Action.BLOCK for decision in decisions.values()):
            for reason in reasons.keys() - self._bypassed:
                self._bypassed.add(reason)
                metrics.BYPASSES.labels(self._direction, reason).inc()
        self._failures |= reasons
        for decision in decisions.values():
            self._note(decision)
        return decisions

    def unreadable(self) -> Decision:
        """The decision about text that nobody can read."""
        return self.rule({}, Findings(0, [], [], {}, unreadable="it is not JSON"))[0]

    def _note(self, decision: Decision) -> None:
        self._counts |= dict.fromkeys(decision.counted)
        if decision.throttle is not None:
            self._throttles.append(decision.throttle)
        for match in decision.matched:
            key = (match.rule, match.action)
            if match.enforced and match.action in _COUNTED and key not in self._counted:
                self._counted.add(key)
                metrics.DECISIONS.labels(self._direction, match.action, match.rule, "enforced").inc()
        if self._severest is None:
            self._severest = decision
        else:
            would = max(self._severest.would, decision.would, key=lambda action: action.severity)
            graver = decision.action.severity > self._severest.action.severity
            self._severest = replace(decision if graver else self._severest, would=would)
        if _SEVERITY[decision.action] > _SEVERITY[self._exchange.ruling.decision]:
            self._exchange.ruling.decision = decision.action.value

    def close(self) -> None:
        """Write down the severest decision, if there is anything to tell, and what to remember of the caller."""
        exchange, decision = self._exchange, self._severest
        self._guard.counts.add(self._about.caller, self._counts.keys() - exchange.ruling.counted)
        exchange.ruling.counted = exchange.ruling.counted.union(self._counts)
        for throttle in self._throttles:
            self._guard.throttles.start(self._about.caller, throttle)
        exchange.ruling.guarded = self._direction == "response" and decision is not None and not self._failures
        if decision is None or (decision.action is Action.ALLOW and not self._failures):
            return
        self._guard.audit.append(
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
                "revision": decision.revision,
            },
        )


class Hearing:
    """Rules on stretches of a streamed answer. A stretch is shown to the detectors with the prompt's last words."""

    def __init__(self, guard: Guard, exchange: Exchange) -> None:
        assert exchange.route is not None
        self._bench = _Bench(guard, exchange, "response", _needs(guard.policy, "response", exchange))
        self._exchange = exchange
        self._prompt: bytes | None = None
        self._refusal: Decision | None = None

    async def judge(self, stretches: Sequence[Stretch]) -> list[Ruling]:
        """A ruling for each; all stretches of a choice are decided on together. One call of the detectors."""
        if self._prompt is None:
            self._prompt = await _last_words(self._exchange)
        items = [_ITEMS[stretch.channel](stretch.text) for stretch in stretches]
        body = msgspec.json.encode({"output": items})
        wanted = case(
            Operation.RESPONSES, prompt=self._prompt, answer=body, answer_slugs=self._bench.needed, urgent=True
        )
        found = await self._bench.ask(wanted)
        groups: dict[int, list[Finding]] = {stretch.choice: [] for stretch in stretches}
        places: dict[int, list[int]] = {stretch.choice: [] for stretch in stretches}
        for finding in found.findings:
            number = int(finding.path[1])  # of ("output", number, …): the items stand for the stretches, in their order
            groups[stretches[number].choice].append(finding)
            places[stretches[number].choice].append(number)
        rulings = [Ruling() for _ in stretches]
        for choice, decision in self._bench.rule(groups, found).items():
            if self._stops(decision):
                rulings = [
                    Ruling(blocked=True, message=decision.replacement) if stretch.choice == choice else ruling
                    for stretch, ruling in zip(stretches, rulings, strict=True)
                ]
            elif decision.action is Action.REDACT:
                for index, number in enumerate(places[choice]):
                    rulings[number] = Ruling(cuts=decision.cuts(index))
        return rulings

    def unreadable(self) -> bool:
        """Whether the stream is to end because something came that nobody can read."""
        return self._stops(self._bench.unreadable())

    def _stops(self, decision: Decision) -> bool:
        stops = decision.action not in _PASSING and decision.action is not Action.REDACT
        if stops and self._refusal is None:
            self._refusal = decision
        return stops

    def refusal(self) -> GatewayError:
        """What the exchange ends with when nothing of the answer may be served."""
        assert self._refusal is not None
        return GatewayError("answer_blocked", _sentence("answer", self._refusal))

    def close(self) -> None:
        """Put the outcome on record."""
        self._bench.close()


# A stretch is judged as an item of the Responses API: each channel has a kind of item that is read as it.
_ITEMS: Mapping[str, Any] = {
    "assistant": lambda text: {"type": "message", "content": text},
    "reasoning": lambda text: {"type": "reasoning", "summary": text},
    "arguments": lambda text: {"type": "function_call", "arguments": text},
    "tool": lambda text: {"type": "function_call_output", "output": text},
    "retrieved": lambda text: {"type": "file_search_call", "results": [{"text": text}]},
    "system": lambda text: {"type": "message", "role": "system", "content": text},
    "user": lambda text: {"type": "message", "role": "user", "content": text},
}


async def _last_words(exchange: Exchange) -> bytes:
    """The end of the last thing that the user said, as a request of its own; empty when there is none."""
    if len(exchange.asked.body) > _LARGE_BODY:
        passages = await asyncio.to_thread(read_request, exchange.asked.operation, exchange.asked.body)
    else:
        passages = read_request(exchange.asked.operation, exchange.asked.body)
    asked = [passage.text for passage in passages if passage.channel == "user"]
    return msgspec.json.encode({"input": asked[-1][-_CONTEXT_CHARACTERS:]}) if asked else b""


def _caller(exchange: Exchange) -> str:
    return exchange.principal.name if exchange.principal else ""


def _needs(policy: Policy, direction: Direction, exchange: Exchange) -> frozenset[str]:
    """What must be judged of this exchange, the canaries left out that do not act on it."""
    if not policy.acts:
        return frozenset()
    assert exchange.route is not None
    draw = draw_of(exchange.id)
    return policy.needs(direction, exchange.route.name, draw, model=exchange.asked.model, caller=_caller(exchange))


def _by_choice(findings: Iterable[Finding]) -> dict[int, list[Finding]]:
    groups: dict[int, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.choice, []).append(finding)
    return groups


def _failures_of(findings: Findings) -> dict[str | None, str]:
    """Detector → why it did not judge all of the text; None for what no detector judged. Unread text is no clean text.

    What a detector did not read silences the rules that listen to it; what nobody read silences them all.
    """
    if findings.unreadable or findings.cut:
        return {None: "unreadable" if findings.unreadable else "truncated"}
    failures: dict[str | None, str] = {d: state for d, state, _ in findings.coverage if state in _NOT_WHOLLY_READ}
    return failures | dict.fromkeys(findings.failed, "detector")


def _sentence(what: str, decision: Decision) -> str:
    if decision.reason == "detector_error":
        return f"the {what} was blocked because it could not be judged, as rule {decision.rule!r} asks"
    return f"the {what} was blocked by rule {decision.rule!r} (policy {decision.revision}): {decision.reason}"


def _edits(
    passages: Iterable[Passage], findings: Sequence[Finding], decision: Decision
) -> dict[tuple[str | int, ...], str]:
    """The texts with their spans cut out, by their place in the body. Findings name the same places."""
    texts = {tuple(passage.path): passage.text for passage in passages}
    edits = {}
    for index, finding in enumerate(findings):
        cuts = decision.cuts(index)
        if cuts:
            edits[tuple(finding.path)] = redact(texts[tuple(finding.path)], cuts)
    return edits
