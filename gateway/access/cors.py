"""What pages in a browser may do with the gateway: the CORS protocol (WHATWG Fetch, section 3.2).

Without `cors_origins` no such header is sent, and `Admission` refuses the requests of pages of other origins.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_ANY = b"*"
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_SECONDS = b"600"  # for which a browser need not ask again
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}")


class Origins:
    """The web origins whose pages may use the gateway."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._listed = frozenset(origin.encode("ascii") for origin in origins)

    def __contains__(self, origin: object) -> bool:
        return origin in self._listed or _ANY in self._listed


class Cors:
    """An ASGI application around `app`: tells browsers what pages of these origins may do and read.

    A preflight is answered here, before any key is asked for, since browsers send none with it. `exposed` are the
    response headers that pages may read. `bypasses` are the server's extensions by which `app` would send an answer
    without these headers; they are hidden from it.
    """

    def __init__(
        self,
        app: Application,
        origins: Origins,
        *,
        exposed: Collection[str],
        credentials: bool,
        bypasses: Collection[str] = (),
    ) -> None:
        self._app = app
        self._bypasses = frozenset(bypasses)
        self._origins = origins
        self._always = [(b"access-control-expose-headers", ", ".join(exposed).encode("ascii"))] if exposed else []
        if credentials:
            self._always.append((b"access-control-allow-credentials", b"true"))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        origin = _header(scope, b"origin") if scope["type"] == "http" else None
        if origin is None or origin not in self._origins:
            await self._app(scope, receive, send)
            return
        told = [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), *self._always]
        if scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None:
            await _answer_preflight(scope, send, told)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [header for header in message["headers"] if not header[0].startswith(b"access-control-")]
                message = {**message, "headers": [*kept, *told]}
            await send(message)

        offered = scope.get("extensions", {})
        kept = {name: offered[name] for name in offered if name not in self._bypasses}
        await self._app({**scope, "extensions": kept}, receive, send_with_headers)


async def _answer_preflight(scope: Message, send: Send, told: list[tuple[bytes, bytes]]) -> None:
    headers = [*told, (b"access-control-allow-methods", _METHODS), (b"access-control-max-age", _SECONDS)]
    wanted = _header(scope, b"access-control-request-headers")
    if wanted and _HEADER_NAMES.fullmatch(wanted):
        headers.append((b"access-control-allow-headers", wanted))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body"})


def _header(scope: Message, name: bytes) -> bytes | None:
    return next((value for given, value in scope["headers"] if given == name), None)
