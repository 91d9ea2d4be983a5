"""Builds every object once, from the configuration, and wires them together; nothing else happens here."""

import asyncio
import gc
import logging
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from detectors import manifest, taxonomy
from detectors.own.specs import OwnDetectors
from gateway.access.admission import Admission
from gateway.access.cors import Application, Cors, Origins
from gateway.access.keys import KeyFiles, KeyRing, callers_of, operators_of
from gateway.access.prices import prices_of
from gateway.access.stored import StoredAnswers
from gateway.config.load import config_path, load
from gateway.config.routes import models, route_names, route_policies, routes, upstreams
from gateway.config.settings import Config, ConfigError
from gateway.delivery.budget import Budget
from gateway.delivery.reply import Send
from gateway.delivery.tap import Tap
from gateway.enforcement.guard import Guard
from gateway.enforcement.local_tables import local_tables_of, operating_of, read_local_tables
from gateway.enforcement.policy_file import AdoptionError, PolicyFile
from gateway.enforcement.signals import SHIPPED
from gateway.exchange import SampleQueue, Upstream
from gateway.judging.client import Judging, JudgingClient, JudgingError
from gateway.judging.messages import Findings, JudgingRequest
from gateway.judging.traced import TracedJudging
from gateway.moderation.moderations import Moderation
from gateway.monitoring.opening import Monitoring, monitoring
from gateway.openai_api import CHANNELS
from gateway.openai_api.passages import REASONS as UNREAD_REASONS
from gateway.opinions.labelling import Review
from gateway.opinions.wiring import Opinions, opinions_of
from gateway.own.described import own_detectors
from gateway.own.judging import JudgingWithGuards
from gateway.own.wiring import Served, guards_of
from gateway.own.wiring import close as close_guards
from gateway.pages.alarms import alarms_route
from gateway.pages.monitors import monitor_routes
from gateway.pages.opinions import judge_route
from gateway.pages.page import Page
from gateway.pages.policy import Costs
from gateway.pages.probes import Readiness, probes
from gateway.pages.probing import probing_route
from gateway.pages.rates import publish_error_rates, rates_route
from gateway.pages.review import review_routes
from gateway.pages.site import Site
from gateway.pages.status import Facts
from gateway.pages.taxonomy import publish_detectors
from gateway.pages.trust import trust_pages
from gateway.pipeline import Pipeline, Scope
from gateway.probes.wiring import Probes, probes_of
from gateway.samples.memory_queue import MemoryQueue
from gateway.samples.pace import Pace
from gateway.samples.redis_queue import RedisQueue
from gateway.samples.sampling import Sampler
from gateway.serving import descriptors, draining, heap
from gateway.serving.background import Background
from gateway.serving.bodies import Bodies, BodyBounds, Receive
from gateway.serving.request import RESPOND
from gateway.telemetry import logs, metrics, series
from gateway.telemetry.audit import Audit
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.meter import Meter, Models
from gateway.telemetry.processes import Processes, taken
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.upstreams import UpstreamMetrics
from gateway.trust.card import share, shipped_errors
from gateway.trust.comparing.models import ModelComparison
from gateway.trust.gauges import TrustGauges
from gateway.trust.judged import Sink
from gateway.trust.ledger import Ledger
from gateway.trust.opening import open_ledger
from gateway.trust.sinks import AuditSink, MetricsSink
from gateway.trust.watch import Watch
from gateway.upstream.calls import Tries, Upstreams
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.health import Cooldown, State
from gateway.upstream.routing import Routing
from gateway.upstream.transport import Limits
from gateway.worker import Judging as WorkerJudging
from gateway.worker import Worker
from policies.engine import Policy

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing

log = logging.getLogger("assay")

log = logging.getLogger("assay")

_NICE = 15  # of detectors that nobody waits for: on a shared core traffic goes first
_GUARD_SECONDS = 60.0  # that a process which shares its port waits for its detectors before it listens
_VERSION = version("assay-gateway")


class NoDetectors:
    """Stands in for the detector processes when the detectors are turned off."""

    is_ready = False
    detectors: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    absent: dict[str, str]

    def __init__(self) -> None:
        self.absent = {}

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:  # noqa: ARG002 - never judges
        raise JudgingError("turned_off")


