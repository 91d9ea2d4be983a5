"""Answers as delivery takes them: still arriving, looked at, or complete; and all of one within its bounds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.delivery.budget import Share
from gateway.encodings import decode
from gateway.errors import GatewayError
from gateway.openai_api.sse import is_stream

_ENOUGH = 8  # bytes that tell a stream from JSON
# Unpacked on the event loop: for a small answer a thread takes five times the work and more.
_FEW_PACKED = 16 * 1024
_FEW_BYTES = 64 * 1024
_MOST_BLANKS = 4 * 1024  # bytes of white space before them: an answer may begin with any number


class Answer(Protocol):
    """An answer that is arriving, as far as it is used here: see `transport.Response`."""

    status: int

    @property
    def complete(self) -> bool: ...

    def take(self) -> bytes: ...

    async def more(self) -> bytes: ...

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes: ...


class Begun:
    """An answer whose first bytes show whether it is a stream, whatever its content type says."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self._answer = answer
        self._first: list[bytes] = []

    @property
    def complete(self) -> bool:
        return self._answer.complete

    async def is_stream(self) -> bool:
        """Whether it begins as a stream does. Waits for the first bytes. Raises UpstreamError."""
        begun = b""
        while len(begun) < _MOST_BLANKS and len(begun.strip()) < _ENOUGH and (data := await self._answer.more()):
            begun += data
        self._first = [begun] if begun else []
        return is_stream(begun)

    def take(self) -> bytes:
        first, self._first = b"".join(self._first), []
        return first + self._answer.take()

    async def more(self) -> bytes:
        return self._first.pop() if self._first else await self._answer.more()

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:
        if self._first and not offer(self._first.pop()):
            await settle()
        return await self._answer.pour(offer, settle)


class Whole:
    """An answer that has arrived completely."""

    complete = True

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body

    def take(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def more(self) -> bytes:
        return self.take()

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes:  # noqa: ARG002 - nothing comes before the last piece
        return self.take()


async def collected(answer: Answer, most: int, share: Share) -> bytes:
    """The whole body. Raises GatewayError answer_too_large and overloaded, and UpstreamError."""
    pieces: list[bytes] = []
    size = 0
    # The bytes of a complete answer may still be in the buffer.
    while data := answer.take() if answer.complete else await answer.more():
        size += len(data)
        if size > most:
            raise too_large(most)
        share.hold(size)
        pieces.append(data)
    return b"".join(pieces)


async def unpacked(body: bytes, encoding: str, most: int) -> tuple[bytes, bool]:
    """As `encodings.decode`, off the event loop unless both the body and what it unpacks to are small."""
    few = min(most, _FEW_BYTES)
    if len(body) <= _FEW_PACKED:
        plain, more = decode(body, encoding, few)
        if not more or few == most:
            return plain, more
    return await asyncio.to_thread(decode, body, encoding, most)


def too_large(most: int) -> GatewayError:
    """The error for an answer that is larger than what may be held."""
    return GatewayError(
        "answer_too_large", f"the answer is larger than {most} bytes, the most that is held to be judged"
    )
