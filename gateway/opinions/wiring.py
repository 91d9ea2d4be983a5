"""Builds the sinks and tasks of second opinions from the configuration."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from detectors.base import Role, Text
from gateway.config.judge import JudgeConfig
from gateway.config.routes import judge_upstream
from gateway.config.settings import Config
from gateway.exchange import Upstream
from gateway.judging import budget
from gateway.judging.dialects import DIALECTS, Dialect, Options, dialect_of
from gateway.opinions.allocation import Column, LearnedAllocations
from gateway.opinions.judge import Judge, Retries
from gateway.opinions.reviews import Reviews
from gateway.opinions.second import SecondOpinions, WaitingBounds
from gateway.opinions.texts import Keep, Texts
from gateway.serving.background import NamedTask
from gateway.trust import drawing
from gateway.trust.judged import Sink
from gateway.trust.ledger import Ledger
from gateway.upstream.posts import Poster
from gateway.upstream.transport import Limits

_ROLES: tuple[Role, ...] = ("prompt", "response")


@dataclass(slots=True)
class Opinions:
    """`sinks` take judged samples, `tasks` run in the background, `close` closes the connections."""

    sinks: list[Sink] = field(default_factory=list)
    tasks: list[NamedTask] = field(default_factory=list)
    second: SecondOpinions | None = None
    poster: Poster | None = None

    def report(self) -> dict[str, Any] | None:
        """What the judge model has done; None where there is no judge model."""
        return self.second.report() if self.second else None

    async def close(self) -> None:
        if self.poster is not None:
            await self.poster.close()


def opinions_of(
    config: Config, ledger: Ledger, by_name: Mapping[str, Upstream], slugs: frozenset[str], clock: Callable[[], float]
) -> Opinions:
    """`slugs` are the sub-categories that the detectors judge; `clock` gives Unix seconds. All processes of a gateway
    share the judge's budget."""
    found = Opinions()
    keep: Keep | None = None
    if config.review_text and config.state_dir is not None:
        texts = Texts(config.state_dir, days=config.ledger_days, most_bytes=config.ledger_bytes, clock=clock)
        keep = texts.keep
        found.tasks.append(("texts", texts.run))
    allocations = LearnedAllocations(ledger)
    if config.reviews_per_hour or config.judge is not None:
        found.tasks.append(("allocations", allocations.run))
    if config.reviews_per_hour:
        people = drawing.DrawBudget(config.reviews_per_hour, clock=monotonic)
        needed = allocations.needed("person")
        found.sinks.append(
            Reviews(
                ledger, people, reviewers=config.reviewers, shows_texts=config.review_text, needed=needed, keep=keep
            )
        )
    if config.judge is not None:
        found.poster = Poster(
            judge_upstream(config.judge, by_name), Limits(), timeout_seconds=config.judge.timeout_seconds
        )
        found.second = _second(config.judge, ledger, found.poster, slugs, config.workers, clock, keep, allocations)
        found.sinks.append(found.second)
        found.tasks.append(("opinions", found.second.run))
    return found


def _second(
    config: JudgeConfig,
    ledger: Ledger,
    poster: Poster,
    slugs: frozenset[str],
    processes: int,
    clock: Callable[[], float],
    keep: Keep | None,
    allocations: LearnedAllocations,
) -> SecondOpinions:
    dialect = DIALECTS[config.dialect] if config.dialect else dialect_of(config.model)
    options = Options(config.model, config.instructions, config.questions, config.extra)
    only = frozenset(config.subcategories)
    calls = config.calls_per_hour / processes
    asks = _calls_a_sample(dialect, options, only or slugs)
    judge = Judge(
        dialect,
        options,
        poster,
        budget.CallBudget(calls, config.tokens_per_hour / processes, clock=monotonic),
        prices=budget.TokenPrices(config.price_per_million_input_tokens, config.price_per_million_output_tokens),
        retries=Retries(config.retries),
    )
    return SecondOpinions(
        judge,
        ledger,
        drawing.DrawBudget(calls / asks, clock=monotonic),
        bounds=WaitingBounds(config.waiting_items, config.expiry_seconds, config.max_characters),
        only=only,
        clock=clock,
        draw=random.random,
        needed=allocations.needed("judge", _about(dialect, only)),
        keep=keep,
    )


def _about(dialect: Dialect, only: frozenset[str]) -> frozenset[Column]:
    """The columns that this judge is asked about."""
    return frozenset((slug, side) for side in _ROLES for slug in dialect.about(side) if not only or slug in only)


def _calls_a_sample(dialect: Dialect, options: Options, slugs: frozenset[str]) -> int:
    """How many calls a prompt and its response take together."""
    texts: Sequence[Text] = [Text("x", role) for role in _ROLES]
    return max(1, sum(len(dialect.requests(text, slugs, options)) for text in texts))
