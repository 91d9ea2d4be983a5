"""What every transport to a model server promises, and what they share: limits, TLS, and the wording of failures."""

from gateway.upstream.transport.contract import (
    FAILURES,
    HIGH_WATER,
    MAX_HEADERS,
    SHUTTING_DOWN,
    STATUSES,
    WHOLE_BYTES,
    Limits,
    Response,
    Transport,
    late,
)
from gateway.upstream.transport.reach import tls_context, tls_refused, unreachable

__all__ = [
    "FAILURES",
    "HIGH_WATER",
    "MAX_HEADERS",
    "SHUTTING_DOWN",
    "STATUSES",
    "WHOLE_BYTES",
    "Limits",
    "Response",
    "Transport",
    "late",
    "tls_context",
    "tls_refused",
    "unreachable",
]
