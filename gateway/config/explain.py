"""Sentences about settings: what is wrong with them, what was probably meant, and the table of all."""

import difflib
import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.config.fields import Strict
from gateway.config.judge import JudgeConfig
from gateway.config.keys import KeyConfig
from gateway.config.own_detectors import BY_NAME, KINDS, SWITCH, GuardConfig
from gateway.config.prices import PriceConfig
from gateway.config.probes import ProbesConfig
from gateway.config.settings import DEMO, ONLY, Config, env_name, is_loopback
from gateway.config.upstreams import RouteConfig, UpstreamConfig

# What requests bring themselves, behind the base URL of an upstream.
_OPERATIONS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/messages", "/models")
_SECRET = ("upstreams", "url", "proxy", "redis_url")
_INSIDE: Mapping[str, type[Strict]] = {
    "upstreams": UpstreamConfig,
    "routes": RouteConfig,
    "keys": KeyConfig,
    "judge": JudgeConfig,
    "probes": ProbesConfig,
    "prices": PriceConfig,
}


def problem(found: Any, origin: Mapping[str, str]) -> str:
    """One line for one pydantic error: source, path of the key, what is wrong, the nearest valid name."""
    location = [str(part) for part in found["loc"] if part not in (SWITCH, BY_NAME)]
    inside: type[Strict] | None = None
    if location[:1] == ["detectors"] and len(location) > 2 and location[2] in KINDS:
        inside = KINDS[location.pop(2)]
    source = origin.get(location[0], "configuration") if location else "configuration"
    path = ".".join(location)
    where = source if source == env_name(path) or source.startswith("--") else f"{source}: {path}"
    if found["type"] == "extra_forbidden":
        return (
            f"{where}: unknown key{nearest(location[-1], inside.model_fields if inside else _keys_at(location[:-1]))}"
        )
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] == "too_short" and isinstance(found.get("input"), str):  # pydantic counts a secret in items
        message = f"must have at least {found['ctx']['min_length']} characters"
    if found["type"].startswith(("timezone", "datetime")):
        message = "write a moment with its time zone, as 2027-01-31T00:00:00Z"
    given = found.get("input")
    # Our own messages say what they found, and what may be a secret is not repeated.
    silent = found["type"] == "value_error" or "key" in path or "headers" in location or location[-1] in _SECRET
    shown = f" (found {given!r})" if isinstance(given, str | int | float) and not silent else ""
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _keys_at(location: list[str]) -> set[str]:
    model: type[Strict] = Config
    if location:
        model = _INSIDE.get(location[0], Config)
    return set(model.model_fields)


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a sentence about an unknown name."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean `{prefix}{close[0]}`?" if close else ""


def unknown_environment(environ: Mapping[str, str], referred: Iterable[str] = ()) -> list[str]:
    """Sentences about `ASSAY_…` variables that no setting reads and the file does not refer to (`referred`). Most of
    them are typing errors."""
    expected = frozenset(referred)
    prefix = env_name("")
    known = {setting.upper() for setting in Config.model_fields} | {"CONFIG"}
    return [
        f"{name} is set but is no setting of Assay{nearest(rest, known, prefix)}"
        for name in sorted(environ)
        if (rest := name.removeprefix(prefix)) not in known and name.startswith(prefix) and name not in expected
    ]


def contradictions(config: Config, origin: Mapping[str, str]) -> list[str]:
    """What is wrong between settings: no single field shows it."""
    source = next(iter(origin.values()), "configuration")
    found: list[str] = []
    if config.upstreams and config.upstream_url:
        found.append(f"{origin.get('upstream_url', source)}: give either `upstream_url` or `upstreams`, not both")
    found += _unknown_names(config, origin, source)
    found += _models_of_several(config, origin.get("routes", source))
    found += _duplicates(config, origin.get("keys", source))
    found += _open_doors(config, origin)
    found += _open_texts(config, origin)
    if config.otlp_endpoint is not None and not _has_module("opentelemetry.exporter.otlp.proto.http"):
        where = origin.get("otlp_endpoint", source)
        found.append(f"{where}: otlp_endpoint: traces need the extra `otel`: pip install 'assay-gateway[otel]'")
    return found


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent package is not installed either
        return False


