"""Builds the gateway from its configuration: asks for every part once and wires them together, nothing else."""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Mapping
from typing import Any

from detectors.own.specs import OwnDetectors
from gateway.access.cors import Application
from gateway.access.stored import StoredAnswers
from gateway.config.load import load
from gateway.config.routes import route_names, routes, upstreams
from gateway.config.settings import Config
from gateway.delivery.reply import Send
from gateway.exchange import Upstream
from gateway.judging.client import JudgingClient, TracedJudging
from gateway.pages.health import Readiness, health_routes
from gateway.pages.page import Page
from gateway.pages.policy import Costs
from gateway.pages.site import Site
from gateway.parts import pages, request, samples, telemetry
from gateway.parts.access import access, for_browsers
from gateway.parts.detectors import NICE, Detectors, described, detectors, no_detectors
from gateway.parts.policy import adopting, enforces, may_enforce, policy_file
from gateway.parts.records import records
from gateway.parts.upstreams import model_servers
from gateway.pipeline import Pipeline, Scope
from gateway.samples.redis_queue import RedisQueue
from gateway.samples.sampling import exchange_ids
from gateway.serving import draining, heap
from gateway.serving.background import Background, NamedTask
from gateway.serving.bodies import Receive
from gateway.telemetry import logs, metrics, series
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.recorder import Recorder
from gateway.trust.comparing.models import ModelComparison
from gateway.trust.watching.watch import Watch
from gateway.upstream.routing import Routing

log = logging.getLogger("assay")

_GUARD_SECONDS = 60.0  # longest wait for the detectors before a process that shares its port listens


