"""What a client's bytes say: requests of HTTP/1.1, each handed on as soon as its head is complete.

What cannot be read in exactly one way (RFC 9112) is refused: llhttp reads strictly, and no byte after an error is taken
for a request. A head that comes again on its connection is not parsed again.
"""

from typing import Any, Protocol
from urllib.parse import unquote

import httptools

from gateway.heads import TAB, untabbed
from gateway.serving.head import BadRequest, check_host, check_version, origin_form, without_upgrade
from gateway.serving.known_head import KnownHead, known_head
from gateway.serving.request import RequestConnection, ServerRequest

_HIGH_WATER = 256 * 1024  # bytes of a request body that may wait for the application before reading pauses
_HEAD_BYTES = 64 * 1024  # most of a request line with its headers; as much may come between two parts of a body
_LARGE_HEAD = "the request line and headers are larger than 64 KiB"
_MOST_LEARNT = 8  # after so many remembered heads that never came again, this client's heads all differ
_SCOPE_VERSION = {"version": "3.0", "spec_version": "2.3"}
_FRAGMENT = ord("#")
_WHITE = b" \t"
_LOOKED_AT = frozenset({b"expect", b"transfer-encoding", b"host"})


class ReadConnection(RequestConnection, Protocol):
    """The connection as far as its reader needs it: see `connection.ServerConnection`."""

    app_state: dict[str, Any]
    active: ServerRequest | None
    refusal: BadRequest | None

    def take(self, request: ServerRequest) -> None: ...

    def refuse(self, refusal: BadRequest) -> None: ...

    def only_request(self) -> ServerRequest | None: ...

    def pause_reading(self) -> None: ...


