"""Moderated completions: stands between an answer and its client when the request asks for moderation.

The prompt is judged while the model answers, or before it is asked where it may be blocked; the answer at its end. An
answer that may be blocked is held until then. What a policy does to the exchange comes before.
"""

import asyncio
from collections.abc import Collection, Sequence
from time import monotonic
from typing import Any, NoReturn, Protocol

from gateway.delivery.window import Ruling, Window
from gateway.errors import GatewayError
from gateway.exchange import Exchange, Headers, Reply, rewritten
from gateway.openai_api import (
    DONE_DATA,
    EVERY_CHOICE,
    SURFACES,
    Judged,
    StreamEnd,
    choices_wanted,
    moderation_of,
    read_event,
    sentence,
    usage_of_response,
    with_moderation,
    withheld_body,
)
from gateway.openai_api.encodings import EncodingError, decode
from gateway.openai_api.sse import PING, Decoder, Event, SseError
from gateway.telemetry import metrics

_EVENTS = b"text/event-stream"
_OF_THE_TEXT = frozenset({"truncated", "unreadable"})  # another try would end the same way


class Moderation(Protocol):
    """Who judges; see `moderation.Moderation`."""

    @property
    def model(self) -> str: ...

    async def input(self, exchange: Exchange) -> Judged: ...

    async def output(self, exchange: Exchange, body: bytes, *, stream: bool) -> Judged: ...


class Attended:
    """The client's `Reply`, on which an answer gets its moderation. To be closed.

    `held_bytes` bounds what is kept of an answer. While a stream is held, a comment is sent every `ping_seconds`.
    """

    def __init__(
        self, moderation: Moderation, exchange: Exchange, reply: Reply, *, held_bytes: int, ping_seconds: float
    ) -> None:
        self.started = False
        self._bench = _Bench(moderation, exchange)
        self._exchange = exchange
        self._reply = reply
        self._held_bytes = held_bytes
        self._ping_seconds = ping_seconds
        self._way: Reply = reply
        self._held: _Held | None = None

    def close(self) -> None:
        """Nothing more is wanted of it."""
        self._bench.close()
        if self._held is not None:
            self._held.close()

    async def screen(self) -> None:
        """Wait for what is said of the prompt, if it may be blocked for it.

        Raises GatewayError prompt_blocked, and guard_unavailable when it could not be judged.
        """
        await self._bench.screen()

    async def start(self, status: int, headers: Headers, *, decided: bool = True, body_follows: bool = False) -> None:
        """Status and headers. They wait with the rest where the answer is held; what is no answer passes as it is."""
        self.started = True
        named = dict(headers)
        events = named.get(b"content-type", b"").startswith(_EVENTS)
        if status < 300:
            if events and not self._bench.blocks and b"content-encoding" not in named:
                headers = rewritten(headers, None)
                self._way = _Followed(self._bench, self._exchange, self._reply, self._held_bytes)
            else:
                self._held = _Held(self._bench, self._exchange, self._reply, self._held_bytes, events=events)
                self._way = self._held
                if events and b"content-encoding" not in named:
                    self._held.keep_alive(self._ping_seconds)
        await self._way.start(status, headers, decided=decided, body_follows=body_follows)

    def offer(self, data: bytes) -> bool:
        return self._way.offer(data)

    async def settle(self) -> None:
        await self._way.settle()

    async def send(self, data: bytes) -> None:
        await self._way.send(data)

    async def finish(self, data: bytes = b"") -> None:
        await self._way.finish(data)


