"""Every setting, once: typed, with its unit in its name, a sentence and a checked default.

Records inside it, such as upstreams, have files of their own. `load` brings the values together, `routes` makes
upstreams and routes of them, `explain` says what is wrong.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.config.fields import (
    Count,
    FailureStatuses,
    FingerprintFile,
    HeaderNames,
    HeaderPatterns,
    Hedge,
    Key,
    Origins,
    Positive,
    RedisUrl,
    Share,
    Strict,
    Url,
)
from gateway.config.judge import JudgeConfig
from gateway.config.keys import Keys
from gateway.config.own_detectors import Detectors, OwnConfig
from gateway.config.prices import Prices
from gateway.config.probes import ProbesConfig
from gateway.config.upstreams import RouteConfig, UpstreamConfig
from gateway.exchange import Streams

OPENAI_URL = "https://api.openai.com/v1"
DEMO = "demo"
ONLY = "default"  # the name of the upstream that `upstream_url` gives, the demo one included

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


class ConfigError(Exception):
    """The configuration cannot be used. Each line of `problems` says where, what is wrong, and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
    keys: Keys = Field(
        [],
        description="Callers' keys: a list of `name`, `key` or `key_sha256`, `routes`, `expires_at` (as "
        "`2027-01-31T00:00:00Z`); in the environment comma-separated keys. What changes in the file is in force within "
        "a second, or after SIGHUP.",
    )
    keys_file: Path | None = Field(
        None, description="A file with more `keys`, as a list in YAML; watched like those of the configuration."
    )
    allow_without_keys: bool = Field(
        False,
        description="Serve other machines without any key. Anyone who reaches the port spends your money.",
    )
    cors_origins: Origins = Field(
        [],
        description="Web origins whose pages may use the gateway from a browser, as https://app.example[:port], or `*` "
        "for any. A request that a page of another origin sends is refused.",
    )
    cors_expose_headers: HeaderNames = Field(
        ["retry-after", "x-assay-decision", "x-assay-guard-ms", "x-assay-policy", "x-request-id"],
        description="Response headers that pages of `cors_origins` may read.",
    )
    cors_credentials: bool = Field(
        False,
        description="Let pages of `cors_origins` send cookies and client certificates, which a proxy in front may ask "
        "for. The gateway's keys do not need it.",
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
        description="Share of the machine's processors that the processes of this gateway's detectors and monitors may "
        "use; where they use more, fewer exchanges are sampled, as with `samples_per_second`. Guards judge whatever it "
        "costs. It does not bound `assay worker`.",
    )
    detectors: Detectors = Field(
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
    fingerprints: FingerprintFile | None = Field(
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
        description="If nothing of an answer has come after this time, the next upstream is asked as well, and the "
        "first good answer wins; `p95` is the time within which 95 % of the first bytes came. Only for inference that "
        "is not streamed, on routes with several upstreams. Both may charge for it.",
    )
    failover_statuses: FailureStatuses = Field(
        sorted(FAILOVER_STATUSES),
        description="Statuses of an answer for which the next upstream of the route is tried.",
    )
    failover_wait_seconds: float = Field(
        30.0,
        ge=0,
        description="A 429 that asks for a longer wait is passed on to the client, and no other upstream is tried.",
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
    forward_headers: HeaderPatterns = Field(
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
    redis_url: RedisUrl | None = Field(
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
    monitor_seconds: Positive = Field(300.0, description="How often monitors look over what was judged.")
    count_tokens: bool = Field(
        True, description="Count the tokens that the answers of upstreams tell, and what they cost by `prices`."
    )
    prices: Prices = Field(
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
        description="How many models that the configuration does not name get metric series of their own, in the order "
        "of their first use; all others count as `other`.",
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
