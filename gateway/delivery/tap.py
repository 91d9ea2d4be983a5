"""Passes an answer on as it comes, or holds it for inspection. Keeps a bounded transcript of sampled answers."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol

from gateway.delivery.answers import Answer, Begun, Whole, collected, unpacked
from gateway.delivery.budget import MemoryBudget
from gateway.delivery.hold import Hold
from gateway.delivery.lookout import Lookout
from gateway.delivery.screen import Inspection, Screen, Stage
from gateway.delivery.window import Window
from gateway.encodings import EncodingError
from gateway.exchange import Exchange, Headers, Reply, rewritten
from gateway.openai_api import SURFACES, choices_wanted

_EVENTS = b"text/event-stream"
_MAYBE_TEXT = (b"json", b"text/", b"application/octet-stream")  # the last is what files of batches come as
_Pour = Callable[[Exchange, Answer, Reply], Awaitable[None]]
_LONGEST_LINE = 64 * 1024  # a longer unfinished line is not kept back


class InspectionWithHeaders(Inspection, Protocol):
    """The judging of one answer and of its headers by the policy."""

    def head(self, headers: Headers) -> Headers:
        """The headers that may leave."""
        ...


class Guard(Protocol):
    """Whether an answer must be judged before it leaves, and the judging."""

    def holds(self, exchange: Exchange) -> bool: ...

    def inspection(self, exchange: Exchange, *, failed: bool = False) -> InspectionWithHeaders: ...


class Moderated(Inspection, Protocol):
    """The moderation that a request asks for. A stream is held for it only if it `blocks`."""

    @property
    def blocks(self) -> bool: ...

    def ending(self) -> Stage:
        """Puts the moderation at the end of a stream."""
        ...


# Gives a list without some of its entries, and how many were left out. Raises GatewayError.
Sift = Callable[[bytes], tuple[bytes, int]]


class Tap:
    """Brings answers to their clients.

    `sample_bytes` bounds the transcript of a sampled answer, `held_bytes` what is held of one answer, `budget` what is
    held of all. `window_characters` of every text are held back where a route's streams go through a window. `observed`
    is called for each stream that passes although a rule wants it judged, so that the side path surely judges it.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        sample_bytes: int,
        held_bytes: int,
        budget: MemoryBudget,
        window_characters: int,
        ping_seconds: float,
        observed: Callable[[Exchange], None],
    ) -> None:
        self._guard = guard
        self._sample_bytes = sample_bytes
        self._held_bytes = held_bytes
        self._budget = budget
        self._window_characters = window_characters
        self._ping_seconds = ping_seconds
        self._observed = observed

    async def pass_on(
        self,
        exchange: Exchange,
        answer: Answer,
        headers: Headers,
        reply: Reply,
        moderated: Moderated | None = None,
        sift: Sift | None = None,
    ) -> None:
        """Bring the answer to the client with these headers, and with its moderation if there is one. `sift` removes
        from a list what is not for this caller.

        Raises UpstreamError, and GatewayError when the answer may not leave.
        """
        if sift is not None and answer.status < 300:
            answer, headers = await self._sifted(exchange, answer, headers, sift)
        events = _is_stream(exchange, answer.status, headers)
        guarded = self._guard.holds(exchange)
        observed = guarded and events and exchange.route is not None and exchange.route.streams == "observe"
        if observed:
            self._observed(exchange)
        asked = moderated if answer.status < 300 else None
        if (guarded or asked is not None) and exchange.asked.stream and not events and answer.status < 300:
            answer = begun = Begun(answer)
            events = exchange.transcript.stream = await begun.is_stream()
        if asked is None and (observed or not guarded):
            await self._pass(exchange, answer, headers, reply, events=events, decided=not observed)
            return
        decided = not observed
        await self._hold(exchange, answer, headers, reply, asked, events=events, guarded=guarded, decided=decided)

    async def _hold(
        self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply, asked: Moderated | None, *,
        events: bool, guarded: bool, decided: bool,
    ) -> None:  # fmt: skip
        """Hold the answer for the policy if it is `guarded` and can still be `decided` on, and for the moderation that
        was `asked` for."""
        policy = self._guard.inspection(exchange, failed=answer.status >= 400) if guarded and decided else None
        with ExitStack() as stack:
            if policy is not None:
                stack.callback(policy.close)
                headers = policy.head(headers)
            hold = Hold(
                exchange,
                answer,
                headers,
                reply,
                held_bytes=self._held_bytes,
                share=stack.enter_context(self._budget.share()),
                keep=partial(exchange.transcript.keep, most=self._sample_bytes),
                decided=decided,
            )
            if policy is not None and not self._can_hold(exchange, headers):
                hold.raise_unread([policy], "operation")
                await self._pass(exchange, answer, headers, reply, events=events, decided=True)
                return
            surface = SURFACES[exchange.asked.operation]
            if policy is not None and surface.answers is None and surface.reads is None and answer.status < 300:
                await self._pass_scanned(exchange, hold, policy, answer, headers, reply)
                return
            events = events and surface.answers is not None
            await (self._hold_stream if events else self._hold_body)(exchange, hold, policy, asked)

    async def _sifted(self, exchange: Exchange, answer: Answer, headers: Headers, sift: Sift) -> tuple[Answer, Headers]:
        """The list without the entries of others, and headers that tell how many were left out."""
        _is_stream(exchange, answer.status, headers)  # notes the encoding
        with self._budget.share() as share:
            body = await collected(answer, self._held_bytes, share)
        encoding, more = exchange.transcript.encoding, False
        if encoding:
            try:
                body, more = await unpacked(body, encoding, self._held_bytes)
            except EncodingError:
                more = True
        body, left_out = await asyncio.to_thread(sift, b"" if more else body)
        exchange.transcript.encoding = ""
        told = [*rewritten(headers, len(body)), (b"x-assay-left-out", b"%d" % left_out)]
        return Whole(answer.status, body), told

    def _can_hold(self, exchange: Exchange, headers: Headers) -> bool:
        """Whether an answer can be read at all: a download only if it may be text and is not too large."""
        if not SURFACES[exchange.asked.operation].of_any_size:
            return True
        named = dict(headers)
        length = named.get(b"content-length", b"")
        fits = length.isdigit() and int(length) <= self._held_bytes
        return fits and any(kind in named.get(b"content-type", b"").lower() for kind in _MAYBE_TEXT)

    async def _pass_scanned(
        self, exchange: Exchange, hold: Hold, policy: Inspection, answer: Answer, headers: Headers, reply: Reply
    ) -> None:
        """Pass on an answer that should have no texts, as it comes. If it contains text and a rule stops that, nothing
        from there on leaves: raises GatewayError."""
        lookout = Lookout(exchange.transcript.encoding)

        async def seen(data: bytes) -> bytes:
            reason = await lookout.feed(data) if data else lookout.close()
            if reason is not None:
                hold.raise_unread([policy], reason)
            exchange.transcript.keep(data, self._sample_bytes)
            return data

        if answer.complete:
            data = await seen(answer.take())
            await seen(b"")
            await reply.at_once(answer.status, headers, data)
            return
        while data := await seen(await answer.more()):
            if not reply.started:
                await reply.start(answer.status, headers)
            await reply.send(data)
        if not reply.started:
            await reply.start(answer.status, headers)
        await reply.finish()

    async def _hold_body(
        self, _exchange: Exchange, hold: Hold, policy: Inspection | None, asked: Moderated | None
    ) -> None:
        await hold.body([each for each in (policy, asked) if each is not None])

    async def _hold_stream(
        self, exchange: Exchange, hold: Hold, policy: Inspection | None, asked: Moderated | None
    ) -> None:
        """Deliver a stream through the policy's window and the moderation's; either may be missing."""
        assert exchange.route is not None
        packed = bool(exchange.transcript.encoding)
        slides = exchange.route.streams == "window" and not packed
        stages: list[Stage] = []
        if policy is not None:
            stages.append(self._screen(exchange, policy, self._window_characters if slides else None))
        if asked is not None:
            stages += [self._screen(exchange, asked, None)] if asked.blocks else []
            stages.append(asked.ending())
        if packed:
            await hold.packed(stages, [each for each in (policy, asked) if each is not None])
        else:
            await hold.stream(stages, self._ping_seconds)

    def _screen(self, exchange: Exchange, inspection: Inspection, characters: int | None) -> Screen:
        asked = exchange.asked
        window = Window(
            asked.operation,
            asked.model,
            characters=characters,
            choices=choices_wanted(asked.body),
            include_usage=asked.include_usage,
            drops_alternatives=inspection.drops_alternatives,
            asked=asked.body,
        )
        return Screen(window, inspection, held_bytes=self._held_bytes)

    def _pass(
        self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply, *, events: bool, decided: bool
    ) -> Coroutine[Any, Any, None]:
        if answer.complete:
            data = answer.take()
            exchange.transcript.keep(data, self._sample_bytes)
            return reply.at_once(answer.status, headers, data, decided=decided)
        pour = self._pass_events if events and not exchange.transcript.encoding else self._pass_bytes
        return self._pass_begun(exchange, answer, headers, reply, pour, decided=decided)

    async def _pass_begun(
        self, exchange: Exchange, answer: Answer, headers: Headers, reply: Reply, pour: _Pour, *, decided: bool
    ) -> None:
        await reply.start(answer.status, headers, decided=decided)
        await pour(exchange, answer, reply)

    async def _pass_bytes(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        def offer(data: bytes) -> bool:
            exchange.transcript.keep(data, self._sample_bytes)
            return reply.offer(data)

        last = await answer.pour(offer, reply.settle)
        exchange.transcript.keep(last, self._sample_bytes)
        await reply.finish(last)

    async def _pass_events(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        """Pass on whole lines, so that a stream that breaks off can still end with an event of ours.

        Not whole events: comments, and events of servers that separate them by a single LF, would wait for an empty
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


def _is_stream(exchange: Exchange, status: int, headers: Headers) -> bool:
    """Whether the answer comes as events. Notes that and the content-encoding in the transcript."""
    events = False
    for name, value in headers:
        if name == b"content-type":
            events = value.lower().startswith(_EVENTS)
        elif name == b"content-encoding":
            exchange.transcript.encoding = value.decode("latin-1")
    if status < 300:
        exchange.transcript.stream = events  # some servers answer a request for a stream with a whole body
    return events
