"""One process's pages, with its start and its end."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import GatewayError
from gateway.openai_api import error_body
from gateway.pages.page import Page, Receive, Scope, Send
from gateway.serving.background import Background
from gateway.telemetry import metrics

_OPEN = ("/healthz", "/readyz")  # whether the process lives is no secret
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Site:
    """An ASGI application: the pages of `routes`, for those whom each of `doors` lets in.

    A door raises GatewayError for the headers of others. `page` is for people, without a door: it holds no secret.

    While it runs, so does `background`; `begin` is awaited before requests are taken. SIGHUP calls `on_hangup`. At the
    end of the process `finish` is awaited while the background still runs, then `close`.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        version: str,
        doors: Sequence[Callable[[Mapping[bytes, bytes]], object]],
        background: Background,
        on_hangup: Callable[[], None],
        finish: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        begin: Callable[[], Awaitable[None]] | None = None,
        page: Page | None = None,
    ) -> None:
        self._page = page
        self._doors = tuple(doors)
        self._version = version
        self._background = background
        self._on_hangup = on_hangup
        self._finish = finish
        self._close = close
        self._begin = begin
        anything = Route("/{path:path}", _not_found, methods=_METHODS)
        self._pages = Starlette(
            routes=[*routes, anything], lifespan=self._lifespan, exception_handlers={405: _not_allowed}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Page | Response | Starlette:
        if scope["type"] != "http":
            return self._pages
        if self._page is not None and self._page.serves(scope):
            return self._page
        return self._refusal(scope) or self._pages

    def _refusal(self, scope: Scope) -> Response | None:
        """Why this caller may not see the page, as a reply."""
        if scope["path"] in _OPEN:
            return None
        try:
            for door in self._doors:
                door(dict(scope["headers"]))
        except GatewayError as error:
            what = error.what
            body = error_body(error.message, what.type, error.param, what.code)
            return Response(body, what.status, media_type="application/json")
        return None

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        metrics.BUILD_INFO.labels(self._version).set(1)
        with contextlib.suppress(ValueError, RuntimeError):  # signals cannot be handled in the thread of a test
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        async with self._background.running():
            if self._begin is not None:
                await self._begin()
            yield
            await self._finish()
        await self._close()
        metrics.flush()
        metrics.forget_this_process()


async def _not_allowed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} is not for {request.url.path[:200]}; its Allow header has the methods that are"
    body = error_body(message, "invalid_request_error", None, "method_not_allowed")
    return Response(body, 405, dict(error.headers or {}), media_type="application/json")


async def _not_found(request: Request) -> Response:
    message = f"there is no {request.url.path[:200]} here; the API is below /v1/, the operator's pages are "
    message += "/metrics, /healthz, /readyz and /trust (in a browser also /)"
    return Response(error_body(message, "invalid_request_error", None, "not_found"), 404, media_type="application/json")