class App:
    """The ASGI application of `assay serve`: `/v1/*` is the request path, everything else are the operator's pages."""

    def __init__(self, config: Config) -> None:
        by_name = upstreams(config)
        self._origins = {upstream.origin: name for name, upstream in by_name.items()}
        self.routing = Routing(routes(config, by_name), by_name.values())
        self._own = own_detectors(config, operating_of(read_local_tables(local_tables_of(config))))
        infos = self._own.infos()
        share(column for info in infos for column in info.operating)
        self.policy = PolicyFile(
            config.policy,
            wall_clock=_wall_clock,
            targets=self.routing.targets,
            routes=route_names(config),
            own=route_policies(config),
            local=local_tables_of(config),
            detectors=infos,
        )
        self.audit = Audit(config.audit_path)
        self.ledger = open_ledger(config, _wall_clock)
        self.watch = Watch(self.ledger)
        self.monitoring = monitoring(config, _wall_clock)
        self.meter = _meter(config, models(config, by_name), self.audit)
        self.opinions = opinions_of(config, self.ledger, by_name, _judged_slugs(infos), _wall_clock)
        self.queue = _queue(config)
        # With Redis, `assay worker` judges samples; then only a guard needs detectors here.
        judges = config.judges_texts and (self.enforces or config.redis_url is None)
        sources = (config.policy, *route_policies(config).values())
        waited_for = not set(SHIPPED).issuperset(sources) or self.enforces  # now, or after a change of a policy's file
        self.judge = _judge(config, self._own, nice=0 if waited_for else _NICE) if judges else NoDetectors()
        self.tracing = _tracing(config)
        self._served = guards_of(config, self._own, by_name) if config.judges_texts else []
        self._judging = _with_guards(self.judge, self._served, self._own, self.policy)
        self._upstream_metrics = UpstreamMetrics(by_name, self.routing.routes)
        self.upstreams = Upstreams(
            _limits(config),
            HeaderFilter(config.forward_headers),
            self._upstream_metrics,
            known=by_name.values(),
            tries=_tries(config),
            cooldown=Cooldown(config.cooldown_seconds, config.max_cooldown_seconds),
            tracing=self.tracing,
        )
        self.probes = _probes(config, self.ledger, by_name, self.judge, infos, self.audit, self.upstreams)
        callers = KeyRing(callers_of(config), _wall_clock)
        operators = KeyRing(operators_of(config), _wall_clock)
        self.keys = _key_files(config, callers, operators)
        origins = Origins(config.cors_origins)
        admission = Admission(callers, local_only=not config.allow_without_keys, origins=origins)
        self.pipeline = self._pipeline(config, admission)
        self._requests = self.pipeline if self.tracing is None else self.tracing.around(self.pipeline)
        self.background = self._background(config)
        readiness = Readiness(
            self.judge,
            wants_detectors=isinstance(self.judge, JudgingClient),
            needs_detectors=lambda: self.enforces,
            redis_is_up=_redis_is_up(self.queue),
            needs_redis=False,  # only samples suffer
            is_ending=draining.has_begun,
        )
        self._site = Site(
            [
                *probes(self.background, readiness, self.gauges),
                *trust_pages(
                    self.policy,
                    self.audit,
                    self.ledger,
                    self._facts(config),
                    [alarms_route(self.watch), *self._monitor_pages(), *self._opinion_pages(config)],
                    infos,
                ),
            ],
            version=_VERSION,
            page=Page(),
            # Without keys a page in a local browser must not read the operator's pages either.
            doors=[admission.refuse_foreign, Admission(operators, local_only=False, origins=origins).admit],
            background=self.background,
            on_hangup=self._look_again,
            begin=self._wait_for_guard if config.reuse_port else None,
            finish=self._finish,
            close=self._close,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            return self._requests(scope, receive, send)
        return self._site(scope, receive, send)

    @property
    def enforces(self) -> bool:
        """Whether the policy in force can change or stop an exchange."""
        return _enforces(self.policy.current)

    def _pipeline(self, config: Config, admission: Admission) -> Pipeline:
        tracing = self.tracing
        judging = self._judging if tracing is None else TracedJudging(self._judging, tracing.guarding)
        guard = Guard(
            self.policy.current,
            judging,
            self.audit,
            timeout_seconds=config.guard_timeout_seconds,
            routes=[route.name for route in self.routing.routes],
        )
        self.policy.adopt = _adopting(guard, self.judge)
        self.policy.on_change = lambda change: self.audit.append("policy", change)
        sampler = Sampler(enabled=config.judges_texts, pace=_pace(config, self.judge))
        recorder = Recorder(sampler, self.queue, self.meter if config.count_tokens else None)
        return Pipeline(
            admission=admission,
            bodies=Bodies(BodyBounds(config.max_body_bytes, config.max_bodies_bytes, config.body_timeout_seconds)),
            routing=self.routing,
            guard=guard,
            moderation=_moderation(config, judging) if isinstance(self.judge, JudgingClient) else None,
            upstreams=self.upstreams,
            tap=Tap(
                guard,
                sample_bytes=config.sample_bytes,
                held_bytes=config.max_answer_bytes,
                budget=Budget(config.max_answers_bytes),
                window_characters=config.stream_window_chars,
                ping_seconds=config.ping_seconds,
                observed=sampler.insist,
            ),
            sampler=sampler,
            recorder=recorder if tracing is None else tracing.recording(recorder),
            stored=StoredAnswers(),
            in_flight=config.max_requests_in_flight,
            id_prefix=secrets.token_hex(6),
        )

    def _opinion_pages(self, config: Config) -> list[Route]:
        local_only = not config.keys and not config.allow_without_keys
        review = review_routes(
            Review(self.ledger, _wall_clock),
            may_label=config.operator_key is not None or local_only,
            keeps_texts=config.review_text,
        )
        # With Redis it is `assay worker` that asks the judge and makes probes, and its own pages tell of it.
        asks = config.redis_url is None
        own = (self.opinions.report, self.probes.report) if asks else (lambda: None, lambda: None)
        return [judge_route(own[0]), probing_route(own[1]), *review]

    def _monitor_pages(self) -> list[Route]:
        if self.monitoring is None:
            return []
        routes = frozenset(route.name for route in self.routing.routes)
        return monitor_routes(self.monitoring.reports, routes, _wall_clock)

    def _facts(self, config: Config) -> Facts:
        return Facts(
            _VERSION,
            callers_need_a_key=bool(config.keys),
            keeps_texts=config.audit_text,
            routes=tuple(route.name for route in self.routing.routes),
        )

    def _background(self, config: Config) -> Background:
        publish_error_rates()
        publish_detectors(self._own.infos())
        _begin_series(self.judge, self._own)
        series.begin_traffic([route.name for route in self.routing.routes], self._origins.values())
        series.begin_guard()
        self.gauges = Gauges(
            [
                self._read_gauges,
                _descriptors(),
                Costs(self.policy).read,
                _processes("gateway", self.judge),
                metrics.keep_room,
            ]
        )
        background = Background()
        background.add("audit", self.audit.run)
        background.add("ledger", self.ledger.run)
        background.add("estimates", TrustGauges(self.ledger, shipped_errors()).run)
        background.add("alarms", self.watch.run)
        if self.monitoring is not None:
            background.add("monitor_reports", self.monitoring.reports.run)
        background.add("models", ModelComparison(self.ledger).run)
        background.add("usage", self.meter.run)
        background.add("gauges", self.gauges.run)
        background.add("memory", heap.give_back_regularly)
        background.add("policy", self.policy.run)
        background.add("keys", self.keys.run)
        if isinstance(self.judge, JudgingClient) and not isinstance(self._judging, NoDetectors):
            background.add("judge", self.judge.run)
            for each in self._served:
                background.add(f"detector {each.guard.name}", each.guard.run)
            if config.redis_url is None:
                sinks = _sinks(config, self.audit, self.ledger, self.opinions, self.monitoring, self._own, self.probes)
                background.add("worker", _worker(config, self.queue, self._judging, sinks, self.policy).run)
                if self.monitoring is not None:
                    background.add("monitors", self.monitoring.observing.run)
                for name, run in (*self.opinions.tasks, *self.probes.tasks):
                    background.add(name, run)
        if isinstance(self.queue, RedisQueue):
            background.add("redis", self.queue.run)
        return background

    def _read_gauges(self) -> None:
        if not isinstance(self.queue, RedisQueue):  # what waits there, `assay worker` reports
            _read_depth(self.queue)
        metrics.IN_FLIGHT.set(self.pipeline.open)
        _read_detectors(self.judge)
        for origin, (idle, busy) in self.upstreams.counts().items():
            name = self._origins[origin]
            metrics.UPSTREAM_CONNECTIONS.labels(name, "idle").set(idle)
            metrics.UPSTREAM_CONNECTIONS.labels(name, "busy").set(busy)
        self._upstream_metrics.show(self.upstreams.states())

    def _look_again(self) -> None:
        self.policy.look_again()
        self.keys.look_again()

    async def _wait_for_guard(self) -> None:
        """Where the port is shared, requests come as soon as this process listens, while an older one could serve them:
        a guard that is not up yet would refuse them, or let them pass unread."""
        if not self.enforces or not isinstance(self.judge, JudgingClient):
            return
        try:
            async with asyncio.timeout(_GUARD_SECONDS):
                await self.judge.ready()
        except TimeoutError:
            log.error("the detectors are not up after %g s; requests are taken without them", _GUARD_SECONDS)

    async def _finish(self) -> None:
        self.meter.write()

    async def _close(self) -> None:
        await self.upstreams.close()
        await self.opinions.close()
        await close_guards(self._served)
        await self.probes.close()
        await self.queue.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)