class _Bench:
    """One exchange before its judges: what is said of the two sides, in what time, and what follows from it."""

    def __init__(self, moderation: Moderation, exchange: Exchange) -> None:
        assert exchange.asked.moderated is not None
        self._moderation = moderation
        self._exchange = exchange
        self._asked = exchange.asked.moderated
        self._input = asyncio.get_running_loop().create_task(moderation.input(exchange))

    @property
    def blocks(self) -> bool:
        """Whether an answer may be blocked."""
        return self._asked.output == "block"

    def close(self) -> None:
        self._input.cancel()

    async def screen(self) -> None:
        if self._asked.input != "block":
            return
        began = monotonic()
        judged = await self._input
        self._spent("prompt", began)
        if not judged.flagged and not judged.failure:
            return
        self._count("input", judged)
        param = SURFACES[self._exchange.asked.operation].param
        if judged.flagged:
            raise GatewayError("prompt_blocked", _sentence("input", judged.flagged[0]), param=param)
        what = f"the input was not sent to the model: {sentence(judged.failure)}, so that it could not be judged"
        if judged.failure in _OF_THE_TEXT:
            raise GatewayError("prompt_blocked", what, param=param)
        raise GatewayError("guard_unavailable", f"{what}; try again", retry_after_seconds=2)

    async def output(self, body: bytes, *, stream: bool) -> Judged:
        """What is said of an answer."""
        began = monotonic()
        judged = await self._moderation.output(self._exchange, body, stream=stream)
        self._spent("response", began)
        return judged

    def withheld(self, output: Judged) -> Collection[int]:
        """The choices whose texts must not leave: the flagged ones, or all when one could not be judged."""
        if not self.blocks:
            return ()
        flagged = output.flagged.keys()
        all_flagged = bool(flagged) and flagged >= output.results.keys()
        return EVERY_CHOICE if output.failure and not all_flagged else flagged

    async def told(self, output: Judged) -> bytes:
        """The moderation as replies carry it."""
        input = await self._input
        self._count("input", input)
        self._count("output", output)
        return moderation_of(self._exchange.asked.operation, self._moderation.model, input, output)

    def _spent(self, direction: str, began: float) -> None:
        spent = monotonic() - began
        self._exchange.timing.guard_seconds += spent
        metrics.GUARD.labels(direction).observe(spent)

    def _count(self, side: str, judged: Judged) -> None:
        mode = self._asked.input if side == "input" else self._asked.output
        result = "flagged" if judged.flagged else ("failed" if judged.failure else "clean")
        metrics.MODERATIONS.labels(side, mode, result).inc()


