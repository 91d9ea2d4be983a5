"""Asks the detector processes and the guards that servers run together: one reply with the opinions of both.

If a guard does not answer in time, only its own opinions are missing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Generator, Sequence
from typing import Any, NamedTuple

from detectors.base import Text
from detectors.opinions import Opinion
from detectors.own.specs import Head
from gateway.judging.client import Covered, JudgingClient
from gateway.judging.messages import Findings, JudgingRequest
from gateway.judging.reading import TextToJudge, texts_to_judge
from gateway.judging.stretches import LARGE_BODY
from gateway.own_detectors.guards import TIMED_OUT, GuardModel, GuardResult
from policies.compiled import Policy

_MARGIN, _LONGEST_MARGIN_SECONDS = 0.1, 0.25  # this share of the time, and at most so much, is kept for the reply
_JUDGED = ("scanned", "skipped")


class _Asked(NamedTuple):
    """A text of a request with its number among all texts, and the guard's answer to come."""

    guard: GuardModel
    number: int
    text: TextToJudge
    heard: "asyncio.Future[GuardResult]"


class JudgingWithGuards:
    """Offers what the rest of the gateway uses of `JudgingClient`, and asks the guards too.

    Inline, a guard is asked only if the policy in force has an enforced rule that uses it. `thresholds` are the scores
    from which on a text counts as flagged.
    """

    def __init__(
        self,
        processes: JudgingClient,
        guards: Sequence[GuardModel],
        *,
        covered: Covered,
        policy: Callable[[], Policy],
        thresholds: dict[Head, float],
    ) -> None:
        self._processes = processes
        self._guards = guards
        self._covered = covered
        self._policy = policy
        self._thresholds = thresholds
        self._listened: tuple[str, frozenset[tuple[str, str]]] = ("", frozenset())

    @property
    def detectors(self) -> list[str]:
        """The detectors and guards, as name@version, whether or not they answer now."""
        return [*self._processes.detectors, *(guard.id for guard in self._guards)]

    @property
    def compared(self) -> Collection[str]:
        return self._processes.compared

    async def ready(self) -> None:
        await self._processes.ready()

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        """The findings on a request. Raises JudgingError when there are none in time."""
        return await self.ask(request, timeout_seconds)

    def ask(self, request: JudgingRequest, timeout_seconds: float) -> Coroutine[Any, Any, Findings]:
        """Send a request now; the returned coroutine waits for its findings and must be awaited. Raises
        JudgingError."""
        found = self._processes.ask(request, timeout_seconds)
        concerned = [guard for guard in self._guards if self._directions(guard, request)]
        if not concerned:
            return found
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds - min(_MARGIN * timeout_seconds, _LONGEST_MARGIN_SECONDS)
        is_large = len(request.prompt) + len(request.answer) > LARGE_BODY
        asked = None if is_large else self._shown(request, concerned, _texts(request), until)
        return _Both(found, self._joined(found, request, concerned, asked, until))

    def _directions(self, guard: GuardModel, request: JudgingRequest) -> set[str]:
        """The sides of the exchange that the guard is asked about."""
        wanted = {"prompt": request.prompt_slugs, "response": request.answer_slugs}
        return {
            direction
            for direction, slugs in guard.directions.items()
            if (slugs if wanted[direction] is None else slugs.intersection(wanted[direction] or ()))
            and (not request.urgent or (guard.id, direction) in self._enforced())
        }

    def _enforced(self) -> frozenset[tuple[str, str]]:
        """The (detector, direction) pairs that enforced rules use."""
        policy = self._policy()
        if self._listened[0] != policy.revision:
            rules = [rule for rule in policy.rules if rule.enforced and rule.action.acts]
            heads = frozenset((each.detector, each.direction) for rule in rules for each in rule.thresholds)
            self._listened = policy.revision, heads
        return self._listened[1]

    def _shown(
        self, request: JudgingRequest, guards: Sequence[GuardModel], texts: Sequence[TextToJudge], until: float
    ) -> list[_Asked]:
        """Ask the guards about their texts, the latest text first."""
        asked: list[_Asked] = []
        for guard in guards:
            directions = self._directions(guard, request)
            for number in reversed(range(len(texts))):
                passage = texts[number].passage
                if passage.direction in directions:
                    text = Text(passage.text, passage.direction, texts[number].context)
                    heard = guard.ask(request.caller, text, urgent=request.urgent, deadline=until)
                    asked.append(_Asked(guard, number, texts[number], heard))
        return asked

    async def _joined(
        self,
        found: Coroutine[Any, Any, Findings],
        request: JudgingRequest,
        guards: Sequence[GuardModel],
        asked: list[_Asked] | None,
        until: float,
    ) -> Findings:
        if asked is None:
            asked = self._shown(request, guards, await asyncio.to_thread(_texts, request), until)
        findings = await found
        left = until - asyncio.get_running_loop().time()
        waiting = [each.heard for each in asked if not each.heard.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=max(left, 0.0))
        self._note(findings, asked)
        return findings

    def _note(self, findings: Findings, asked: Sequence[_Asked]) -> None:
        """Add the guards' opinions to the findings on the same texts, and count the state of each text."""
        states: Counter[tuple[str, str]] = Counter()
        remembered: Counter[str] = Counter()
        for guard, number, text, waited in asked:
            heard = waited.result() if waited.done() else GuardResult(TIMED_OUT)
            states[guard.id, heard.state] += 1
            remembered[guard.id] += heard.remembered
            passage = text.passage
            if heard.state not in _JUDGED:
                findings.failed[guard.id] = heard.state
                told = (passage.direction, passage.channel, guard.id, heard.state)
                if told not in findings.unjudged:
                    findings.unjudged.append(told)
            elif heard.judgement is not None and number < len(findings.findings):
                finding = findings.findings[number]
                assert finding.path == list(passage.path), "both read the same texts in the same order"
                for verdict in heard.judgement.verdicts:
                    limit = self._thresholds.get((guard.id, verdict.slug, passage.direction), 2.0)
                    finding.opinions.append(Opinion(guard.id, verdict.slug, verdict.score, verdict.score >= limit, []))
        coverage = [(detector, state, texts) for (detector, state), texts in states.items()]
        findings.coverage += coverage
        self._covered(coverage, [(detector, texts) for detector, texts in remembered.items() if texts], [])


class _Both(Coroutine[Any, Any, Findings]):
    """A coroutine that wraps another one. If it is closed before it begins, both are closed."""

    def __init__(self, inner: Coroutine[Any, Any, Any], outer: Coroutine[Any, Any, Findings]) -> None:
        self._inner = inner
        self._outer = outer

    def __await__(self) -> Generator[Any, Any, Findings]:
        return (yield from self._outer.__await__())

    def send(self, value: Any) -> Any:
        return self._outer.send(value)

    def throw(self, *error: Any) -> Any:
        return self._outer.throw(*error)

    def close(self) -> None:
        self._outer.close()
        self._inner.close()


def _texts(request: JudgingRequest) -> list[TextToJudge]:
    """The texts of a request, as the detector process reads them."""
    return list(texts_to_judge(request, Findings(0, [], [], {})))