class WorkerApp:
    """What `assay worker` serves: it judges the samples that gateways leave in Redis, and shows its metrics.

    Raises ConfigError when there is no Redis to take from or no detector to judge with.
    """

    def __init__(self, config: Config) -> None:
        if config.redis_url is None:
            raise ConfigError(["redis_url: a worker takes its samples from Redis; set ASSAY_REDIS_URL or --redis-url"])
        if not config.judges_texts:
            raise ConfigError(["detectors: they are turned off, so a worker has nothing to judge with"])
        described = own_detectors(config, operating_of(read_local_tables(local_tables_of(config))))
        infos = described.infos()
        share(column for info in infos for column in info.operating)
        own = route_policies(config)  # else a worker need not know the gateway's routes
        policy = PolicyFile(
            config.policy,
            wall_clock=_wall_clock,
            routes=route_names(config) if own else (),
            own=own,
            local=local_tables_of(config),
            detectors=infos,
        )
        audit = Audit(config.audit_path)
        ledger = open_ledger(config, _wall_clock)
        by_name = upstreams(config)
        opinions = opinions_of(config, ledger, by_name, _judged_slugs(infos), _wall_clock)
        self._opinions = opinions
        self.queue = _redis_queue(config, config.redis_url.get_secret_value())
        self.judge = _judge(config, described, nice=_NICE)
        self._served = guards_of(config, described, by_name)
        judging = _with_guards(self.judge, self._served, described, policy)
        assert not isinstance(judging, NoDetectors)
        monitors = monitoring(config, _wall_clock)
        self._probes = _probes(config, ledger, by_name, self.judge, infos, audit, None)
        sinks = _sinks(config, audit, ledger, opinions, monitors, described, self._probes)
        worker = _worker(config, self.queue, judging, sinks, policy)
        publish_error_rates()
        _begin_series(self.judge, described)
        gauges = Gauges(
            [
                lambda: _read_depth(self.queue),
                lambda: _read_detectors(self.judge),
                _descriptors(),
                _processes("worker", self.judge),
            ]
        )
        background = Background()
        background.add("audit", audit.run)
        background.add("ledger", ledger.run)
        background.add("estimates", TrustGauges(ledger, shipped_errors()).run)
        background.add("gauges", gauges.run)
        background.add("policy", policy.run)
        background.add("judge", self.judge.run)
        for each in self._served:
            background.add(f"detector {each.guard.name}", each.guard.run)
        background.add("redis", self.queue.run)
        background.add("worker", worker.run)
        if monitors is not None:
            background.add("monitors", monitors.observing.run)
        for name, run in (*opinions.tasks, *self._probes.tasks):
            background.add(name, run)
        readiness = Readiness(
            self.judge,
            wants_detectors=True,
            needs_detectors=lambda: True,
            redis_is_up=lambda: self.queue.is_up,
            needs_redis=True,
            is_ending=draining.has_begun,
        )
        self._site = Site(
            [
                *probes(background, readiness, gauges),
                rates_route(ledger),
                judge_route(opinions.report),
                probing_route(self._probes.report),
            ],
            version=_VERSION,
            doors=[Admission(KeyRing(operators_of(config), _wall_clock), local_only=False).admit],
            background=background,
            on_hangup=policy.look_again,
            finish=lambda: worker.finish(config.drain_seconds),
            close=self._close,
        )

    async def _close(self) -> None:
        await self._opinions.close()
        await close_guards(self._served)
        await self._probes.close()
        await self.queue.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._site(scope, receive, send)


