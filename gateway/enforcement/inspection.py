"""Applies the policy to one answer: to a whole body, or to a stream stretch by stretch."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from gateway.enforcement.deciding import PASSING, Decider, Shared, edits_of, is_unjudged, needed_of
from gateway.errors import GatewayError
from gateway.exchange import Exchange, Headers, Stretch, Treatment
from gateway.judging.messages import Finding, judging_request
from gateway.judging.stretches import LARGE_BODY, Before, request_of, said_before, stretch_of
from gateway.openai_api import (
    BESIDE,
    SURFACES,
    Operation,
    Path,
    Unread,
    answers_of,
    headers_with_text,
    is_list,
    kept_back,
    lines_kept_back,
    lines_of_json,
    read_response,
    rewrite_answer,
    without_alternatives,
)
from gateway.telemetry import metrics
from policies.engine import Action, Decision

T = TypeVar("T")
_CUT_OR_LEFT = PASSING | {Action.REDACT}
_KEPT = PASSING | {Action.REDACT, Action.REPLACE}  # a choice with any other action is emptied


class PolicyInspection:
    """Decides about one answer. A stretch of a stream is shown to the detectors with what was said before.

    The policy stays the same throughout. `failed`: the answer is an error of the upstream, in which any text is read.
    `drops_alternatives`: a rule stops what nobody can read, which alternatives to tokens are. Close it when done.
    """

    def __init__(self, shared: Shared, exchange: Exchange, *, failed: bool) -> None:
        assert exchange.route is not None
        self._decider = Decider(shared, exchange, "response", needed_of(shared.policy, "response", exchange))
        self._exchange = exchange
        self._operation = Operation.OTHER if failed else exchange.asked.operation
        self._before: Before | None = None
        self._refusal: Decision | None = None
        self.drops_alternatives = self._decider.stops_unread()

    def head(self, headers: Headers) -> Headers:
        """The headers that may leave. A header with text is unread; if a rule stops that, it is left out, and the
        answer stays."""
        told = headers_with_text(headers, answered=True)
        if not told:
            return headers
        if not self.drops_alternatives:
            self._decider.unread([Unread("assistant", "field")])
            return headers
        metrics.UNREAD.labels("assistant", "field").inc()
        return [header for header in headers if header[0] not in told]

    async def whole(self, body: bytes) -> bytes:
        """The whole answer that may leave: the very same object, or a rewritten one.

        Each choice is judged by itself. A blocked one is emptied and ends with "content_filter" as long as another one
        stays; a replaced one says the policy's message. Raises GatewayError answer_blocked.
        """
        asked = self._exchange.asked
        wanted = judging_request(
            self._operation,
            caller=self._decider.caller,
            prompt=asked.body,
            answer=body,
            answer_slugs=self._decider.needed,
            urgent=True,
        )
        found = await self._decider.ask(wanted)
        by_choice = _by_choice(found.findings)
        decisions = self._decider.rule(by_choice, found)
        stopped = {choice: decision for choice, decision in decisions.items() if _is_stopped(choice, decision)}
        if stopped and not await _done(body, self._parts, stopped, decisions):
            raise self._decider.error("answer", next(iter(stopped.values())))
        if self.drops_alternatives:
            body = await _done(body, without_alternatives)
        if all(decision.action in PASSING for decision in decisions.values()):
            return body
        try:
            return await _done(body, self._rewritten, by_choice, decisions, stopped)
        except (ValueError, KeyError) as error:  # what the policy asks cannot be done, so nothing leaves
            raise GatewayError("answer_blocked", f"the answer could not be redacted: {error}") from None

    def _parts(self, body: bytes, stopped: Mapping[int, Decision], decisions: Mapping[int, Decision]) -> bool:
        """Whether the rest may leave without what is stopped: the other choices, or the other entries of a list."""
        surface = SURFACES[self._operation]
        if BESIDE in stopped:
            return False
        if self._has_entries(body):
            return not any(is_unjudged(decision) for decision in stopped.values())
        return len(stopped) < len(decisions) and surface.answers is not None and surface.answers.has_choices

    def _rewritten(
        self,
        body: bytes,
        by_choice: Mapping[int, Sequence[Finding]],
        decisions: Mapping[int, Decision],
        stopped: Collection[int],
    ) -> bytes:
        asked = self._exchange.asked
        passages = read_response(self._operation, body, asked.body).passages
        changes: dict[Path, str] = {}
        said = {passage.path: passage for passage in passages}
        for choice, findings in by_choice.items():
            if decisions[choice].action is Action.REDACT:
                changes |= edits_of(said, findings, decisions[choice])
        body = rewrite_answer(body, changes)
        if self._has_entries(body):
            kept = {n for n, each in decisions.items() if each.action not in _CUT_OR_LEFT}
            listed = SURFACES[self._operation].listed
            return kept_back(body, kept) if listed else lines_kept_back(body, kept, said)
        messages = {n: each.replacement for n, each in decisions.items() if each.action is Action.REPLACE}
        if messages or stopped:
            surface = answers_of(self._operation)
        if messages:
            body = surface.replaced(body, messages, model=asked.model, id=self._exchange.id.removeprefix("req_"))
        return surface.withheld(body, stopped) if stopped else body

    def _has_entries(self, body: bytes) -> bool:
        """Whether it is a list, or a file of lines, in which each entry is an answer by itself."""
        surface = SURFACES[self._operation]
        if surface.listed:
            return is_list(body)
        return surface.answers is None and lines_of_json(body) is not None

    async def judge(self, stretches: Sequence[Stretch]) -> list[Treatment]:
        """A treatment for each stretch; those of one choice are decided together. Calls the detectors once."""
        decider = self._decider
        if self._before is None:
            self._before = await said_before(self._exchange.asked, decider.needed, decider.compared)
        found = await decider.ask(request_of(decider.caller, self._before, stretches, decider.needed))
        groups: dict[int, list[Finding]] = {stretch.choice: [] for stretch in stretches}
        places: dict[int, list[int]] = {stretch.choice: [] for stretch in stretches}
        for finding in found.findings:
            number = stretch_of(finding)
            groups[stretches[number].choice].append(finding)
            places[stretches[number].choice].append(number)
        stopped: dict[int, Treatment] = {}
        cut: dict[int, Treatment] = {}
        for choice, decision in self._decider.rule(groups, found).items():
            if self._stops(decision):
                stopped[choice] = Treatment(blocked=True, message=decision.replacement)
            elif decision.action is Action.REDACT:
                for index, number in enumerate(places[choice]):
                    cut[number] = Treatment(cuts=decision.cuts(index))
        left = Treatment()
        return [stopped.get(stretch.choice) or cut.get(number, left) for number, stretch in enumerate(stretches)]

    def unread(self, unread: Sequence[Unread]) -> bool:
        """Whether the answer must end because it contains something unreadable."""
        return self._stops(self._decider.unread(unread))

    def _stops(self, decision: Decision) -> bool:
        stops = decision.action not in PASSING and decision.action is not Action.REDACT
        if stops and self._refusal is None:
            self._refusal = decision
        return stops

    def refusal(self) -> GatewayError | None:
        """The error of the exchange if nothing of the answer may be served."""
        if self._refusal is None:
            return None
        return self._decider.error("answer", self._refusal)

    def close(self) -> None:
        """Put the outcome on record."""
        self._decider.close()


async def _done(body: bytes, work: Callable[..., T], *arguments: object) -> T:
    """The result of work on a body, which for a large one is done off the event loop."""
    if len(body) > LARGE_BODY:
        return await asyncio.to_thread(work, body, *arguments)
    return work(body, *arguments)


def _is_stopped(choice: int, decision: Decision) -> bool:
    """Whether nothing of this choice may leave. What stands beside all choices cannot be replaced by a message."""
    return decision.action not in _KEPT or (choice == BESIDE and decision.action is Action.REPLACE)


def _by_choice(findings: Iterable[Finding]) -> dict[int, list[Finding]]:
    groups: dict[int, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.choice, []).append(finding)
    return groups
