"""The pages of one process, and its start and end."""

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

_OPEN = ("/healthz", "/readyz")  # that the process is up is no secret
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Site:
    """An ASGI application with the pages of `routes`, for requests that pass all of `doors`.

    A door takes the headers of a request and raises GatewayError to refuse it. `page` is open to everybody, because it
    holds no secret.

    `background` runs as long as the site does; `begin` is awaited before the first request. SIGHUP calls `on_hangup`.
    At the end of the process `finish` is awaited while the background still runs, then `close`.
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
        """The reply to a caller who may not see the page; None for one who may."""
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
    message = (
        f"{request.url.path[:200]} does not take {request.method}; the header Allow lists the methods that it takes"
    )
    body = error_body(message, "invalid_request_error", None, "method_not_allowed")
    return Response(body, 405, dict(error.headers or {}), media_type="application/json")


async def _not_found(request: Request) -> Response:
    message = f"there is no {request.url.path[:200]} here; the API is below /v1/, and the operator's pages are "
    message += "/metrics, /healthz, /readyz and /trust (in a browser also /)"
    return Response(error_body(message, "invalid_request_error", None, "not_found"), 404, media_type="application/json")
