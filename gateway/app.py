"""Builds every object once, from the configuration, and holds them for the life of the process."""

import asyncio
import contextlib
import gc
import secrets
import signal
import time
from collections.abc import AsyncIterator
from functools import cache
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Page

from detectors import manifest, taxonomy
from gateway.access.admission import Admission
from gateway.config import routes
from gateway.config.load import load
from gateway.config.settings import Config, ConfigError
from gateway.delivery.reply import Send
from gateway.delivery.tap import Tap
from gateway.enforcement.deciding import Judging
from gateway.enforcement.guard import Guard
from gateway.enforcement.policy_file import AdoptionError, PolicyFile
from gateway.enforcement.signals import SHIPPED
from gateway.errors import GatewayError
from gateway.exchange import Principal, SampleQueue
from gateway.judging.client import Case, Findings, Judge, JudgeError
from gateway.moderation.moderations import Moderation
from gateway.openai_api import error_body
from gateway.pipeline import Pipeline, Scope
from gateway.samples.memory_queue import MemoryQueue
from gateway.samples.redis_queue import RedisQueue
from gateway.samples.sampling import Sampler
from gateway.serving import heap
from gateway.serving.bodies import Bodies, BodyBounds, Receive
from gateway.telemetry import metrics
from gateway.telemetry.audit import Audit
from gateway.telemetry.recorder import Recorder
from gateway.trust import estimates
from gateway.upstream.calls import HeaderFilter, Upstreams
from gateway.upstream.http1 import Limits
from gateway.upstream.routing import Routing
from gateway.worker import Worker
from policies.engine import Policy

_GAUGE_SECONDS = 0.5
_OPEN_PAGES = ("/healthz", "/readyz")
_MEMORY_SECONDS = 5.0  # how long the memory of large bodies is kept for the next
_RECENT = 100
_NICE = 15  # of detectors that nobody waits for: on a shared core traffic goes first


class NoJudge:
    """Stands in for the detector process when the detectors are turned off."""

    is_ready = False
    detectors: tuple[str, ...] = ()
    absent: dict[str, str]

    def __init__(self) -> None:
        self.absent = {}

    async def judge(self, case: Case, timeout_seconds: float) -> Findings:
        raise JudgeError("turned_off")


