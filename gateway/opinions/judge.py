"""Asks a judge model about an exchange: within its budget, with retries where they may help, counting each failure."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from detectors.base import Role, Text
from gateway.judging.budget import CallBudget, TokenPrices
from gateway.judging.dialects import (
    Dialect,
    JudgeLabel,
    JudgeRequest,
    Labels,
    NonsenseError,
    Options,
    merged,
    tokens_of,
)
from gateway.telemetry import metrics
from gateway.upstream.posts import PostAnswer, PostError

log = logging.getLogger("assay")

JudgeLabels = Mapping[tuple[Role, str], JudgeLabel]  # by side and sub-category
NONSENSE = "nonsense"
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class Post(Protocol):
    """The way to the judge: `upstream.posts.Poster`."""

    async def post(self, path: str, body: bytes) -> PostAnswer: ...


class JudgeError(Exception):
    """The judge gave no opinion. `again` says that a later try may get one."""

    def __init__(self, reason: str, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.again = again


@dataclass(slots=True)
class Spent:
    """What a judge has cost since the start."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


class Retries(NamedTuple):
    """How often a request is sent again after a failure that may pass. The pauses are random, and the longest possible
    one doubles each time."""

    times: int = 2
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random

    async def pause(self, attempt: int, asked_seconds: float) -> None:
        longest = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
        await self.sleep(min(max(asked_seconds, self.draw() * longest), _LONGEST_PAUSE_SECONDS))


class Judge:
    """One judge model. `spent` is what it has cost since the start."""

    def __init__(
        self,
        dialect: Dialect,
        options: Options,
        post: Post,
        budget: CallBudget,
        *,
        prices: TokenPrices = TokenPrices(),
        retries: Retries = Retries(),
    ) -> None:
        self.dialect = dialect
        self.options = options
        self.spent = Spent()
        self._post = post
        self._budget = budget
        self._prices = prices
        self._retries = retries

    async def opinion(self, texts: Sequence[Text], wanted: Mapping[Role, frozenset[str]]) -> JudgeLabels:
        """Labels for the wanted sub-categories of each side, as far as the judge has an opinion.

        Raises JudgeError when it could not be asked, or when none of its answers could be read.
        """
        found: dict[tuple[Role, str], JudgeLabel] = {}
        asked = 0
        for text in texts:
            requests = self.dialect.requests(text, wanted.get(text.role, frozenset()), self.options)
            answers = [(request, await self._labels(text, request)) for request in requests]
            found |= {(text.role, slug): label for slug, label in merged(answers).items()}
            asked += len(requests)
        if asked and not found:
            raise JudgeError(NONSENSE, "no answer could be understood", again=False)
        return found

    async def _labels(self, text: Text, request: JudgeRequest) -> Labels:
        """The labels of one request; none where the answer cannot be read, which is counted. Raises JudgeError."""
        answer = await self._answer(request)
        try:
            labels = self.dialect.labels(text, request, answer)
        except NonsenseError as error:
            log.info("the judge model %s: %s", self.options.model, error)
            _count_failure(NONSENSE)
            return {}
        return labels

    async def _answer(self, request: JudgeRequest) -> bytes:
        attempt = 0
        while True:
            await self._afford()
            try:
                answer = await self._post.post(request.path, request.body)
            except PostError as error:
                self.spent.calls += 1
                _count_failure(error.reason)
                if not error.again or attempt >= self._retries.times:
                    raise JudgeError(error.reason, str(error), again=error.again) from error
                await self._retries.pause(attempt, error.wait_seconds)
                attempt += 1
                continue
            self._pay(request, answer)
            return answer.body

    async def _afford(self) -> None:
        """Wait until the budget has room for a call."""
        which, seconds = self._budget.exhausted()
        if seconds > 0:
            metrics.tally(metrics.OPINION_BUDGET, which).add()
        while seconds > 0:
            await self._retries.sleep(seconds)
            which, seconds = self._budget.exhausted()
        self._budget.call()

    def _pay(self, request: JudgeRequest, answer: PostAnswer) -> None:
        tokens = tokens_of(request, answer.body)
        self._budget.used(tokens.input + tokens.output)
        cost = self._prices.cost(tokens.input, tokens.output)
        self.spent.calls += 1
        self.spent.input_tokens += tokens.input
        self.spent.output_tokens += tokens.output
        self.spent.cost += cost
        metrics.tally(metrics.OPINION_CALLS, "answered").add()
        metrics.spread(metrics.OPINION_DURATION).observe(answer.seconds)
        metrics.tally(metrics.OPINION_TOKENS, "input").add(tokens.input)
        metrics.tally(metrics.OPINION_TOKENS, "output").add(tokens.output)
        metrics.tally(metrics.OPINION_COST).add(cost)


def _count_failure(reason: str) -> None:
    if reason != NONSENSE:
        metrics.tally(metrics.OPINION_CALLS, "failed").add()
    metrics.tally(metrics.OPINION_FAILURES, reason).add()
