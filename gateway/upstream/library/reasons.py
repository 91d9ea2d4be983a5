"""Our errors for what the library may raise: one reason before an answer has begun, and one in the middle of it."""

import ssl
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import h2.exceptions
import httpcore2

from gateway.errors import UpstreamError
from gateway.upstream.transport import Limits, late, tls_refused, unreachable

# `LibraryResponse` keeps all time limits except those of connecting. All are in the table, so that none is unnamed.
REASONS: Mapping[type[Exception], tuple[str, str]] = MappingProxyType(
    {
        httpcore2.ConnectTimeout: ("connect_timeout", "connect_timeout"),
        httpcore2.ReadTimeout: ("connect_timeout", "idle_timeout"),  # a proxy opens no tunnel
        httpcore2.WriteTimeout: ("write_timeout", "write_timeout"),
        httpcore2.PoolTimeout: ("pool_timeout", "pool_timeout"),
        httpcore2.TimeoutException: ("first_byte_timeout", "idle_timeout"),
        httpcore2.ConnectError: ("connect_failed", "connect_failed"),
        httpcore2.ReadError: ("reset", "truncated"),
        httpcore2.WriteError: ("reset", "truncated"),
        httpcore2.NetworkError: ("reset", "truncated"),
        httpcore2.RemoteProtocolError: ("bad_response", "truncated"),
        httpcore2.LocalProtocolError: ("bad_response", "bad_response"),
        httpcore2.ProtocolError: ("bad_response", "bad_response"),
        httpcore2.ProxyError: ("connect_failed", "connect_failed"),
        httpcore2.UnsupportedProtocol: ("connect_failed", "connect_failed"),
        httpcore2.ConnectionNotAvailable: ("reset", "truncated"),
        h2.exceptions.ProtocolError: ("bad_response", "bad_response"),  # raised while a body is read
    }
)
TRANSPORT_ERRORS = tuple(REASONS)


def failure(error: Exception, limits: Limits, *, begun: bool, proxied: bool) -> UpstreamError:
    """The error of a request that failed like this; `begun` says that its answer had begun."""
    reason = REASONS[next(kind for kind in type(error).__mro__ if kind in REASONS)][begun]
    if reason == "bad_response" and _ended_by_peer(error):
        reason = "reset"
    peer = "proxy on the way to the upstream" if proxied else "upstream"
    if reason == "connect_failed":
        return _no_connection(error, peer)
    sentences = {
        "reset": f"the {peer} closed the connection without an answer",
        "truncated": f"the {peer} closed the connection in the middle of the answer",
        "bad_response": "the upstream's answer is not the HTTP that was agreed on",
    }
    if reason in sentences:
        return UpstreamError(reason, sentences[reason])
    return late(reason, limits)


def _no_connection(error: Exception, peer: str) -> UpstreamError:
    if isinstance(error, httpcore2.ProxyError):  # the rest of its text is the proxy's own
        return UpstreamError("connect_failed", f"the {peer} opened no tunnel: it answered {str(error)[:3]}")
    system = [cause for cause in _causes(error) if isinstance(cause, OSError)]
    for cause in system:
        if isinstance(cause, ssl.SSLError):
            return tls_refused(cause)
    if system:
        return unreachable(system[-1], peer)
    return UpstreamError("connect_failed", f"the {peer} closed the connection before it could be used")


def _ended_by_peer(error: Exception) -> bool:
    """Whether a protocol error only means that the other side left: then it has no parser's error as its cause."""
    return isinstance(error, httpcore2.RemoteProtocolError) and not any(
        isinstance(argument, Exception) for argument in error.args
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
