"""Calls to model servers, and the metrics of these calls."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.config.settings import Config
from gateway.exchange import Route, Upstream
from gateway.telemetry import metrics
from gateway.telemetry.upstreams import UpstreamMetrics
from gateway.upstream.calls import Tries, Upstreams
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.health import Cooldown, UpstreamState
from gateway.upstream.traced import Tracing
from gateway.upstream.transport import Limits


@dataclass(frozen=True, slots=True)
class ModelServers:
    """`names` are the upstreams' names by origin; upstreams of one origin share its connections."""

    upstreams: Upstreams
    names: Mapping[str, str]
    _metrics: UpstreamMetrics

    def is_up(self, name: str) -> bool:
        """Whether requests can use this upstream."""
        return self.upstreams.states().get(name, UpstreamState.UP) is UpstreamState.UP

    def show(self) -> None:
        """Set the gauges."""
        for origin, (idle, busy) in self.upstreams.counts().items():
            name = self.names[origin]
            metrics.UPSTREAM_CONNECTIONS.labels(name, "idle").set(idle)
            metrics.UPSTREAM_CONNECTIONS.labels(name, "busy").set(busy)
        self._metrics.show(self.upstreams.states())


def model_servers(
    config: Config, by_name: Mapping[str, Upstream], routes: Iterable[Route], tracing: Tracing | None
) -> ModelServers:
    observer = UpstreamMetrics(by_name, routes)
    upstreams = Upstreams(
        _limits(config),
        HeaderFilter(config.forward_headers),
        observer,
        known=by_name.values(),
        tries=_tries(config),
        cooldown=Cooldown(config.cooldown_seconds, config.max_cooldown_seconds),
        tracing=tracing,
    )
    return ModelServers(upstreams, {upstream.origin: name for name, upstream in by_name.items()}, observer)


def _tries(config: Config) -> Tries:
    return Tries(
        config.retries,
        config.retry_pause_seconds,
        frozenset(config.failover_statuses),
        config.failover_wait_seconds,
        config.retry_budget,
        config.hedge_after_seconds,
    )


def _limits(config: Config) -> Limits:
    return Limits(
        connect_seconds=config.connect_timeout_seconds,
        first_byte_seconds=config.first_byte_timeout_seconds,
        idle_seconds=config.idle_timeout_seconds,
        pool_seconds=config.pool_timeout_seconds,
        keepalive_seconds=config.keepalive_seconds,
        max_connections=config.max_connections,
    )
