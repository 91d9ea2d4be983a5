"""The upstreams and routes that the settings describe."""

import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from gateway.config.judge import JudgeConfig
from gateway.config.own_detectors import GuardConfig
from gateway.config.settings import ONLY, Config, ConfigError
from gateway.config.upstreams import NO_PROXY, UpstreamConfig, fault_of_proxy_url
from gateway.exchange import Route, Upstream


def upstreams(config: Config, demo_url: str | None = None) -> dict[str, Upstream]:
    """The upstreams by name. `demo_url` is where the demo upstream listens, when it is used.

    Raises ConfigError when the environment names a proxy that cannot be used.
    """
    if config.upstreams:
        return {name: upstream_of(name, entry) for name, entry in config.upstreams.items()}
    if config.uses_demo:
        own = {"url": demo_url or "http://127.0.0.1:8081/v1", "proxy": NO_PROXY}
        return {ONLY: upstream_of(ONLY, UpstreamConfig.model_validate(own))}
    assert config.upstream_url is not None
    entry = {"url": config.upstream_url, "key": config.upstream_key}
    return {ONLY: upstream_of(ONLY, UpstreamConfig.model_validate(entry))}


def routes(config: Config, by_name: Mapping[str, Upstream]) -> list[tuple[tuple[str, ...], Route]]:
    """(model patterns, route) in the order of the file; without `routes` everything goes to the first upstream."""
    if not config.routes:
        default = Route("default", (next(iter(by_name.values())),), config.sample_rate, streams=config.streams)
        return [(("*",), default)]
    return [
        (
            tuple(entry.models),
            Route(
                name,
                tuple(by_name[upstream] for upstream in entry.upstreams),
                config.sample_rate if entry.sample_rate is None else entry.sample_rate,
                entry.model,
                entry.streams or config.streams,
                entry.balance,
                entry.first_byte_timeout_seconds,
                entry.idle_timeout_seconds,
                entry.hedge_after_seconds,
            ),
        )
        for name, entry in config.routes.items()
    ]


def judge_upstream(judge: JudgeConfig, by_name: Mapping[str, Upstream]) -> Upstream:
    """The upstream of the judge model, which is asked for by the name in `judge`."""
    if judge.upstream is not None:
        return replace(by_name[judge.upstream], model=None)
    return upstream_of("judge", UpstreamConfig.model_validate({"url": judge.url, "key": judge.key}))


def guard_upstream(name: str, guard: GuardConfig, by_name: Mapping[str, Upstream]) -> Upstream:
    """The upstream of one of the operator's guards, found as the judge model's is."""
    if guard.upstream is not None:
        return replace(by_name[guard.upstream], model=None)
    return upstream_of(name, UpstreamConfig.model_validate({"url": guard.url, "key": guard.key}))


def models(config: Config, by_name: Mapping[str, Upstream]) -> dict[str, frozenset[str]]:
    """Route → the models it is known to lead to, by the names that its upstreams know them by."""
    return {
        route.name: frozenset(
            model
            for upstream in route.upstreams
            for pattern in patterns
            if not (model := upstream.model or route.model or pattern).endswith("*")
        )
        for patterns, route in routes(config, by_name)
    }


def named_model(config: Config) -> str:
    """The first model that a route names whole, as clients call it; empty where none does."""
    patterns = (pattern for entry in config.routes.values() for pattern in entry.models)
    return next((pattern for pattern in patterns if not pattern.endswith("*")), "")


def targets(config: Config) -> frozenset[str]:
    """The names that a policy may reroute to: routes and upstreams."""
    by_name = upstreams(config)
    return frozenset(by_name) | {route.name for _, route in routes(config, by_name)}


def route_names(config: Config) -> frozenset[str]:
    """The names of routes that a policy's conditions may ask for."""
    return frozenset(route.name for _, route in routes(config, upstreams(config)))


def route_policies(config: Config) -> dict[str, str]:
    """The routes that have a policy of their own, with its name or path."""
    return {name: entry.policy for name, entry in config.routes.items() if entry.policy not in (None, config.policy)}


def upstream_of(name: str, entry: UpstreamConfig) -> Upstream:
    parts = urlsplit(entry.url)
    assert parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    key = entry.key.get_secret_value() if entry.key else None
    proxy = _proxy(parts.scheme, parts.hostname, port) if entry.proxy is None else entry.proxy.get_secret_value()
    if proxy is not None and proxy.lower() == NO_PROXY:
        proxy = None
    return Upstream(
        name,
        parts.scheme,
        parts.hostname,
        port,
        parts.path,
        key,
        entry.http2,
        proxy,
        model=entry.model,
        headers=tuple((header, value.get_secret_value()) for header, value in entry.headers.items()),
        query=urlencode(entry.query),
        weight=entry.weight,
        connect_seconds=entry.connect_timeout_seconds,
        first_byte_seconds=entry.first_byte_timeout_seconds,
        idle_seconds=entry.idle_timeout_seconds,
    )


def _proxy(scheme: str, host: str, port: int) -> str | None:
    """The proxy that the environment names for this address, by the rules of Python's own `urllib`."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or any(urllib.request.proxy_bypass(each) for each in (host, f"{host}:{port}")):
        return None
    if "://" not in proxy:
        proxy = "http://" + proxy
    if problem := fault_of_proxy_url(proxy):
        variable = f"{scheme if proxies.get(scheme) else 'all'}_proxy".upper()
        raise ConfigError(
            [f"{variable}: {problem}; or name {host} in NO_PROXY, or set `proxy: none` for the upstream in `upstreams`"]
        )
    return proxy
