"""Inline enforcement within a time budget: judges a prompt before it goes upstream and an answer before it leaves.

Only what an enforced rule needs is judged here; a policy that only monitors costs nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic

from gateway.enforcement.counts import Counts, Throttles
from gateway.enforcement.deciding import (
    PASSING,
    Decider,
    Journal,
    Shared,
    caller_of,
    edits_of,
    needed_of,
    subject_of,
)
from gateway.enforcement.inspection import PolicyInspection
from gateway.enforcement.subjects import Subject
from gateway.enforcement.uploads import judge_seams, judge_upload
from gateway.errors import GatewayError
from gateway.exchange import Asked, Exchange
from gateway.judging.client import Judging
from gateway.judging.messages import Finding, judging_request
from gateway.judging.stretches import LARGE_BODY
from gateway.openai_api import (
    SURFACES,
    Operation,
    Reason,
    Unread,
    completes_upload,
    headers_with_text,
    read_request,
    rewrite,
    target_says_something,
)
from policies.engine import Action, Decision, Policy

_CUT = frozenset({Action.REDACT, Action.REROUTE})
_NOTHING = frozenset({b"", b"{}"})


class Guard:
    """Enforces `policy`, which `adopt` may replace at any time; each stage of an exchange uses the one then in force.

    `forwards` says whether a request header goes upstream, by its name. `clock` is monotonic seconds, by which callers
    are counted and throttled.
    """

    def __init__(
        self,
        policy: Policy,
        judging: Judging,
        audit: Journal,
        *,
        timeout_seconds: float,
        routes: Iterable[str],
        forwards: Callable[[bytes], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._forwards = forwards
        self.throttles = Throttles(clock)
        self._shared = Shared(policy, judging, audit, Counts(clock), self.throttles, timeout_seconds)
        self.turns = self._shared.turns
        self._routes = tuple(routes)
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Put a policy into force from the next stage of every exchange on."""
        self._shared.policy = policy
        self.revision = policy.revision.encode("ascii")
        self.acts = policy.acts
        self._held_routes = frozenset(route for route in self._routes if policy.needs("response", route))

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._shared.policy

    def holds(self, exchange: Exchange) -> bool:
        """Whether an answer to this exchange must be judged before it leaves."""
        if not self._held_routes or exchange.route is None:
            return False
        return exchange.route.name in self._held_routes and bool(needed_of(self._shared.policy, "response", exchange))

    def admit(self, exchange: Exchange) -> None:
        """Raises GatewayError throttled while a policy slows this caller down."""
        self._admit(Subject(caller_of(exchange)), "caller")

    def admit_end_user(self, exchange: Exchange) -> None:
        """The same for the end user that the body names. Raises GatewayError throttled."""
        if self.throttles.has_end_users and (subject := subject_of(exchange)).end_user:
            self._admit(subject, "end user")

    def _admit(self, subject: Subject, who: str) -> None:
        refusal = self.throttles.refusal(subject)
        if refusal is None:
            return
        rule, seconds = refusal
        what = f"rule {rule!r} of the policy slows this {who} down for a while; try again in {seconds} s"
        raise GatewayError("throttled", what, retry_after_seconds=seconds)

    async def prompt(self, exchange: Exchange, body: bytes) -> bytes:
        """The body that may go upstream: the same, or with spans cut out. Raises GatewayError prompt_blocked,
        prompt_unjudged, and bad_body for what servers could read in two ways.

        Sets the exchange's `replacement` if that is the answer and nothing goes upstream, and its `detour` if the body
        goes elsewhere.
        """
        if not self.acts:
            return body
        needed = needed_of(self._shared.policy, "prompt", exchange)
        if not needed:
            return body
        wanted = judging_request(
            exchange.asked.operation, caller=caller_of(exchange), prompt=body, prompt_slugs=needed, urgent=True
        )
        decider = Decider(self._shared, exchange, "prompt", needed)
        if self._head_says_something(exchange.asked):
            self._refuse_unread(decider, "field", None)
        if not SURFACES[exchange.asked.operation].judged:
            self._refuse_body(exchange, body, decider)
            return body
        if exchange.asked.operation is Operation.BATCHES and exchange.asked.file_revision != self.policy.revision:
            self._refuse_unread(decider, "file", "input_file_id")  # the file was not judged by this policy
        if completes_upload(exchange.asked.operation, exchange.asked.path):
            await self._put_together(exchange, decider)
        found = await decider.ask(wanted)
        if any(reason == "ambiguous" for _, reason in found.unread_in("prompt")):
            raise _ambiguous()
        decision = decider.rule({0: found.findings}, found)[0]
        decider.close()
        return await self._enforced(exchange, body, decider, decision, found.findings)

    @staticmethod
    async def _enforced(
        exchange: Exchange, body: bytes, decider: Decider, decision: Decision, found: Sequence[Finding]
    ) -> bytes:
        """The body as the decision lets it go upstream. Raises GatewayError prompt_blocked."""
        surface = SURFACES[exchange.asked.operation]
        if decision.action is Action.REPLACE and surface.answers is not None:
            exchange.ruling.replacement = decision.replacement
        if decision.action in PASSING or exchange.ruling.replacement:
            return body
        if decision.action not in _CUT:
            raise decider.error("prompt", decision, surface.param)
        exchange.ruling.detour = decision.reroute
        if not decision.redactions:
            return body
        if len(body) > LARGE_BODY:
            return await asyncio.to_thread(_redacted, exchange.asked.operation, body, found, decision)
        return _redacted(exchange.asked.operation, body, found, decision)

    def _refuse_body(self, exchange: Exchange, body: bytes, decider: Decider) -> None:
        """A request for a list should have no body, and nobody reads one: raises GatewayError if a rule stops that."""
        if SURFACES[exchange.asked.operation].turns is None and body.strip() not in _NOTHING:
            self._refuse_unread(decider, "operation", None)
        decider.close()

    def _head_says_something(self, asked: Asked) -> bool:
        """Whether the path, the query or a header that goes upstream holds a text, which no API puts there."""
        if target_says_something(asked.path, asked.query):
            return True
        return bool(headers_with_text(header for header in asked.headers if self._forwards(header[0])))

    async def _put_together(self, exchange: Exchange, decider: Decider) -> None:
        """Judge the lines in which the pieces of a file meet. Raises GatewayError like `upload`."""
        if exchange.asked.file_revision != self.policy.revision:
            self._refuse_unread(decider, "file", "part_ids")
            return
        try:
            await judge_seams(decider, exchange.asked.pieces)
        except GatewayError:
            decider.close()
            raise
        exchange.ruling.wholly_read = decider.judged_all

    @staticmethod
    def _refuse_unread(decider: Decider, reason: Reason, param: str | None) -> None:
        """Raises GatewayError prompt_unjudged if a rule lets nothing pass that is unread."""
        decision = decider.unread([Unread("user", reason)])
        if decision.action not in PASSING:
            decider.close()
            raise decider.error("prompt", decision, param)

    def inspection(self, exchange: Exchange, *, failed: bool = False) -> PolicyInspection:
        """The judging of one answer, which may be an error of the upstream. Close it when done."""
        return PolicyInspection(self._shared, exchange, failed=failed)

    def judges_uploads(self, exchange: Exchange) -> bool:
        """Whether an upload of this exchange has to be judged before it goes on."""
        return bool(needed_of(self._shared.policy, "prompt", exchange))

    async def upload(self, exchange: Exchange, body: bytes, headers: Mapping[bytes, bytes], *, whole: bool) -> None:
        """Judge the text in an upload, or in its beginning. Raises GatewayError prompt_blocked, prompt_unjudged and
        bad_body."""
        decider = Decider(self._shared, exchange, "prompt", needed_of(self._shared.policy, "prompt", exchange))
        try:
            if self._head_says_something(exchange.asked):
                self._refuse_unread(decider, "field", None)
            if completes_upload(exchange.asked.operation, exchange.asked.path):
                self._refuse_unread(decider, "file", None)  # its pieces are not named in JSON
            ends = await judge_upload(decider, body, headers, exchange.asked.operation, whole=whole)
            exchange.ruling.wholly_read, exchange.ruling.ends = decider.judged_all, ends
        finally:
            decider.close()


def _redacted(operation: Operation, body: bytes, findings: Sequence[Finding], decision: Decision) -> bytes:
    by_path = {passage.path: passage for passage in read_request(operation, body).passages}
    return rewrite(body, edits_of(by_path, findings, decision))


def _ambiguous() -> GatewayError:
    return GatewayError(
        "bad_body",
        "the request body has a key twice, or in another case than the API, and servers read that differently; write "
        "each key once, as the API does",
    )