def create_worker_app() -> WorkerApp:
    """For uvicorn, configured by the environment alone."""
    return WorkerApp(load())


def create_app() -> Application:
    """For uvicorn: configured by the environment alone, so that worker processes build the same."""
    config = load()
    logs.configure(config.log_format, config.log_level)  # worker processes begin here
    if metrics.problem:
        log.error(metrics.problem)
    app = App(config)
    # What was built so far lives as long as the process. Requests leave hardly any cycles behind, so looking for
    # them after every few hundred allocations costs some percent of all time and finds nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return _for_browsers(config, app) if config.cors_origins else app


def _tracing(config: Config) -> "Tracing | None":
    """OpenTelemetry's libraries are an extra, and take memory: they are loaded only where traces are wanted."""
    if config.otlp_endpoint is None:
        return None
    rate = config.trace_sample_rate
    tracing: Tracing = import_module("gateway.telemetry.tracing").tracing_to(
        config.otlp_endpoint, sample_rate=rate, version=_VERSION
    )
    return tracing


def _tries(config: Config) -> Tries:
    return Tries(
        config.retries,
        config.retry_pause_seconds,
        frozenset(config.failover_statuses),
        config.failover_wait_seconds,
        config.retry_budget,
        config.hedge_after_seconds,
    )


def _key_files(config: Config, callers: KeyRing, operators: KeyRing) -> KeyFiles:
    files = [file for file in (config_path(), config.keys_file) if file is not None]
    return KeyFiles(files, load, callers=callers, operators=operators)


