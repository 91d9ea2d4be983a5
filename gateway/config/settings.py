"""Every setting, once: typed, with its unit in its name, a sentence and a checked default.

A value comes from a flag, else the environment, else the file, else the default. Unknown keys are refused with
the nearest known one. This is the only module that reads the environment.
"""

import difflib
import ipaddress
import os
import re
import typing
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from gateway.exchange import Route, Streams, Upstream

OPENAI_URL = "https://api.openai.com/v1"
DEMO = "demo"
NO_PROXY = "none"

DEFAULT_FORWARDED = (
    "accept",
    "accept-language",
    "baggage",
    "content-encoding",
    "content-type",
    "expect",
    "idempotency-key",
    "openai-*",
    "range",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-client-request-id",
    "x-stainless-*",
)


def _fits_a_header(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]*", key.get_secret_value()):
        raise ValueError("must be ASCII without spaces or line ends, because it is sent in a header")
    return key


Key = Annotated[SecretStr, AfterValidator(_fits_a_header)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line each: where, what, and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UpstreamConfig(_Strict):
    url: str = Field(description="Base URL of the model server, with its `/v1`.")
    key: Key | None = Field(None, description="Key sent to this upstream as a bearer token.")
    http2: bool = Field(
        False,
        description="Offer HTTP/2 in the TLS handshake; the upstream decides, and HTTP/1.1 is spoken where it does not "
        "want it. Each connection still has one request at a time, and costs more of the gateway's time.",
    )
    proxy: SecretStr | None = Field(
        None,
        description="URL of the HTTP proxy that leads to this upstream, as http(s)://[user:password@]host:port, or "
        "`none`. Left out, `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` decide, in either case.",
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http(s) URL; write it as https://host[:port]/v1")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("must not carry credentials, a query or a fragment; put the key under `key`")
        if not re.fullmatch(r"[\x21-\x7e]+", url):
            raise ValueError(f"{url!r} has a space or a letter outside ASCII; write it percent-encoded")
        _ = parts.port  # raises ValueError when it is no port number
        return url.rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        url = NO_PROXY if proxy is None else proxy.get_secret_value()
        if url.lower() != NO_PROXY and (problem := _no_proxy_url(url)):
            raise ValueError(problem)
        return proxy

    @model_validator(mode="after")
    def _http2_has_tls(self) -> "UpstreamConfig":
        if self.http2 and not self.url.startswith("https:"):
            raise ValueError("http2 needs an https URL, because HTTP/2 is agreed on in the TLS handshake")
        return self


class RouteConfig(_Strict):
    models: list[str] = Field(
        min_length=1, description="Model names; a name may end in `*` and then matches by prefix."
    )
    upstreams: list[str] = Field(min_length=1, description="Upstream names, in the order they are tried.")
    model: str | None = Field(None, description="Name sent upstream in place of the caller's.")
    sample_rate: Share | None = Field(None, description="Overrides the global `sample_rate`.")
    streams: Streams | None = Field(None, description="Overrides the global `streams`.")

    @field_validator("models")
    @classmethod
    def _only_a_last_star(cls, models: list[str]) -> list[str]:
        for model in models:
            if "*" in model[:-1]:
                raise ValueError(f"{model!r}: a star may only stand at the end")
        return models


class KeyConfig(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the caller, for audit and limits.")
    key: Key = Field(min_length=8, description="What the caller sends as its API key.")
    routes: list[str] | None = Field(None, description="Routes this caller may use; all when left out.")


class Config(_Strict):
    """The gateway's settings. Field names are the keys of `assay.yaml`; `ASSAY_` + upper case in the environment."""

    host: str = Field("127.0.0.1", description="Address to listen on. Without keys only a loopback address.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: Count = Field(1, le=256, description="Gateway processes that share the port.")
    upstream_url: str | None = Field(
        None,
        description="The one upstream, with its `/v1`; `demo` starts the demo upstream. For several: `upstreams`.",
    )
    upstream_key: Key | None = Field(
        None, description="Key for `upstream_url`. `OPENAI_API_KEY` is used for OpenAI when neither is set."
    )
    upstreams: dict[str, UpstreamConfig] = Field(
        {},
        description="Several upstreams: name → `url`, `key`, `http2` (offer it), `proxy` (its URL, or `none`; left "
        "out, `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` decide).",
    )
    routes: dict[str, RouteConfig] = Field(
        {},
        description="Route name → `models`, `upstreams`, `model`, `sample_rate`, `streams`. Exact names win, then "
        "the longest prefix.",
    )
    keys: list[KeyConfig] = Field(
        [],
        description="Callers' keys: a list of `name`, `key`, `routes`; in the environment comma-separated keys.",
    )
    allow_without_keys: bool = Field(
        False,
        description="Serve other machines without any key. Anyone who reaches the port spends your money.",
    )
    operator_key: Key | None = Field(
        None,
        min_length=8,
        description="What `/metrics` and `/trust` ask for as a bearer token. Left out, whoever reaches the port may "
        "read them.",
    )
    policy: str = Field("observe", description="`observe`, `default`, `strict`, or the path of a policy file.")
    sample_rate: Share = Field(1.0, description="Share of exchanges that are judged on the side path.")
    detectors: bool = Field(True, description="Load the detectors; without them nothing is judged.")
    fingerprints: Path | None = Field(
        None,
        description="File that `assay fingerprint build` made of your own works: replies that copy them word for word "
        "count as `copyrighted_content`.",
    )
    streams: Streams = Field(
        "hold",
        description="Streams whose answer an enforced rule judges: `hold` the whole answer until it is judged, let it "
        "out through a `window`, or `observe` (pass it, judge it afterwards, and count as leaked what would have been "
        "stopped).",
    )
    stream_window_chars: int = Field(
        256,
        ge=16,
        le=16384,
        description="Characters of every text of a stream that a `window` holds back: what a rule finds within so many "
        "never leaves, not even in part.",
    )
    guard_timeout_seconds: Positive = Field(
        1.0, description="Budget of inline judging; past it each rule's `on_error` decides."
    )
    ping_seconds: Positive = Field(
        15.0, description="Silence in a held stream after which a keep-alive comment is sent."
    )
    max_body_bytes: Count = Field(
        20 * 2**20,
        description="Largest JSON request body; 413 beyond. Uploads to other endpoints are streamed, not held.",
    )
    max_bodies_bytes: Count = Field(
        512 * 2**20,
        description="Bodies of all open requests together, in one process; 503 with Retry-After beyond.",
    )
    max_answer_bytes: Count = Field(20 * 2**20, description="Largest answer that is held for an enforcing policy.")
    max_requests_in_flight: Count = Field(
        4096, description="Exchanges open at once in one process; 503 with Retry-After beyond."
    )
    connect_timeout_seconds: Positive = Field(5.0, description="To open a connection to an upstream, TLS included.")
    first_byte_timeout_seconds: Positive = Field(
        600.0, description="From the request sent to the upstream's first byte."
    )
    idle_timeout_seconds: Positive = Field(120.0, description="Longest silence within an upstream's answer.")
    body_timeout_seconds: Positive = Field(60.0, description="Longest silence while a client sends its body.")
    retries: int = Field(
        1,
        ge=0,
        le=10,
        description="Further tries after a failed one, only before the first byte of an answer.",
    )
    max_connections: Count = Field(1024, description="Connections to one upstream, per process.")
    pool_timeout_seconds: Positive = Field(10.0, description="Longest wait for a free upstream connection.")
    keepalive_seconds: Positive = Field(30.0, description="Idle time after which an upstream connection is closed.")
    forward_headers: list[str] = Field(
        list(DEFAULT_FORWARDED),
        description="Request headers that go upstream; a name may end in `*`. Keys, cookies and "
        "hop-by-hop headers never do.",
    )
    queue_items: Count = Field(10_000, description="Samples that wait at most; more are dropped and counted.")
    queue_bytes: Count = Field(64 * 2**20, description="Bytes that waiting samples hold at most.")
    sample_bytes: Count = Field(
        256 * 1024, description="Bytes of an answer kept for judging; the rest counts as truncated."
    )
    sample_expiry_seconds: Positive = Field(300.0, description="A sample that waited longer is not judged.")
    redis_url: SecretStr | None = Field(
        None,
        description="Redis in which samples wait for `assay worker` processes (`redis://`, `rediss://` or `unix://`). "
        "Without it they wait in memory, and the gateway judges them itself.",
    )
    audit_path: Path | None = Field(
        None, description="File that verdicts and decisions are appended to as JSON lines; none when unset."
    )
    audit_text: bool = Field(False, description="Write flagged texts into the audit file. They are personal data.")
    audit_hash_key: SecretStr | None = Field(
        None,
        description="Keys the text hashes of the audit file, so that equal texts can be joined over restarts.",
    )
    drain_seconds: Positive = Field(30.0, description="Time that open exchanges get to end after SIGTERM.")

    @field_validator("fingerprints")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"no file {path}; make it with `assay fingerprint build CORPUS {path}`")
        return path

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"(rediss?://[^/?#]|unix://)", url.get_secret_value()):
            raise ValueError("is not a Redis URL; write it as redis://[:password@]host[:port]/0")
        return url

    @field_validator("keys", mode="before")
    @classmethod
    def _plain_keys(cls, keys: Any) -> Any:
        """A list of bare strings is a list of keys: named key-1, key-2, …"""
        if isinstance(keys, str):
            keys = [key.strip() for key in keys.split(",") if key.strip()]
        if isinstance(keys, list):
            return [
                {"name": f"key-{number}", "key": key} if isinstance(key, str) else key
                for number, key in enumerate(keys, 1)
            ]
        return keys

    @field_validator("forward_headers", mode="before")
    @classmethod
    def _header_list(cls, names: Any) -> Any:
        if isinstance(names, str):
            names = names.split(",")
        if not isinstance(names, list):
            return names
        return [name.strip().lower() if isinstance(name, str) else name for name in names]

    @property
    def uses_demo(self) -> bool:
        return not self.upstreams and self.upstream_url in (None, DEMO)


def env_name(setting: str) -> str:
    return "ASSAY_" + setting.upper()


def load(
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    path: str | Path | None = None,
) -> Config:
    """Merge flags, environment and file into a checked `Config`.

    `path` defaults to `ASSAY_CONFIG`, else `assay.yaml` in the working directory when there is one. Raises
    `ConfigError` with every problem found, not only the first.
    """
    environ = os.environ if environ is None else environ
    values, origin = _from_file(path or environ.get("ASSAY_CONFIG") or None, environ)
    for setting in Config.model_fields:
        text = environ.get(env_name(setting))
        if text is not None and text != "":
            values[setting], origin[setting] = _parse(setting, text, env_name(setting)), env_name(setting)
    for setting, text in (flags or {}).items():
        if text is not None:
            flag = "--" + setting.replace("_", "-")
            values[setting], origin[setting] = _parse(setting, text, flag), flag
    if "upstream_url" not in values and "upstreams" not in values and environ.get("OPENAI_API_KEY"):
        values["upstream_url"] = OPENAI_URL
        if "upstream_key" not in values:
            values["upstream_key"], origin["upstream_key"] = environ["OPENAI_API_KEY"], "OPENAI_API_KEY"
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError([_explain(problem, origin) for problem in error.errors()]) from None
    if problems := _contradictions(config, origin):
        raise ConfigError(problems)
    return config


def unknown_environment(environ: Mapping[str, str]) -> list[str]:
    """Sentences about `ASSAY_…` variables that no setting reads: most are typing errors."""
    prefix = env_name("")
    known = {setting.upper() for setting in Config.model_fields} | {"CONFIG"}
    return [
        f"{name} is set but is no setting of Assay{_nearest(rest, known, prefix)}"
        for name in sorted(environ)
        if (rest := name.removeprefix(prefix)) not in known and name.startswith(prefix)
    ]


def upstreams(config: Config, demo_url: str | None = None) -> dict[str, Upstream]:
    """The upstreams by name. `demo_url` is where the demo upstream listens, when it is used.

    Raises ConfigError when the environment names a proxy that cannot be used.
    """
    if config.upstreams:
        return {name: _upstream(name, entry) for name, entry in config.upstreams.items()}
    if config.uses_demo:
        own = {"url": demo_url or "http://127.0.0.1:8081/v1", "proxy": NO_PROXY}
        return {DEMO: _upstream(DEMO, UpstreamConfig.model_validate(own))}
    assert config.upstream_url is not None
    entry = {"url": config.upstream_url, "key": config.upstream_key}
    return {"default": _upstream("default", UpstreamConfig.model_validate(entry))}


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
            ),
        )
        for name, entry in config.routes.items()
    ]


