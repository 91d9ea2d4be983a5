"""Asks guards outside a running gateway: about some texts, together with the panel, or whether they answer at all."""

import asyncio
import math
from collections.abc import Mapping, Sequence

from detectors.base import Text
from detectors.opinions import Opinion
from detectors.own.specs import Head, OwnDetectors
from detectors.panel import Answer, Panel, Question
from gateway.config.routes import upstreams
from gateway.config.settings import Config
from gateway.own_detectors.guards import GuardModel, GuardResult
from gateway.own_detectors.wiring import Served, close, guards_of

_TOGETHER = 256  # texts that wait for one guard
_NOBODY = "calibration"
_JUDGED = ("scanned", "skipped")


def unanswered(config: Config, own: OwnDetectors) -> dict[str, str]:
    """Why guards do not answer now, by name; only those that do not. Each is asked about a harmless text."""
    served = guards_of(config, own, upstreams(config))

    async def all_of_them() -> list[str]:
        try:
            return await asyncio.gather(*(each.guard.probe() for each in served))
        finally:
            await close(served)

    whys = asyncio.run(all_of_them())
    return {each.guard.name: why for each, why in zip(served, whys, strict=True) if why}


def heard_of(config: Config, own: OwnDetectors, texts: Sequence[Text]) -> Mapping[str, Sequence[GuardResult]]:
    """What each guard (name@version) says of each text. No budget applies."""
    served = guards_of(config, own, upstreams(config), budgeted=False)
    return asyncio.run(_all(served, texts)) if served else {}


class PanelWithGuards:
    """The panel together with guards that servers run: one answer with the opinions of both, as `JudgingWithGuards`
    gives it in a gateway."""

    def __init__(self, panel: Panel, config: Config, own: OwnDetectors) -> None:
        self._panel = panel
        self._config = config
        self._own = own
        self._thresholds = own.thresholds()

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """An answer to each question, in order. A guard that does not judge a text is listed in `failed`."""
        answers = self._panel.ask(questions)
        texts = [question.text for question in questions]
        for guard, heard in heard_of(self._config, self._own, texts).items():
            for answer, text, one in zip(answers, texts, heard, strict=True):
                _note(answer, guard, text, one, self._thresholds)
        return answers


def _note(answer: Answer, guard: str, text: Text, heard: GuardResult, thresholds: Mapping[Head, float]) -> None:
    answer.states[guard] = heard.state
    if heard.state not in _JUDGED:
        answer.failed[guard] = heard.why or heard.state
    elif heard.judgement is not None:
        for verdict in heard.judgement.verdicts:
            limit = thresholds.get((guard, verdict.slug, text.role), 2.0)
            answer.opinions.append(Opinion(guard, verdict.slug, verdict.score, verdict.score >= limit, []))


async def _all(served: Sequence[Served], texts: Sequence[Text]) -> dict[str, list[GuardResult]]:
    try:
        return {each.guard.id: await _one(each.guard, texts) for each in served}
    finally:
        await close(served)


async def _one(guard: GuardModel, texts: Sequence[Text]) -> list[GuardResult]:
    heard: list[GuardResult] = []
    async with asyncio.TaskGroup() as group:
        running = group.create_task(guard.run())
        for start in range(0, len(texts), _TOGETHER):
            batch = texts[start : start + _TOGETHER]
            heard += await asyncio.gather(
                *(guard.ask(_NOBODY, text, urgent=False, deadline=math.inf) for text in batch)
            )
        running.cancel()
    return heard
