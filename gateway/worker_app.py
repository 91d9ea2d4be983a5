"""Builds `assay worker` from its configuration, out of the same parts as `app`."""

from gateway.config.load import load
from gateway.config.routes import route_names, route_policies, upstreams
from gateway.config.settings import Config, ConfigError
from gateway.delivery.reply import Send
from gateway.pages.health import Readiness, health_routes
from gateway.pages.outside import judge_route, probes_route
from gateway.pages.rates import rates_route
from gateway.pages.site import Site
from gateway.parts import samples, telemetry
from gateway.parts.access import operators_only
from gateway.parts.detectors import NICE, described, detectors
from gateway.parts.policy import policy_file
from gateway.parts.records import records
from gateway.pipeline import Scope
from gateway.serving import draining
from gateway.serving.background import Background, NamedTask
from gateway.serving.bodies import Receive
from gateway.telemetry.gauges import Gauges


class WorkerApp:
    """What `assay worker` serves: it judges the samples that gateways leave in Redis, and shows its metrics.

    Raises ConfigError when there is no Redis to take from or no detector to judge with.
    """

    def __init__(self, config: Config) -> None:
        url = _redis_of(config)
        by_name, own = upstreams(config), described(config)
        # Where no route has a policy of its own, a worker need not know the gateway's routes.
        known = route_names(config) if route_policies(config) else ()
        self._policy = policy_file(config, own, routes=known)
        self._detectors = detectors(config, own, by_name, lambda: self._policy.current, nice=NICE)
        self._records = records(config, by_name, self._detectors)
        self._queue = samples.redis_queue(config, url)
        sinks = self._records.sinks(config, self._detectors)
        self._worker = samples.worker(config, self._queue, self._detectors, sinks, self._policy)
        self._detectors.begin_series()
        self._site = self._build_site(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._site(scope, receive, send)

    def _build_site(self, config: Config) -> Site:
        gauges = self._gauges()
        background = Background([*self._tasks(), ("gauges", gauges.run)])
        return Site(
            [
                *health_routes(background, self._readiness(), gauges),
                rates_route(self._records.ledger),
                judge_route(self._records.opinions.report),
                probes_route(self._records.probes.report),
            ],
            version=telemetry.VERSION,
            doors=[operators_only(config).admit],
            background=background,
            on_hangup=self._policy.look_again,
            finish=lambda: self._worker.finish(config.drain_seconds),
            close=self._close,
        )

    def _tasks(self) -> list[NamedTask]:
        return [
            *self._records.tasks(),
            ("policy", self._policy.run),
            *self._detectors.tasks(),
            ("redis", self._queue.run),
            ("worker", self._worker.run),
            *self._records.judging_tasks(),
        ]

    def _gauges(self) -> Gauges:
        machine = telemetry.machine("worker", self._detectors, self._records)
        return Gauges([lambda: samples.show_depth(self._queue), self._detectors.show, *machine])

    def _readiness(self) -> Readiness:
        return Readiness(
            self._detectors.processes,
            wants_detectors=True,
            needs_detectors=lambda: True,
            redis_is_up=lambda: self._queue.is_up,
            needs_redis=True,
            is_ending=draining.has_begun,
        )

    async def _close(self) -> None:
        await self._records.close()
        await self._detectors.close()
        await self._queue.close()


def _redis_of(config: Config) -> str:
    if config.redis_url is None:
        raise ConfigError(["redis_url: a worker takes its samples from Redis; set ASSAY_REDIS_URL or --redis-url"])
    if not config.judges_texts:
        raise ConfigError(["detectors: they are turned off, so a worker has nothing to judge with"])
    return config.redis_url.get_secret_value()


def create_worker_app() -> WorkerApp:
    """For uvicorn, configured by the environment alone."""
    return WorkerApp(load())