def _adopting(guard: Guard, judging: Judging) -> Callable[[Policy], None]:
    def adopt(policy: Policy) -> None:
        if _enforces(policy) and isinstance(judging, NoDetectors):
            raise AdoptionError("it enforces, but this gateway runs without detectors; restart it with them")
        guard.adopt(policy)

    return adopt


def _queue(config: Config) -> SampleQueue:
    if config.redis_url is None:
        return MemoryQueue(config.queue_items, config.queue_bytes)
    return _redis_queue(config, config.redis_url.get_secret_value())


def _pace(config: Config, judge: JudgingClient | NoDetectors) -> Pace | None:
    """Each of the gateway's processes gets an equal part of the budget."""
    samples, share = config.samples_per_second, config.sample_cpu_share
    if samples is None and share is None:
        return None
    return Pace(
        samples and samples / config.workers,
        share and share * len(os.sched_getaffinity(0)) / config.workers,
        cpu_seconds=lambda: sum(each.cpu_seconds for pid in judge.pids if (each := taken(pid)) is not None),
        clock=time.monotonic,
    )


def _redis_queue(config: Config, url: str) -> RedisQueue:
    try:
        return RedisQueue(
            url,
            config.queue_items,
            config.queue_bytes,
            on_fate=lambda fate, reason, samples: metrics.tally(metrics.SAMPLES, fate, reason).add(samples),
        )
    except ValueError as error:  # a port that is no number, an option that is none
        raise ConfigError([f"redis_url: {error}; write it as redis://[:password@]host[:port]/0"]) from None


def _meter(config: Config, served: Mapping[str, frozenset[str]], audit: Audit) -> Meter:
    priced = (name for name in config.prices if not name.endswith("*"))
    named = Models((*(model for models in served.values() for model in models), *priced), config.model_labels)
    return Meter(served, named, cost=prices_of(config).cost, currency=config.currency, append=audit.append)


def _moderation(config: Config, judge: Judging) -> Moderation:
    return Moderation(
        judge,
        held_seconds=config.guard_timeout_seconds,
        held_bytes=config.max_answer_bytes,
    )


def _judge(config: Config, own: OwnDetectors, *, nice: int) -> JudgingClient:
    given = config.audit_hash_key
    key = given.get_secret_value().encode() if given else secrets.token_bytes(32)
    return JudgingClient(
        hash_key=key,
        covered=metrics.covered,
        processes=config.judges,
        nice=nice,
        fingerprints=config.fingerprints,
        own=own,
        most_bytes=config.judging_bytes,
    )


def _with_guards(
    judge: JudgingClient | NoDetectors, served: Sequence[Served], own: OwnDetectors, policy: PolicyFile
) -> JudgingClient | NoDetectors | JudgingWithGuards:
    """The detectors as they are where there is no guard."""
    if not served or not isinstance(judge, JudgingClient):
        return judge
    return JudgingWithGuards(
        judge,
        [each.guard for each in served],
        covered=metrics.covered,
        policy=lambda: policy.current,
        thresholds=own.thresholds(),
    )


