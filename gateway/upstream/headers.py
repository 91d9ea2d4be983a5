"""Which headers pass, in both directions."""

from collections.abc import Iterable

from gateway.encodings import READABLE
from gateway.exchange import Headers

# What a client may send but the gateway decides itself: connection handling, keys, cookies and the client's address.
_NEVER_FORWARDED = frozenset(
    b"accept-encoding authorization api-key x-api-key connection content-length cookie forwarded host keep-alive "
    b"origin proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade "
    b"x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip".split()
)
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close"})  # these name no header
# Only the gateway may know other places: a client that went there would bypass keys, guards and metrics.
_LEADS_AWAY = frozenset({b"location", b"content-location", b"refresh", b"alt-svc"})
_NOT_AS_IT_IS = (
    _HOP_BY_HOP
    | _LEADS_AWAY
    | frozenset(b"set-cookie x-assay-decision x-assay-policy x-assay-guard-ms x-request-id".split())
)
# What clients send is remembered within 2 × 512 × 128 bytes; what is longer or comes later is worked out each time.
_REMEMBERED = 512
_REMEMBERED_BYTES = 128


class HeaderFilter:
    """Which request headers go upstream: an allow-list of names and prefixes, remembered by name."""

    def __init__(self, allowed: Iterable[str]) -> None:
        names = [name.encode("latin-1") for name in allowed]
        self._exact = frozenset(name for name in names if not name.endswith(b"*"))
        self._prefixes = tuple(name[:-1] for name in names if name.endswith(b"*"))
        self._known: dict[bytes, bool] = {}
        self._encodings: dict[bytes, bytes] = {}

    def upstream(self, headers: Headers) -> bytes:
        """The header lines for the upstream, each with its CRLF."""
        known = self._known
        lines = []
        for name, value in headers:
            allowed = known.get(name)
            if allowed is None:
                allowed = self._learn(name)
            if allowed:
                lines.append(b"%b: %b\r\n" % (name, value))
            elif name == b"accept-encoding":
                lines.append(self._accept_encoding(value))
            elif name == b"connection" and value.lower() not in _PLAIN_CONNECTION:
                return self.upstream(_without_named(headers))
        return b"".join(lines)

    def passes(self, name: bytes) -> bool:
        """Whether a header of this name goes upstream."""
        found = self._known.get(name)
        return self._learn(name) if found is None else found

    def _learn(self, name: bytes) -> bool:
        allowed = name not in _NEVER_FORWARDED and (name in self._exact or name.startswith(self._prefixes))
        if len(self._known) < _REMEMBERED and len(name) <= _REMEMBERED_BYTES:
            self._known[name] = allowed
        return allowed

    def _accept_encoding(self, value: bytes) -> bytes:
        """Of the encodings that the client accepts, those that we can read."""
        line = self._encodings.get(value)
        if line is None:
            offered = [part.strip() for part in value.decode("latin-1").lower().split(",")]
            kept = [part for part in offered if part.split(";")[0].strip() in READABLE]
            line = f"accept-encoding: {', '.join(kept) or 'identity'}\r\n".encode("latin-1")
            if len(self._encodings) < _REMEMBERED and len(value) <= _REMEMBERED_BYTES:
                self._encodings[value] = line
        return line


def downstream(headers: Headers) -> Headers:
    """The answer's headers for the client, without hop-by-hop headers, cookies, references elsewhere and our own."""
    kept: Headers = []
    for header in headers:
        name = header[0]
        if name not in _NOT_AS_IT_IS:
            kept.append(header)
        elif name == b"connection" and header[1].lower() not in _PLAIN_CONNECTION:
            return downstream(_without_named(headers))
        elif name == b"x-request-id":
            kept.append((b"x-upstream-request-id", header[1]))
    return kept


def _without_named(headers: Headers) -> Headers:
    """The headers without `Connection` and those it names, which are meant only for the next hop (RFC 9110, 7.6.1)."""
    named = {b"connection"}
    for name, value in headers:
        if name == b"connection":
            named.update(part.strip() for part in value.lower().split(b","))
    return [(name, value) for name, value in headers if name not in named]
