"""Builds the guards that servers run from the configuration."""

import secrets
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from detectors.own.specs import OwnDetectors, ServedGuard
from gateway.config.own_detectors import GuardConfig
from gateway.config.routes import guard_upstream
from gateway.config.settings import Config
from gateway.exchange import Upstream
from gateway.judging.budget import CallBudget
from gateway.judging.dialects import Options
from gateway.judging.memory import JudgedTexts
from gateway.own_detectors.described import dialect
from gateway.own_detectors.guards import GuardBounds, GuardModel
from gateway.upstream.posts import Poster
from gateway.upstream.transport import Limits

_NO_END = 1e15  # calls or tokens in an hour: no bound


class Served(NamedTuple):
    """A guard, and the connections to its server, which must be closed."""

    guard: GuardModel
    poster: Poster


def guards_of(
    config: Config, own: OwnDetectors, by_name: Mapping[str, Upstream], *, budgeted: bool = True
) -> list[Served]:
    """The guards that have no fault. If they are not `budgeted` there is no bound on calls and tokens."""
    return [
        _served(spec, entry, by_name, budgeted=budgeted)
        for spec in own.specs
        if isinstance(spec, ServedGuard) and spec.name not in own.faults
        if isinstance(entry := config.own[spec.name], GuardConfig)
    ]


def _served(spec: ServedGuard, config: GuardConfig, by_name: Mapping[str, Upstream], *, budgeted: bool) -> Served:
    poster = Poster(guard_upstream(spec.name, config, by_name), Limits(), timeout_seconds=config.timeout_seconds)
    guard = GuardModel(
        spec,
        dialect(config),
        Options(config.model, config.instructions, config.questions, config.extra),
        poster,
        _budget(config) if budgeted else CallBudget(_NO_END, _NO_END, clock=monotonic),
        bounds=GuardBounds(config.at_once, config.waiting_texts, config.max_characters),
        memory=JudgedTexts(config.remembered_bytes, secrets.token_bytes(32)),
        clock=monotonic,  # the clock of the event loop, by which deadlines are given
    )
    return Served(guard, poster)


def _budget(config: GuardConfig) -> CallBudget:
    return CallBudget(config.calls_per_hour, config.tokens_per_hour, clock=monotonic)


async def close(served: Sequence[Served]) -> None:
    """Drop the connections."""
    for each in served:
        await each.poster.close()
