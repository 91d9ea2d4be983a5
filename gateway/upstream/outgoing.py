"""A request as one upstream is to get it: its target, its head, its body and its time limits."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote_plus

from gateway.exchange import Asked, Headers, Route, Upstream
from gateway.openai_api import SURFACES, rewrite
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.transport import Limits

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CHUNKED = b"transfer-encoding: chunked\r\n"
_CONTENT_ENCODING = b"content-encoding"


class Outgoing:
    """`limits` are the gateway's own; a route's time limits come before an upstream's, and those before these."""

    def __init__(self, forward: HeaderFilter, limits: Limits) -> None:
        self._forward = forward
        self._limits = limits
        self._limits_of: dict[tuple[str, str], Limits] = {}
        self._own_headers: dict[str, frozenset[bytes]] = {}

    def body(self, asked: Asked, upstream: Upstream, body: bytes) -> bytes:
        """`body` under the name that the upstream knows the model by; as it was packed where nothing is changed."""
        if upstream.model is not None and asked.model and SURFACES[asked.operation].modelled:
            return rewrite(body, {("model",): upstream.model})
        packed = asked.packed and body is asked.body and self._forward.passes(_CONTENT_ENCODING)
        return asked.packed if packed else body

    def head(
        self, asked: Asked, upstream: Upstream, fixed: bytes, tail: bytes, body: bytes | None, framing: bytes = b""
    ) -> bytes:
        """The whole head. `fixed` are the upstream's own lines; `framing` is left out for a body that is here."""
        if body is not None and (body or asked.method not in SAFE_METHODS):
            framing = b"content-length: %d\r\n" % len(body)
        return b"%b %b%b HTTP/1.1\r\n%b%b%b\r\n" % (
            asked.method.encode("ascii"),
            upstream.base_path.encode("ascii"),
            with_query(tail, upstream.query) if upstream.query else tail,
            fixed,
            framing,
            self._forward.upstream(self._headers(asked, upstream, body)),
        )

    def limits(self, route: Route, upstream: Upstream) -> Limits:
        """The time limits of a request on this route to this upstream."""
        key = (route.name, upstream.name)
        found = self._limits_of.get(key)
        if found is None:
            found = self._limits_of[key] = _own(self._limits, route, upstream)
        return found

    def _headers(self, asked: Asked, upstream: Upstream, body: bytes | None) -> Headers:
        """The client's headers, without those that the upstream has its own of, and those of a packing undone."""
        headers = asked.headers
        if upstream.headers:
            own = self._own_headers.get(upstream.name)
            if own is None:
                own = frozenset(name.lower().encode("ascii") for name, _ in upstream.headers)
                self._own_headers[upstream.name] = own
            headers = [header for header in headers if header[0] not in own]
        if asked.packed and body is not asked.packed:
            headers = [header for header in headers if header[0] != _CONTENT_ENCODING]
        return headers


def _own(limits: Limits, route: Route, upstream: Upstream) -> Limits:
    first_byte = route.first_byte_seconds or upstream.first_byte_seconds or limits.first_byte_seconds
    idle = route.idle_seconds or upstream.idle_seconds or limits.idle_seconds
    return replace(limits, first_byte_seconds=first_byte, idle_seconds=idle)


def with_query(tail: bytes, query: str) -> bytes:
    """A path whose query ends with the upstream's own parameters; the client's of the same names are left out."""
    path, _, given = tail.partition(b"?")
    own = {_name(part) for part in query.encode("ascii").split(b"&")}
    kept = [part for part in given.split(b"&") if part and _name(part) not in own]
    return b"%b?%b" % (path, b"&".join([*kept, query.encode("ascii")]))


def _name(parameter: bytes) -> str:
    return unquote_plus(parameter.partition(b"=")[0].decode("latin-1"))


def retry_after_seconds(headers: Headers) -> float:
    """How long an answer asks to wait, 0 where it does not say so in seconds (RFC 9110, 10.2.3)."""
    named: Mapping[bytes, bytes] = dict(headers)
    milliseconds = named.get(b"retry-after-ms", b"")
    if milliseconds.isdigit():
        return int(milliseconds[:12]) / 1000
    seconds = named.get(b"retry-after", b"")
    return float(int(seconds[:12])) if seconds.isdigit() else 0.0
