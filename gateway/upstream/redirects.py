"""Redirects of an upstream: followed if they stay with it, refused if they lead elsewhere."""

from urllib.parse import urljoin, urlsplit

from gateway.errors import UpstreamError
from gateway.exchange import Headers, Upstream

MOST_REDIRECTS = 5
_SAME_REQUEST = frozenset({301, 302, 307, 308})


def redirected(status: int, headers: Headers, upstream: Upstream, target: bytes) -> bytes | None:
    """The new target to which an answer to `target` redirects the request; None if it is not a redirect.

    Raises UpstreamError bad_response if it leads to another origin, or asks for another method.
    """
    if not 300 <= status < 400 or status == 304:
        return None
    location = dict(headers).get(b"location")
    if location is None:
        return None
    if status not in _SAME_REQUEST:
        raise UpstreamError("bad_response", f"the upstream answered with a redirect ({status}) that is not followed")
    base = upstream.origin + target.decode("latin-1")
    try:
        parts = urlsplit(urljoin(base, location.decode("ascii")))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise UpstreamError("bad_response", "the upstream answered with a redirect that cannot be read") from None
    if (parts.scheme, parts.hostname, port) != (upstream.scheme, upstream.host.lower(), upstream.port) or "@" in (
        parts.netloc
    ):
        raise UpstreamError("bad_response", "the upstream answered with a redirect to another place")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(character <= " " for character in path):
        raise UpstreamError("bad_response", "the upstream answered with a redirect that cannot be read")
    return path.encode("ascii")
