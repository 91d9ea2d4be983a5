"""Judging that shows in the trace of its request."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

from gateway.judging.client import Judging
from gateway.judging.messages import Findings, JudgingRequest


class TracedJudging:
    """The same judging. `guarding` is entered for each request, with the direction that is judged."""

    def __init__(self, judging: Judging, guarding: Callable[[str], AbstractContextManager[None]]) -> None:
        self._judging = judging
        self._guarding = guarding

    @property
    def detectors(self) -> Sequence[str]:
        return self._judging.detectors

    @property
    def compared(self) -> Collection[str]:
        return self._judging.compared

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        """Raises JudgingError when there are no findings in time."""
        answers = bool(request.answer or request.stretches)
        with self._guarding("response" if answers else "prompt"):
            return await self._judging.judge(request, timeout_seconds)
