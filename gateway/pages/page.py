"""The page for people: files without secrets, open to everybody who can reach the gateway.

The page fetches what it shows from `/trust/v1/…`, which the operator's key protects.
"""

import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.responses import Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_FILES = Path(__file__).with_name("static")
_DOCUMENT = "page.html"
_AT = ("/", "/trust")
_STATIC = "/trust/static/"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # browsers ask each time, and get 304 while the release is the same
}


class Page:
    """An ASGI application for the requests that it `serves`. The files are read once, at the start."""

    def __init__(self) -> None:
        files = sorted(path for path in _FILES.rglob("*") if path.suffix in _TYPES)
        self._files = {path.relative_to(_FILES).as_posix(): path.read_bytes() for path in files}
        self._tags = {name: f'"{hashlib.sha256(body).hexdigest()[:16]}"' for name, body in self._files.items()}

    @staticmethod
    def serves(scope: Scope) -> bool:
        """Whether a request is for the page or one of its files, and not for JSON."""
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            return False
        return path.startswith(_STATIC) or (path in _AT and b"text/html" in dict(scope["headers"]).get(b"accept", b""))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        name = _DOCUMENT if path in _AT else path.removeprefix(_STATIC)
        await self._answer(name, dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1"))(
            scope, receive, send
        )

    def _answer(self, name: str, known: str) -> Response:
        body = self._files.get(name)
        if body is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        headers = {**_HEADERS, "etag": self._tags[name], "vary": "accept"}
        if known == self._tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(body, headers={**headers, "content-type": _TYPES[Path(name).suffix]})
