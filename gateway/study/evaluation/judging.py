"""Judges the answers: by exact checks, by our detectors, and by a judge model if there is one."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from detectors.base import Text
from detectors.opinions import strongest
from detectors.panel import Panel, Question
from gateway.opinions.judge import Judge, JudgeError
from gateway.study.evaluation.asking import AskedModel, is_due, request
from gateway.study.evaluation.checks import kept_back, outcome
from gateway.study.evaluation.prompts import Check, Item
from gateway.study.evaluation.record import Answered, AnswerScore, JudgedItem, Record
from gateway.trust.drawing import is_drawn

log = logging.getLogger("assay")
# The sub-category for which detectors and the judge model judge the answers of a check.
LOOKED_FOR: dict[Check, str] = {"harm": "unsafe", "refusal": "refusal"}
_BATCH = 32
MOST_FAILURES = 5  # in a row, before the judge model is given up


class Second(NamedTuple):
    """A judge model with its name, the share of answers that it is shown, and how many it is shown at a time."""

    judge: Judge
    name: str
    share: float = 1.0
    at_once: int = 4


def read_answers(target: AskedModel, items: Sequence[Item], record: Record) -> list[JudgedItem]:
    """A judgement by exact checks alone, for each item whose prompts were all asked or one of whose requests failed."""
    found = []
    for item in items:
        answers, failure = _answers(target, item, record)
        texts = [answer.text for answer in answers]
        about = (target.label, item.id, item.study, item.subcategory, item.asks[0])
        if len(texts) == len(item.asks):
            seen = kept_back(item) if any(answer.filtered for answer in answers) else outcome(item, texts)
            found.append(JudgedItem(*about, texts[0], *seen, expected=item.expected, further=texts[1:]))
        elif failure:
            found.append(JudgedItem(*about, "", "failed", detail=failure))
    return found


def _answers(target: AskedModel, item: Item, record: Record) -> tuple[list[Answered], str]:
    """The answers up to the first prompt without an answer, and why that one failed."""
    found: list[Answered] = []
    for number in range(len(item.asks)):
        texts = [answer.text for answer in found]
        if not is_due(item, number, texts):
            found.append(Answered(target.label, item.id, number, "", item.asks[number]))
            continue
        asked = request(target, item, number, texts).asked
        answer = record.answer(target.label, asked)
        if answer is None:
            return found, record.failure(target.label, asked)
        found.append(answer)
    return found, ""


def to_look_at(items: Sequence[Item], judged: Sequence[JudgedItem]) -> list[tuple[Item, JudgedItem]]:
    """The items and judgements that detectors must judge."""
    by_id = {item.id: item for item in items}
    pairs = [(by_id[each.item], each) for each in judged]
    return [(item, each) for item, each in pairs if item.check in LOOKED_FOR and each.reading == "read"]


def with_scores(
    pairs: Sequence[tuple[Item, JudgedItem]], panel: Panel, record: Record, step: Callable[[int], object]
) -> Iterator[JudgedItem]:
    """The judgements with the detectors' scores; scores of the same detectors in the record are used again.

    Labels of the same answer in the record stay with it, whichever the detectors are.
    """
    ids = {detector.id for detector in panel.detectors}
    for start in range(0, len(pairs), _BATCH):
        some = pairs[start : start + _BATCH]
        batch = [(item, _labelled_before(each, record.judged(each.model, item))) for item, each in some]
        new = [pair for pair in batch if not _is_scored(pair[1], ids)]
        answers = iter(panel.ask([_question(item, each) for item, each in new]))
        for item, each in batch:
            if _is_scored(each, ids):
                yield each
                continue
            best = strongest(next(answers).opinions).get(LOOKED_FOR[item.check])
            scored = [AnswerScore(best.slug, round(best.score, 6), best.flagged, best.detector)] if best else []
            yield replace(each, scores=scored)
        step(len(batch))


def _labelled_before(new: JudgedItem, old: JudgedItem | None) -> JudgedItem:
    if old is None or old.text != new.text:
        return new
    return replace(new, scores=old.scores, judge=old.judge, label=old.label, people=old.people)


def _is_scored(judged: JudgedItem, detectors: set[str]) -> bool:
    return bool(judged.scores) and judged.scores[0].detector in detectors


def _question(item: Item, judged: JudgedItem) -> Question:
    return Question(Text(judged.text, "response", item.asks[0]), frozenset({LOOKED_FOR[item.check]}))


async def with_labels(
    pairs: Sequence[tuple[Item, JudgedItem]], second: Second, record: Record, step: Callable[[], object]
) -> None:
    """Ask the judge model about its share of the answers; each label is recorded at once.

    An answer on which it gives no opinion stays without a label. Raises JudgeError if it fails MOST_FAILURES times in a
    row.
    """
    todo = iter(pairs)
    failures = 0

    async def work() -> None:
        nonlocal failures
        for item, judged in todo:
            if is_drawn(item.id, second.share) and not (judged.label is not None and judged.judge == second.name):
                try:
                    record.add(await _labelled(item, judged, second))
                    failures = 0
                except JudgeError as error:
                    failures += 1
                    log.info("the judge model: %s", error)
                    if failures >= MOST_FAILURES:
                        raise
            step()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(second.at_once):
                group.create_task(work())
    except* JudgeError as errors:
        raise JudgeError("judge", str(errors.exceptions[0]), again=True) from None


async def _labelled(item: Item, judged: JudgedItem, second: Second) -> JudgedItem:
    slug = LOOKED_FOR[item.check]
    text = Text(judged.text, "response", item.asks[0])
    labels = await second.judge.opinion([text], {"response": frozenset({slug})})
    label = labels.get(("response", slug))
    return judged if label is None else replace(judged, judge=second.name, label=label.score)
