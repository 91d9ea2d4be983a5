"""Every setting, once: typed, with its unit in its name, a sentence and a checked default.

`load` brings their values together, `models` makes upstreams and routes of them, `explain` says what is wrong.
"""

import ipaddress
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, Discriminator, Field, SecretStr, Tag, field_validator, model_validator

from gateway.config.fields import Count, Hedge, JudgeDialect, Key, Positive, Price, Share, Strict, Url, are_slugs
from gateway.config.own import OwnConfig
from gateway.exchange import Balance, Streams

OPENAI_URL = "https://api.openai.com/v1"
DEMO = "demo"
ONLY = "default"  # the name of the upstream that `upstream_url` gives, the demo one included
NO_PROXY = "none"

FAILOVER_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 529})

DEFAULT_FORWARDED = (
    "accept",
    "accept-language",
    "anthropic-*",
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


# The two forms of `detectors`, as they stand in the place of an error.
SWITCH, BY_NAME = "detectors on or off", "detectors by name"
DetectorName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line each: where, what, and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UpstreamConfig(Strict):
    url: Url = Field(description="Base URL of the model server, with its `/v1`.")
    key: Key | None = Field(None, description="Key sent to this upstream as a bearer token.")
    http2: bool = Field(
        False,
        description="Offer HTTP/2 in the TLS handshake; the upstream decides, and HTTP/1.1 is spoken where it does not "
        "want it. In HTTP/2 up to a hundred answers share a connection. A request costs several times as much of the "
        "gateway's time as in HTTP/1.1 to an upstream that is reached directly.",
    )
    proxy: SecretStr | None = Field(
        None,
        description="URL of the HTTP proxy that leads to this upstream, as http(s)://[user:password@]host:port, or "
        "`none`. Left out, `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` decide, in either case.",
    )

    model: str | None = Field(None, description="Name that this upstream knows the model by, whichever is asked for.")
    headers: dict[str, SecretStr] = Field(
        {}, description="Headers sent with every request to this upstream, in place of the client's of the same name."
    )
    query: dict[str, str] = Field(
        {}, description="Query parameters added to every request to this upstream, such as Azure's `api-version`."
    )
    weight: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Share of a route's requests, beside the others' weights, with `balance: weights`.",
    )
    connect_timeout_seconds: Positive | None = Field(None, description="Overrides the global setting.")
    first_byte_timeout_seconds: Positive | None = Field(None, description="Overrides the global setting.")
    idle_timeout_seconds: Positive | None = Field(None, description="Overrides the global setting.")

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in _HOP_HEADERS:
                raise ValueError(f"{name!r} belongs to the connection and is written by the gateway")
            if not re.fullmatch(r"[\x20-\x7e]*", value.get_secret_value()):
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return headers

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        url = NO_PROXY if proxy is None else proxy.get_secret_value()
        if url.lower() != NO_PROXY and (problem := fault_of_proxy_url(url)):
            raise ValueError(problem)
        return proxy

    @model_validator(mode="after")
    def _http2_has_tls(self) -> "UpstreamConfig":
        if self.http2 and not self.url.startswith("https:"):
            raise ValueError("http2 needs an https URL, because HTTP/2 is agreed on in the TLS handshake")
        return self


_HOP_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class RouteConfig(Strict):
    models: list[str] = Field(
        min_length=1, description="Model names; a name may end in `*` and then matches by prefix."
    )
    upstreams: list[str] = Field(min_length=1, description="Upstream names, in the order they are tried.")
    model: str | None = Field(None, description="Name sent upstream in place of the caller's.")
    sample_rate: Share | None = Field(None, description="Overrides the global `sample_rate`.")
    streams: Streams | None = Field(None, description="Overrides the global `streams`.")
    policy: str | None = Field(
        None, description="The policy of this route, in place of the global `policy`: a shipped one, or a file's path."
    )
    balance: Balance = Field(
        "order",
        description="Which upstream is tried first: as they are listed (`order`), drawn by `weights`, or the one whose "
        "first byte is expected soonest (`latency`).",
    )
    first_byte_timeout_seconds: Positive | None = Field(None, description="Overrides the upstreams' settings.")
    idle_timeout_seconds: Positive | None = Field(None, description="Overrides the upstreams' settings.")
    hedge_after_seconds: Hedge | None = Field(None, description="Overrides the global setting.")

    @field_validator("models")
    @classmethod
    def _only_a_last_star(cls, models: list[str]) -> list[str]:
        for model in models:
            if "*" in model[:-1]:
                raise ValueError(f"{model!r}: a star may only stand at the end")
        return models