class _Kept:
    """What came of an answer, up to a bound."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> bool:
        """False once it is too much."""
        self._size += len(data)
        if self._size <= self._most:
            self._pieces.append(data)
        return self._size <= self._most

    def whole(self) -> bytes:
        return b"".join(self._pieces)

    def refuse(self) -> NoReturn:
        what = f"the answer is larger than {self._most} bytes, the most that is kept for its moderation"
        raise GatewayError("answer_too_large", what)


class _Followed:
    """A stream that passes as it comes; its end waits until all of it is judged."""

    def __init__(self, bench: _Bench, exchange: Exchange, reply: Reply, held_bytes: int) -> None:
        self.started = False
        self._bench = bench
        self._reply = reply
        self._kept = _Kept(held_bytes)
        self._decoder = Decoder(max_event_bytes=held_bytes)
        self._end = StreamEnd(exchange.asked.operation, exchange.asked.model)

    async def start(self, status: int, headers: Headers, *, decided: bool = True, body_follows: bool = False) -> None:
        self.started = True
        await self._reply.start(status, headers, decided=decided)

    def offer(self, data: bytes) -> bool:
        out = self._passed(data)
        return out is not None and (not out or self._reply.offer(out))

    async def settle(self) -> None:
        if not self._kept.add(b""):
            self._kept.refuse()
        await self._reply.settle()

    async def send(self, data: bytes) -> None:
        out = self._passed(data)
        if out is None:
            self._kept.refuse()
        if out:
            await self._reply.send(out)

    async def finish(self, data: bytes = b"") -> None:
        out = self._passed(data)
        if out is None:
            self._kept.refuse()
        out += self._end.feed(self._decoder.close())
        if out:
            await self._reply.send(out)
        about = await self._bench.told(await self._bench.output(self._kept.whole(), stream=True))
        await self._reply.finish(self._end.close(about))

    def _passed(self, data: bytes) -> bytes | None:
        """What may leave now; None when there was too much."""
        if not self._kept.add(data):
            return None
        try:
            return self._end.feed(self._decoder.feed(data)) if data else b""
        except SseError:  # cannot be: what is kept has the same bound
            return None


class _Held:
    """An answer of which nothing leaves before all of it is judged."""

    def __init__(self, bench: _Bench, exchange: Exchange, reply: Reply, held_bytes: int, *, events: bool) -> None:
        self.started = False
        self._bench = bench
        self._exchange = exchange
        self._reply = reply
        self._held_bytes = held_bytes
        self._events = events
        self._kept = _Kept(held_bytes)
        self._start: dict[str, Any] = {}
        self._sending = asyncio.Lock()
        self._comments: asyncio.Task[None] | None = None

    def keep_alive(self, seconds: float) -> None:
        """Send a comment every so many seconds, until it is closed."""
        self._comments = asyncio.get_running_loop().create_task(self._comment(seconds))

    def close(self) -> None:
        if self._comments is not None:
            self._comments.cancel()

    async def start(self, status: int, headers: Headers, *, decided: bool = True, body_follows: bool = False) -> None:
        self.started = True
        self._start = {"status": status, "headers": headers, "decided": decided}

    def offer(self, data: bytes) -> bool:
        return self._kept.add(data)

    async def settle(self) -> None:
        self._kept.refuse()

    async def send(self, data: bytes) -> None:
        if data == PING:
            await self._ping()
        elif not self._kept.add(data):
            self._kept.refuse()

    async def finish(self, data: bytes = b"") -> None:
        """Raises GatewayError answer_blocked when nothing of the answer may be served, before or after its end."""
        if not self._kept.add(data):
            self._kept.refuse()
        body = self._kept.whole()
        plain, events, output = await self._judged(body)
        withheld = self._bench.withheld(output)
        if withheld:
            self._exchange.ruling.decision = "block"
        if withheld is EVERY_CHOICE:
            output = Judged(failure=output.failure)  # why nothing is served says more than the scores of a part
        about = await self._bench.told(output)
        try:
            out = self._stream(events, withheld, about) if self._events else self._body(plain, withheld, about)
        except (ValueError, RecursionError):  # it is not what this operation answers, so there is no place for anything
            if withheld:
                raise _withholding(output) from None
            out = body
        await self._finish(out, changed=out is not body)
        if withheld and (withheld is EVERY_CHOICE or set(withheld) >= output.results.keys()):
            raise _withholding(output)

    async def _judged(self, body: bytes) -> tuple[bytes, list[Event], Judged]:
        """The answer unpacked, the events in it, and what is said of it."""
        more = False
        if self._exchange.transcript.encoding:
            try:
                body, more = decode(body, self._exchange.transcript.encoding, self._held_bytes)
            except EncodingError:
                more = True
        if more:
            return b"", [], Judged(failure="unreadable")
        events: list[Event] = []
        if self._events and body:
            decoder = Decoder(max_event_bytes=len(body))
            events = decoder.feed(body) + decoder.close()
        output = await self._bench.output(body, stream=self._events)
        if not all(map(self._is_readable, events)):
            output = Judged(output.results, "unreadable")
        return body, events, output

    def _is_readable(self, event: Event) -> bool:
        data = event.data.strip()
        return not data or data == DONE_DATA or read_event(self._exchange.asked.operation, data) is not None

    def _body(self, body: bytes, withheld: Collection[int], about: bytes) -> bytes:
        if withheld:
            body = withheld_body(self._exchange.asked.operation, body, withheld)
        return with_moderation(body, about)

    def _stream(self, events: Sequence[Event], withheld: Collection[int], about: bytes) -> bytes:
        usage = b""
        if withheld:
            usage = usage_of_response(events)
            events = self._without(events, withheld)
        end = StreamEnd(self._exchange.asked.operation, self._exchange.asked.model)
        return end.feed(events) + end.close(about, usage)

    def _without(self, events: Sequence[Event], withheld: Collection[int]) -> list[Event]:
        """The stream with these choices blocked; what nobody can read is left out as well."""
        asked = self._exchange.asked
        window = Window(asked.operation, asked.model, characters=None, choices=choices_wanted(asked.body))
        for event in filter(self._is_readable, events):
            window.feed(event)
        window.end()
        if withheld is EVERY_CHOICE:
            window.block_all()
        else:
            window.settle([Ruling(blocked=stretch.choice in withheld) for stretch in window.stretches()])
        out = window.take()
        decoder = Decoder(max_event_bytes=len(out))
        return decoder.feed(out) + decoder.close()

    async def _finish(self, data: bytes, *, changed: bool) -> None:
        async with self._sending:  # else a comment could be on its way
            self.close()
            if not self._reply.started:
                start = self._start
                length = None if self._events else len(data)
                headers = rewritten(start["headers"], length) if changed else start["headers"]
                decided = start["decided"] or self._exchange.ruling.decision == "block"
                await self._reply.start(start["status"], headers, decided=decided, body_follows=True)
            await self._reply.finish(data)

    async def _ping(self) -> None:
        async with self._sending:
            if not self._reply.started:
                headers = rewritten(self._start["headers"], None)
                await self._reply.start(self._start["status"], headers, decided=False)
            await self._reply.send(PING)

    async def _comment(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._ping()


def _sentence(side: str, categories: Sequence[str]) -> str:
    return f"the {side} is flagged as {', '.join(categories)}, and moderation.policy.{side}.mode is 'block'"


def _withholding(output: Judged) -> GatewayError:
    if output.flagged:
        return GatewayError("answer_blocked", _sentence("output", next(iter(output.flagged.values()))))
    return GatewayError("answer_blocked", f"the output is withheld: {sentence(output.failure or 'unreadable')}")