class App:
    """The ASGI application: `/v1/*` is the request path, everything else are the operator's pages."""

    def __init__(self, config: Config) -> None:
        self.config = config
        by_name = routes.upstreams(config)
        self._origins = {upstream.origin: name for name, upstream in by_name.items()}
        self.routing = Routing(routes.routes(config, by_name), by_name.values())
        self.policy = PolicyFile(
            config.policy,
            wall_clock=_wall_clock,
            targets=self.routing.targets,
            routes=routes.route_names(config),
        )
        self.audit = Audit(config.audit_path)
        self.queue = _queue(config)
        # With Redis, `assay worker` judges samples; then only a guard needs detectors here.
        judges = config.detectors and (self.enforces or config.redis_url is None)
        waited_for = config.policy not in SHIPPED or self.enforces  # now, or after a change of the policy's file
        self.judge = _judge(config, nice=0 if waited_for else _NICE) if judges else NoJudge()
        self.upstreams = Upstreams(
            _limits(config),
            HeaderFilter(config.forward_headers),
            known=by_name.values(),
            retries=config.retries,
            on_failure=lambda upstream, reason: metrics.UPSTREAM_FAILURES.labels(upstream, reason).inc(),
        )
        keys = [
            (key.key.get_secret_value(), Principal(key.name, None if key.routes is None else frozenset(key.routes)))
            for key in config.keys
        ]
        self._admission = Admission(keys, local_only=not config.allow_without_keys)
        self._operators = _operators(config)
        self.pipeline = self._pipeline(self.judge)
        self._worker = self._make_worker()
        self._pages = Starlette(routes=self._routes(), lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            await self.pipeline(scope, receive, send)
        elif scope["type"] == "http" and (refused := self._refused(scope)):
            await refused(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        """Without keys a page in a local browser must not read the operator's pages either."""
        foreign = None if self.config.keys else _refusal(self._admission, scope)
        return foreign or _refusal(self._operators, scope)

    @property
    def enforces(self) -> bool:
        """Whether the policy in force can change or stop an exchange."""
        return _enforces(self.policy.current)

    # --- building

    def _pipeline(self, judging: Judging) -> Pipeline:
        config = self.config
        guard = Guard(
            self.policy.current,
            judging,
            self.audit,
            timeout_seconds=config.guard_timeout_seconds,
            routes=[route.name for route in self.routing.routes],
        )

        def adopt(policy: Policy) -> None:
            if _enforces(policy) and isinstance(judging, NoJudge):
                raise AdoptionError("it enforces, but this gateway runs without detectors; restart it with them")
            guard.adopt(policy)

        self.policy.adopt = adopt
        sampler = Sampler(enabled=config.detectors)
        return Pipeline(
            admission=self._admission,
            bodies=Bodies(BodyBounds(config.max_body_bytes, config.max_bodies_bytes, config.body_timeout_seconds)),
            routing=self.routing,
            guard=guard,
            moderation=_moderation(config, self.judge) if isinstance(self.judge, Judge) else None,
            upstreams=self.upstreams,
            tap=Tap(
                guard,
                sample_bytes=config.sample_bytes,
                held_bytes=config.max_answer_bytes,
                window_characters=config.stream_window_chars,
                ping_seconds=config.ping_seconds,
                observed=sampler.insist,
            ),
            sampler=sampler,
            recorder=Recorder(sampler, self.queue),
            in_flight=config.max_requests_in_flight,
            id_prefix=secrets.token_hex(6),
        )

    def _make_worker(self) -> Worker | None:
        if not isinstance(self.judge, Judge) or self.config.redis_url is not None:
            return None
        return _worker(self.config, self.queue, self.judge, self.audit, self.policy)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        heap.keep_freed()
        metrics.BUILD_INFO.labels(version("assay-gateway")).set(1)
        _publish_error_rates()
        _look_again_on_hangup(self.policy)
        async with asyncio.TaskGroup() as group:
            runs = (self.audit.run(), self._measure(), _give_back_memory(), self.policy.run())
            tasks = [group.create_task(run) for run in runs]
            if isinstance(self.judge, Judge):
                tasks.append(group.create_task(self.judge.run()))
            if self._worker is not None:
                tasks.append(group.create_task(self._worker.run()))
            if isinstance(self.queue, RedisQueue):
                tasks.append(group.create_task(self.queue.run()))
            yield
            for task in tasks:
                task.cancel()
        await self.upstreams.close()
        await self.queue.close()
        metrics.flush()
        metrics.forget_this_process()

    async def _measure(self) -> None:
        """Gauges that are read off rather than counted."""
        while True:
            self._read_gauges()
            await asyncio.sleep(_GAUGE_SECONDS)

    def _read_gauges(self) -> None:
        metrics.flush()
        if not isinstance(self.queue, RedisQueue):  # what waits there, `assay worker` reports
            _read_depth(self.queue)
        metrics.IN_FLIGHT.set(self.pipeline.open)
        metrics.DETECTORS_WANTED.set(1 if isinstance(self.judge, Judge) else 0)
        metrics.DETECTORS_READY.set(1 if self.judge.is_ready else 0)
        for origin, (idle, busy) in self.upstreams.counts().items():
            name = self._origins[origin]
            metrics.UPSTREAM_CONNECTIONS.labels(name, "idle").set(idle)
            metrics.UPSTREAM_CONNECTIONS.labels(name, "busy").set(busy)

    # --- the operator's pages

    def _routes(self) -> list[Page]:
        return [
            Page("/metrics", self._metrics),
            Page("/healthz", _healthz),
            Page("/readyz", self._readyz),
            Page("/trust", self._trust_index),
            Page("/trust/v1/taxonomy", _taxonomy),
            Page("/trust/v1/rates", _rates),
            Page("/trust/v1/flags", self._flags),
            Page("/trust/v1/policy", self._policy_page),
            Page("/{path:path}", _not_found, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    async def _metrics(self, _: Request) -> Response:
        self._read_gauges()
        return Response(await asyncio.to_thread(metrics.render), media_type=metrics.CONTENT_TYPE)

    async def _readyz(self, _: Request) -> Response:
        """Ready to serve. An enforcing policy needs its detectors first; otherwise they may load behind."""
        state = "ready" if self.judge.is_ready else ("loading" if isinstance(self.judge, Judge) else "off")
        if self.judge.absent:
            state = "degraded"
        waiting = self.enforces and state == "loading"
        body: dict[str, Any] = {"ready": not waiting, "detectors": state, "loaded": list(self.judge.detectors)}
        if isinstance(self.queue, RedisQueue):  # only samples suffer when it is down, so it does not decide
            body["redis"] = "up" if self.queue.is_up else "down"
        if self.judge.absent:
            body["absent"] = self.judge.absent
        return JSONResponse(body, status_code=503 if waiting else 200)

    async def _trust_index(self, request: Request) -> Response:
        base = str(request.base_url).rstrip("/") + "/trust/v1/"
        return JSONResponse({name: base + name for name in ("taxonomy", "rates", "flags", "policy")})

    async def _flags(self, _: Request) -> Response:
        """The latest flagged samples and decisions, from the audit file, which all workers write."""
        if self.config.audit_path is None:
            return JSONResponse({"flags": [], "note": "set audit_path to keep flags"})
        found = await asyncio.to_thread(self.audit.recent, _RECENT, frozenset({"flag", "decision"}))
        return JSONResponse({"flags": found})

    async def _policy_page(self, _: Request) -> Response:
        policy = self.policy.current
        rules = [
            {
                "id": rule.id,
                "action": rule.action,
                "mode": rule.mode,
                "share": rule.share,
                "enforced": rule.enforced,
                "on_error": rule.on_error,
                "listens_to": sorted({threshold.slug for threshold in rule.thresholds}),
            }
            for rule in policy.rules
        ]
        return JSONResponse(
            {
                "source": self.config.policy,
                "revision": policy.revision,
                "mode": policy.mode,
                "rules": rules,
                "warnings": list(policy.warnings),
                "refused": self.policy.refusal,
            }
        )


class WorkerApp:
    """What `assay worker` serves: it judges the samples that gateways leave in Redis, and shows its metrics.

    Raises ConfigError when there is no Redis to take from or no detector to judge with.
    """

    def __init__(self, config: Config) -> None:
        if config.redis_url is None:
            raise ConfigError(["redis_url: a worker takes its samples from Redis; set ASSAY_REDIS_URL or --redis-url"])
        if not config.detectors:
            raise ConfigError(["detectors: they are turned off, so a worker has nothing to judge with"])
        self._drain_seconds = config.drain_seconds
        self.policy = PolicyFile(config.policy, wall_clock=_wall_clock)  # a worker need not know the gateway's routes
        self.audit = Audit(config.audit_path)
        self.queue = _redis_queue(config, config.redis_url.get_secret_value())
        self.judge = _judge(config, nice=_NICE)
        self._worker = _worker(config, self.queue, self.judge, self.audit, self.policy)
        routes = [
            Page("/metrics", self._metrics),
            Page("/healthz", _healthz),
            Page("/readyz", self._readyz),
            Page("/trust/v1/rates", _rates),
        ]
        self._pages = Starlette(routes=routes, lifespan=self._lifespan)
        self._operators = _operators(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = _refusal(self._operators, scope) if scope["type"] == "http" else None
        await (refused or self._pages)(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        metrics.BUILD_INFO.labels(version("assay-gateway")).set(1)
        _publish_error_rates()
        _look_again_on_hangup(self.policy)
        async with asyncio.TaskGroup() as group:
            runs = [self.audit.run(), self._measure(), self.judge.run(), self.queue.run(), self._worker.run()]
            runs.append(self.policy.run())
            tasks = [group.create_task(run) for run in runs]
            yield
            await self._worker.finish(self._drain_seconds)
            for task in tasks:
                task.cancel()
        await self.queue.close()
        metrics.flush()

    async def _measure(self) -> None:
        while True:
            self._read_gauges()
            await asyncio.sleep(_GAUGE_SECONDS)

    def _read_gauges(self) -> None:
        metrics.flush()
        _read_depth(self.queue)
        metrics.DETECTORS_WANTED.set(1)
        metrics.DETECTORS_READY.set(1 if self.judge.is_ready else 0)

    async def _metrics(self, _: Request) -> Response:
        self._read_gauges()
        return Response(await asyncio.to_thread(metrics.render), media_type=metrics.CONTENT_TYPE)

    async def _readyz(self, _: Request) -> Response:
        """Ready to judge: Redis answers and so do the detectors."""
        ready = self.judge.is_ready and self.queue.is_up
        body = {
            "ready": ready,
            "redis": "up" if self.queue.is_up else "down",
            "detectors": "ready" if self.judge.is_ready else "loading",
            "loaded": list(self.judge.detectors),
            "absent": self.judge.absent,
        }
        return JSONResponse(body, status_code=200 if ready else 503)


def create_worker_app() -> WorkerApp:
    """For uvicorn, configured by the environment alone."""
    return WorkerApp(load())


def create_app() -> App:
    """For uvicorn: configured by the environment alone, so that worker processes build the same."""
    app = App(load())
    # What was built so far lives as long as the process. Requests leave hardly any cycles behind, so looking for
    # them after every few hundred allocations costs some percent of all time and finds nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return app


def _queue(config: Config) -> SampleQueue:
    if config.redis_url is None:
        return MemoryQueue(config.queue_items, config.queue_bytes)
    return _redis_queue(config, config.redis_url.get_secret_value())


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


def _moderation(config: Config, judge: Judge) -> Moderation:
    return Moderation(
        judge,
        held_seconds=config.guard_timeout_seconds,
        held_bytes=config.max_answer_bytes,
    )


def _judge(config: Config, *, nice: int) -> Judge:
    given = config.audit_hash_key
    key = given.get_secret_value().encode() if given else secrets.token_bytes(32)
    return Judge(hash_key=key, nice=nice, fingerprints=config.fingerprints)


def _worker(config: Config, queue: SampleQueue, judge: Judge, audit: Audit, policy: PolicyFile) -> Worker:
    return Worker(
        queue,
        judge,
        audit,
        policy=lambda: policy.current,
        categories={entry.slug: entry.category for entry in taxonomy.SUBCATEGORIES},
        expiry_seconds=config.sample_expiry_seconds,
        wall_clock=_wall_clock,
        audit_text=config.audit_text,
    )


def _wall_clock() -> float:
    """Unix seconds: samples and files carry them, and other processes understand them."""
    return time.time()  # noqa: TID251 - see above


def _enforces(policy: Policy) -> bool:
    return any(rule.enforced for rule in policy.rules)


def _look_again_on_hangup(policy: PolicyFile) -> None:
    """SIGHUP, where signals can be handled: not in the thread of a test."""
    with contextlib.suppress(ValueError, RuntimeError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, policy.look_again)


def _operators(config: Config) -> Admission | None:
    if config.operator_key is None:
        return None
    return Admission([(config.operator_key.get_secret_value(), Principal("operator"))], local_only=False)


def _refusal(admission: Admission | None, scope: Scope) -> Response | None:
    """Why this caller may not see the page, as a reply. Whether the process lives is no secret."""
    if admission is None or scope["path"] in _OPEN_PAGES:
        return None
    try:
        admission.admit(dict(scope["headers"]))
    except GatewayError as error:
        what = error.what
        body = error_body(error.message, what.type, error.param, what.code)
        return Response(body, what.status, media_type="application/json")
    return None


async def _give_back_memory() -> None:
    while True:
        await asyncio.sleep(_MEMORY_SECONDS)
        heap.give_back()


def _read_depth(queue: SampleQueue) -> None:
    items, size = queue.depth()
    metrics.QUEUE_ITEMS.set(items)
    metrics.QUEUE_BYTES.set(size)


def _limits(config: Config) -> Limits:
    return Limits(
        connect_seconds=config.connect_timeout_seconds,
        first_byte_seconds=config.first_byte_timeout_seconds,
        idle_seconds=config.idle_timeout_seconds,
        pool_seconds=config.pool_timeout_seconds,
        keepalive_seconds=config.keepalive_seconds,
        max_connections=config.max_connections,
    )


@cache  # the files ship with the release: read once, not for every look at /trust
def _error_rates() -> dict[tuple[str, str], tuple[float, float]]:
    """(sub-category, direction) → measured (true, false) positive rates, where one detector alone speaks of it.

    With several detectors the combined rates were not measured, and so no correction is offered.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for info in manifest.load(weights=False).values():
        for slug, role in info.operating:
            rates = info.rates.get((slug, role))
            found.setdefault((slug, role), []).append(rates or (0.0, 0.0))
    return {key: rates[0] for key, rates in found.items() if len(rates) == 1 and rates[0][0] > rates[0][1]}


def _publish_error_rates() -> None:
    for (slug, direction), (true_positive, false_positive) in _error_rates().items():
        metrics.TRUE_POSITIVE_RATE.labels(slug, direction).set(true_positive)
        metrics.FALSE_POSITIVE_RATE.labels(slug, direction).set(false_positive)


async def _healthz(_: Request) -> Response:
    return JSONResponse({"ok": True})


async def _taxonomy(_: Request) -> Response:
    return JSONResponse(
        [
            {
                "slug": entry.slug,
                "category": entry.category,
                "definition": entry.definition,
                "kinds": entry.kinds,
                "honest_line": entry.honest_line,
            }
            for entry in taxonomy.SUBCATEGORIES
        ]
    )


async def _rates(_: Request) -> Response:
    return JSONResponse(await asyncio.to_thread(rates))


def rates() -> dict[str, Any]:
    """The estimates since the gateway started, over all workers."""
    total, *others = (
        estimates.by_label(metrics.samples(f"assay_trust_{what}_total"))
        for what in ("weight", "weight_squared", "flagged_weight", "flagged_weight_squared")
    )
    error_rates = _error_rates()
    rows = []
    for key in sorted(total):
        weights = estimates.Weights(total[key], *(sums.get(key, 0.0) for sums in others))
        share = estimates.flagged_share(weights)
        known = error_rates.get(key)
        estimate = estimates.corrected(share, *known) if share and known else None
        rows.append(
            {
                "subcategory": key[0],
                "direction": key[1],
                "effective_samples": round(weights.effective_samples, 1),
                "flagged_share": _shown(share),
                "estimated_rate": _shown(estimate),
                "detector": known and {"true_positive_rate": known[0], "false_positive_rate": known[1]},
            }
        )
    return {
        "note": "Shares of traffic with 95 % intervals, since start. flagged_share is what the detectors flag; "
        "estimated_rate corrects it for their measured errors, null where those were not measured.",
        "rates": rows,
    }


def _shown(interval: estimates.Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {
        "estimate": round(interval.estimate, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
    }


async def _not_found(request: Request) -> Response:
    message = f"there is no {request.url.path[:200]} here; the API is below /v1, the operator's pages are "
    message += "/metrics, /healthz, /readyz and /trust"
    return Response(error_body(message, "invalid_request_error", None, "not_found"), 404, media_type="application/json")