class RequestReader:
    """Reads one connection between two addresses. `filling` is the request whose body is being read."""

    def __init__(
        self, connection: ReadConnection, client: tuple[str, int] | None, server: tuple[str, int] | None, scheme: str
    ) -> None:
        self.filling: ServerRequest | None = None
        self._connection = connection
        self._client = client
        self._server = server
        self._scheme = scheme
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._host: bytes | None = None
        self._received = b""  # what has come of an incomplete head
        self._in_head = False
        self._known: KnownHead | None = None  # the last head that was read
        self._learnt = 0  # heads that were remembered since one came again
        self._due = 0  # bytes still to come of the body after a known head
        self._unused = 0  # bytes received since the parser last made progress
        self._expects_continue = False

    def feed(self, data: bytes) -> None:
        """The next bytes that came."""
        known, connection = self._known, self._connection
        if known is not None and connection.active is None and not self._in_head and not connection.closing:
            found = known.read(data)
            if found is not None and self._take_known(known, data, *found):
                return
        elif self._due:
            data = self._fill(data)
            if not data:
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        is_first = self._connection.active is None and not self._in_head
        self._unused += len(data)
        if TAB in data and self.filling is None:
            data = untabbed(data)
        while True:
            self._received = self._received + data if self._received else data
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
                continue
            except httptools.HttpParserCallbackError as error:
                self._callback_failed(error)
            except httptools.HttpParserError as error:
                self._connection.refuse(BadRequest(400, f"this is not HTTP/1.1: {error}"))
            break
        if self._unused > _HEAD_BYTES:
            self._connection.refuse(BadRequest(431, _LARGE_HEAD))
        if not self._in_head:
            self._received = b""
            if is_first and self._learnt < _MOST_LEARNT:
                self._learn(data)

    def close(self) -> None:
        """Nothing more comes. Parser and connection lead back here, and only the garbage collector finds circles."""
        del self._parser, self._connection

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._host = None
        self._in_head = True
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.strip(_WHITE)
        if name in _LOOKED_AT and self._in_head:  # trailers do no harm
            self._look_at(name, value)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._connection.closing:
            return
        parser = self._parser
        version, method = parser.get_http_version(), parser.get_method()
        check_version(version, method, self._url, self._received)
        if self._unused > _HEAD_BYTES:
            self._check_size()
        self._unused = 0
        if parser.should_upgrade():
            return  # `_without_upgrade` has it read again
        url = self._url
        headers, self._headers = self._headers, []  # trailers will come to the new one, where they do no harm
        if url[:1] != b"/" or _FRAGMENT in url:
            url = self._place(url, headers)
        if self._host is None and version == "1.1":
            raise BadRequest(400, "the request has no Host header")
        expects_continue = self._expects_continue and version == "1.1"
        scope = self._scope(version, method, url, headers)
        request = ServerRequest(self._connection, scope, parser.should_keep_alive(), expects_continue, {})
        self.filling = request
        self._connection.take(request)

    def _scope(self, version: str, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        """ASGI's description of the request."""
        path, _, query = url.partition(b"?")
        raw = path.decode("ascii")
        return {
            "type": "http",
            "asgi": _SCOPE_VERSION,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "root_path": "",
            "method": method.decode("ascii"),
            "path": unquote(raw) if "%" in raw else raw,
            "raw_path": path,
            "query_string": query,
            "headers": headers,
            "state": self._connection.app_state.copy(),
        }

    def _take_known(self, known: KnownHead, data: bytes, digits: bytes, start: int) -> bool:
        """Begin a request with a known head; False if more than its body came with it."""
        due = int(digits) - len(data) + start
        if due < 0:
            return False
        scope, headers = known.scope.copy(), known.headers.copy()
        headers[known.place] = (b"content-length", digits)
        scope["headers"] = headers
        scope["state"] = self._connection.app_state.copy()
        request = ServerRequest(self._connection, scope, True, False, known.notes)
        self._learnt = 0
        self.filling = request
        self._connection.take(request)
        self._due = due
        if due:
            request.add(data[start:])
        else:
            request.whole(data[start:])
            self.filling = None
        return True

    def _fill(self, data: bytes) -> bytes:
        """Add what is due to the body after a known head; returns the rest of the data."""
        due = self._due
        self._due = max(0, due - len(data))
        self.on_body(data[:due])
        if not self._due:
            self.on_message_complete()
        return data[due:]

    def _learn(self, data: bytes) -> None:
        """Remember the head at the beginning of these bytes, if only one request began in them."""
        request = self._connection.only_request()
        if request is not None and data.startswith(request.scope["method"].encode("ascii")):
            self._known = known_head(data, request.scope)
            self._learnt += 1

    def on_body(self, body: bytes) -> None:
        self._unused = 0
        request = self.filling
        if request is not None and request.add(body) > _HIGH_WATER:
            self._connection.pause_reading()

    def on_message_complete(self) -> None:
        request, self.filling = self.filling, None
        if request is not None:
            request.body_complete()

    def _check_coding(self, coding: bytes) -> None:
        if self._parser.get_http_version() == "1.0":
            raise BadRequest(400, "HTTP/1.0 has no transfer-encoding")  # RFC 9112, 6.1: its framing is faulty
        if coding.lower() != b"chunked":
            raise BadRequest(501, "the only transfer-encoding taken is chunked")

    def _look_at(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self._expects_continue |= b"100-continue" in [part.strip(_WHITE) for part in value.lower().split(b",")]
        elif name == b"transfer-encoding":
            self._check_coding(value)
        elif self._host is not None:
            raise BadRequest(400, "the request has more than one Host header")
        else:
            self._host = check_host(value)

    def _place(self, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Path and query of a target that is not a plain path; a host in it replaces that of the header."""
        url, host = origin_form(target, self._parser.get_method())
        if url == b"*" and self._parser.get_method() != b"OPTIONS":
            raise BadRequest(400, "the request target * is for OPTIONS alone")
        if host:
            headers[:] = [header for header in headers if header[0] != b"host"]
            headers.append((b"host", host))
            self._host = host
        return url

    def _check_size(self) -> None:
        size = len(self._url) + sum(len(name) + len(value) for name, value in self._headers)
        if size > _HEAD_BYTES:  # what was received with it may be body
            raise BadRequest(431, _LARGE_HEAD)

    def _without_upgrade(self) -> bytes:
        """The head just read, without its request for an upgrade, which some clients send every time."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._connection.refuse(BadRequest(405, "CONNECT is for proxies; this is a gateway"))
            return b""
        head = without_upgrade(method, self._url, self._parser.get_http_version(), self._headers)
        self._parser = httptools.HttpRequestParser(self)
        self._received = b""
        return head

    def _callback_failed(self, error: httptools.HttpParserCallbackError) -> None:
        """Handle what one of our callbacks raised. After a refusal nothing that follows matters."""
        if isinstance(error.__context__, BadRequest):
            self._connection.refuse(error.__context__)
        elif self._connection.refusal is None:
            raise error
