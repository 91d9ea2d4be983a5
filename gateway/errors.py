"""One table of errors: whose fault, which reason, which status, and whether another try may help.

`REASONS` is the whole list: a reason is a metric label and an audit field, so it is a closed set. The HTTP
shape a client sees is made in `openai_api`; `pipeline` alone turns an error into a reply.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Source(StrEnum):
    """Whose fault it is."""

    CLIENT = "client"
    POLICY = "policy"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Reason:
    """What a reason means on the wire: `status`, OpenAI's `type` and `code`, and whether another upstream may help."""

    source: Source
    status: int
    type: str
    code: str | None
    retryable: bool = False


_C, _P, _U, _I = Source.CLIENT, Source.POLICY, Source.UPSTREAM, Source.INTERNAL
_BAD, _SERVER, _UP = "invalid_request_error", "server_error", "upstream_error"

REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        "no_key": Reason(_C, 401, _BAD, "invalid_api_key"),
        "wrong_key": Reason(_C, 401, _BAD, "invalid_api_key"),
        "not_local": Reason(_C, 403, _BAD, "forbidden_origin"),
        "foreign_origin": Reason(_C, 403, _BAD, "forbidden_origin"),
        "route_forbidden": Reason(_C, 403, _BAD, "model_not_allowed"),
        "bad_header": Reason(_C, 400, _BAD, "invalid_header"),
        "bad_body": Reason(_C, 400, _BAD, "invalid_body"),
        "body_too_large": Reason(_C, 413, _BAD, "request_too_large"),
        "body_timeout": Reason(_C, 408, _BAD, "request_timeout"),
        "bad_encoding": Reason(_C, 415, _BAD, "unsupported_content_encoding"),
        "unknown_model": Reason(_C, 404, _BAD, "model_not_found"),
        "not_found": Reason(_C, 404, _BAD, "not_found"),
        "method_not_allowed": Reason(_C, 405, _BAD, "method_not_allowed"),
        "client_gone": Reason(_C, 499, _BAD, "client_gone"),
        "prompt_blocked": Reason(_P, 400, _BAD, "content_filter"),
        "answer_blocked": Reason(_P, 400, _BAD, "content_filter"),
        "prompt_unjudged": Reason(_P, 400, _BAD, "content_unjudged"),
        "answer_unjudged": Reason(_P, 400, _BAD, "content_unjudged"),
        "throttled": Reason(_P, 429, "rate_limit_error", "rate_limit_exceeded"),
        "guard_unavailable": Reason(_P, 503, _SERVER, "guard_unavailable"),
        "connect_failed": Reason(_U, 502, _UP, "upstream_connect_failed", retryable=True),
        "connect_timeout": Reason(_U, 504, _UP, "upstream_connect_timeout", retryable=True),
        "tls_failed": Reason(_U, 502, _UP, "upstream_tls_failed", retryable=True),
        "pool_timeout": Reason(_U, 503, _UP, "upstream_pool_exhausted", retryable=True),
        "reset": Reason(_U, 502, _UP, "upstream_reset", retryable=True),
        "write_timeout": Reason(_U, 504, _UP, "upstream_write_timeout"),
        "first_byte_timeout": Reason(_U, 504, _UP, "upstream_first_byte_timeout"),
        "idle_timeout": Reason(_U, 504, _UP, "upstream_idle_timeout"),
        "truncated": Reason(_U, 502, _UP, "upstream_truncated"),
        "bad_response": Reason(_U, 502, _UP, "upstream_bad_response"),
        "answer_too_large": Reason(_U, 502, _UP, "upstream_answer_too_large"),
        "overloaded": Reason(_I, 503, _SERVER, "overloaded"),
        "shutting_down": Reason(_I, 503, _SERVER, "shutting_down"),
        "bug": Reason(_I, 500, _SERVER, "internal_error"),
    }
)


class GatewayError(Exception):
    """Ends an exchange. `reason` is a key of `REASONS`; `message` is for the person who sent the request.

    `param` names the field of the request at fault. `retry_after_seconds` goes out as a header.
    """

    def __init__(
        self, reason: str, message: str, *, param: str | None = None, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds

    @property
    def what(self) -> Reason:
        return REASONS[self.reason]


class UpstreamError(GatewayError):
    """The model server could not be reached or did not answer as HTTP; `reason` is one of the upstream reasons."""
