"""A request in the form that one upstream gets: its target, its head, its body and its time limits."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_plus

from gateway.exchange import Asked, Headers, Route, Upstream
from gateway.openai_api import SURFACES, rewrite
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.health import Health
from gateway.upstream.transport import Limits, Transport

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CHUNKED = b"transfer-encoding: chunked\r\n"
_CONTENT_ENCODING = b"content-encoding"


class Target:
    """One upstream as one route uses it: where its requests go, in what form, how long they may take, and its
    health."""

    __slots__ = ("_fixed", "_forward", "_own_names", "_start", "health", "limits", "transport", "upstream")

    def __init__(
        self, route: Route, upstream: Upstream, transport: Transport, health: Health, forward: HeaderFilter, own: Limits
    ) -> None:
        """`own` are the gateway's limits; an upstream's replace them, and a route's replace those."""
        self.upstream = upstream
        self.transport = transport
        self.health = health
        self.limits = replace(
            own,
            first_byte_seconds=route.first_byte_seconds or upstream.first_byte_seconds or own.first_byte_seconds,
            idle_seconds=route.idle_seconds or upstream.idle_seconds or own.idle_seconds,
        )
        self._forward = forward
        self._start = b"%s " + upstream.base_path.encode("ascii").replace(b"%", b"%%") + b"%b HTTP/1.1\r\n"
        self._fixed = fixed_lines(upstream)
        self._own_names = frozenset(name.lower().encode("ascii") for name, _ in upstream.headers)

    def body(self, asked: Asked, body: bytes) -> bytes:
        """`body` with the name by which the upstream knows the model; packed as it came if nothing has changed."""
        upstream = self.upstream
        if upstream.model is not None and asked.model and SURFACES[asked.operation].modelled:
            return rewrite(body, {("model",): upstream.model})
        packed = asked.packed and body is asked.body and self._forward.passes(_CONTENT_ENCODING)
        return asked.packed if packed else body

    def head(self, asked: Asked, tail: bytes, body: bytes | None, framing: bytes = b"") -> bytes:
        """The whole head. `framing` is only for a body that is not here yet."""
        if body is not None and (body or asked.method not in SAFE_METHODS):
            framing = b"content-length: %d\r\n" % len(body)
        known = None if asked.packed else asked.notes.get(self)
        before, after = known or self._around_framing(asked, tail, body)
        return b"%b%b%b" % (before, framing, after)

    def _around_framing(self, asked: Asked, tail: bytes, body: bytes | None) -> tuple[bytes, bytes]:
        """The head before its framing, and after it; kept in the notes if it depends only on the client's head."""
        query = self.upstream.query
        start = self._start % (asked.method.encode("ascii"), with_query(tail, query) if query else tail)
        after = self._forward.upstream(self._headers(asked, body)) + b"\r\n"
        if not asked.packed:
            asked.notes[self] = start + self._fixed, after
        return start + self._fixed, after

    def _headers(self, asked: Asked, body: bytes | None) -> Headers:
        """The client's headers, without those that the upstream has its own values for, and without the
        content-encoding if it was undone."""
        left_out = self._own_names
        if asked.packed and body is not asked.packed:
            left_out |= {_CONTENT_ENCODING}
        if not left_out:
            return asked.headers
        return [header for header in asked.headers if header[0] not in left_out]


def fixed_lines(upstream: Upstream) -> bytes:
    """Host, key and the upstream's own headers, which are the same for every request to it."""
    default_port = 443 if upstream.scheme == "https" else 80
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    lines = f"host: {host}" + (f":{upstream.port}" if upstream.port != default_port else "") + "\r\n"
    if upstream.key:
        lines += f"authorization: Bearer {upstream.key}\r\n"
    lines += "".join(f"{name}: {value}\r\n" for name, value in upstream.headers)
    return lines.encode("latin-1")


def with_query(tail: bytes, query: str) -> bytes:
    """A path whose query ends with the upstream's own parameters, which replace the client's of the same names."""
    path, _, given = tail.partition(b"?")
    own = {_name(part) for part in query.encode("ascii").split(b"&")}
    kept = [part for part in given.split(b"&") if part and _name(part) not in own]
    return b"%b?%b" % (path, b"&".join([*kept, query.encode("ascii")]))


def _name(parameter: bytes) -> str:
    return unquote_plus(parameter.partition(b"=")[0].decode("latin-1"))


def retry_after_seconds(headers: Headers) -> float:
    """For how many seconds, or until when, an answer asks to wait (RFC 9110, 10.2.3); 0 if it does not say.

    A date counts from the answer's own date, so that only the upstream's clock matters.
    """
    named: Mapping[bytes, bytes] = dict(headers)
    milliseconds = named.get(b"retry-after-ms", b"")
    if milliseconds.isdigit():
        return int(milliseconds[:12]) / 1000
    after = named.get(b"retry-after", b"")
    if after.isdigit():
        return float(int(after[:12]))
    until, now = _date(after), _date(named.get(b"date", b""))
    return max(0.0, (until - now).total_seconds()) if until and now else 0.0


def _date(value: bytes) -> datetime | None:
    """A date as HTTP writes it, None for anything else."""
    try:
        found = parsedate_to_datetime(value.decode("latin-1"))
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
