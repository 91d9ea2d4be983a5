"""Requests that the gateway sends for itself, as to a judge model: JSON out, JSON back, a failure by its reason."""

import asyncio
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import NamedTuple

import msgspec

from gateway.encodings import EncodingError, decode
from gateway.errors import UpstreamError
from gateway.exchange import Asked, Exchange, Headers, Route, Upstream
from gateway.openai_api import Operation
from gateway.upstream.calls import Tries, Upstreams
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.outgoing import retry_after_seconds
from gateway.upstream.transport import Limits, Response

_JSON: Headers = [(b"content-type", b"application/json")]
_MESSAGES: Headers = [*_JSON, (b"anthropic-version", b"2023-06-01")]  # unless the upstream's own headers name another
_MOST_BYTES = 2**20  # of an answer
_ONCE = Tries(retries=0)
# Statuses that are about this request; with any other, a later try may succeed.
_ABOUT_THE_REQUEST = frozenset({400, 413, 415, 422})


class PostError(Exception):
    """No answer. `reason` is `timeout`, `status`, `too_large` or one of an upstream's; the message is for the operator.

    `again` says that the same request may be answered later, `wait_seconds` how long the server asks to wait; `code` is
    that of the server's error, or empty.
    """

    def __init__(
        self, reason: str, message: str, *, again: bool = True, wait_seconds: float = 0.0, code: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.again = again
        self.wait_seconds = wait_seconds
        self.code = code


class _Nobody:
    """An observer that ignores tries: the caller counts them."""

    def answered(self, upstream: str, seconds: float) -> None: ...

    def failed(self, upstream: str, reason: str, *, begun: bool = False) -> None: ...

    def failed_over(self, route: str, upstream: str) -> None: ...

    def hedged(self, route: str, result: str) -> None: ...


class PostAnswer(NamedTuple):
    """An answer with a status of success, and how many seconds it took."""

    body: bytes
    seconds: float


class Poster:
    """Sends to one upstream, each request once. It has its own connections, so its failures do not affect traffic."""

    def __init__(
        self, upstream: Upstream, limits: Limits, *, timeout_seconds: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._route = Route(upstream.name, (upstream,), 0.0)
        self._upstreams = Upstreams(
            limits, HeaderFilter(["content-type", "anthropic-version"]), _Nobody(), known=[upstream], tries=_ONCE
        )
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._numbers = count()

    async def post(self, path: str, body: bytes) -> PostAnswer:
        """Send `body` to `path` below the upstream's base; returns the whole answer. Raises PostError."""
        began = self._clock()
        headers = _MESSAGES if path == "/messages" else _JSON
        asked = Asked("POST", "/v1" + path, headers=headers, operation=Operation.CHAT, body=body)
        exchange = Exchange(f"post-{next(self._numbers)}", asked, route=self._route)
        answer: Response | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._upstreams.call(exchange, body, asked.tail)
                whole = await _read(answer)
        except (TimeoutError, UpstreamError, EncodingError, PostError) as error:
            if answer is None or _is_success(answer):
                raise self._failure(error) from None
            whole = b""  # the status tells enough
        finally:
            if answer is not None:
                answer.abort()
        if not _is_success(answer):
            raise _refused(answer, whole)
        return PostAnswer(whole, self._clock() - began)

    def _failure(self, error: Exception) -> PostError:
        """The error of an answer that did not come, or broke off."""
        if isinstance(error, PostError):
            return error
        if isinstance(error, UpstreamError):
            return PostError(error.reason, error.message)
        if isinstance(error, TimeoutError):
            return PostError("timeout", f"no answer within {self._timeout_seconds:g} s")
        return PostError("bad_response", str(error))

    async def close(self) -> None:
        """Drop the connections; requests under way fail."""
        await self._upstreams.close()


def _is_success(answer: Response) -> bool:
    return 200 <= answer.status < 300


async def _read(answer: Response) -> bytes:
    """The whole body, decoded. Raises PostError, EncodingError, UpstreamError."""
    pieces, size = [answer.take()], 0
    while not answer.complete:
        pieces.append(await answer.more())
        size += len(pieces[-1])
        if size > _MOST_BYTES:
            raise _too_large()
    pieces.append(answer.take())
    whole, more = decode(b"".join(pieces), _encoding(answer.headers), _MOST_BYTES)
    if more:
        raise _too_large()
    return whole


def _too_large() -> PostError:
    return PostError("too_large", f"the answer is larger than {_MOST_BYTES} bytes", again=False)


class _Error(msgspec.Struct):
    code: object = ""


class _Body(msgspec.Struct):
    error: _Error


def _refused(answer: Response, body: bytes) -> PostError:
    return PostError(
        "status",
        f"the server answered with status {answer.status}",
        again=answer.status not in _ABOUT_THE_REQUEST,
        wait_seconds=retry_after_seconds(answer.headers),
        code=_code(body),
    )


def _code(body: bytes) -> str:
    try:
        code = msgspec.json.decode(body, type=_Body).error.code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return code if isinstance(code, str) else ""


def _encoding(headers: Headers) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == b"content-encoding"), "")
