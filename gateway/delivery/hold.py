"""The one way to hold an answer: it goes to its client through inspections, and nothing leaves uninspected.

A whole body is collected, unpacked and handed to each inspection in turn. A stream goes through stages: each takes
bytes and gives back what may leave. What waits is bounded, and meanwhile the client gets comments.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

from gateway.delivery.budget import Share
from gateway.delivery.window import Window
from gateway.encodings import EncodingError, decode
from gateway.errors import GatewayError, UpstreamError
from gateway.exchange import Exchange, Headers, Reply, Stretch, Treatment, rewritten
from gateway.openai_api import Reason, Unread
from gateway.openai_api.sse import PING, Decoder, Event, SseError, is_stream

# Bytes that go through a stage, and work for what leaves it, before others have their turn on the event loop.
_FED_BYTES = 4 * 1024
_TAKEN_WORK = 256 * 1024
_LONG_WORK = 32 * 1024  # bytes of one piece of work that are too much for the event loop
_ENOUGH = 8  # bytes that tell a stream from JSON
_MOST_BLANKS = 4 * 1024  # bytes of white space before them: an answer may begin with any number
T = TypeVar("T")


class Answer(Protocol):
    """An answer that is arriving, as far as it is used here: see `transport.Response`."""

    status: int

    @property
    def complete(self) -> bool: ...

    def take(self) -> bytes: ...

    async def more(self) -> bytes: ...

    async def pour(self, offer: Callable[[bytes], bool], settle: Callable[[], Awaitable[None]]) -> bytes: ...


class Inspection(Protocol):
    """The judging of one answer, by a policy or by the moderation that a request asks for. Close it when done."""

    async def whole(self, body: bytes) -> bytes:
        """The body that may leave: the very same object, or another one. May raise GatewayError answer_blocked."""
        ...

    async def judge(self, stretches: Sequence[Stretch]) -> list[Treatment]:
        """What becomes of each stretch of a stream."""
        ...

    def unread(self, unread: Sequence[Unread]) -> bool:
        """Whether the answer must end because it contains something unreadable."""
        ...

    @property
    def drops_alternatives(self) -> bool:
        """Whether alternatives to tokens, which no detector can read, are taken out of a stream."""
        ...

    def refusal(self) -> GatewayError | None:
        """What the exchange ends with if nothing of the answer could be served."""
        ...

    def close(self) -> None: ...


class Stage(Protocol):
    """One step between the events of an upstream and the client.

    `over`: it needs nothing more from the upstream. `changed`: what left differs from what came. `held`: the bytes of
    memory that it holds.
    """

    @property
    def over(self) -> bool: ...

    @property
    def changed(self) -> bool: ...

    @property
    def held(self) -> int: ...

    async def feed(self, data: bytes) -> bytes:
        """What may leave after this came."""
        ...

    async def end(self, *, broken: bool) -> bytes:
        """What may still leave at the end; `broken` if the upstream broke off before its own end."""
        ...

    def refusal(self) -> GatewayError | None: ...


class Screen:
    """A stage that lets out what an inspection has passed: all of it at the end, or what has left the window.

    With a window, a stream that breaks off is served as far as it was judged.
    """

    def __init__(self, window: Window, inspection: Inspection, *, held_bytes: int) -> None:
        self._window = window
        self._inspection = inspection
        self._held_bytes = held_bytes
        self._decoder = Decoder(max_event_bytes=held_bytes)

    @property
    def over(self) -> bool:
        return self._window.over

    @property
    def changed(self) -> bool:
        return self._window.changed

    @property
    def held(self) -> int:
        return self._window.held + self._decoder.size

    async def feed(self, data: bytes) -> bytes:
        if self.over:  # this came together with what ended the stream
            return b""
        await self._read(lambda: self._decoder.feed(data))
        return await self._judged()

    async def end(self, *, broken: bool) -> bytes:
        if not broken and not self.over:
            await self._read(self._decoder.close)
        elif broken and not self._window.slides:
            return b""  # an event that broke off in the middle is not sent
        self._window.end()
        return await self._judged()

    def refusal(self) -> GatewayError | None:
        refused = self._window.all_blocked and not self._window.replaced
        return self._inspection.refusal() if refused else None

    async def _read(self, events: Callable[[], Sequence[Event]]) -> None:
        try:
            for event in events():
                if len(event.raw) <= _LONG_WORK:
                    self._window.feed(event)
                else:
                    await asyncio.to_thread(self._window.feed, event)
        except SseError:
            raise too_large(self._held_bytes) from None
        if self._window.size > self._held_bytes:
            raise too_large(self._held_bytes)

    async def _judged(self) -> bytes:
        """Ask the inspection about what is due; returns what may leave then."""
        window = self._window
        if window.unread:
            unread, window.unread = list(dict.fromkeys(window.unread)), []
            if self._inspection.unread(unread):
                await _worked(window.work, window.block_all)
        if window.is_due and (stretches := await _worked(window.work, window.stretches)):
            treatments = await self._inspection.judge(stretches)
            await _worked(window.work, partial(window.settle, treatments))
        return await self._taken()

    async def _taken(self) -> bytes:
        window = self._window
        out = []
        while True:
            size = window.sent if window.over else window.next_size
            out.append(await _worked(size, partial(window.take, _TAKEN_WORK)))
            if not window.has_more:
                return b"".join(out)
            await asyncio.sleep(0)


async def _worked(size: int, work: Callable[[], T]) -> T:
    """The result of work on so many bytes, which is done off the event loop if they are many."""
    return work() if size <= _LONG_WORK else await asyncio.to_thread(work)


class Hold:
    """Brings one answer to its client.

    `held_bytes` bounds what waits of this answer, `share` what waits of all answers. `keep` gets the upstream's own
    bytes. `decided` False leaves the decision out of the headers, because the policy decides later; a block is always
    reported.
    """

    def __init__(
        self,
        exchange: Exchange,
        answer: Answer,
        headers: Headers,
        reply: Reply,
        *,
        held_bytes: int,
        share: Share,
        keep: Callable[[bytes], None],
        decided: bool = True,
    ) -> None:
        self._exchange = exchange
        self._answer = answer
        self._headers = headers
        self._reply = reply
        self._held_bytes = held_bytes
        self._share = share
        self._keep = keep
        self._decided = decided
        self._sending = asyncio.Lock()
        self._sent_at = 0.0
        self._whole = 0  # bytes that were collected

    async def body(self, inspections: Sequence[Inspection]) -> None:
        """Deliver a whole body. Raises GatewayError when nothing of it may leave."""
        body = await self._collected()
        plain = await self._unpacked(body, inspections)
        judged = plain
        for inspection in inspections:
            judged = None if judged is None else await inspection.whole(judged)
        changed = judged is not plain and judged is not None
        await self._finish(judged if changed and judged is not None else body, changed=changed, whole=True)
        _raise_first(inspections)

    async def packed(self, stages: Sequence[Stage], inspections: Sequence[Inspection]) -> None:
        """Deliver a stream in a content-encoding, all of it at once, because no comment can be put into it."""
        body = await self._collected()
        plain = await self._unpacked(body, inspections)
        out = body if plain is None else await self._fed(stages, plain) + await self._ended(stages, broken=False)
        changed = plain is not None and out != plain
        await self._finish(out if changed else body, changed=changed)
        _raise_first(stages)

    async def stream(self, stages: Sequence[Stage], ping_seconds: float) -> None:
        """Deliver a stream as it comes.

        Raises GatewayError when nothing of it could be served, and UpstreamError when it broke off.
        """
        async with self._commented(ping_seconds):
            broken = await self._pass_on(stages)
            last = await self._ended(stages, broken=broken is not None)
            if broken is not None and not any(stage.refusal() for stage in stages):
                await self._send(last)
                raise broken
            await self._finish(last, changed=any(stage.changed for stage in stages))
        _raise_first(stages)

    async def _pass_on(self, stages: Sequence[Stage]) -> UpstreamError | None:
        """Pass on all that comes until the end, or until no more is needed. Returns the error of a broken answer."""
        while not any(stage.over for stage in stages):
            try:
                data = await self._answer.more()
            except UpstreamError as error:
                return error
            if not data:
                return None
            self._keep(data)
            await self._send(await self._fed(stages, data))
        return None

    async def _collected(self) -> bytes:
        body = await collected(self._answer, self._held_bytes, self._share)
        self._whole = len(body)
        self._keep(body)
        return body

    async def _fed(self, stages: Sequence[Stage], data: bytes) -> bytes:
        """What leaves the last stage after this came. The memory of the stages is counted after each piece."""
        for stage in stages:
            data = await self._through(stage, data, stages)
        return data

    async def _through(self, stage: Stage, data: bytes, stages: Sequence[Stage]) -> bytes:
        out = []
        for at in range(0, len(data), _FED_BYTES):
            if at:
                await asyncio.sleep(0)
            out.append(await stage.feed(data[at : at + _FED_BYTES]))
            self._share.hold(self._whole + sum(each.held for each in stages))
        return b"".join(out)

    async def _ended(self, stages: Sequence[Stage], *, broken: bool) -> bytes:
        """What leaves the last stage when no more comes."""
        data = b""
        for stage in stages:
            data = await self._through(stage, data, stages) + await stage.end(broken=broken)
        return data

    async def _unpacked(self, body: bytes, inspections: Sequence[Inspection]) -> bytes | None:
        """The decoded body; None if it cannot be decoded and may be passed on all the same."""
        encoding = self._exchange.transcript.encoding
        if not encoding:
            return body
        try:
            plain, more = await asyncio.to_thread(decode, body, encoding, self._held_bytes)
        except EncodingError:
            more = True
        if not more:
            self._whole += len(plain)
            self._share.hold(self._whole)
            return plain
        self.raise_unread(inspections, "encoding")
        return None

    def raise_unread(self, inspections: Sequence[Inspection], reason: Reason) -> None:
        """Tell the inspections that the answer cannot be read. Raises GatewayError if it may not leave then."""
        unread = [Unread("assistant", reason)]
        _raise_first([inspection for inspection in inspections if inspection.unread(unread)])

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        async with self._sending:
            if not self._reply.started:
                headers = rewritten(self._headers, None)
                await self._reply.start(self._answer.status, headers, decided=False)
            self._sent_at = asyncio.get_running_loop().time()
            await self._reply.send(data)

    async def _finish(self, data: bytes, *, changed: bool, whole: bool = False) -> None:
        async with self._sending:  # else a comment could be on its way
            if not self._reply.started:
                headers = rewritten(self._headers, len(data) if whole else None) if changed else self._headers
                decided = self._decided or self._exchange.ruling.decision == "block"
                await self._reply.at_once(self._answer.status, headers, data, decided=decided)
            else:
                await self._reply.finish(data)

    @asynccontextmanager
    async def _commented(self, seconds: float) -> AsyncIterator[None]:
        """Within this, a comment is sent whenever nothing else has left for so many seconds."""
        loop = asyncio.get_running_loop()
        self._sent_at = loop.time()
        comments = loop.create_task(self._comment(seconds))
        try:
            yield
        finally:
            comments.cancel()

    async def _comment(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + seconds - loop.time()))
            if loop.time() >= self._sent_at + seconds:
                await self._send(PING)


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


def _raise_first(judged: Sequence[Inspection | Stage]) -> None:
    for each in judged:
        if (refusal := each.refusal()) is not None:
            raise refusal


def too_large(most: int) -> GatewayError:
    """The error for an answer that is larger than what may be held."""
    return GatewayError(
        "answer_too_large", f"the answer is larger than {most} bytes, the most that is held to be judged"
    )
