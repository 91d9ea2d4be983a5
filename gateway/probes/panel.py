"""What probes ask the detectors: opinions on another model's answer, and whether two answers contradict each other."""

import json
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, Protocol

from detectors.opinions import Opinion
from gateway.exchange import Sample
from gateway.judging.client import JudgingError
from gateway.judging.messages import Findings, JudgingRequest, judging_request
from gateway.openai_api import Operation
from gateway.probes.changes.conversation import Conversation
from gateway.probes.replay import answer_saying
from gateway.trust.judged import scores_of

_SECONDS = 30.0
_CONTRADICTION = "inconsistency"  # the sub-category of an answer that contradicts an earlier one


class ProbePanel(Protocol):
    """Both methods return nothing if the detectors do not answer: the probe is then decided without them."""

    async def opinions(self, sample: Sample, answer: bytes) -> Mapping[str, Opinion]:
        """The strongest opinion by sub-category on another answer to the same request."""
        ...

    async def contradiction(self, conversation: Conversation, answer: str) -> float | None:
        """A detector's score for an answer contradicting the first one; None where no detector says."""
        ...


class NoPanel:
    """The panel of a gateway without detectors."""

    async def opinions(self, sample: Sample, answer: bytes) -> Mapping[str, Opinion]:  # noqa: ARG002
        return {}

    async def contradiction(self, conversation: Conversation, answer: str) -> float | None:  # noqa: ARG002
        return None


class Judging(Protocol):
    """The detector processes."""

    def judge(self, request: JudgingRequest, timeout_seconds: float) -> Coroutine[Any, Any, Findings]: ...


class DetectorPanel:
    """Asks the detector processes. `slugs` are the sub-categories that they judge."""

    def __init__(self, judging: Judging, slugs: Collection[str]) -> None:
        self._judging = judging
        self._contradicts = _CONTRADICTION in slugs

    async def opinions(self, sample: Sample, answer: bytes) -> Mapping[str, Opinion]:
        request = judging_request(sample.operation, prompt=sample.prompt, answer=answer, answer_slugs=None, fresh=True)
        return await self._ask(request)

    async def contradiction(self, conversation: Conversation, answer: str) -> float | None:
        if not self._contradicts:
            return None
        found = await self._ask(_beside_each_other(conversation, answer))
        return found[_CONTRADICTION].score if _CONTRADICTION in found else None

    async def _ask(self, request: JudgingRequest) -> Mapping[str, Opinion]:
        try:
            findings = await self._judging.judge(request, _SECONDS)
        except JudgingError:
            return {}
        return {opinion.slug: opinion for side, opinion in scores_of(findings.findings) if side == "response"}


def _beside_each_other(conversation: Conversation, answer: str) -> JudgingRequest:
    """A request with the second answer as the model's next turn after the first: so a detector reads a change of
    mind."""
    asked = "\n\n".join(said.text for said in conversation.texts if said.channel == "user")
    messages = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": conversation.answer},
        {"role": "user", "content": asked},
    ]
    return judging_request(
        Operation.CHAT,
        prompt=json.dumps({"messages": messages}).encode(),
        answer=answer_saying(Operation.CHAT, answer),
        answer_slugs=[_CONTRADICTION],
    )