class KeyConfig(Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the caller, for audit and limits.")
    key: Key | None = Field(None, min_length=8, description="What the caller sends as its API key.")
    key_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-fA-F]{64}$",
        description="In place of `key`, its SHA-256 in hex, so that the key itself stands nowhere "
        "(`printf %s KEY | sha256sum`).",
    )
    routes: list[str] | None = Field(None, description="Routes this caller may use; all when left out.")
    expires_at: AwareDatetime | None = Field(
        None, description="When the key ceases to be valid, with its time zone, as 2027-01-31T00:00:00Z."
    )

    @model_validator(mode="after")
    def _has_one_key(self) -> "KeyConfig":
        if (self.key is None) == (self.key_sha256 is None):
            raise ValueError("needs either `key` or `key_sha256`")
        return self

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the key."""
        if self.key is not None:
            return sha256(self.key.get_secret_value().encode()).digest()
        return bytes.fromhex(self.key_sha256 or "")


class JudgeConfig(Strict):
    """The judge model that second opinions are asked of. Texts go to this upstream and to no other."""

    upstream: str | None = Field(None, description="Name of the upstream that serves the judge model.")
    url: Url | None = Field(None, description="In place of `upstream`, a base URL with its `/v1`.")
    key: Key | None = Field(None, description="Key for `url`.")
    model: str = Field(min_length=1, max_length=200, description="Name of the judge model there.")
    dialect: JudgeDialect | None = Field(
        None, description="How it is asked and answers. Left out, the model's name decides, else it is `questions`."
    )
    instructions: str = Field("", description="In place of the dialect's own words to the model.")
    questions: dict[str, str] = Field({}, description="Sub-category → how it is put to the model.")
    extra: dict[str, Any] = Field({}, description="Fields for the body of each request; null takes one away.")
    subcategories: list[str] = Field(
        [], description="Sub-categories to ask about; all on which the dialect has an opinion when empty."
    )
    calls_per_hour: Positive = Field(600.0, description="Calls in an hour at most, in all processes of a gateway.")
    tokens_per_hour: Positive = Field(500_000.0, description="Tokens in an hour at most, in and out.")
    price_per_million_input_tokens: float = Field(0.0, ge=0, description="For the cost that is shown.")
    price_per_million_output_tokens: float = Field(0.0, ge=0, description="For the cost that is shown.")
    timeout_seconds: Positive = Field(30.0, description="Longest wait for an answer.")
    retries: int = Field(2, ge=0, le=10, description="Further tries after a failure that may pass.")
    waiting_items: Annotated[int, Field(ge=2)] = Field(
        256, description="Samples that wait at most; what is more is thinned, and what is left weighs more."
    )
    expiry_seconds: Positive = Field(3600.0, description="A sample that waited longer is not shown to the judge.")
    max_characters: Count = Field(
        20_000, description="A text that is longer is not shown to the judge: half a text is no basis for an opinion."
    )

    @field_validator("subcategories", "questions")
    @classmethod
    def _are_known(cls, named: Any) -> Any:
        return are_slugs(named)

    @model_validator(mode="after")
    def _has_one_place(self) -> "JudgeConfig":
        if (self.upstream is None) == (self.url is None):
            raise ValueError("needs either `upstream` or `url`: texts leave only to the place that is named here")
        if self.url is None and self.key is not None:
            raise ValueError("`key` goes with `url`; an upstream has its own key")
        return self


ProbeName = Literal[
    "again", "opinion_removed", "opinion_reversed", "gender", "names", "origins", "sides", "dialect", "typos",
    "paraphrase", "trigger_removed", "cause_reversed", "cause_absent", "reason_negated", "reason_dropped",
]  # fmt: skip


class ShadowConfig(Strict):
    """Another model that answers some of the requests too, so that both can be judged side by side."""

    upstream: str = Field(description="Name of the upstream that serves it.")
    model: str = Field(min_length=1, max_length=200, description="Name of the model there.")
    share: Share = Field(0.5, description="Share of the calls of probes that it gets.")


class ProbesConfig(Strict):
    """Sampled requests that are sent again beside the traffic, to the upstream that answered them."""

    routes: list[str] = Field(
        min_length=1,
        description="Routes of which sampled requests may be sent again; `default` where there is no other.",
    )
    only: list[ProbeName] = Field([], description="Probes to make; all when empty.")
    calls_per_hour: float = Field(
        60.0, ge=0, allow_inf_nan=False, description="Calls in an hour at most, in all processes of a gateway."
    )
    tokens_per_hour: float = Field(
        100_000.0, ge=0, allow_inf_nan=False, description="Tokens in an hour at most, in and out."
    )
    cost_per_hour: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Money in an hour at most, in `currency`, by `prices`."
    )
    times: Annotated[int, Field(ge=1, le=10)] = Field(2, description="How often the probe `again` asks again.")
    triggers: list[str] = Field(
        [],
        description="Strings suspected to trigger a poisoned model; the probe `trigger_removed` takes them out.",
    )
    shadow: ShadowConfig | None = Field(None, description="Another model that gets some of the requests too.")
    timeout_seconds: Positive = Field(60.0, description="Longest wait for an answer.")
    waiting_items: Annotated[int, Field(ge=2)] = Field(
        256,
        description="Requests that wait at most for each upstream; what is more is thinned, and the rest weighs more.",
    )
    expiry_seconds: Positive = Field(3600.0, description="A request that waited longer is not sent again.")
    max_characters: Count = Field(20_000, description="A request with more characters is not sent again.")

    @model_validator(mode="after")
    def _can_pay(self) -> "ProbesConfig":
        if any(not text.strip() for text in self.triggers):
            raise ValueError("`triggers` has an empty string, which would be found everywhere")
        return self


class PriceConfig(Strict):
    input_per_million_tokens: Price = Field(description="What a million tokens cost that a model takes in.")
    output_per_million_tokens: Price = Field(0.0, description="What a million tokens cost that it gives out.")
    cached_input_per_million_tokens: Price | None = Field(
        None, description="What a million tokens cost that it had read before; as much as others when left out."
    )


class Config(Strict):
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
        "out, `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` decide), `model`, `headers`, `query`, `weight`, "
        "and timeouts of its own.",
    )
    routes: dict[str, RouteConfig] = Field(
        {},
        description="Route name → `models`, `upstreams`, `model`, `sample_rate`, `streams`, `policy`, `balance`, "
        "`hedge_after_seconds`, and timeouts of its own. Exact names win, then the longest prefix.",
    )
    keys: list[KeyConfig] = Field(
        [],
        description="Callers' keys: a list of `name`, `key` or `key_sha256`, `routes`, `expires_at`; in the "
        "environment comma-separated keys. What changes in the file is in force within a second, or after SIGHUP.",
    )
    keys_file: Path | None = Field(
        None, description="A file with more `keys`, as a list in YAML; watched like those of the configuration."
    )
    allow_without_keys: bool = Field(
        False,
        description="Serve other machines without any key. Anyone who reaches the port spends your money.",
    )
    cors_origins: list[str] = Field(
        [],
        description="Web origins whose pages may use the gateway from a browser, as https://app.example[:port], or `*` "
        "for any. A request that a page of another origin sends is refused.",
    )
    cors_expose_headers: list[str] = Field(
        ["retry-after", "x-assay-decision", "x-assay-guard-ms", "x-assay-policy", "x-request-id"],
        description="Response headers that pages of `cors_origins` may read.",
    )
    cors_credentials: bool = Field(
        False,
        description="Let pages of `cors_origins` send cookies and client certificates, which a proxy in front may ask "
        "for. The gateway's keys need it not.",
    )
    operator_key: Key | None = Field(
        None,
        min_length=8,
        description="What `/metrics` and `/trust` ask for as a bearer token. Left out, whoever reaches the port may "
        "read them.",
    )
    policy: str = Field("observe", description="`observe`, `default`, `strict`, or the path of a policy file.")
    sample_rate: Share = Field(1.0, description="Share of exchanges that are judged on the side path.")
    samples_per_second: Positive | None = Field(
        None,
        description="Samples a second, in all processes of this gateway, that are judged on the side path. Where the "
        "sample rates give more, they are lowered together, and rates of harm are weighted with what was in force.",
    )
    sample_cpu_share: Share | None = Field(
        None,
        gt=0,
        description="Share of the machine's processors that the detectors of this gateway may use; where they use "
        "more, fewer exchanges are sampled, as with `samples_per_second`. Guards judge whatever it costs. It does not "
        "bound `assay worker`.",
    )
    detectors: Annotated[
        Annotated[bool, Tag(SWITCH)] | Annotated[dict[DetectorName, OwnConfig], Tag(BY_NAME)],
        Discriminator(lambda given: BY_NAME if isinstance(given, dict) else SWITCH),
    ] = Field(
        True,
        description="`false`: load no detectors, and nothing is judged. Or detectors of your own beside the shipped "
        "ones: name → `kind` (`classifier`, `words` or `guard`) and what that kind needs, as "
        "[detectors of your own](own-detectors.md) tells.",
    )
    judges: Count = Field(
        1,
        le=64,
        description="Detector processes of each gateway process or `assay worker`; each holds its models in memory.",
    )
    judging_bytes: Count = Field(
        128 * 2**20,
        description="Bytes of requests and answers that are being judged or wait for it, in one process; what comes "
        "beyond is not judged, and each rule's `on_error` decides. One caller gets at most half of what others left.",
    )
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
    max_answers_bytes: Count = Field(
        2**30,
        description="Memory of all answers that are held to be judged, together in one process, with what is read of "
        "them. One that does not fit ends with the error `overloaded`: 503, or the last event of a stream that began.",
    )
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
    retry_pause_seconds: float = Field(
        0.05,
        ge=0,
        le=10,
        description="Longest pause before the same upstream is tried again, doubled each time; the pause is drawn.",
    )
    retry_budget: Share = Field(
        0.2,
        description="Further tries of the same upstream, and second tries beside a slow one, at most: as a share of a "
        "route's requests.",
    )
    hedge_after_seconds: Hedge = Field(
        "never",
        description="When nothing of an answer came after so long, the next upstream is asked as well, and the first "
        "good answer wins: `p95` is the time within which 95 % of the first bytes came. Only for inference that is not "
        "streamed, on routes with several upstreams. Both may charge for it.",
    )
    failover_statuses: list[int] = Field(
        sorted(FAILOVER_STATUSES),
        description="Statuses of an answer for which the next upstream of the route is tried.",
    )
    failover_wait_seconds: float = Field(
        30.0,
        ge=0,
        description="A 429 that asks to wait longer is passed on to the client instead.",
    )
    cooldown_seconds: Positive = Field(
        1.0,
        description="How long an upstream that cannot be reached, or does not answer in time, is set aside at first; "
        "doubled with each failure in a row. Then one request tries it again.",
    )
    max_cooldown_seconds: Positive = Field(60.0, description="The longest that an upstream is set aside.")
    max_connections: Count = Field(4096, description="Connections to one upstream, per process.")
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
    state_dir: Path | None = Field(
        None,
        description="Folder for what is to outlive a restart: the ledger of judged samples, from which `/trust` reads "
        "rates. Left out, that is a temporary file of this start. With `redis_url` it is in Redis.",
    )
    ledger_days: Positive = Field(30.0, description="Days for which judged samples (no texts) stay in the ledger.")
    ledger_bytes: Annotated[int, Field(ge=2**20)] = Field(
        256 * 2**20, description="Bytes that the ledger may hold; the oldest samples make room."
    )
    monitors: bool = Field(
        True,
        description="Look over many judged samples for gaps between cohorts, leans, shifts, effects of changes and "
        "triggers; sums only are kept, beside the ledger.",
    )
    count_tokens: bool = Field(
        True, description="Count the tokens that the answers of upstreams tell, and what they cost by `prices`."
    )
    prices: dict[str, PriceConfig] = Field(
        {},
        description="Model → `input_per_million_tokens`, `output_per_million_tokens` and "
        "`cached_input_per_million_tokens`, in `currency`. The name is that sent upstream, and may end in `*`. Exact "
        "names win, then the longest prefix.",
    )
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="Currency of `prices`, by its code in ISO 4217.")
    model_labels: int = Field(
        50,
        ge=0,
        le=1000,
        description="Models that get series of their own in metrics though the configuration names them nowhere: so "
        "many, the first that are used; the others count as `other`.",
    )
    audit_path: Path | None = Field(
        None,
        description="File that verdicts, decisions and the tokens of each caller are appended to as JSON lines; "
        "none when unset.",
    )
    audit_text: bool = Field(False, description="Write flagged texts into the audit file. They are personal data.")
    audit_hash_key: SecretStr | None = Field(
        None,
        description="Keys the text hashes of the audit file, so that equal texts can be joined over restarts.",
    )
    judge: JudgeConfig | None = Field(
        None,
        description="A judge model that gives second opinions on a share of the judged samples, so that rates are "
        "right: `upstream` (or `url` and `key`) and `model`; `dialect`, `instructions`, `questions`, `extra`, "
        "`subcategories`; `calls_per_hour` (600), `tokens_per_hour` (500000), `price_per_million_input_tokens`, "
        "`price_per_million_output_tokens`; `timeout_seconds` (30), `retries` (2), `waiting_items` (256), "
        "`expiry_seconds` (3600), `max_characters` (20000). Left out, no text goes to any judge.",
    )
    probes: ProbesConfig | None = Field(
        None,
        description="Send a small share of the sampled requests again, as they were or with one thing changed, to the "
        "upstream that answered them, and compare the answers: `routes`; `only`, `calls_per_hour` (60), "
        "`tokens_per_hour` (100000), `cost_per_hour`, `times` (2), `triggers`, `shadow` (`upstream`, `model`, "
        "`share`); `timeout_seconds` (60), `waiting_items` (256), `expiry_seconds` (3600), `max_characters` (20000). "
        "Left out, nothing is sent twice.",
    )
    reviews_per_hour: float = Field(
        10.0,
        ge=0,
        allow_inf_nan=False,
        description="Judged samples an hour, in each process that judges, that are drawn for people (`assay review`); "
        "0 turns it off.",
    )
    reviewers: Count = Field(1, le=9, description="People whose labels a drawn sample waits for.")
    review_text: bool = Field(
        False,
        description="Keep the texts of samples that were drawn for people or the judge, to be shown to reviewers and "
        "written by `assay export`; they go with the sample after `ledger_days`. They are personal data.",
    )
    drain_seconds: Positive = Field(30.0, description="Time that open exchanges get to end after SIGTERM.")
    shutdown_delay_seconds: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Time after SIGTERM in which new connections are still taken while `/readyz` already says no: for "
        "load balancers, which need a moment to notice (5 s on Kubernetes).",
    )
    reuse_port: bool = Field(
        False,
        description="Share the port with other `assay serve` that do so too (SO_REUSEPORT): start the new one, then "
        "stop the old one, and no request is lost.",
    )
    otlp_endpoint: Url | None = Field(
        None,
        description="Base URL of an OpenTelemetry collector (OTLP over HTTP, as http://localhost:4318) that gets a "
        "trace of each request. Needs the extra `otel`. Left out, there are no traces.",
    )
    trace_sample_rate: Share = Field(
        1.0, description="Share of the traces that begin here; where a caller began one, the caller decides."
    )
    log_format: Literal["text", "json"] = Field("text", description="Log lines as `text` or as `json` objects.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="What is logged: this and what is more severe."
    )

    @field_validator("prices")
    @classmethod
    def _only_a_last_star(cls, prices: dict[str, PriceConfig]) -> dict[str, PriceConfig]:
        for model in prices:
            if "*" in model[:-1]:
                raise ValueError(f"{model!r}: a star may only stand at the end")
        return prices

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

    @field_validator("cors_origins", "cors_expose_headers", mode="before")
    @classmethod
    def _parts(cls, given: Any) -> Any:
        return [part.strip() for part in given.split(",") if part.strip()] if isinstance(given, str) else given

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+", origin):
                raise ValueError(
                    f"{origin!r} is no origin as browsers send it; write scheme and host in lower case, a port that is "
                    "not the scheme's own, and no path: https://app.example"
                )
        return origins

    @field_validator("cors_expose_headers")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(f"{name!r} is no name of a header")
        return names

    @field_validator("failover_statuses", mode="before")
    @classmethod
    def _status_list(cls, statuses: Any) -> Any:
        return [part.strip() for part in statuses.split(",") if part.strip()] if isinstance(statuses, str) else statuses

    @field_validator("failover_statuses")
    @classmethod
    def _are_failures(cls, statuses: list[int]) -> list[int]:
        for status in statuses:
            if not 400 <= status <= 599:
                raise ValueError(f"{status} is no status of a failure; those are 400 to 599")
        return statuses

    @field_validator("forward_headers", mode="before")
    @classmethod
    def _header_list(cls, names: Any) -> Any:
        if isinstance(names, str):
            names = names.split(",")
        if not isinstance(names, list):
            return names
        return [name.strip().lower() if isinstance(name, str) else name for name in names]

    @property
    def judges_texts(self) -> bool:
        """Whether detectors are loaded."""
        return self.detectors is not False

    @property
    def own(self) -> Mapping[str, OwnConfig]:
        """The operator's own detectors by name."""
        return self.detectors if isinstance(self.detectors, dict) else {}

    @property
    def uses_demo(self) -> bool:
        return not self.upstreams and self.upstream_url in (None, DEMO)


def env_name(setting: str) -> str:
    return "ASSAY_" + setting.upper()


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def fault_of_proxy_url(url: str) -> str:
    """What is wrong with a proxy's URL, without the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that stays open
        usable = False
    if usable and re.fullmatch(r"[\x21\x22\x24-\x3e\x40-\x7e]+", url):  # no `?`, no `#`
        return ""
    return "is not the URL of an HTTP proxy; write it as http://[user:password@]host:port, percent-encoded"
