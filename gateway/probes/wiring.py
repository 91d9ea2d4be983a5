"""Builds the probes of the configuration: a sink, and a background task."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from gateway.access.prices import prices_of
from gateway.config.probes import ProbesConfig
from gateway.config.routes import routes
from gateway.config.settings import Config
from gateway.exchange import Upstream
from gateway.judging.budget import CallBudget
from gateway.probes.lane import Lane
from gateway.probes.panel import DetectorPanel, Judging
from gateway.probes.prober import LOOKS_PER_HOUR, ProbeBounds, Prober
from gateway.probes.table import SHADOW, Probe, shadow, table
from gateway.serving.background import NamedTask
from gateway.telemetry import metrics
from gateway.trust import drawing
from gateway.trust.judged import Sink
from gateway.upstream.posts import Poster
from gateway.upstream.transport import Limits

_FATES = ("answered", "undecided", "failed", "expired", "dropped")


@dataclass(slots=True)
class Probes:
    """`sinks` take judged samples, `tasks` run in the background, `close` closes the connections."""

    sinks: list[Sink] = field(default_factory=list)
    tasks: list[NamedTask] = field(default_factory=list)
    prober: Prober | None = None
    posters: list[Poster] = field(default_factory=list)

    def report(self) -> dict[str, Any] | None:
        """What the probes of this process have done; None where there are none."""
        return self.prober.report() if self.prober else None

    async def close(self) -> None:
        for poster in self.posters:
            await poster.close()


def probes_of(
    config: Config,
    ledger: Sink,
    by_name: Mapping[str, Upstream],
    *,
    judging: Judging | None,
    slugs: Collection[str],
    is_up: Callable[[str], bool] = lambda _: True,
    note: Callable[[str, Mapping[str, Any]], None],
    clock: Callable[[], float],
) -> Probes:
    """`is_up` says whether the traffic can use an upstream; `slugs` are the sub-categories that the detectors judge;
    `clock` gives Unix seconds. All processes of a gateway share the budget."""
    asked, found = config.probes, Probes()
    if asked is None or 0 in (asked.calls_per_hour, asked.tokens_per_hour, asked.cost_per_hour):
        return found
    lanes = _Lanes(asked, is_up)
    rows = _rows(asked)
    calls = asked.calls_per_hour / config.workers
    found.prober = Prober(
        rows,
        {name: drawing.DrawBudget(calls * share, clock=monotonic) for name, share in _shares(asked, rows).items()},
        _lanes_of_traffic(config, by_name, asked, lanes),
        _spending(asked, config.workers),
        ledger,
        bounds=ProbeBounds(asked.expiry_seconds, asked.max_characters),
        looks=drawing.DrawBudget(LOOKS_PER_HOUR, clock=monotonic),
        shadow=lanes.to(by_name[asked.shadow.upstream], asked.shadow.model) if asked.shadow else None,
        panel=DetectorPanel(judging, slugs) if judging else None,
        prices=prices_of(config),
        note=note,
        clock=clock,
    )
    found.posters = lanes.posters
    found.sinks.append(found.prober)
    found.tasks.append(("probes", found.prober.run))
    _begin_series(rows)
    return found


class _Lanes:
    """Makes the lanes on which requests are sent again, one for each upstream and model name. `posters` must be
    closed."""

    def __init__(self, asked: ProbesConfig, is_up: Callable[[str], bool]) -> None:
        self._asked = asked
        self._is_up = is_up
        self.posters: list[Poster] = []
        self._known: dict[tuple[str, str | None], Lane] = {}

    def to(self, upstream: Upstream, model: str | None) -> Lane:
        lane = self._known.get((upstream.name, model))
        if lane is None:
            lane = self._known[upstream.name, model] = self._new(upstream, model)
        return lane

    def _new(self, upstream: Upstream, model: str | None) -> Lane:
        poster = Poster(replace(upstream, model=model), Limits(), timeout_seconds=self._asked.timeout_seconds)
        self.posters.append(poster)
        return Lane(
            upstream.name,
            poster,
            model=model,
            waiting=self._asked.waiting_items,
            is_up=lambda: self._is_up(upstream.name),
            clock=monotonic,
            draw=random.random,
        )


def _lanes_of_traffic(
    config: Config, by_name: Mapping[str, Upstream], asked: ProbesConfig, lanes: _Lanes
) -> dict[tuple[str, str], Lane]:
    """The lanes by route and upstream, for the routes whose requests may be sent again."""
    return {
        (route.name, upstream.name): lanes.to(upstream, upstream.model or route.model)
        for _, route in routes(config, by_name)
        for upstream in route.upstreams
        if route.name in asked.routes
    }


def _begin_series(rows: Iterable[str]) -> None:
    for name in rows:
        for fate in _FATES:
            metrics.PROBE_ITEMS.labels(name, fate)


def _rows(asked: ProbesConfig) -> dict[str, Probe]:
    rows = {
        name: row for name, row in table(asked.times, asked.triggers).items() if not asked.only or name in asked.only
    }
    return rows | ({SHADOW: shadow(asked.shadow.model)} if asked.shadow else {})


def _shares(asked: ProbesConfig, rows: Mapping[str, Probe]) -> dict[str, float]:
    """For each probe, how many samples one call an hour pays for: the shadow gets its configured share of the calls,
    the others share the rest equally."""
    of_shadow = asked.shadow.share if asked.shadow else 0.0
    others = max(1, len(rows) - (SHADOW in rows))
    return {name: of_shadow if name == SHADOW else (1 - of_shadow) / others / row.calls for name, row in rows.items()}


def _spending(asked: ProbesConfig, processes: int) -> CallBudget:
    cost = {} if asked.cost_per_hour is None else {"cost_per_hour": asked.cost_per_hour / processes}
    return CallBudget(asked.calls_per_hour / processes, asked.tokens_per_hour / processes, clock=monotonic, **cost)
