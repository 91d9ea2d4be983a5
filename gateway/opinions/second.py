"""Second opinions of a judge model, beside the traffic. Drawn samples wait here with their texts, only in memory."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectors.base import Role, Text
from gateway.opinions.allocation import Allocation, Needed
from gateway.opinions.controls import Controls
from gateway.opinions.exhibits import texts_of
from gateway.opinions.habits import Habits
from gateway.opinions.judge import NONSENSE, Judge, JudgeError, JudgeLabels
from gateway.opinions.texts import Keep
from gateway.opinions.thinned import ThinnedQueue
from gateway.stores.breaker import Breaker
from gateway.telemetry import metrics
from gateway.trust.drawing import DrawBudget, is_drawn
from gateway.trust.judged import DIRECTIONS, Judged
from gateway.trust.ledger import Ledger, LedgerError
from gateway.trust.second_opinion import Label, SecondOpinion

log = logging.getLogger("assay")

AT_ONCE = 2  # samples that are shown to the judge at the same time
_IDLE_SECONDS = 0.5
_MOST_UNWRITTEN = 1_000  # opinions, while the ledger cannot be written


@dataclass(frozen=True, slots=True)
class DrawnForOpinion:
    """A sample that waits for the judge. `asked` is what the judge is asked about, `flags` what the detectors flagged,
    both by (side, sub-category)."""

    sample: str
    at: float
    texts: Sequence[Text]
    asked: frozenset[tuple[Role, str]]
    flags: dict[tuple[Role, str], bool]

    def wanted(self, role: Role) -> frozenset[str]:
        return frozenset(slug for side, slug in self.asked if side == role)


@dataclass(frozen=True, slots=True)
class WaitingBounds:
    """At most `waiting` samples wait. A sample that waited longer than `expiry_seconds`, or that has more than so many
    `characters`, is not shown to the judge."""

    waiting: int = 256
    expiry_seconds: float = 3600.0
    characters: int = 20_000


class SecondOpinions:
    """A sink. `only` are the sub-categories to ask about, all when empty. `clock` gives Unix seconds, as in
    `Judged.at`. `needed` says how much a label of a sample would tell. `keep` stores the texts of answered samples, if
    the operator allows it.

    Every drawn sample gets one opinion in the ledger, without labels if the judge gave none. So its probability is
    known, and so is the number of samples that the judge did not answer.
    """

    def __init__(
        self,
        judge: Judge,
        ledger: Ledger,
        budget: DrawBudget,
        *,
        bounds: WaitingBounds = WaitingBounds(),
        only: frozenset[str] = frozenset(),
        clock: Callable[[], float],
        draw: Callable[[], float],
        needed: Needed = Allocation().need,
        keep: Keep | None = None,
    ) -> None:
        self._judge = judge
        self._ledger = ledger
        self._budget = budget
        self._bounds = bounds
        self._only = only
        self._clock = clock
        self._needed = needed
        self._keep = keep
        self._queue: ThinnedQueue[DrawnForOpinion] = ThinnedQueue(bounds.waiting, draw=draw)
        self._breaker = Breaker("the judge model does not answer", "the judge model answers again", draw=draw)
        self._unwritten: list[SecondOpinion] = []
        self._controls = Controls()
        self.habits = Habits()
        self.name = f"{judge.options.model}@{judge.dialect.name}"

    def take(self, judged: Judged) -> None:
        """Draw a sample with a known probability; if it is drawn, let it wait."""
        probability = self._budget.probability(self._needed(judged.scores).value)
        if probability <= 0 or not is_drawn(judged.id, probability):
            return
        drawn = self._drawn(judged)
        if drawn.asked:
            _count("dropped", self._queue.offer(drawn, probability))

    def _drawn(self, judged: Judged) -> DrawnForOpinion:
        """The judge is asked about what the detectors judged or, where the operator named sub-categories, about these,
        even if no detector judges them."""
        flags: dict[tuple[Role, str], bool] = {(side, opinion.slug): opinion.flagged for side, opinion in judged.scores}
        about, said = self._judge.dialect.about, {finding.direction for finding in judged.findings}
        asked = frozenset(
            (side, slug)
            for side in DIRECTIONS
            if side in said
            for slug in about(side) & (self._only or {slug for role, slug in flags if role == side})
        )
        return DrawnForOpinion(judged.id, judged.at, texts_of(judged) if asked else (), asked, flags)

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._ask_for_ever())

    async def _ask_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._breaker.pause())
            if not await self.ask_one():
                await asyncio.sleep(_IDLE_SECONDS)

    async def ask_one(self) -> bool:
        """Show the judge the sample that has waited longest; False when none waits."""
        taken = self._queue.take()
        metrics.OPINION_WAITING.set(len(self._queue))
        if taken is None:
            await self._write()
            return False
        drawn, probability = taken
        if self._clock() - drawn.at > self._bounds.expiry_seconds:
            await self._settle("expired", drawn, probability, {})
        elif sum(len(text.text) for text in drawn.texts) > self._bounds.characters:
            metrics.tally(metrics.OPINION_FAILURES, "too_long").add()
            await self._settle("failed", drawn, probability, {})
        else:
            await self._ask(drawn, probability)
        return True

    async def _ask(self, drawn: DrawnForOpinion, probability: float) -> None:
        wanted: dict[Role, frozenset[str]] = {"prompt": drawn.wanted("prompt"), "response": drawn.wanted("response")}
        try:
            opinion = await self._judge.opinion(drawn.texts, wanted)
        except JudgeError as error:
            if error.again:
                self._breaker.failed(error)
                self._queue.put_back(drawn, probability)
            else:
                if error.reason == NONSENSE:
                    self.habits.add_nonsense()
                    self._tell_news()
                await self._settle("failed", drawn, probability, {})
            return
        except asyncio.CancelledError:
            self._queue.put_back(drawn, probability)
            raise
        self._breaker.answered()
        self.habits.add(opinion, drawn.flags)
        await self._check(wanted)
        self._tell_news()
        if self._keep and opinion:
            self._keep(drawn.sample, drawn.at, {text.role: text.text for text in drawn.texts})
        await self._settle("answered" if opinion else "failed", drawn, probability, opinion)

    async def _check(self, wanted: Mapping[Role, frozenset[str]]) -> None:
        """Show the judge a harmless exchange, if one is due, with the same questions. Failures are not tried again."""
        texts = self._controls.due()
        with contextlib.suppress(JudgeError):  # counted already
            self.habits.add_control(await self._judge.opinion(texts, wanted))

    def _tell_news(self) -> None:
        for warning in self.habits.news():
            log.warning("the judge model %s: %s", self._judge.options.model, warning)

    async def _settle(self, fate: str, drawn: DrawnForOpinion, probability: float, opinion: JudgeLabels) -> None:
        """One fate for each drawn sample, and one opinion in the ledger."""
        _count(fate)
        exact = self._judge.dialect.probabilities
        labels = [Label(side, slug, said.score if exact else float(said.yes)) for (side, slug), said in opinion.items()]
        given = SecondOpinion(drawn.sample, self._clock(), "judge", self.name, probability, labels)
        self._unwritten = [*self._unwritten, given][-_MOST_UNWRITTEN:]
        await self._write()

    async def _write(self) -> None:
        """Write opinions to the ledger; those that cannot be written now wait for the next call."""
        batch, self._unwritten = self._unwritten, []
        if not batch:
            return
        try:
            gone = await self._ledger.opine(batch)
        except LedgerError as error:
            log.info("second opinions wait for the ledger: %s", error)
            self._unwritten = [*batch, *self._unwritten][-_MOST_UNWRITTEN:]
            return
        if gone:
            log.info("%d second opinions came for samples that are no longer in the ledger", len(gone))

    def report(self) -> dict[str, Any]:
        """What `/trust/v1/judge` shows."""
        spent = self._judge.spent
        return {
            "model": self._judge.options.model,
            "dialect": self._judge.dialect.name,
            "answers": self._breaker.closed,
            "waiting": len(self._queue),
            "share_let_in": self._queue.share,
            "calls": spent.calls,
            "input_tokens": spent.input_tokens,
            "output_tokens": spent.output_tokens,
            "cost": round(spent.cost, 6),
            "subcategories": self.habits.rows(),
            "warnings": self.habits.warnings(),
        }


def _count(fate: str, samples: int = 1) -> None:
    if samples:
        metrics.tally(metrics.OPINION_ITEMS, fate).add(samples)
