"""Probes beside the traffic: drawn requests wait here and are sent again, and the results go into the ledger."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import structs

from detectors.opinions import Opinion
from gateway.exchange import Sample, Usage
from gateway.judging.budget import CallBudget
from gateway.judging.dialects import JudgeRequest, tokens_of
from gateway.opinions.judge import Spent
from gateway.probes.answers import ReadAnswer
from gateway.probes.changes.conversation import Conversation, Edits
from gateway.probes.comparing import is_call
from gateway.probes.drawn import DrawnForProbe
from gateway.probes.ending import was_cut
from gateway.probes.lane import Lane
from gateway.probes.panel import NoPanel, ProbePanel
from gateway.probes.replay import answer_in, answer_saying, body_of, conversation_of, path_of, why_not
from gateway.probes.table import SHADOW, Probe, ProbeFinding, Reply, first_answer
from gateway.telemetry import metrics
from gateway.trust import drawing
from gateway.trust.judged import PROBE, Direction, Judged, Sink
from gateway.upstream.posts import PostError

log = logging.getLogger("assay")

_IDLE_SECONDS = 1.0
_LONGEST_SLEEP_SECONDS = 30.0
_MOST_TRIES = 2
LOOKS_PER_HOUR = 5 * 3600.0  # requests that are read to see which probes apply; bounded because reading costs time


class Prices(Protocol):
    """What tokens cost: `access.prices.Prices`."""

    def cost(self, model: str, usage: Usage) -> float | None: ...


class NoPrices:
    """Nothing has a price."""

    def cost(self, model: str, usage: Usage) -> float | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class ProbeBounds:
    """A drawn sample that waited longer than `expiry_seconds` is not sent again; a request longer than `characters`
    never is."""

    expiry_seconds: float = 3600.0
    characters: int = 20_000


class Prober:
    """A sink of judged samples. `clock` gives Unix seconds, as in `Judged.at`; budgets have clocks of their own.

    `lanes` are by (route, upstream), and routes may share one; traffic without a lane is not sent again. `budgets` says
    for each probe how many samples to draw. `ledger` takes each finding as a judged sample of its own, with the product
    of all probabilities that led to it. `note` writes a line to the audit file for each finding.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        budgets: Mapping[str, drawing.DrawBudget],
        lanes: Mapping[tuple[str, str], Lane],
        spending: CallBudget,
        ledger: Sink,
        *,
        bounds: ProbeBounds = ProbeBounds(),
        looks: drawing.DrawBudget,
        shadow: Lane | None = None,
        panel: ProbePanel | None = None,
        prices: Prices | None = None,
        note: Callable[[str, Mapping[str, Any]], None] = lambda _, __: None,
        clock: Callable[[], float],
    ) -> None:
        self._probes = probes
        self._budgets = budgets
        self._lanes = lanes
        self._spending = spending
        self._ledger = ledger
        self._bounds = bounds
        self._looks = looks
        self._shadow = shadow
        self._panel = panel or NoPanel()
        self._prices = prices or NoPrices()
        self._note = note
        self._clock = clock
        self._routes = frozenset(route for route, _ in lanes)
        self.spent = Spent()
        self.unpriced = False

    # --- drawing

    def take(self, judged: Judged) -> None:
        """Draw a sample for probes with known probabilities; what is drawn waits."""
        sample = judged.sample
        if sample is None or sample.route not in self._routes:
            return
        looked = self._looks.probability()
        if looked <= 0 or not _is_drawn(sample.id, "look", looked):
            return
        lane = self._lanes.get((sample.route, sample.upstream))
        reason = "upstream" if lane is None else why_not(sample, self._bounds.characters)
        conversation = reason or conversation_of(sample)
        if isinstance(conversation, str):
            metrics.tally(metrics.PROBE_PASSED, conversation).add()
        elif lane is not None:
            self._draw(judged, conversation, lane, looked)

    def _draw(self, judged: Judged, conversation: Conversation, lane: Lane, looked: float) -> None:
        for probe in self._probes.values():
            drawn = DrawnForProbe(judged, conversation, probe)
            if probe.requests(conversation, drawn.draw) is None:
                continue
            probability = self._budgets[probe.name].probability()
            if probability > 0 and _is_drawn(judged.id, probe.name, probability):
                queue = (self._shadow if probe.name == SHADOW and self._shadow else lane).queue
                for name, dropped in queue.offer(drawn, looked * probability).items():
                    _count(self._probes[name], "dropped", dropped)

    # --- asking

    @property
    def lanes(self) -> list[Lane]:
        """Every lane once; routes with the same upstream share one."""
        return list(dict.fromkeys([*self._lanes.values(), *([self._shadow] if self._shadow else [])]))

    async def run(self) -> None:
        """Send requests until cancelled, to each upstream one at a time."""
        async with asyncio.TaskGroup() as group:
            for lane in self.lanes:
                group.create_task(self._ask_for_ever(lane))

    async def _ask_for_ever(self, lane: Lane) -> None:
        while True:
            seconds = await self.step(lane)
            if seconds > 0:
                await asyncio.sleep(min(seconds, _LONGEST_SLEEP_SECONDS))

    async def step(self, lane: Lane) -> float:
        """Finish the sample whose turn it is, and return in how many seconds there may be more to do."""
        metrics.PROBE_WAITING.set(sum(len(each.queue) for each in self.lanes))
        if not len(lane.queue):
            return _IDLE_SECONDS
        wait = self._wait_seconds(lane)  # checked before a turn is taken, so that nobody loses a turn by waiting
        if wait > 0:
            return wait
        taken = lane.queue.take()
        if taken is None:
            return _IDLE_SECONDS
        drawn, probability = taken
        if self._clock() - drawn.judged.at > self._bounds.expiry_seconds:
            _count(drawn.probe, "expired")
        else:
            await self._ask(drawn, probability, lane)
        return 0.0

    def _wait_seconds(self, lane: Lane) -> float:
        rest = lane.rest_seconds()
        if rest > 0:
            return rest
        which, seconds = self._spending.exhausted()
        if seconds > 0:
            metrics.tally(metrics.PROBE_BUDGET, which).add()
        return seconds

    async def _ask(self, drawn: DrawnForProbe, probability: float, lane: Lane) -> None:
        try:
            finding = await self._finding(drawn, lane)
        except PostError as error:
            self._failed(error, drawn, probability, lane)
            return
        except (KeyError, ValueError):  # the request cannot be changed where it was read
            log.exception("a request could not be changed for the probe %s", drawn.probe.name)
            _count(drawn.probe, "failed")
            return
        except asyncio.CancelledError:
            lane.queue.put_back(drawn, probability)
            raise
        lane.answered()
        _count(drawn.probe, "answered" if finding.outcomes else "undecided")
        if finding.outcomes:
            self._record(drawn, probability, finding)

    async def _finding(self, drawn: DrawnForProbe, lane: Lane) -> ProbeFinding:
        sample, probe = drawn.judged.sample, drawn.probe
        assert sample is not None
        replies = [
            await self._reply(edits, sample, drawn, lane)
            for edits in probe.requests(drawn.conversation, drawn.draw) or []
        ]
        return probe.finding(drawn.conversation, replies, await self._before(sample, drawn))

    async def _before(self, sample: Sample, drawn: DrawnForProbe) -> Mapping[str, Opinion]:
        """The panel's opinions on the first answer: those of when it came, unless they are on more than counts."""
        if drawn.probe.name == SHADOW and drawn.conversation.cut:
            return await self._opinions(sample, sample.answer, first_answer(drawn.conversation))
        return {opinion.slug: opinion for side, opinion in drawn.judged.scores if side == "response"}

    async def _reply(self, edits: Edits, sample: Sample, drawn: DrawnForProbe, lane: Lane) -> Reply:
        path, body = path_of(sample.operation), body_of(sample, edits, lane.model)
        answer = await self._sent(path, body, lane, lane.model or sample.model)
        reply = Reply(answer_in(sample.operation, answer), cut=was_cut(answer, sample.prompt))
        if drawn.probe.name == SHADOW:
            return reply._replace(opinions=await self._opinions(sample, answer, ReadAnswer(reply.text, reply.cut)))
        return reply._replace(contradiction=await self._contradiction(drawn.conversation, reply))

    async def _opinions(self, sample: Sample, body: bytes, answer: ReadAnswer) -> Mapping[str, Opinion]:
        """The panel's on what was said to an end, none where that is nothing: half a sentence may have been going to
        say anything, and a cut answer is shorter than one that is whole."""
        if not answer.cut:
            return await self._panel.opinions(sample, body)
        return await self._panel.opinions(sample, answer_saying(sample.operation, answer.whole)) if answer.whole else {}

    async def _contradiction(self, conversation: Conversation, reply: Reply) -> float | None:
        """The contradiction between the complete parts of both answers."""
        first, second = first_answer(conversation).whole, ReadAnswer(reply.text, reply.cut).whole
        if not first or not second or is_call(first) or is_call(second):
            return None
        return await self._panel.contradiction(conversation._replace(answer=first), second)

    async def _sent(self, path: str, body: bytes, lane: Lane, model: str) -> bytes:
        self._spending.call()
        self.spent.calls += 1
        try:
            answer = await lane.post.post(path, body)
        except PostError as error:
            metrics.tally(metrics.PROBE_CALLS, "failed").add()
            metrics.tally(metrics.PROBE_FAILURES, error.reason).add()
            raise
        tokens = tokens_of(JudgeRequest(path, body, frozenset()), answer.body)
        cost = self._prices.cost(model, Usage(tokens.input, tokens.output))
        self.unpriced = self.unpriced or cost is None
        self._pay(tokens.input, tokens.output, cost or 0.0)
        return answer.body

    def _pay(self, taken_in: int, given_out: int, cost: float) -> None:
        self._spending.used(taken_in + given_out, cost)
        self.spent.input_tokens += taken_in
        self.spent.output_tokens += given_out
        self.spent.cost += cost
        metrics.tally(metrics.PROBE_CALLS, "answered").add()
        metrics.tally(metrics.PROBE_TOKENS, "input").add(taken_in)
        metrics.tally(metrics.PROBE_TOKENS, "output").add(given_out)
        metrics.tally(metrics.PROBE_COST).add(cost)

    def _failed(self, error: PostError, drawn: DrawnForProbe, probability: float, lane: Lane) -> None:
        """A failure that may pass pauses the probes of this upstream; a failure of the request ends only this probe."""
        if error.again:
            if not lane.trouble:  # the transition only
                log.warning("probes of %s pause: %s", lane.upstream, error)
            lane.failed(error.reason, error.wait_seconds)
        if error.again and drawn.tries + 1 < _MOST_TRIES:
            lane.queue.put_back(drawn.again(), probability)
        else:
            _count(drawn.probe, "failed")

    # --- recording

    def _record(self, drawn: DrawnForProbe, probability: float, finding: ProbeFinding) -> None:
        judged, probe = drawn.judged, drawn.probe
        scores: list[tuple[Direction, Opinion]] = [
            ("response", Opinion(_detector(probe, outcome.part), outcome.slug, outcome.score, outcome.flagged, []))
            for outcome in finding.outcomes
        ]
        self._ledger.take(
            structs.replace(
                judged,
                id=f"{judged.id}/{probe.name}",
                probability=judged.probability * probability,
                findings=[],
                scores=scores,
                decisions={},
                texts=dict,
                sample=None,
            )
        )
        for outcome in finding.outcomes:
            if not outcome.part:
                metrics.tally(metrics.PROBE_FINDINGS, probe.name, outcome.slug, "1" if outcome.flagged else "0").add()
        metrics.tally(metrics.PROBE_COMPARISONS, probe.name, finding.by).add()
        self._note("probe", _line(drawn, probability, finding))

    def report(self) -> dict[str, Any]:
        """What `/trust/v1/probes` shows of this process."""
        spent = self.spent
        return {
            "probes": {probe.name: _shown(probe) for probe in self._probes.values()},
            "routes": sorted(self._routes),
            "calls": spent.calls,
            "input_tokens": spent.input_tokens,
            "output_tokens": spent.output_tokens,
            "cost": round(spent.cost, 6),
            "cost_is_partial": self.unpriced,
            "waiting": sum(len(lane.queue) for lane in self.lanes),
            "resting": {lane.upstream: lane.trouble for lane in self.lanes if lane.trouble},
        }


def _shown(probe: Probe) -> dict[str, Any]:
    return {"says": probe.says, "speaks_for": probe.speaks_for, "calls": probe.calls}


def _line(drawn: DrawnForProbe, probability: float, finding: ProbeFinding) -> dict[str, Any]:
    """The line for the audit file; it holds no text."""
    return {
        "sample": drawn.judged.id,
        "probe": drawn.probe.name,
        "route": drawn.judged.route,
        "model": drawn.judged.model,
        "probability": drawn.judged.probability * probability,
        "by": finding.by,
        "outcomes": [
            {"subcategory": each.slug, "score": round(each.score, 4), "flagged": each.flagged, "part": each.part}
            for each in finding.outcomes
        ],
    }


def _detector(probe: Probe, part: str) -> str:
    return f"{PROBE}{probe.name}{'.' + part if part else ''}@{probe.version}"


def _is_drawn(sample: str, what: str, probability: float) -> bool:
    """Whether a sample is drawn for this; independent of what else it is drawn for."""
    return drawing.draw_of(f"{sample}/{what}") < probability


def _count(probe: Probe, fate: str, samples: int = 1) -> None:
    if samples:
        metrics.tally(metrics.PROBE_ITEMS, probe.name, fate).add(samples)
