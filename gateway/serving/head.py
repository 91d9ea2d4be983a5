"""What a request's head must look like beyond what the parser checks, and how a response's head is written."""

import re
from http import HTTPStatus

_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}
STATUS_LINES = {status: b"HTTP/1.1 %d %b" % (status, _PHRASES.get(status, b"")) for status in range(200, 600)}

# A host with an optional port (RFC 9110, 4.2.1; RFC 3986, 3.2.2): no path, no user, no list.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROLS = bytes(set(range(0x20)) - {0x09}) + b"\x7f"
_LINE_ENDS = {"1.1": b" HTTP/1.1\r\n", "1.0": b" HTTP/1.0\r\n"}  # of request lines, by version
_OTHER_PROTOCOLS = (b" RTSP/", b" ICE/")
_UPGRADE = frozenset({b"upgrade", b"http2-settings"})
# Values of clients and model servers are remembered within 2 × 256 × 128 bytes; longer ones are checked each time.
_REMEMBERED = 256
_REMEMBERED_BYTES = 128
_good_hosts: set[bytes] = set()
GOOD_NAMES: set[bytes] = set()  # of headers: `check_name` found nothing wrong with them


class BadRequest(Exception):  # noqa: N818 - an error of the client, not of ours
    """Raised in a callback of the parser: no later byte is read as a request."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def check_version(version: str, method: bytes, url: bytes, received: bytes) -> None:
    """Raises BadRequest for a protocol other than HTTP/1. `received` ends with the head, or with what came after it.

    The parser takes RTSP/1.0 and ICE/1.0 for HTTP/1.0, so the request line is searched for in HTTP's form. It may
    follow other things: line ends, the end of a body, an earlier pipelined request.
    """
    end = _LINE_ENDS.get(version)
    if end is not None and received.startswith(b"%b %b%b" % (method, url, end)):
        return
    line = b"%b %b" % (method, url)
    if end is None and line + b" HTTP/" in received:
        raise BadRequest(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
    is_other = any(line + other in received for other in _OTHER_PROTOCOLS)
    if end is None or is_other or line + end not in received:
        raise BadRequest(400, f"the request line of this {method.decode('ascii')} names another protocol than HTTP/1.1")


def check_host(host: bytes) -> bytes:
    """The host of a request, unchanged. Raises BadRequest unless it is a host with an optional port."""
    if host not in _good_hosts:
        if not _HOST.fullmatch(host):
            raise BadRequest(400, "the Host header is not a host name with an optional port")
        if len(_good_hosts) < _REMEMBERED and len(host) <= _REMEMBERED_BYTES:
            _good_hosts.add(host)
    return host


def origin_form(target: bytes, method: bytes) -> tuple[bytes, bytes]:
    """Path with query, and the host, of a request target that is not a plain path.

    The target is `*`, or the absolute form as sent to proxies, whose host replaces the header (RFC 9112, 3.2.2). In
    that form, OPTIONS without a path means `*` (3.2.4).
    """
    if b"#" in target:
        raise BadRequest(400, "the request target has a fragment (#), which is never sent")
    if target == b"*":
        return target, b""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadRequest(400, "the request target is not a path")
    host, rest = absolute.groups()
    if method == b"OPTIONS" and not rest:
        return b"*", check_host(host)
    return rest if rest[:1] == b"/" else b"/" + rest, check_host(host)


def without_upgrade(method: bytes, url: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A head without its request for an upgrade, which some clients send every time."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode("ascii"))]
    for name, value in headers:
        if name == b"connection":
            value = b",".join(part for part in value.split(b",") if part.strip().lower() not in _UPGRADE)
        if name not in _UPGRADE:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def check_name(name: bytes) -> None:
    """Raises RuntimeError unless this can be the name of a header; good names are remembered."""
    if not _NAME.fullmatch(name):
        raise RuntimeError(f"{name[:40]!r} is not a header name")
    if len(GOOD_NAMES) < _REMEMBERED and len(name) <= _REMEMBERED_BYTES:
        GOOD_NAMES.add(name)


def written_head(lines: list[bytes]) -> bytes:
    """A response's head of these lines. Raises RuntimeError if a control character could make it more than these."""
    head = b"\r\n".join(lines)
    if len(head.translate(None, _CONTROLS)) != len(head) - 2 * len(lines) + 2:
        raise RuntimeError("a response header has a control character in it")
    return head + b"\r\n\r\n"
