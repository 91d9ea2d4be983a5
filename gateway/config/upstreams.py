"""Model servers and routes to them, as settings."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from gateway.config.fields import Hedge, Key, Positive, Share, Strict, Url, are_header_names, star_only_at_the_end
from gateway.exchange import Balance, Streams

NO_PROXY = "none"
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
        for name, value in are_header_names(headers).items():
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


class RouteConfig(Strict):
    models: Annotated[list[str], AfterValidator(star_only_at_the_end)] = Field(
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
