"""Reads the bodies of requests, within bounds for each body and for all that are held at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from gateway.encodings import EncodingError, TooLargeError, unpack
from gateway.errors import GatewayError

_SMALL = 16 * 1024  # a packed body below this is unpacked at once, a larger one in a thread

Take = Callable[[], bytes | None]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """Bounds: `each` bytes of a body, `all` bytes of held bodies together, `seconds` of silence while a body comes."""

    each: int
    all: int
    seconds: float


class Bodies:
    """The bodies of the requests that are open. What `read` returned is held until it is given to `release`."""

    def __init__(self, bounds: BodyBounds) -> None:
        self._bounds = bounds
        self._held = 0

    async def read(
        self, take: Take, receive: Receive, headers: Iterable[tuple[bytes, bytes]], packing: str = ""
    ) -> tuple[bytes, bytes]:
        """The whole body, and its packed bytes if it came in the content-encoding `packing` (else empty).

        `take` gives the body without waiting if it came along with the head, as is usual. Raises GatewayError
        body_too_large, overloaded, body_timeout, client_gone and bad_encoding; then nothing of it is held.
        """
        body = self.take(take)
        if body is None:
            body = await self._receive_all(receive, content_length(headers) or 0)
        if not packing:
            return body, b""
        try:
            return await self._unpacked(body, packing), body
        except BaseException:
            self.release(body)
            raise

    def take(self, take: Take) -> bytes | None:
        """The whole body, if `take` gives it; then it is held. Raises GatewayError body_too_large and overloaded."""
        body = take()
        if body:
            self._hold(len(body), len(body))
        return body

    def release(self, body: bytes) -> None:
        """Give the body's memory back."""
        self._held -= len(body)

    async def begin(self, receive: Receive, most: int) -> tuple[bytes, bool]:
        """An upload, or its beginning if it has more than `most` bytes, and whether it is all. It is held like what
        `read` returns. Raises GatewayError overloaded, body_timeout and client_gone."""
        pieces: list[bytes] = []
        size = 0
        most = min(most, self._bounds.each)
        try:
            while size < most:
                message = await self._message(receive)
                piece = message.get("body", b"")
                self._hold(len(piece), 0)
                size += len(piece)
                pieces.append(piece)
                if not message.get("more_body"):
                    return b"".join(pieces), True
        except BaseException:
            self._held -= size
            raise
        return b"".join(pieces), False

    async def pieces(self, receive: Receive, begun: bytes = b"", *, whole: bool = False) -> AsyncIterator[bytes]:
        """The body of an upload as it comes, after what has `begun`, which may be the `whole` of it. Nothing more is
        held. Raises GatewayError body_timeout, client_gone."""
        if begun:
            yield begun
        while not whole:
            message = await self._message(receive)
            if body := message.get("body", b""):
                yield body
            if not message.get("more_body"):
                return

    async def _unpacked(self, body: bytes, packing: str) -> bytes:
        try:
            if len(body) < _SMALL:
                unpacked = unpack(body, packing, self._bounds.each)
            else:
                unpacked = await asyncio.to_thread(unpack, body, packing, self._bounds.each)
        except TooLargeError:
            raise self._too_large() from None
        except EncodingError as error:
            raise GatewayError("bad_encoding", str(error)) from None
        self._hold(len(unpacked), len(unpacked))
        return unpacked

    async def _receive_all(self, receive: Receive, announced: int) -> bytes:
        if announced > self._bounds.each:
            raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        try:
            more = True
            while more:
                message = await self._message(receive)
                piece = message.get("body", b"")
                self._hold(len(piece), size + len(piece))
                size += len(piece)
                pieces.append(piece)
                more = message.get("more_body", False)
        except BaseException:
            self._held -= size
            raise
        return b"".join(pieces) if len(pieces) > 1 else pieces[0]

    def _hold(self, more: int, size: int) -> None:
        """Count `more` bytes of a body that has `size` with them. Raises GatewayError if a bound forbids it."""
        if size > self._bounds.each:
            raise self._too_large()
        if self._held + more > self._bounds.all:
            raise GatewayError(
                "overloaded",
                f"the gateway holds {self._bounds.all} bytes of request bodies (max_bodies_bytes); try again shortly",
                retry_after_seconds=1,
            )
        self._held += more

    def _too_large(self) -> GatewayError:
        return GatewayError(
            "body_too_large",
            f"the request body is larger than the limit of {self._bounds.each} bytes (max_body_bytes)",
        )

    async def _message(self, receive: Receive) -> MutableMapping[str, Any]:
        seconds = self._bounds.seconds
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError:
            raise GatewayError("body_timeout", f"nothing of the request body came for {seconds:g} s") from None
        if message["type"] == "http.disconnect":
            raise GatewayError("client_gone", "the client left while it sent the request")
        return message


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The announced length of a body in bytes."""
    value = dict(headers).get(b"content-length", b"")
    return int(value) if value.isdigit() else None
