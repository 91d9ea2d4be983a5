"""Passes an answer on: as it comes, held until the policy has seen all of it, or through a sliding window.

Keeps a bounded transcript of what is sampled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from gateway.delivery.window import Ruling, Stretch, Window
from gateway.errors import GatewayError, UpstreamError
from gateway.exchange import Exchange, Headers, Reply, rewritten
from gateway.openai_api import choices_wanted
from gateway.openai_api.encodings import EncodingError, decode
from gateway.openai_api.sse import PING, Decoder, SseError

_EVENTS = b"text/event-stream"
_LONGEST_LINE = 64 * 1024  # an unfinished line is kept back up to this size


class Answer(Protocol):
    """An answer under way, as far as it is read here: see `http1.Answer`."""

    status: int
    complete: bool

    def take(self) -> bytes: ...

    async def more(self) -> bytes: ...

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes: ...


class Hearing(Protocol):
    """The judging of one stream; see `guard.Hearing`."""

    async def judge(self, stretches: Sequence[Stretch]) -> list[Ruling]: ...

    def unreadable(self) -> bool: ...

    def refusal(self) -> GatewayError: ...

    def close(self) -> None: ...


class Guard(Protocol):
    """Whether an answer must be judged before it leaves, and the judging: of a whole one, and of a stream."""

    def holds(self, exchange: Exchange) -> bool: ...

    async def answer(self, exchange: Exchange, body: bytes) -> bytes: ...

    def hearing(self, exchange: Exchange) -> Hearing: ...


class Tap:
    """`sample_bytes` bounds the transcript of a sampled answer, `held_bytes` what is held of one.

    `window_characters` of every text are held back where a route's streams go through a window. `observed` is told of
    each stream that passes though a rule would have it judged first, so that the side path judges it for certain.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        sample_bytes: int,
        held_bytes: int,
        window_characters: int,
        ping_seconds: float,
        observed: Callable[[Exchange], None],
    ) -> None:
        self._guard = guard
        self._sample_bytes = sample_bytes
        self._held_bytes = held_bytes
        self._window_characters = window_characters
        self._ping_seconds = ping_seconds
        self._observed = observed

    async def pass_on(self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply) -> None:
        """Bring the answer to the client with these headers.

        Raises UpstreamError, and GatewayError when the answer may not leave.
        """
        events = False
        for name, value in headers:
            if name == b"content-type":
                events = value.startswith(_EVENTS)
            elif name == b"content-encoding":
                exchange.transcript.encoding = value.decode("latin-1")
        if answer.status < 300:
            exchange.transcript.stream = events  # some servers answer a request for a stream with a whole body
        decided = True
        if answer.status < 300 and self._guard.holds(exchange):
            way = exchange.route.streams if events and exchange.route is not None else "hold"
            if way != "observe":
                await (self._hear if events else self._hold_body)(exchange, answer, headers, reply)
                return
            self._observed(exchange)
            decided = False
        await reply.start(answer.status, headers, decided=decided, body_follows=answer.complete)
        if answer.complete:
            data = answer.take()
            exchange.transcript.keep(data, self._sample_bytes)
            await reply.finish(data)
        elif events and not exchange.transcript.encoding:
            await self._pass_events(exchange, answer, reply)
        else:
            await self._pass_bytes(exchange, answer, reply)

    async def _pass_bytes(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        def offer(data: bytes) -> bool:
            exchange.transcript.keep(data, self._sample_bytes)
            return reply.offer(data)

        last = await answer.pour(offer, reply.settle)
        exchange.transcript.keep(last, self._sample_bytes)
        await reply.finish(last)

    async def _pass_events(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        """Whole lines, so that a stream that breaks off can still end with an event of ours.

        Not whole events: comments, and the events of servers that part them by a single LF, would wait for an empty
        line that never comes.
        """
        rest = b""

        def offer(data: bytes) -> bool:
            nonlocal rest
            exchange.transcript.keep(data, self._sample_bytes)
            if rest:
                data = rest + data
                rest = b""
            if not data.endswith((b"\n", b"\r")):
                end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
                if end or len(data) < _LONGEST_LINE:
                    data, rest = data[:end], data[end:]
            return reply.offer(data) if data else True

        last = await answer.pour(offer, reply.settle)
        exchange.transcript.keep(last, self._sample_bytes)
        await reply.finish(rest + last)

    async def _hold_body(self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply) -> None:
        body = await self._whole(answer)
        exchange.transcript.keep(body, self._sample_bytes)
        judged = await self._guard.answer(exchange, body)
        if judged is not body:
            headers = rewritten(headers, len(judged))
        await reply.start(answer.status, headers, body_follows=True)
        await reply.finish(judged)

    async def _hear(self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply) -> None:
        """Judge a stream, and let out what may leave: all of it at the end, or what has passed the window."""
        assert exchange.route is not None
        asked, transcript = exchange.asked, exchange.transcript
        slides = exchange.route.streams == "window" and not transcript.encoding
        window = Window(
            asked.operation,
            asked.model,
            characters=self._window_characters if slides else None,
            choices=choices_wanted(asked.body),
            include_usage=asked.include_usage,
        )
        hearing = self._guard.hearing(exchange)
        screen = _Screen(exchange, answer, headers, reply, window, hearing, held_bytes=self._held_bytes)
        try:
            if transcript.encoding:
                body = await self._whole(answer)
                transcript.keep(body, self._sample_bytes)
                await screen.packed(body)
            else:
                keep = partial(transcript.keep, most=self._sample_bytes)
                await screen.plain(keep, self._ping_seconds, keeps_tail=slides)
        finally:
            hearing.close()

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


class _Screen:
    """Brings one judged stream to its client."""

    def __init__(
        self,
        exchange: Exchange,
        answer: Answer,
        headers: Headers,
        reply: Reply,
        window: Window,
        hearing: Hearing,
        *,
        held_bytes: int,
    ) -> None:
        self._exchange = exchange
        self._answer = answer
        self._headers = headers
        self._reply = reply
        self._window = window
        self._hearing = hearing
        self._held_bytes = held_bytes
        self._decoder = Decoder(max_event_bytes=held_bytes)

    async def plain(self, keep: Callable[[bytes], None], ping_seconds: float, *, keeps_tail: bool) -> None:
        """Event by event. With `keeps_tail` a stream that breaks off is served as far as it came."""
        broken: UpstreamError | None = None
        while True:
            try:
                data = await self._more(ping_seconds)
            except UpstreamError as error:
                if not keeps_tail:
                    raise
                broken, data = error, b""
            keep(data)
            if broken is None:  # what broke off in the middle of an event is not sent
                self._feed(data)
            if not data:
                self._window.end()
            out = await self._judged()
            if not data or self._window.over:
                break
            if out:
                await self._send(out)
        await self._finish(out, broken)

    async def packed(self, body: bytes) -> None:
        """All of it, out of its content-encoding: no comment can be put in between."""
        try:
            data, more = decode(body, self._exchange.transcript.encoding, self._held_bytes)
        except EncodingError:
            data, more = b"", True
        if more:
            if self._hearing.unreadable():
                self._window.block_all()
        elif data:
            self._feed(data)
            self._feed(b"")
        self._window.end()
        out = await self._judged()
        await self._finish(out if self._window.changed else body, None)

    async def _more(self, ping_seconds: float) -> bytes:
        """The next of the upstream. The client's patience is kept with comments once it has lasted."""
        while True:
            try:
                async with asyncio.timeout(ping_seconds):
                    return await self._answer.more()
            except TimeoutError:
                await self._send(PING)

    def _feed(self, data: bytes) -> None:
        try:
            events = self._decoder.feed(data) if data else self._decoder.close()
        except SseError:
            raise _too_large(self._held_bytes) from None
        for event in events:
            self._window.feed(event)
        if self._window.size > self._held_bytes:
            raise _too_large(self._held_bytes)

    async def _judged(self) -> bytes:
        """What may leave, after the detectors were asked about what is due."""
        window = self._window
        if window.unreadable:
            window.unreadable = False
            if self._hearing.unreadable():
                window.block_all()
        if stretches := window.stretches():
            window.settle(await self._hearing.judge(stretches))
        return window.take()

    async def _send(self, data: bytes) -> None:
        if not self._reply.started:
            await self._reply.start(self._answer.status, rewritten(self._headers, None), decided=False)
        await self._reply.send(data)

    async def _finish(self, data: bytes, broken: UpstreamError | None) -> None:
        if broken is not None and not self._window.all_blocked:
            if data:
                await self._send(data)
            raise broken
        if not self._reply.started:
            headers = rewritten(self._headers, None) if self._window.changed else self._headers
            await self._reply.start(self._answer.status, headers, body_follows=True)
        await self._reply.finish(data)
        if self._window.all_blocked and not self._window.replaced:
            raise self._hearing.refusal()


def _too_large(most: int) -> GatewayError:
    return GatewayError(
        "answer_too_large", f"the answer is larger than {most} bytes, the most that is held for the policy"
    )
