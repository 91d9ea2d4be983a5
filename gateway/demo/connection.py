"""One request to the demo upstream, and the delivery of its answer as the knobs say."""

import asyncio
import hashlib
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from gateway.demo.knobs import Knobs
from gateway.openai_api import error_body, sse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PIECE = 65_536
_HEAD = 4096
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class GoneError(Exception):
    """The client left before its answer was complete."""


class Connection:
    """One request, and the delivery of its answer as the knobs say."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, knobs: Knobs) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        self.knobs = knobs
        self.size = 0
        self.digest = hashlib.sha256()
        self.head = b""
        self._receive, self._send = receive, send

    async def read(self, *, keep: bool = True) -> bytes:
        """Read and count the body. Without `keep` only its first bytes stay, in `head`."""
        parts: list[bytes] = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            part = message.get("body", b"")
            self.size += len(part)
            self.digest.update(part)
            if keep:
                parts.append(part)
            self.head += part[: _HEAD - len(self.head)]
            more = message.get("more_body", False)
        return b"".join(parts)

    async def pause(self, seconds: float | None) -> None:
        """Wait for so many seconds, or for ever with None; raises GoneError as soon as the client leaves."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return
        raise GoneError

    async def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Answer with a whole body; False when a knob cut it off."""
        knobs = self.knobs
        if knobs.gzip or knobs.split or knobs.stall_after or knobs.reset_after >= 0:
            size = knobs.split or PIECE
            pieces = [body[i : i + size] for i in range(0, len(body), size)]
            return await self.pass_on(status, headers, pieces)
        await self._begin(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body})
        return True

    async def stream(self, events: Iterable[bytes]) -> bool:
        if self.knobs.crlf:
            events = (event.replace(b"\n", b"\r\n") for event in events)
        if self.knobs.error_after:
            events = _failing(events, self.knobs.error_after)
        return await self.pass_on(200, _EVENTS, events)

    async def pass_on(self, status: int, headers: list[tuple[bytes, bytes]], pieces: Iterable[bytes]) -> bool:
        """Answer piece by piece; False when a knob cut the answer off."""
        knobs = self.knobs
        packer = zlib.compressobj(wbits=31) if knobs.gzip else None
        await self._begin(status, [*headers, (b"content-encoding", b"gzip")] if packer else headers)
        for number, piece in enumerate(pieces):
            if number == knobs.reset_after:
                return False
            if knobs.stall_after and number == knobs.stall_after:
                await self.pause(None)
            if knobs.gap_ms and number:
                await self.pause(knobs.gap_ms / 1000)
            elif len(piece) >= PIECE:
                await self.pause(0)
            packed = packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) if packer else piece
            await self._put(packed)
        await self._send({"type": "http.response.body", "body": packer.flush() if packer else b""})
        return True

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self.knobs.ttft_ms:
            await self.pause(self.knobs.ttft_ms / 1000)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _put(self, piece: bytes) -> None:
        size = self.knobs.split or len(piece) or 1
        for start in range(0, len(piece), size):
            part = piece[start : start + size]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})


def _failing(events: Iterable[bytes], count: int) -> Iterable[bytes]:
    for number, event in enumerate(events):
        if number == count:
            yield sse.encode(error_body("The demo upstream was told to fail here.", "server_error", None, "demo"))
            return
        yield event