class App:
    """The ASGI application of `assay serve`: `/v1/*` is the request path, everything else is the operator's pages."""

    def __init__(self, config: Config) -> None:
        by_name, own = upstreams(config), described(config)
        self._routing = Routing(routes(config, by_name), by_name.values())
        self._routes = [route.name for route in self._routing.routes]
        self._policy = policy_file(config, own, targets=self._routing.targets, routes=route_names(config))
        self._detectors = self._choose_detectors(config, own, by_name)
        self._tracing = telemetry.tracing(config)
        self._servers = model_servers(config, by_name, self._routing.routes, self._tracing)
        self._records = records(config, by_name, self._detectors, is_up=self._servers.is_up)
        self._meter = telemetry.meter(config, by_name, self._records.audit)
        self._queue = samples.queue(config)
        self._watch = Watch(self._records.ledger)
        self._access = access(config)
        self._pipeline = self._build_pipeline(config)
        self._requests = self._pipeline if self._tracing is None else self._tracing.around(self._pipeline)
        self._site = self._build_site(config)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            return self._requests(scope, receive, send)
        return self._site(scope, receive, send)

    def _choose_detectors(self, config: Config, own: OwnDetectors, by_name: Mapping[str, Upstream]) -> Detectors:
        """With Redis, `assay worker` judges samples; then only a guard needs detectors here."""
        if not config.judges_texts or not (self._enforces() or config.redis_url is None):
            return no_detectors(own)
        waited_for = may_enforce(config, self._policy.current)
        return detectors(config, own, by_name, lambda: self._policy.current, nice=0 if waited_for else NICE)

    def _enforces(self) -> bool:
        return enforces(self._policy.current)

    def _build_pipeline(self, config: Config) -> Pipeline:
        judging, tracing, audit = self._detectors.judging, self._tracing, self._records.audit
        asked = judging if tracing is None else TracedJudging(judging, tracing.guarding)
        guard = request.guard(config, self._policy, asked, audit, self._routes)
        self._policy.adopt = adopting(guard, judges=self._detectors.are_wanted)
        self._policy.on_change = lambda change: audit.append("policy", change)
        sampler = samples.sampler(config, self._judging_pids)
        recorder = Recorder(sampler, self._queue, self._meter if config.count_tokens else None)
        return Pipeline(
            admission=self._access.callers,
            bodies=request.bodies(config),
            routing=self._routing,
            guard=guard,
            moderation=request.moderation(config, self._detectors, asked),
            upstreams=self._servers.upstreams,
            tap=request.tap(config, guard, sampler),
            sampler=sampler,
            recorder=recorder if tracing is None else tracing.recording(recorder),
            stored=StoredAnswers(),
            in_flight=config.max_requests_in_flight,
            ids=exchange_ids(secrets.token_hex(6)),
        )

    def _judging_pids(self) -> list[int]:
        return [*self._detectors.processes.pids, *self._records.monitor_pids()]

    def _build_site(self, config: Config) -> Site:
        self._begin_series()
        gauges = self._gauges()
        background = Background([*self._tasks(config), ("gauges", gauges.run)])
        own = self._detectors.own
        return Site(
            [
                *health_routes(background, self._readiness(), gauges),
                *pages.trust(config, self._policy, self._records, self._watch, own, self._routes),
            ],
            version=telemetry.VERSION,
            page=Page(),
            # Without keys a page in a local browser must not read the operator's pages either.
            doors=[self._access.callers.refuse_foreign, self._access.operators.admit],
            background=background,
            on_hangup=self._look_again,
            begin=self._wait_for_guard if config.reuse_port else None,
            finish=self._finish,
            close=self._close,
        )

    def _begin_series(self) -> None:
        self._detectors.publish()
        self._detectors.begin_series()
        series.begin_traffic(self._routes, self._servers.names.values())
        series.begin_guard()

    def _tasks(self, config: Config) -> list[NamedTask]:
        kept, queue = self._records, self._queue
        tasks = [
            *kept.tasks(),
            ("alarms", self._watch.run),
            ("models", ModelComparison(kept.ledger).run),
            ("usage", self._meter.run),
            ("memory", heap.give_back_regularly),
            ("policy", self._policy.run),
            ("keys", self._access.files.run),
            *self._detectors.tasks(),
        ]
        if kept.monitors is not None:
            tasks.append(("monitor_reports", kept.monitors.reports.run))
        if self._detectors.are_wanted and config.redis_url is None:
            sinks = kept.sinks(config, self._detectors)
            worker = samples.worker(config, queue, self._detectors, sinks, self._policy)
            tasks += [("worker", worker.run), *kept.judging_tasks()]
        if isinstance(queue, RedisQueue):
            tasks.append(("redis", queue.run))
        return tasks

    def _gauges(self) -> Gauges:
        machine = telemetry.machine("gateway", self._detectors, self._records)
        shown = [self._show, self._detectors.show, self._servers.show, Costs(self._policy).read, *machine]
        return Gauges([*shown, metrics.keep_room])

    def _show(self) -> None:
        if not isinstance(self._queue, RedisQueue):  # what waits there, `assay worker` reports
            samples.show_depth(self._queue)
        metrics.IN_FLIGHT.set(self._pipeline.open)

    def _readiness(self) -> Readiness:
        return Readiness(
            self._detectors.processes,
            wants_detectors=self._detectors.are_wanted,
            needs_detectors=self._enforces,
            redis_is_up=samples.redis_is_up(self._queue),
            needs_redis=False,  # only samples suffer
            is_ending=draining.has_begun,
        )

    def _look_again(self) -> None:
        self._policy.look_again()
        self._access.files.look_again()

    async def _wait_for_guard(self) -> None:
        """On a shared port, requests arrive as soon as this process listens, although an older one could still serve
        them. A guard that is not ready would refuse them, or let them pass unread."""
        processes = self._detectors.processes
        if not self._enforces() or not isinstance(processes, JudgingClient):
            return
        try:
            async with asyncio.timeout(_GUARD_SECONDS):
                await processes.ready()
        except TimeoutError:
            log.error("the detectors are not up after %g s; requests are taken without them", _GUARD_SECONDS)

    async def _finish(self) -> None:
        self._meter.write()

    async def _close(self) -> None:
        await self._servers.upstreams.close()
        await self._records.close()
        await self._detectors.close()
        await self._queue.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)


def create_app() -> Application:
    """For uvicorn: configured by the environment alone, so that worker processes build the same."""
    config = load()
    logs.configure(config.log_format, config.log_level, one_of_many=config.workers > 1)  # worker processes begin here
    if metrics.problem:
        log.error(metrics.problem)
    app = App(config)
    heap.keep_what_is_built()
    return for_browsers(config, app)