def _worker(
    config: Config, queue: SampleQueue, judge: WorkerJudging, sinks: Sequence[Sink], policy: PolicyFile
) -> Worker:
    return Worker(
        queue,
        judge,
        sinks,
        policy=lambda: policy.current,
        expiry_seconds=config.sample_expiry_seconds,
        wall_clock=_wall_clock,
    )


def _sinks(
    config: Config,
    audit: Audit,
    ledger: Ledger,
    opinions: Opinions,
    monitors: Monitoring | None,
    own: OwnDetectors,
    probes: Probes,
) -> list[Sink]:
    observing: list[Sink] = [] if monitors is None else [monitors.observing]
    audited = AuditSink(audit, keeps_texts=config.audit_text)
    return [_metrics_sink(own), audited, ledger, *opinions.sinks, *observing, *probes.sinks]


def _probes(
    config: Config,
    ledger: Ledger,
    by_name: Mapping[str, Upstream],
    judge: JudgingClient | NoDetectors,
    own: Iterable[manifest.DetectorInfo],
    audit: Audit,
    traffic: Upstreams | None,
) -> Probes:
    """`traffic` is what tells how requests find the upstreams, where this process has any."""
    return probes_of(
        config,
        ledger,
        by_name,
        judging=judge if isinstance(judge, JudgingClient) else None,
        slugs=_judged_slugs(own),
        is_up=lambda name: traffic is None or traffic.states().get(name, State.UP) is State.UP,
        note=audit.append,
        clock=_wall_clock,
    )


def _judged_slugs(own: Iterable[manifest.DetectorInfo]) -> frozenset[str]:
    """What the detectors judge."""
    return frozenset(slug for info in _known(own) for slug, _ in info.operating)


def _known(own: Iterable[manifest.DetectorInfo]) -> list[manifest.DetectorInfo]:
    return [*manifest.load(weights=False).values(), *own]


def _for_browsers(config: Config, app: App) -> Application:
    origins = Origins(config.cors_origins)
    return Cors(
        app,
        origins,
        exposed=config.cors_expose_headers,
        credentials=config.cors_credentials,
        bypasses=[RESPOND],
    )


def _metrics_sink(own: OwnDetectors) -> MetricsSink:
    judged = {key for info in _known(own.infos()) for key in info.operating}
    return MetricsSink({entry.slug: entry.category for entry in taxonomy.SUBCATEGORIES}, judged)


def _wall_clock() -> float:
    """Unix seconds: samples and files carry them, and other processes understand them."""
    return time.time()  # noqa: TID251 - see above


def _enforces(policy: Policy) -> bool:
    return any(rule.enforced for rule in policy.rules)


def _redis_is_up(queue: SampleQueue) -> Callable[[], bool] | None:
    return (lambda: queue.is_up) if isinstance(queue, RedisQueue) else None


def _read_depth(queue: SampleQueue) -> None:
    items, size = queue.depth()
    metrics.QUEUE_ITEMS.set(items)
    metrics.QUEUE_BYTES.set(size)


def _descriptors() -> Callable[[], None]:
    shortage = descriptors.Shortage()
    return lambda: shortage.look(descriptors.in_use())


def _processes(own: str, judge: JudgingClient | NoDetectors) -> Callable[[], None]:
    return Processes(lambda: {own: [os.getpid()], "detectors": judge.pids}).show


def _begin_series(judge: JudgingClient | NoDetectors, own: OwnDetectors) -> None:
    metrics.begin_unread(CHANNELS, UNREAD_REASONS)
    if isinstance(judge, JudgingClient):
        series.begin_judging(info.id for info in _known(own.infos()))


def _read_detectors(judge: JudgingClient | NoDetectors) -> None:
    metrics.DETECTORS_WANTED.set(1 if isinstance(judge, JudgingClient) else 0)
    metrics.DETECTORS_READY.set(1 if judge.is_ready else 0)


def _limits(config: Config) -> Limits:
    return Limits(
        connect_seconds=config.connect_timeout_seconds,
        first_byte_seconds=config.first_byte_timeout_seconds,
        idle_seconds=config.idle_timeout_seconds,
        pool_seconds=config.pool_timeout_seconds,
        keepalive_seconds=config.keepalive_seconds,
        max_connections=config.max_connections,
    )
