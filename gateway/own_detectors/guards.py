"""A guard that a server runs, asked in one of the dialects of judge models: within a budget and a deadline, and only
once about the same text.

A model server batches the calls that are under way, so up to `at_once` calls are made at a time, urgent ones first.
Where the guard has no opinion of a text, the text gets a state as with any other detector: `timed_out`, `truncated`
(longer than what the guard may be shown) or `errored`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from detectors.base import Judgement, State, Text, Verdict
from detectors.own.specs import ServedGuard
from gateway.judging.budget import CallBudget
from gateway.judging.dialects import Dialect, NonsenseError, Options, merged, tokens_of
from gateway.judging.memory import JudgedTexts, Key
from gateway.telemetry import metrics
from gateway.upstream.posts import PostAnswer, PostError

log = logging.getLogger("assay")

TIMED_OUT, ERRORED = "timed_out", "errored"
RESULTS = ("answered", "timed_out", "failed", "nonsense", "no_budget", "overloaded", "too_long")
_HARMLESS = "Hello."


class Post(Protocol):
    """The way to the guard: `upstream.posts.Poster`."""

    async def post(self, path: str, body: bytes) -> PostAnswer: ...


class GuardBounds(NamedTuple):
    """How many calls are made at once, how many texts may wait, and how long a text may be."""

    at_once: int = 16
    waiting_texts: int = 1000
    max_characters: int = 20_000


class GuardResult(NamedTuple):
    """The result for a text: a State's value, `timed_out` or `errored`, and the judgement if there is one.

    `why` tells the operator what went wrong. `remembered` says that the text had been judged before.
    """

    state: str
    judgement: Judgement | None = None
    why: str = ""
    remembered: bool = False


class _Call:
    """A text that waits for its answer, or has it. Others who ask about the same text meanwhile share the call."""

    def __init__(self, key: Key, text: Text, deadline: float) -> None:
        self.key = key
        self.text = text
        self.deadline = deadline
        self.is_begun = False
        self.heard: asyncio.Future[GuardResult] = asyncio.get_running_loop().create_future()


class GuardModel:
    """`run` makes the calls; `ask` asks for an answer. `clock` gives monotonic seconds."""

    def __init__(
        self,
        spec: ServedGuard,
        dialect: Dialect,
        options: Options,
        post: Post,
        budget: CallBudget,
        *,
        bounds: GuardBounds = GuardBounds(),
        memory: JudgedTexts,
        clock: Callable[[], float],
    ) -> None:
        self.id = spec.id
        self.name = spec.name
        self.directions = {direction: frozenset(spec.slugs.get(direction, ())) for direction in spec.roles}
        self._dialect = dialect
        self._options = options
        self._post = post
        self._budget = budget
        self._bounds = bounds
        self._memory = memory
        self._clock = clock
        # Urgent calls first, then in the order in which they came.
        self._waiting: asyncio.PriorityQueue[tuple[bool, int, _Call]] = asyncio.PriorityQueue()
        self._under_way: dict[Key, _Call] = {}
        self._number = 0
        self._why = ""  # why the last call failed; empty if it did not

    async def run(self) -> None:
        """Make calls until cancelled. The first one is a probe, so that the log says if the guard does not answer."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.probe())
            for _ in range(self._bounds.at_once):
                group.create_task(self._work())

    async def probe(self) -> str:
        """Ask about a harmless text; returns what went wrong, or an empty text."""
        direction = next(iter(self.directions))
        return (await self._judged(Text(_HARMLESS, direction))).why

    def ask(self, caller: str, text: Text, *, urgent: bool, deadline: float) -> "asyncio.Future[GuardResult]":
        """Ask the guard about a text. The call is made whether or not anybody awaits the answer."""
        if not text.text.strip() or text.role not in self.directions:
            return _known(GuardResult(State.SKIPPED.value))
        key = self._memory.key(caller, text, self._memory.digest(text.text))
        before = self._memory.of(key).get(self.id)
        if before is not None:
            return _known(GuardResult(before.state.value, before, remembered=True))
        call = self._under_way.get(key)
        if call is None:
            if self._waiting.qsize() >= self._bounds.waiting_texts:
                return _known(self._not_judged("overloaded", ERRORED, "too many texts wait for it"))
            call = self._under_way[key] = _Call(key, text, deadline)
        elif not urgent:
            return call.heard
        call.deadline = max(call.deadline, deadline)
        self._number += 1
        self._waiting.put_nowait((not urgent, self._number, call))
        return call.heard

    async def _work(self) -> None:
        """Make one call after the other."""
        while True:
            _, _, call = await self._waiting.get()
            if call.is_begun:
                continue
            call.is_begun = True
            in_time = self._clock() < call.deadline
            try:
                heard = await self._judged(call.text) if in_time else self._late()
            finally:  # after a cancelled call the text can be asked about again
                del self._under_way[call.key]
            if heard.judgement is not None:
                self._memory.keep({call.key: {self.id: heard.judgement}})
            if not call.heard.done():
                call.heard.set_result(heard)

    def _late(self) -> GuardResult:
        return self._not_judged("timed_out", TIMED_OUT, "no call was free in time")

    async def _judged(self, text: Text) -> GuardResult:
        try:
            return await self._heard(text)
        except Exception:
            log.exception("the guard %s could not be asked", self.name)
            return self._not_judged("failed", ERRORED, "it could not be asked")

    async def _heard(self, text: Text) -> GuardResult:
        if len(text.text) > self._bounds.max_characters:
            return self._not_judged("too_long", State.TRUNCATED.value, "the text is longer than max_characters")
        about = self.directions[text.role]
        answers = []
        for request in self._dialect.requests(text, about, self._options):
            which, seconds = self._budget.exhausted()
            if seconds > 0:
                return self._not_judged("no_budget", ERRORED, f"the {which} of this hour are spent")
            self._budget.call()
            try:
                answer = await self._post.post(request.path, request.body)
            except PostError as error:
                return self._failed(error)
            tokens = tokens_of(request, answer.body)
            self._budget.used(tokens.input + tokens.output)
            metrics.spread(metrics.OWN_CALL_DURATION, self.id).observe(answer.seconds)
            try:
                answers.append((request, self._dialect.labels(text, request, answer.body)))
            except NonsenseError as error:
                return self._not_judged("nonsense", ERRORED, str(error))
        self._tell("")
        metrics.tally(metrics.OWN_CALLS, self.id, "answered").add()
        labels = merged(answers)
        verdicts = tuple(Verdict(self.id, slug, labels[slug].score) for slug in sorted(labels))
        return GuardResult(State.SCANNED.value, Judgement(State.SCANNED, verdicts))

    def _failed(self, error: PostError) -> GuardResult:
        if error.reason == "timeout":
            return self._not_judged("timed_out", TIMED_OUT, str(error))
        return self._not_judged("failed", ERRORED, str(error))

    def _not_judged(self, result: str, state: str, why: str) -> GuardResult:
        metrics.tally(metrics.OWN_CALLS, self.id, result).add()
        self._tell(why if result != "too_long" else self._why)
        return GuardResult(state, why=why)

    def _tell(self, why: str) -> None:
        """Log the first failure, and the first answer after it."""
        if bool(why) != bool(self._why):
            if why:
                log.warning("the detector %s does not judge: %s; each rule's on_error decides", self.name, why)
            else:
                log.warning("the detector %s judges again", self.name)
        self._why = why


def _known(heard: GuardResult) -> "asyncio.Future[GuardResult]":
    future: asyncio.Future[GuardResult] = asyncio.get_running_loop().create_future()
    future.set_result(heard)
    return future
