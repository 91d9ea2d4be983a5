"""What every way to a model server promises: send a request, hand over the response as it comes, name each failure.

Two ways exist. `http1` is our own, for upstreams reached directly in HTTP/1.1. `library` goes through httpcore2, for
those behind a proxy or spoken to in HTTP/2.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import UpstreamError
from gateway.exchange import Headers

WHOLE_BYTES = 64 * 1024  # an announced answer up to this size is waited for, and leaves in one piece
FAILURES = 400  # and above: such an answer is not waited for, since its status says enough
HIGH_WATER = 256 * 1024  # bytes an answer may buffer before reading from the upstream pauses
MAX_HEADERS = 200  # of one answer
STATUSES = range(200, 600)  # what a final answer may have (RFC 9110, section 15)
SHUTTING_DOWN = "the gateway is shutting down"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds, and connections to one origin."""

    connect_seconds: float = 5.0
    first_byte_seconds: float = 600.0
    idle_seconds: float = 120.0
    pool_seconds: float = 10.0
    keepalive_seconds: float = 30.0
    max_connections: int = 1024


class Response(Protocol):
    """A response under way: `http1.Http1Response` and `library.LibraryResponse`.

    `status` and `headers` (names lower-cased, values without the white space around them) hold once `head` returned;
    `complete` says that the last byte is here. The body is what the upstream sent, content-encoding untouched.
    `reused` says that its connection had carried a request before, so that a reset may only mean that it was stale.
    """

    status: int
    headers: Headers
    reused: bool

    @property
    def complete(self) -> bool: ...

    @property
    def settled(self) -> bool:
        """It has begun or failed: what is left of the request need not be sent any more."""
        ...

    async def head(self) -> None:
        """Wait for the head, and for a small announced body unless it is an error's. Raises UpstreamError."""
        ...

    def take(self) -> bytes:
        """What has arrived and was not taken yet, maybe nothing."""
        ...

    async def more(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end. Raises UpstreamError when it broke off."""
        ...

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        """Hand to `offer` what comes, as soon as it comes; the last bytes are returned.

        When `offer` says False, `settle` is awaited before it gets more. Raises UpstreamError when the answer broke
        off, after all that came before.
        """
        ...

    def abort(self) -> None:
        """Abandon it. An unfinished one closes its connection, or its stream where the connection is shared."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a piece of a request body that is streamed; waits while the upstream does not read."""
        ...

    def sent(self) -> None:
        """The whole request body was handed over."""
        ...


class Transport(Protocol):
    """Connections to one origin: `http1.Http1Transport` and `library.LibraryTransport`."""

    async def request(
        self,
        head: bytes,
        body: bytes | None,
        *,
        head_only: bool = False,
        fresh: bool = False,
        chunked: bool = False,
        limits: Limits | None = None,
    ) -> Response:
        """Send a request; the response under way.

        `head` is an HTTP/1.1 head with its empty line. `body` None means that it follows through `Response.send`, in
        pieces that the transport puts into chunks when `chunked`, as the head says. `fresh` asks for a connection that
        carried nothing before. `limits` replace the transport's own waits for the first byte and between two.
        Raises UpstreamError.
        """
        ...

    def counts(self) -> tuple[int, int]:
        """Idle and busy connections."""
        ...

    async def close(self) -> None:
        """Drop every connection; answers under way fail."""
        ...


def late(reason: str, limits: Limits) -> UpstreamError:
    """The error of a phase that lasted longer than its limit."""
    sentence = {
        "connect_timeout": f"no connection to the upstream within {limits.connect_seconds:g} s",
        "pool_timeout": f"all {limits.max_connections} connections to the upstream were busy "
        f"for {limits.pool_seconds:g} s",
        "write_timeout": f"the upstream did not read the request for {limits.idle_seconds:g} s",
        "first_byte_timeout": f"the upstream did not begin to answer within {limits.first_byte_seconds:g} s",
        "idle_timeout": f"the upstream was silent for {limits.idle_seconds:g} s in the middle of its answer",
    }[reason]
    return UpstreamError(reason, sentence, retry_after_seconds=1 if reason == "pool_timeout" else None)
