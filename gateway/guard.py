"""Inline enforcement in a time budget: judges a prompt before it goes upstream and an answer before it goes out.

Only what an enforced rule needs is judged here; a policy that only monitors costs nothing. When the detectors do not
answer, each rule's `on_error` decides, and what passes unjudged is counted with its reason.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from time import monotonic
from typing import Any, Protocol

from gateway import metrics
from gateway.content_encoding import EncodingError, decode
from gateway.errors import GatewayError
from gateway.exchange import MODEL_CHARACTERS, Exchange
from gateway.judge import Case, Findings, JudgeError, case
from gateway.openai_api import Passage, read_request, read_response, read_stream, rewrite, rewrite_stream
from gateway.policing import Direction, signals
from policies.engine import Action, Decision, Policy, decide, join, on_failure, redact

_DECODED_BYTES = 64 * 2**20
_COUNTED = frozenset({Action.REDACT, Action.BLOCK})  # flags are counted on the side path, for every rule alike
_SEVERITY = {action.value: action.severity for action in Action}


class Judging(Protocol):
    """What the guard needs of the detector process."""

    async def judge(self, case: Case, timeout_seconds: float) -> Findings: ...


class Journal(Protocol):
    """Where decisions are written down."""

    def append(self, kind: str, fields: Mapping[str, Any]) -> None: ...


class Guard:
    """`adopt` exchanges `policy` at any time; an exchange uses the one that is in force at each of its stages."""

    def __init__(
        self, policy: Policy, judging: Judging, audit: Journal, *, timeout_seconds: float, routes: Iterable[str]
    ) -> None:
        self._judging = judging
        self._audit = audit
        self._timeout_seconds = timeout_seconds
        self._routes = tuple(routes)
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Put a policy into force, from the next stage of every exchange on."""
        self.policy = policy
        self.revision = policy.revision.encode("ascii")
        self._held_routes = frozenset(route for route in self._routes if policy.needs("response", route))

    def holds(self, exchange: Exchange) -> bool:
        """Whether an answer to this exchange must be judged before it leaves."""
        if not self._held_routes or exchange.route is None or exchange.operation not in _JUDGED_ANSWERS:
            return False
        return exchange.route.name in self._held_routes

    async def prompt(self, exchange: Exchange, body: bytes) -> bytes:
        """The body that may go upstream: the same, or with spans cut out. Raises GatewayError prompt_blocked."""
        assert exchange.route is not None
        needed = self.policy.needs("prompt", exchange.route.name)
        if not needed or exchange.operation not in _JUDGED_PROMPTS:
            return body
        wanted = case(exchange.operation, prompt=body, prompt_slugs=needed, urgent=True)
        decision, findings = await self._decide(exchange, wanted, "prompt", needed)
        if decision.action is Action.BLOCK:
            raise GatewayError("prompt_blocked", _sentence("prompt", decision), param=_PARAM[exchange.operation])
        if decision.action is not Action.REDACT:
            return body
        return rewrite(body, _edits(read_request(exchange.operation, body), findings, decision))

    async def answer(self, exchange: Exchange, body: bytes) -> bytes:
        """The answer that may go out: the very same object, or a rewritten one without content-encoding.

        Raises GatewayError answer_blocked.
        """
        assert exchange.route is not None
        needed = self.policy.needs("response", exchange.route.name)
        wanted = case(
            exchange.operation,
            prompt=exchange.body,
            answer=body,
            stream=exchange.stream,
            encoding=exchange.encoding,
            answer_slugs=needed,
            urgent=True,
        )
        decision, findings = await self._decide(exchange, wanted, "response", needed)
        if decision.action is Action.BLOCK:
            raise GatewayError("answer_blocked", _sentence("answer", decision))
        if decision.action is not Action.REDACT:
            return body
        try:
            plain, _ = decode(body, exchange.encoding, _DECODED_BYTES)
        except EncodingError as error:  # it was read by the detectors, so only a bug brings us here: nothing leaves
            raise GatewayError("answer_blocked", f"the answer could not be redacted: {error}") from None
        read, write = (read_stream, None) if exchange.stream else (read_response, rewrite)
        edits = _edits(read(exchange.operation, plain), findings, decision)
        return rewrite_stream(exchange.operation, plain, edits) if write is None else write(plain, edits)

    async def _decide(
        self, exchange: Exchange, wanted: Case, direction: Direction, needed: Iterable[str]
    ) -> tuple[Decision, Findings]:
        assert exchange.route is not None
        policy, route = self.policy, exchange.route.name
        began = monotonic()
        findings = Findings(0, [], [], {})
        failure = ""
        try:
            findings = await self._judging.judge(wanted, self._timeout_seconds)
            failure = _failure_of(findings)
        except JudgeError as error:
            failure = error.reason
        spent = monotonic() - began
        exchange.guard_seconds += spent
        metrics.GUARD.labels(direction).observe(spent)
        for detector, state, texts in findings.coverage:
            metrics.COVERAGE.labels(detector, state).inc(texts)
        decision = decide(policy, signals(findings.findings, direction, policy), route=route)
        if failure:
            # A detector that failed silences the rules that listen to it; what nobody read silences them all.
            broken: list[str | None] = [*findings.failed] if failure == "detector" else [None]
            fallbacks = [on_failure(policy, needed, direction=direction, route=route, detector=name) for name in broken]
            decision = reduce(join, fallbacks, decision)
            if all(fallback.rule is None for fallback in fallbacks):
                failure = ""  # no enforced rule listens to it
            elif decision.action is not Action.BLOCK:
                metrics.BYPASSES.labels(direction, failure).inc()
        exchange.guarded = direction == "response" and not failure
        self._count(exchange, direction, decision, failure)
        if _SEVERITY[decision.action] > _SEVERITY[exchange.decision]:
            exchange.decision = decision.action.value
        return decision, findings

    def _count(self, exchange: Exchange, direction: str, decision: Decision, failure: str) -> None:
        for match in decision.matched:
            if match.enforced and match.action in _COUNTED:
                metrics.DECISIONS.labels(direction, match.action, match.rule, "enforced").inc()
        if decision.action is Action.ALLOW and not failure:
            return
        assert exchange.route is not None
        self._audit.append(
            "decision",
            {
                "request": exchange.id,
                "route": exchange.route.name,
                "principal": exchange.principal.name if exchange.principal else "",
                "operation": exchange.operation,
                "model": exchange.model[:MODEL_CHARACTERS],
                "direction": direction,
                "action": decision.action,
                "would": decision.would,
                "rule": decision.rule,
                "reason": decision.reason,
                "failure": failure,
                "revision": decision.revision,
            },
        )


