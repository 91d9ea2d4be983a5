"""What stands between an answer and its client: inspections, which judge, and stages, which let out what may leave."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from gateway.delivery.answers import too_large
from gateway.delivery.window import Window
from gateway.errors import GatewayError
from gateway.exchange import Stretch, Treatment
from gateway.openai_api import Unread
from gateway.openai_api.sse import Decoder, Event, SseError

_TAKEN_WORK = 256 * 1024  # for what leaves the window at once, before others have their turn on the event loop
_LONG_WORK = 32 * 1024  # bytes of one piece of work that are too much for the event loop
T = TypeVar("T")


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
