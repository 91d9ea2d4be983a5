"""Shows tries of upstreams in the trace of their request."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.errors import UpstreamError
from gateway.exchange import Asked, Headers, Upstream
from gateway.upstream.transport import Response


class Attempt(Protocol):
    """A try in a trace. `asked` is the request with the headers that tell the upstream about the trace."""

    asked: Asked

    def answered(self, status: int) -> None: ...

    def failed(self, reason: str) -> None: ...

    def over(self) -> None: ...


class Tracing(Protocol):
    """Adds tries to the trace of their request."""

    def attempt(self, asked: Asked, upstream: Upstream) -> Attempt: ...


def reason_of(error: BaseException) -> str:
    return error.reason if isinstance(error, UpstreamError) else "cancelled"


class TracedResponse:
    """The same response. The attempt is told when it ends: with the last byte, broken off, or given up."""

    def __init__(self, response: Response, attempt: Attempt) -> None:
        self.status = response.status
        self.headers: Headers = response.headers
        self.reused = response.reused
        self._response = response
        self._attempt = attempt
        attempt.answered(response.status)
        if response.complete:
            attempt.over()

    @property
    def complete(self) -> bool:
        return self._response.complete

    @property
    def settled(self) -> bool:
        return self._response.settled

    async def head(self) -> None:
        await self._response.head()

    def take(self) -> bytes:
        return self._response.take()

    async def more(self) -> bytes:
        try:
            data = await self._response.more()
        except BaseException as error:
            self._attempt.failed(reason_of(error))
            raise
        if not data or self._response.complete:
            self._attempt.over()
        return data

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        try:
            last = await self._response.pour(offer, settle)
        except BaseException as error:
            self._attempt.failed(reason_of(error))
            raise
        self._attempt.over()
        return last

    def abort(self) -> None:
        self._response.abort()
        self._attempt.over()

    async def send(self, data: bytes) -> None:
        await self._response.send(data)

    def sent(self) -> None:
        self._response.sent()
