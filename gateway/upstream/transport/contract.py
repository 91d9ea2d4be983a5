"""What every transport promises: it sends a request, hands over the response as it comes, and names each failure.

There are two. `http1` is our own, for upstreams reached directly in HTTP/1.1. `library` uses httpcore2, for upstreams
behind a proxy or in HTTP/2.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import UpstreamError
from gateway.exchange import Headers

WHOLE_BYTES = 64 * 1024  # we wait for all of an answer of an announced size up to this; it leaves in one piece
FAILURES = 400  # and above: we do not wait for the body of such an answer, because its status says enough
HIGH_WATER = 256 * 1024  # bytes of an answer that may be buffered before reading from the upstream pauses
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

    `status` and `headers` (names in lower case, values without surrounding white space) are valid once `head` has
    returned; `complete` says that the last byte is here. The body is what the upstream sent, in its content-encoding.
    `reused` says that its connection had carried a request before, so a reset may only mean that it was stale.
    """

    status: int
    headers: Headers
    reused: bool

    @property
    def complete(self) -> bool: ...

    @property
    def settled(self) -> bool:
        """Whether it has begun or failed: the rest of the request need not be sent."""
        ...

    async def head(self) -> None:
        """Wait for the head, and for a small announced body unless it is an error's. Raises UpstreamError."""
        ...

    def take(self) -> bytes:
        """What has arrived and was not taken yet, perhaps nothing."""
        ...

    async def more(self) -> bytes:
        """The next bytes as soon as there are any; empty at the end. Raises UpstreamError when it broke off."""
        ...

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        """Hand what comes to `offer` as soon as it comes; returns the last bytes.

        When `offer` returns False, `settle` is awaited before it gets more. Raises UpstreamError if the answer broke
        off, after everything that had come.
        """
        ...

    def abort(self) -> None:
        """Abandon the answer. If it is unfinished, its connection is closed, or its stream if the connection is
        shared."""
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
        """Send a request; returns the response under way.

        `head` is an HTTP/1.1 head with its empty line. If `body` is None, it follows through `Response.send`; with
        `chunked` the transport puts its pieces into chunks, as the head says. `fresh` asks for a connection that has
        carried nothing before. `limits` replace the transport's own waits for the first byte and between two bytes.
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