def targets(config: Config) -> frozenset[str]:
    """The names that a policy may reroute to: routes and upstreams."""
    by_name = upstreams(config)
    return frozenset(by_name) | {route.name for _, route in routes(config, by_name)}


def route_names(config: Config) -> frozenset[str]:
    """The names of routes that a policy's conditions may ask for."""
    return frozenset(route.name for _, route in routes(config, upstreams(config)))


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


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


def _upstream(name: str, entry: UpstreamConfig) -> Upstream:
    parts = urlsplit(entry.url)
    assert parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    key = entry.key.get_secret_value() if entry.key else None
    proxy = _proxy(parts.scheme, parts.hostname, port) if entry.proxy is None else entry.proxy.get_secret_value()
    if proxy is not None and proxy.lower() == NO_PROXY:
        proxy = None
    return Upstream(name, parts.scheme, parts.hostname, port, parts.path, key, entry.http2, proxy)


def _proxy(scheme: str, host: str, port: int) -> str | None:
    """The proxy that the environment names for this address, by the rules of Python's own `urllib`."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or any(urllib.request.proxy_bypass(each) for each in (host, f"{host}:{port}")):
        return None
    if "://" not in proxy:
        proxy = "http://" + proxy
    if problem := _no_proxy_url(proxy):
        variable = f"{scheme if proxies.get(scheme) else 'all'}_proxy".upper()
        raise ConfigError(
            [f"{variable}: {problem}; or name {host} in NO_PROXY, or set `proxy: none` for the upstream in `upstreams`"]
        )
    return proxy


def _no_proxy_url(url: str) -> str:
    """What is wrong with a proxy's URL, without the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that stays open
        usable = False
    if usable and re.fullmatch(r"[\x21\x22\x24-\x3e\x40-\x7e]+", url):  # no `?`, no `#`
        return ""
    return "is not the URL of an HTTP proxy; write it as http://[user:password@]host:port, percent-encoded"


