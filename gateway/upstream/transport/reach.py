"""TLS towards upstreams, and the messages for an upstream that cannot be reached."""

import os
import ssl

import certifi

from gateway.errors import UpstreamError


def tls_context() -> ssl.SSLContext:
    """Verifies upstreams with Mozilla's list as `certifi` ships it, or with what `SSL_CERT_FILE` or `SSL_CERT_DIR`
    names, as with curl and OpenSSL.

    Takes some tens of milliseconds, so call it at the start and not for each request.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        file = certifi.where()
    context = ssl.create_default_context(cafile=file or None, capath=folder or None)
    context.set_alpn_protocols(["http/1.1"])
    return context


def tls_refused(error: ssl.SSLError) -> UpstreamError:
    """The error of a handshake that failed."""
    why = getattr(error, "verify_message", "") or error.reason or str(error)
    return UpstreamError("tls_failed", f"the upstream's TLS was not accepted: {why}")


def unreachable(error: OSError | UnicodeError, peer: str = "upstream") -> UpstreamError:
    """The error of a connection that could not be made. A `UnicodeError` means that the host name is not valid."""
    return UpstreamError("connect_failed", f"the {peer} cannot be reached: {_why(error)}")


def _why(error: OSError | UnicodeError) -> str:
    """The system's words, without the address, which clients of the gateway must not see."""
    if isinstance(error, UnicodeError):
        return "its host name is not valid"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or "none of its addresses accepts connections"
