"""THE SIDE PATH.

    take(batch) → detect (in the detector processes) → Judged → sinks: metrics · audit · ledger → acknowledge

Every sample ends with one fate: judged, expired, or failed with a reason. (Dropped is counted where it is offered.)
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from gateway.enforcement.counts import Counts
from gateway.enforcement.signals import draw_of, signals
from gateway.enforcement.subjects import Subject, subject_named
from gateway.exchange import Sample, SampleQueue, Taken
from gateway.judging.client import JudgingError
from gateway.judging.messages import Findings, JudgingRequest, judging_request
from gateway.judging.texts import texts_in
from gateway.telemetry import metrics
from gateway.trust.judged import DIRECTIONS, Direction, Judged, Sink, Texts, scores_of
from policies.engine import Context, Decision, Policy, Silent, decide

log = logging.getLogger("assay")

_BATCH = 32
_WAIT_SECONDS = 5.0
_GATHER_SECONDS = 0.5  # pause after a batch that was not full: judged together, samples cost half as much
_TOGETHER = 4  # samples in one turn of the loop: few, because traffic goes first; not one, which finds cold caches
_JUDGE_SECONDS = 60.0  # a sample that takes longer is given up, so that one hanging text does not stop the rest


class Judging(Protocol):
    """What the worker needs of the detector processes."""

    async def ready(self) -> None: ...

    def ask(self, request: JudgingRequest, timeout_seconds: float) -> Coroutine[Any, Any, Findings]: ...


class Worker:
    """Takes samples and records what the detectors say about them.

    `sinks` get each judged sample. `policy` gives the policy in force now. A sample older than `expiry_seconds` is not
    judged. `wall_clock` is Unix seconds, as in `Sample.closed_at`.
    """

    def __init__(
        self,
        queue: SampleQueue,
        judging: Judging,
        sinks: Sequence[Sink],
        *,
        policy: Callable[[], Policy],
        expiry_seconds: float,
        wall_clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._judging = judging
        self._sinks = sinks
        self._policy = policy
        self._expiry_seconds = expiry_seconds
        self._wall_clock = wall_clock
        self._counts = Counts(wall_clock)
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Work until cancelled; after `finish` was called, until the batch at hand is done.

        The first sample after a pause is judged at once; those that arrive meanwhile are judged together.
        """
        while not self._stopping:
            await self._judging.ready()
            taken = await self._queue.take(_BATCH, _WAIT_SECONDS)
            if taken:
                self._idle.clear()
                await self.work(taken)
                self._idle.set()
                if len(taken) < _BATCH:
                    await asyncio.sleep(_GATHER_SECONDS)

    async def finish(self, seconds: float) -> None:
        """Take no more samples; returns when the batch at hand is done, or after this time."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def work(self, taken: Iterable[Taken]) -> None:
        """Give every sample of a batch its fate, then acknowledge all of them."""
        batch = list(taken)
        asked = [(item.sample, reply) for item in batch if (reply := self._ask(item.sample)) is not None]
        try:
            for at in range(0, len(asked), _TOGETHER):
                await self._settle(asked[at : at + _TOGETHER])
                await asyncio.sleep(0)
        finally:
            for _, reply in asked:
                reply.close()
        await self._queue.acknowledge([item.receipt for item in batch])

    def _ask(self, sample: Sample) -> Coroutine[Any, Any, Findings] | None:
        """Send a sample to the detectors. None if it expired or could not be sent; then its fate is counted here."""
        if self._wall_clock() - sample.closed_at > self._expiry_seconds:
            metrics.tally(metrics.SAMPLES, "expired", "").add()
            return None
        try:
            return self._judging.ask(_request(sample), _JUDGE_SECONDS)
        except JudgingError as error:
            metrics.tally(metrics.SAMPLES, "failed", error.reason).add()
        except Exception:
            log.exception("sample %s could not be sent to the detectors", sample.id)
            metrics.tally(metrics.SAMPLES, "failed", "record").add()
        return None

    async def _settle(self, asked: Iterable[tuple[Sample, Coroutine[Any, Any, Findings]]]) -> None:
        """Wait for all of these, then record them."""
        for sample, findings in [(sample, await self._found(sample, reply)) for sample, reply in asked]:
            if findings is not None:
                self._record_or_log(sample, findings)

    async def _found(self, sample: Sample, reply: Coroutine[Any, Any, Findings]) -> Findings | None:
        try:
            return await reply
        except JudgingError as error:
            metrics.tally(metrics.SAMPLES, "failed", error.reason).add()
        except Exception:
            log.exception("what was found in sample %s cannot be read", sample.id)
            metrics.tally(metrics.SAMPLES, "failed", "record").add()
        return None

    def _record_or_log(self, sample: Sample, findings: Findings) -> None:
        try:
            self._record(sample, findings)
        except Exception:
            log.exception("the verdicts on sample %s could not be recorded", sample.id)
            metrics.tally(metrics.SAMPLES, "failed", "record").add()

    def _record(self, sample: Sample, findings: Findings) -> None:
        """Hand what was found to every sink. One that breaks does not keep it from the others."""
        if findings.failed and not any(finding.opinions for finding in findings.findings):
            metrics.tally(metrics.SAMPLES, "failed", "detector").add()
            return
        judged = self._judged(sample, findings)
        broken = False
        for sink in self._sinks:
            try:
                sink.take(judged)
            except Exception:
                log.exception("the verdicts on sample %s could not be recorded", sample.id)
                broken = True
        metrics.spread(metrics.SAMPLE_AGE).observe(max(0.0, self._wall_clock() - sample.closed_at))
        if broken:
            metrics.tally(metrics.SAMPLES, "failed", "record").add()
        else:
            metrics.tally(metrics.SAMPLES, "judged", judged.unread).add()

    def _judged(self, sample: Sample, findings: Findings) -> Judged:
        prompts = [finding.language for finding in findings.findings if finding.direction == "prompt"]
        return Judged(
            id=sample.id,
            at=min(sample.closed_at, self._wall_clock()),  # the other machine's clock may be ahead
            probability=sample.probability,
            route=sample.route,
            model=sample.model,
            caller=sample.principal,
            operation=sample.operation,
            outcome=sample.outcome,
            stream=sample.stream,
            guarded=sample.guarded,
            language=prompts[-1] if prompts else "",
            unread=_unread(sample, findings),
            findings=findings.findings,
            scores=scores_of(findings.findings),
            decisions=self._decide(sample, findings),
            texts=partial(texts_of, sample),
            sample=sample,
        )

    def _decide(self, sample: Sample, findings: Findings) -> dict[Direction, Decision]:
        """What every rule says. Callers and end users are counted over samples, so less often than they ask."""
        policy = self._policy()
        by_end_user, subject = policy.counted_by_end_user, Subject(sample.principal)
        if by_end_user:
            subject = subject_named(sample.principal, sample.operation, sample.prompt)
        about = Context(
            sample.model,
            sample.principal,
            draw_of(sample.id),
            self._counts.earlier(subject, policy.counted, by_end_user) if policy.counted else {},
            frozenset(Silent(detector) for detector in findings.failed),
        )
        decisions = {
            direction: decide(policy, signals(findings.findings, direction, policy), route=sample.route, about=about)
            for direction in DIRECTIONS
        }
        rules = dict.fromkeys(rule for decision in decisions.values() for rule in decision.counted)
        self._counts.add(subject, rules, by_end_user)
        return decisions


def _unread(sample: Sample, findings: Findings) -> str:
    """Why not all of a judged sample was read; empty when it was."""
    reasons = {reason for _, _, reason in findings.unread}
    if sample.cut or reasons == {"too_long"}:
        return "truncated"
    if reasons:
        return "unreadable"
    return "detector" if findings.failed else ""


def _request(sample: Sample) -> JudgingRequest:
    return judging_request(
        sample.operation,
        caller=sample.principal,
        prompt=sample.prompt,
        answer=sample.answer if sample.status < 300 else b"",
        stream=sample.stream,
        encoding=sample.encoding,
        prompt_slugs=None,
        answer_slugs=None,
        fresh=True,
    )


def texts_of(sample: Sample) -> Texts:
    """The texts of a sample, for sinks that may keep them."""
    return texts_in(sample.operation, sample.prompt, sample.answer, encoding=sample.encoding, stream=sample.stream)
