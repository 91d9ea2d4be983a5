"""Passes an answer on: as it comes, or held until the policy has seen all of it. Keeps a bounded transcript."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.errors import GatewayError
from gateway.exchange import Exchange, Headers
from gateway.openai_api import blocked_ending, read_stream
from gateway.sse import PING, Decoder

_EVENTS = b"text/event-stream"
_LONGEST_EVENT = 64 * 1024  # an unfinished event is kept back up to this size
_NOT_REWRITTEN = frozenset({b"content-length", b"content-encoding", b"etag", b"content-md5"})


class Answer(Protocol):
    """An answer under way, as far as it is read here: see `http1.Answer`."""

    status: int
    complete: bool

    def take(self) -> bytes: ...

    async def more(self) -> bytes: ...

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes: ...


class Guard(Protocol):
    """Whether an answer must be judged before it leaves, and the judging."""

    def holds(self, exchange: Exchange) -> bool: ...

    async def answer(self, exchange: Exchange, body: bytes) -> bytes: ...


class Reply(Protocol):
    """The way to the client, as far as an answer needs it."""

    started: bool

    async def start(
        self, status: int, headers: Headers, *, decided: bool = True, body_follows: bool = False
    ) -> None: ...

    def offer(self, data: bytes) -> bool: ...

    async def settle(self) -> None: ...

    async def send(self, data: bytes) -> None: ...

    async def finish(self, data: bytes = b"") -> None: ...


class Tap:
    """`sample_bytes` bounds the transcript of a sampled answer, `held_bytes` an answer that is held."""

    def __init__(self, guard: Guard, *, sample_bytes: int, held_bytes: int, hold_streams: bool, ping_seconds: float):
        self._guard = guard
        self._sample_bytes = sample_bytes
        self._held_bytes = held_bytes
        self._hold_streams = hold_streams
        self._ping_seconds = ping_seconds

    async def pass_on(self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply) -> None:
        """Bring the answer to the client with these headers.

        Raises UpstreamError, and GatewayError when the answer may not leave.
        """
        events = False
        for name, value in headers:
            if name == b"content-type":
                events = value.startswith(_EVENTS)
            elif name == b"content-encoding":
                exchange.encoding = value.decode("latin-1")
        if answer.status < 300:
            exchange.stream = events  # some servers answer a request for a stream with a whole body
        if answer.status < 300 and self._guard.holds(exchange) and (self._hold_streams or not events):
            hold = self._hold_events if events else self._hold_body
            await hold(exchange, answer, headers, reply)
            return
        await reply.start(answer.status, headers, body_follows=answer.complete)
        if answer.complete:
            data = answer.take()
            self._keep(exchange, data)
            await reply.finish(data)
        elif events and not exchange.encoding:
            await self._pass_events(exchange, answer, reply)
        else:
            await self._pass_bytes(exchange, answer, reply)

    async def _pass_bytes(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        def offer(data: bytes) -> bool:
            self._keep(exchange, data)
            return reply.offer(data)

        last = await answer.pour(offer, reply.settle)
        self._keep(exchange, last)
        await reply.finish(last)

    async def _pass_events(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        """Whole events only, so that a stream that breaks off can still end with an event of ours."""
        rest = b""

        def offer(data: bytes) -> bool:
            nonlocal rest
            self._keep(exchange, data)
            if rest:
                data = rest + data
                rest = b""
            if not data.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")):
                end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\r\n\r\n") + 4, data.rfind(b"\r\r") + 2)
                if end > 3 or len(data) < _LONGEST_EVENT:
                    end = end if end > 3 else 0
                    data, rest = data[:end], data[end:]
            return reply.offer(data) if data else True

        last = await answer.pour(offer, reply.settle)
        self._keep(exchange, last)
        await reply.finish(rest + last)

    async def _hold_body(self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply) -> None:
        body = await self._whole(answer)
        self._keep(exchange, body)
        judged = await self._guard.answer(exchange, body)
        if judged is not body:
            headers = _rewritten(headers, len(judged))
        await reply.start(answer.status, headers, body_follows=True)
        await reply.finish(judged)

    async def _hold_events(self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply) -> None:
        """The same for a stream. The client's patience is kept with comments once it has lasted."""
        pieces: list[bytes] = []
        size = 0
        patience = None if exchange.encoding else self._ping_seconds  # a plain comment has no place in a packed stream
        while True:
            try:
                async with asyncio.timeout(patience):
                    data = await answer.more()
            except TimeoutError:
                if not reply.started:
                    await reply.start(answer.status, _rewritten(headers, None), decided=False)
                await reply.send(PING)
                continue
            if not data:
                break
            size += len(data)
            if size > self._held_bytes:
                raise _too_large(self._held_bytes)
            pieces.append(data)
        transcript = b"".join(pieces)
        self._keep(exchange, transcript)
        try:
            judged = await self._guard.answer(exchange, transcript)
        except GatewayError as error:
            if error.reason != "answer_blocked":
                raise
            exchange.decision = "block"
            events = Decoder(max_event_bytes=len(transcript)).feed(transcript)
            first = next((event.data for event in events if event.data), None)
            choices = sorted({passage.choice for passage in read_stream(exchange.operation, transcript)}) or [0]
            judged = blocked_ending(exchange.operation, first, choices, exchange.model, sequence_number=0, opening=True)
            if not reply.started:
                await reply.start(answer.status, _rewritten(headers, None))
            await reply.finish(judged)
            raise
        if not reply.started:
            await reply.start(answer.status, headers if judged is transcript else _rewritten(headers, None))
        await reply.finish(judged)

    async def _whole(self, answer: Answer) -> bytes:
        if answer.complete:
            return answer.take()
        pieces: list[bytes] = []
        size = 0
        while data := await answer.more():
            size += len(data)
            if size > self._held_bytes:
                raise _too_large(self._held_bytes)
            pieces.append(data)
        return b"".join(pieces)

    def _keep(self, exchange: Exchange, data: bytes) -> None:
        """Add to the transcript of a sampled exchange, up to its bound."""
        if not exchange.sampled or not data:
            return
        room = self._sample_bytes - exchange.answer_bytes
        exchange.answer_cut = len(data) > room
        if room > 0:
            exchange.answer.append(data[:room])
            exchange.answer_bytes += min(len(data), room)


def _too_large(most: int) -> GatewayError:
    return GatewayError(
        "answer_too_large", f"the answer is larger than {most} bytes, the most that is held for the policy"
    )


def _rewritten(headers: Headers, length: int | None) -> Headers:
    """The headers of a body that is no longer the upstream's own bytes."""
    kept = [(name, value) for name, value in headers if name not in _NOT_REWRITTEN]
    if length is not None:
        kept.append((b"content-length", b"%d" % length))
    return kept