def _failure_of(findings: Findings) -> str:
    """Why not all of the text was judged, or empty: text that nobody read is no clean text."""
    if findings.unreadable:
        return "unreadable"
    if findings.failed:
        return "detector"
    truncated = findings.cut or any(state == "truncated" for _, state, _ in findings.coverage)
    return "truncated" if truncated else ""


_JUDGED_ANSWERS = frozenset({"chat", "completions", "responses"})
_JUDGED_PROMPTS = _JUDGED_ANSWERS | {"embeddings"}
_PARAM: Mapping[str, str] = {"chat": "messages", "completions": "prompt", "responses": "input", "embeddings": "input"}


def _sentence(what: str, decision: Decision) -> str:
    if decision.reason == "detector_error":
        return f"the {what} was blocked because it could not be judged, as rule {decision.rule!r} asks"
    return f"the {what} was blocked by rule {decision.rule!r} (policy {decision.revision}): {decision.reason}"


def _edits(passages: Iterable[Passage], findings: Findings, decision: Decision) -> dict[tuple[str | int, ...], str]:
    """The texts with their spans cut out, by their place in the body. Findings name the same places."""
    texts = {tuple(passage.path): passage.text for passage in passages}
    edits = {}
    for index, finding in enumerate(findings.findings):
        cuts = decision.cuts(index)
        if cuts:
            edits[tuple(finding.path)] = redact(texts[tuple(finding.path)], cuts)
    return edits
