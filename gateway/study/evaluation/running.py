"""One evaluation, from its first request to its figures; answers and judgements are recorded on the way."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Protocol

from detectors.panel import Panel
from gateway.opinions.judge import Retries
from gateway.study.evaluation import judging
from gateway.study.evaluation.asking import AskedModel, GivenUpError, Post, ask, request
from gateway.study.evaluation.figures import Comparison, Figure, compared, figure
from gateway.study.evaluation.prompts import Item
from gateway.study.evaluation.record import JudgedItem, Record

Items = Mapping[str, Sequence[Item]]  # by study


class Bar(Protocol):
    def update(self, n: float | None = 1) -> object: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `panel` loads the detectors; it is called only when an answer needs them."""

    items: Items
    targets: Sequence[tuple[AskedModel, Post]]
    at_once: int
    retries: Retries
    panel: Callable[[], Panel]
    second: judging.Second | None = None


@dataclass(slots=True)
class Result:
    """`given_up` has a sentence for each model that could not be asked everything; its figures rest on its answers."""

    figures: list[Figure] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)


async def run(plan: Plan, record: Record, bar: Bar) -> Result:
    """Ask, judge and estimate. Raises opinions.judge.JudgeError if the judge model cannot be asked; the answers stay
    recorded."""
    result = Result()
    asked = {target.label: _distinct(target, plan.items) for target, _ in plan.targets}
    for target, post in plan.targets:
        every = chain.from_iterable(asked[target.label].values())
        try:
            await ask(target, every, post, record, at_once=plan.at_once, retries=plan.retries, step=bar.update)
        except GivenUpError as error:
            result.given_up.append(str(error))
    judged = {target.label: await _judged(plan, target, asked[target.label], record, bar) for target, _ in plan.targets}
    share = plan.second.share if plan.second else 1.0
    for study, items in plan.items.items():
        by_model = {label: found[study] for label, found in judged.items()}
        result.figures += [figure(label, asked[label][study], found, share) for label, found in by_model.items()]
        result.comparisons += [
            compared(study, items, by_model[one], by_model[other])
            for one, other in combinations(by_model, 2)
            if by_model[one] and by_model[other]
        ]
    return result


def _distinct(target: AskedModel, studies: Items) -> Items:
    """The items of each study without those that would send this model the same requests again, because a second answer
    to the same request says nothing new. This happens with base models: they get only the opening of a known text,
    however the items ask to continue it."""
    return {
        study: list({_requests(target, item): item for item in reversed(items)}.values())[::-1]
        for study, items in studies.items()
    }


def _requests(target: AskedModel, item: Item) -> tuple[str, ...]:
    """The digests of all requests of an item; a follow-up counts without the model's answer before it."""
    return tuple(request(target, item, number, ("",)).asked for number in range(len(item.asks)))


async def _judged(
    plan: Plan, target: AskedModel, studies: Items, record: Record, bar: Bar
) -> dict[str, list[JudgedItem]]:
    """The judgements by study; they are recorded too."""
    return {study: await _judged_study(plan, target, items, record, bar) for study, items in studies.items()}


async def _judged_study(
    plan: Plan, target: AskedModel, items: Sequence[Item], record: Record, bar: Bar
) -> list[JudgedItem]:  # fmt: skip
    found = {each.item: each for each in judging.read_answers(target, items, record)}
    pairs = judging.to_look_at(items, list(found.values()))
    if pairs:
        scored = await asyncio.to_thread(lambda: list(judging.with_scores(pairs, plan.panel(), record, bar.update)))
        found |= {each.item: each for each in scored}
    for each in found.values():
        record.add(each)
    if pairs and plan.second is not None:
        await judging.with_labels([(item, found[item.id]) for item, _ in pairs], plan.second, record, bar.update)
        known = {item.id: record.judged(target.label, item) for item, _ in pairs}
        found |= {name: each for name, each in known.items() if each is not None}
    return list(found.values())


def steps(plan: Plan) -> int:
    """About how many steps a run reports to its bar: one for each prompt, and one for each answer that is judged."""
    every = [item for target, _ in plan.targets for items in _distinct(target, plan.items).values() for item in items]
    looked = sum(item.check in judging.LOOKED_FOR for item in every)
    return sum(len(item.asks) for item in every) + looked * (2 if plan.second else 1)
