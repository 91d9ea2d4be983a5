"""Answers `/v1/moderations` here, with our own detectors, instead of sending the texts to a model server."""

from collections.abc import Sequence
from typing import Protocol

from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.judge import Case, Findings, JudgeError, case
from gateway.openai_api import BodyError, Scored, moderation_body, number_of, read_inputs

_SECONDS = 30.0  # the answer is all that the caller wants: it may take longer than a guard


class Judging(Protocol):
    """What is needed of the detector process; `detectors` are those that answer."""

    @property
    def detectors(self) -> Sequence[str]: ...

    async def judge(self, case: Case, timeout_seconds: float) -> Findings: ...


class Moderation:
    """`/v1/moderations` as an OpenAI client knows it."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging

    async def answer(self, exchange: Exchange) -> bytes:
        """The reply to the exchange's body. Raises GatewayError bad_body, guard_unavailable."""
        try:
            inputs = read_inputs(exchange.body)
        except BodyError as error:
            raise GatewayError("bad_body", error.message, param=error.param) from None
        wanted = case(exchange.operation, prompt=exchange.body, prompt_slugs=None, urgent=True)
        try:
            findings = await self._judging.judge(wanted, _SECONDS)
        except JudgeError as error:
            raise GatewayError(
                "guard_unavailable", f"the detectors do not answer ({error.reason}); try again", retry_after_seconds=2
            ) from None
        if findings.failed and not any(finding.opinions for finding in findings.findings):
            raise GatewayError("guard_unavailable", "every detector failed on this input; the gateway's log says how")
        results = [Scored() for _ in range(inputs or 1)]
        for finding in findings.findings:
            scored = results[number_of(tuple(finding.path), inputs)]
            for opinion in finding.opinions:
                if opinion.score >= scored.scores.get(opinion.slug, 0.0):
                    scored.scores[opinion.slug] = round(opinion.score, 6)
                    scored.detectors[opinion.slug] = opinion.detector
                if opinion.flagged:
                    scored.flags.add(opinion.slug)
        model = "assay:" + "+".join(self._judging.detectors)
        return moderation_body(exchange.id.removeprefix("req_"), model, results, cut=findings.cut)