def _from_file(path: str | Path | None, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    if path is None and not Path("assay.yaml").exists():
        return {}, {}
    file = Path(path or "assay.yaml")
    try:
        text = file.read_text(encoding="utf-8")
        content = _load(text)
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: is not UTF-8 (byte {error.start})"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError([f"{file}{where}: is not YAML: {_yaml_problem(error)}"]) from None
    except RecursionError:
        raise ConfigError(
            [f"{file}: is nested too deeply to be read; no setting needs more than a few levels"]
        ) from None
    except ValueError as error:  # a date that is none
        raise ConfigError([f"{file}: is not YAML: {error}; put texts that look like dates in quotes"]) from None
    if content is None:
        return {}, {}
    if not isinstance(content, dict):
        raise ConfigError([f"{file}: must be a mapping of settings, found {type(content).__name__}"])
    missing: list[str] = []
    try:
        expanded = {str(key): _expand(value, environ, f"{file}: {key}", missing) for key, value in content.items()}
    except RecursionError:
        raise ConfigError([f"{file}: contains itself by an alias (`*name`)"]) from None
    if missing:
        raise ConfigError(missing)
    return expanded, dict.fromkeys(expanded, str(file))


_MAX_C_DEPTH = 64


def _load(text: str) -> Any:
    """YAML to plain values, by the C parser where it serves: ten thousand routes in 2 s instead of 12.

    Its composer recurses in C, where deep nesting takes the process down, and its messages are vaguer; both cases, and
    a PyYAML that was built without it, go to the parser in Python. Raises what `yaml.safe_load` raises.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_C_DEPTH:
                return yaml.safe_load(text)
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError:
        return yaml.safe_load(text)


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _expand(value: Any, environ: Mapping[str, str], where: str, missing: list[str]) -> Any:
    """`${NAME}` and `${NAME:-fallback}` in strings, so that secrets stay out of the file."""
    if isinstance(value, dict):
        return {key: _expand(item, environ, f"{where}.{key}", missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ, f"{where}.{index}", missing) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        name, fallback = match.groups()
        if name not in environ and fallback is None:
            missing.append(f"{where}: the environment variable {name} is not set; set it or write ${{{name}:-…}}")
        return environ.get(name, fallback or "")

    return _VARIABLE.sub(put, value)


def _yaml_problem(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__


def _parse(setting: str, text: str, origin: str) -> Any:
    """Text from a flag or the environment: structured settings are YAML, the others go as they are."""
    annotation = Config.model_fields[setting].annotation
    if typing.get_origin(annotation) is dict or (setting == "keys" and text.lstrip().startswith(("[", "-"))):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:  # without the text: it may hold keys
            raise ConfigError([f"{origin}: is neither JSON nor YAML: {_yaml_problem(error)}"]) from None
        except RecursionError:
            raise ConfigError([f"{origin}: is nested too deeply to be read"]) from None
    return text


def _explain(problem: Any, origin: Mapping[str, str]) -> str:
    """One line for one pydantic error: source, path of the key, what is wrong, the nearest valid name."""
    location = [str(part) for part in problem["loc"]]
    source = origin.get(location[0], "configuration") if location else "configuration"
    path = ".".join(location)
    where = source if source == env_name(path) or source.startswith("--") else f"{source}: {path}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key{_nearest(location[-1], _keys_at(location[:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    # Our own messages say what they found; and what may be a secret is not repeated.
    secret = ("upstreams", "url", "proxy", "redis_url")
    silent = problem["type"] == "value_error" or "key" in path or location[-1] in secret
    shown = f" (found {given!r})" if isinstance(given, str | int | float) and not silent else ""
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _keys_at(location: list[str]) -> set[str]:
    inside: dict[str, type[BaseModel]] = {"upstreams": UpstreamConfig, "routes": RouteConfig, "keys": KeyConfig}
    model: type[BaseModel] = inside.get(location[0], Config) if location else Config
    return set(model.model_fields)


def _nearest(name: str, known: typing.Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean `{prefix}{close[0]}`?" if close else ""


def _contradictions(config: Config, origin: Mapping[str, str]) -> list[str]:
    """What no single field can see."""
    source = next(iter(origin.values()), "configuration")
    found: list[str] = []
    if config.upstreams and config.upstream_url:
        found.append(f"{origin.get('upstream_url', source)}: give either `upstream_url` or `upstreams`, not both")
    elif config.upstream_url not in (None, DEMO):
        assert config.upstream_url is not None
        try:
            UpstreamConfig.model_validate({"url": config.upstream_url})
        except ValidationError as error:
            where = origin.get("upstream_url", "upstream_url")
            if where != env_name("upstream_url") and not where.startswith("--"):
                where += ": upstream_url"
            found.append(f"{where}: {error.errors()[0]['msg'].removeprefix('Value error, ')}")
    known = set(config.upstreams) or {DEMO if config.uses_demo else "default"}
    for name, route in config.routes.items():
        found += [
            f"{origin.get('routes', source)}: routes.{name}.upstreams: no upstream is called {upstream!r}"
            f"{_nearest(upstream, known) or '; there is ' + ', '.join(sorted(known))}"
            for upstream in route.upstreams
            if upstream not in known
        ]
    served = set(config.routes) or {"default"}
    for key in config.keys:
        found += [
            f"{origin.get('keys', source)}: keys.{key.name}.routes: no route is called {route!r}"
            f"{_nearest(route, served)}"
            for route in key.routes or ()
            if route not in served
        ]
    found += _duplicates(config, origin.get("keys", source))
    if not config.keys and not config.allow_without_keys and not is_loopback(config.host):
        found.append(
            f"{origin.get('host', 'host')}: {config.host} can be reached by other machines, but no key is configured; "
            "set ASSAY_KEYS, or listen on 127.0.0.1, or set allow_without_keys: true if the network is the lock"
        )
    return found


def _duplicates(config: Config, where: str) -> list[str]:
    names = [key.name for key in config.keys]
    secrets = [key.key.get_secret_value() for key in config.keys]
    found = [f"{where}: the name {name!r} is given to several keys" for name in sorted(_repeated(names))]
    if len(set(secrets)) < len(secrets):
        found.append(f"{where}: the same key is listed twice; each caller needs its own")
    return found


def _repeated(names: list[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}
