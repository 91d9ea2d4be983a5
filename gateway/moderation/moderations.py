"""Judges texts for callers who ask for it: `/v1/moderations`, `/v1/decisions` and moderated completions."""

from collections.abc import Callable, Iterable, Sequence

from gateway.errors import GatewayError
from gateway.exchange import Asked, Exchange, Stretch
from gateway.judging.client import Judging, JudgingError
from gateway.judging.messages import Finding, Findings, JudgingRequest, judging_request
from gateway.judging.stretches import request_of, said_before, stretch_of
from gateway.moderation.categories import InputScores, moderation_body, number_of, read_inputs
from gateway.moderation.completions import ModeratedAnswer
from gateway.moderation.decisions import OWN_MODEL, decision_body, read_questions
from gateway.moderation.replies import SideResult
from gateway.openai_api import BodyError, Operation, read_envelope

_SECONDS = 30.0  # the caller wants nothing but this answer, so it may take longer than a guard


class Moderation:
    """The gateway's own detectors as OpenAI's moderation.

    `held_seconds` is how long judging may delay an exchange; `held_bytes` bounds what is kept of an answer.
    """

    def __init__(self, judging: Judging, *, held_seconds: float, held_bytes: int) -> None:
        self._judging = judging
        self._held_seconds = held_seconds
        self._held_bytes = held_bytes

    def attend(self, exchange: Exchange) -> ModeratedAnswer:
        """The moderation of an exchange that asks for it. Close it when done."""
        return ModeratedAnswer(self, exchange, held_bytes=self._held_bytes)

    @property
    def model(self) -> str:
        """The name of the detectors in replies."""
        return "assay:" + "+".join(self._judging.detectors)

    def answers(self, asked: Asked) -> bool:
        """Whether a request is answered here: moderations always, decisions if they ask for the model `assay`."""
        if asked.operation is Operation.DECISIONS:
            return _model_of(asked.body) == OWN_MODEL
        return asked.operation is Operation.MODERATIONS

    async def answer(self, exchange: Exchange) -> bytes:
        """The reply to such a request. Raises GatewayError bad_body, guard_unavailable."""
        write = self._decide if exchange.asked.operation is Operation.DECISIONS else self._moderate
        try:
            return await write(exchange)
        except BodyError as error:
            raise GatewayError("bad_body", error.message, param=error.param) from None

    async def _moderate(self, exchange: Exchange) -> bytes:
        inputs = read_inputs(exchange.asked.body)
        findings = await self._all(exchange)
        by_input = _scored(_of_input(findings), lambda finding: number_of(tuple(finding.path), inputs))
        results = [by_input.get(number) or InputScores() for number in range(inputs or 1)]
        return moderation_body(exchange.id.removeprefix("req_"), self.model, results, failure=_failure(findings))

    async def _decide(self, exchange: Exchange) -> bytes:
        questions = read_questions(exchange.asked.body)
        findings = await self._all(exchange)
        scored = _scored(_of_input(findings), lambda _finding: 0).get(0) or InputScores()
        return decision_body(questions, scored, failure=_failure(findings))

    async def _all(self, exchange: Exchange) -> Findings:
        """What the detectors say about all texts of a request. Raises GatewayError guard_unavailable."""
        wanted = _of_prompt(exchange)
        try:
            findings = await self._judging.judge(wanted, _SECONDS)
        except JudgingError as error:
            raise GatewayError(
                "guard_unavailable", f"the detectors do not answer ({error.reason}); try again", retry_after_seconds=2
            ) from None
        if _nobody_answered(findings):
            raise GatewayError("guard_unavailable", "every detector failed on this input; the gateway's log says how")
        return findings

    async def input(self, exchange: Exchange) -> SideResult:
        """The result for the exchange's prompt as a whole, without the application's own system messages."""
        found = await self._judge(_of_prompt(exchange))
        if isinstance(found, str):
            return SideResult(failure=found)
        of_others = [finding for finding in found.findings if finding.channel != "system"]
        return _judged(found, _scored(of_others, lambda _finding: 0))

    async def output(self, exchange: Exchange, body: bytes, *, stream: bool) -> SideResult:
        """The result for each choice of a decoded answer."""
        asked = exchange.asked
        wanted = judging_request(
            asked.operation,
            caller=_caller(exchange),
            prompt=asked.body,
            answer=body,
            stream=stream,
            answer_slugs=None,
            urgent=True,
        )
        found = await self._judge(wanted)
        if isinstance(found, str):
            return SideResult(failure=found)
        return _judged(found, _scored(found.findings, lambda finding: finding.choice))

    async def stretches(self, exchange: Exchange, stretches: Sequence[Stretch]) -> SideResult:
        """The result for each choice of a stream, of which these are all texts."""
        before = await said_before(exchange.asked, None, self._judging.compared)
        found = await self._judge(request_of(_caller(exchange), before, stretches, None))
        if isinstance(found, str):
            return SideResult(failure=found)
        return _judged(found, _scored(found.findings, lambda finding: stretches[stretch_of(finding)].choice))

    async def _judge(self, wanted: JudgingRequest) -> Findings | str:
        """The findings, or why there are none."""
        try:
            findings = await self._judging.judge(wanted, self._held_seconds)
        except JudgingError as error:
            return error.reason
        if findings.unread and not findings.findings:
            return "unreadable"
        return "detector" if findings.findings and _nobody_answered(findings) else findings


def _of_prompt(exchange: Exchange) -> JudgingRequest:
    asked = exchange.asked
    return judging_request(asked.operation, caller=_caller(exchange), prompt=asked.body, prompt_slugs=None, urgent=True)


def _caller(exchange: Exchange) -> str:
    return exchange.principal.name if exchange.principal else ""


def _model_of(body: bytes) -> str | None:
    try:
        return read_envelope(body).model
    except BodyError:
        return None


def _scored(findings: Iterable[Finding], group: Callable[[Finding], int]) -> dict[int, InputScores]:
    """The highest score of each sub-category and the flags, for each group of texts."""
    groups: dict[int, InputScores] = {}
    for finding in findings:
        highest = groups.setdefault(group(finding), InputScores())
        for opinion in finding.opinions:
            if opinion.score >= highest.scores.get(opinion.slug, 0.0):
                highest.scores[opinion.slug] = round(opinion.score, 6)
                highest.detectors[opinion.slug] = opinion.detector
            if opinion.flagged:
                highest.flags.add(opinion.slug)
    return groups


def _of_input(findings: Findings) -> list[Finding]:
    """What was found in the field `input`: text in any other field gets no result."""
    return [finding for finding in findings.findings if finding.path[:1] == ["input"]]


def _nobody_answered(findings: Findings) -> bool:
    return bool(findings.failed) and not any(finding.opinions for finding in findings.findings)


def _judged(found: Findings, groups: dict[int, InputScores]) -> SideResult:
    return SideResult(groups or {0: InputScores()}, _failure(found))


def _failure(found: Findings) -> str:
    """Why some detector did not judge all of the text; empty if all did. Unread text never counts as clean."""
    states = {state for _, state, _ in found.coverage}
    if found.failed and found.findings:
        return "detector"
    reasons = {reason for _, channel, reason in found.unread if channel != "system"}
    if "timed_out" in states:
        return "timed_out"
    if reasons - {"too_long"} or "unreadable" in states:
        return "unreadable"
    return "truncated" if reasons or "truncated" in states else ""