def _unknown_names(config: Config, origin: Mapping[str, str], source: str) -> Iterator[str]:
    known = set(config.upstreams) or {ONLY}
    for name, route in config.routes.items():
        for upstream in route.upstreams:
            if upstream not in known:
                yield (
                    f"{origin.get('routes', source)}: routes.{name}.upstreams: no upstream is called {upstream!r}"
                    f"{nearest(upstream, known) or '; there is ' + ', '.join(sorted(known))}"
                )
    if config.judge and config.judge.upstream not in (None, *known):
        yield (
            f"{origin.get('judge', source)}: judge.upstream: no upstream is called {config.judge.upstream!r}"
            f"{nearest(config.judge.upstream or '', known) or '; there is ' + ', '.join(sorted(known))}"
        )
    for name, guard in config.own.items():
        if isinstance(guard, GuardConfig) and guard.upstream not in (None, *known):
            yield (
                f"{origin.get('detectors', source)}: detectors.{name}.upstream: no upstream is called "
                f"{guard.upstream!r}{nearest(guard.upstream or '', known) or '; there is ' + ', '.join(sorted(known))}"
            )
    served = set(config.routes) or {"default"}
    yield from _unknown_to_probes(config, origin.get("probes", source), known, served)
    for key in config.keys:
        for served_route in key.routes or ():
            if served_route not in served:
                yield (
                    f"{origin.get('keys', source)}: keys.{key.name}.routes: no route is called {served_route!r}"
                    f"{nearest(served_route, served)}"
                )


def _unknown_to_probes(config: Config, where: str, known: set[str], served: set[str]) -> Iterator[str]:
    if config.probes is None:
        return
    for name in config.probes.routes:
        if name not in served:
            there = "; there is " + ", ".join(sorted(served))
            yield f"{where}: probes.routes: no route is called {name!r}{nearest(name, served) or there}"
    other = config.probes.shadow
    if other and other.upstream not in known:
        there = "; there is " + ", ".join(sorted(known))
        yield (
            f"{where}: probes.shadow.upstream: no upstream is called {other.upstream!r}"
            f"{nearest(other.upstream, known) or there}"
        )


def _models_of_several(config: Config, where: str) -> Iterator[str]:
    """A model that two routes name would always take the first route."""
    first: dict[str, str] = {}
    for name, route in config.routes.items():
        for model in dict.fromkeys(route.models):
            if model in first:
                yield (
                    f"{where}: routes.{name}.models: {model!r} is already a model of route {first[model]!r}, which "
                    "would get all of its requests; name it in one of them"
                )
            first.setdefault(model, name)


def _duplicates(config: Config, where: str) -> Iterator[str]:
    names = [key.name for key in config.keys]
    secrets = [key.digest for key in config.keys]
    yield from (f"{where}: the name {name!r} is given to several keys" for name in sorted(_repeated(names)))
    if len(set(secrets)) < len(secrets):
        yield f"{where}: the same key is listed twice; each caller needs its own"


def _repeated(names: list[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def _open_doors(config: Config, origin: Mapping[str, str]) -> Iterator[str]:
    if not config.keys and not config.allow_without_keys and not is_loopback(config.host):
        yield (
            f"{origin.get('host', 'host')}: {config.host} can be reached by other machines, but no key is configured; "
            "set ASSAY_KEYS, or listen on 127.0.0.1, or set allow_without_keys: true if the network is the lock"
        )
    if config.cors_credentials and "*" in config.cors_origins:
        yield (
            f"{origin.get('cors_credentials', 'cors_credentials')}: with `cors_origins: *` any page could act for its "
            "visitor; list the origins, or leave cors_credentials off"
        )


def _open_texts(config: Config, origin: Mapping[str, str]) -> Iterator[str]:
    if config.operator_key is None and (config.keys or config.allow_without_keys):
        for setting, page in (("audit_text", "/trust/v1/flags"), ("review_text", "/trust/v1/review")):
            if getattr(config, setting):
                yield (
                    f"{origin.get(setting, setting)}: texts would be shown at {page} to everyone who reaches the port; "
                    f"set `operator_key` (ASSAY_OPERATOR_KEY), or leave `{setting}` off"
                )


def slips(config: Config) -> list[str]:
    """Sentences about settings that are valid but most often a mistake."""
    found = []
    urls = {f"upstreams.{name}.url": entry.url for name, entry in config.upstreams.items()}
    if config.upstream_url not in (None, DEMO) and not config.upstreams:
        urls = {"upstream_url": config.upstream_url or ""}
    for where, url in urls.items():
        base = url.rstrip("/")
        if not urlsplit(url).path.strip("/"):
            found.append(f"{where}: {url} has no path; most model servers are asked below /v1, so write {base}/v1")
        elif "/v1/v1" in f"{urlsplit(url).path}/":
            found.append(f"{where}: {url} has /v1 twice; write {url.replace('/v1/v1', '/v1')}")
        elif operation := next((path for path in _OPERATIONS if base.endswith(path)), ""):
            found.append(
                f"{where}: {url} ends in an operation; requests bring {operation} themselves, so write "
                f"{base.removesuffix(operation)}"
            )
    return found


def settings_table() -> str:
    """The settings as a Markdown table, for docs/configuration.md."""
    rows = ["| key in `assay.yaml` | environment | default | what it does |", "|---|---|---|---|"]
    for name, field in Config.model_fields.items():
        default = field.get_default()
        shown = "" if default in (None, [], {}) else f"`{_shown(default)}`"
        rows.append(f"| `{name}` | `{env_name(name)}` | {shown} | {field.description} |")
    return "\n".join(rows)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
