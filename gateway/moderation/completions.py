"""Moderated completions: the moderation of one exchange whose request asks for it.

The prompt is judged while the model answers; if it may be blocked, before the model is asked. The answer is judged at
its end, and held until then if it may be blocked. The policy acts first.
"""

import asyncio
from collections.abc import Collection, Sequence
from time import monotonic
from typing import Protocol

from gateway.errors import GatewayError
from gateway.exchange import Exchange, Stretch, Treatment
from gateway.moderation.replies import (
    EVERY_CHOICE,
    SideResult,
    StreamEnd,
    moderation_of,
    sentence,
    with_moderation,
    withheld_body,
)
from gateway.openai_api import BESIDE, SURFACES, Unread
from gateway.openai_api.sse import Decoder, SseError
from gateway.telemetry import metrics

_OF_THE_TEXT = frozenset({"truncated", "unreadable"})  # another try would end the same way


class Moderation(Protocol):
    """Judges both sides; see `moderations.Moderation`."""

    @property
    def model(self) -> str: ...

    async def input(self, exchange: Exchange) -> SideResult: ...

    async def output(self, exchange: Exchange, body: bytes, *, stream: bool) -> SideResult: ...

    async def stretches(self, exchange: Exchange, stretches: Sequence[Stretch]) -> SideResult: ...


class ModeratedAnswer:
    """The moderation of both sides, and what follows from it for the answer. Close it when done.

    `held_bytes` bounds what is kept of a stream.
    """

    def __init__(self, moderation: Moderation, exchange: Exchange, *, held_bytes: int) -> None:
        assert exchange.asked.moderated is not None
        self._moderation = moderation
        self._exchange = exchange
        self._modes = exchange.asked.moderated
        self._held_bytes = held_bytes
        self._input = asyncio.get_running_loop().create_task(moderation.input(exchange))
        self._output: SideResult | None = None
        self._refusal: GatewayError | None = None

    @property
    def blocks(self) -> bool:
        """Whether an answer may be blocked."""
        return self._modes.output == "block"

    def close(self) -> None:
        self._input.cancel()

    async def screen(self) -> None:
        """Wait for the prompt's result, if it may block the prompt.

        Raises GatewayError prompt_blocked, and guard_unavailable when it could not be judged.
        """
        if self._modes.input != "block":
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

    # --- the answer is inspected

    async def whole(self, body: bytes) -> bytes:
        """The body with its moderation and without withheld choices; unchanged if it has no place for a moderation."""
        began = monotonic()
        output = await self._moderation.output(self._exchange, body, stream=False)
        self._spent("response", began)
        withheld = self._withheld(output)
        about = await self._about(output)
        if BESIDE in withheld:  # emptying choices would leave it in place
            raise _withholding(output)
        try:
            plain = withheld_body(self._exchange.asked.operation, body, withheld) if withheld else body
            return with_moderation(plain, about)
        except (ValueError, RecursionError):  # it is not an answer of this operation
            if withheld:
                raise _withholding(output) from None
            return body

    async def judge(self, stretches: Sequence[Stretch]) -> list[Treatment]:
        """A treatment for each of these, which are all texts of a held stream."""
        began = monotonic()
        output = await self._moderation.stretches(self._exchange, stretches)
        self._spent("response", began)
        withheld = self._withheld(output)
        return [Treatment(blocked=stretch.choice in withheld) for stretch in stretches]

    @property
    def drops_alternatives(self) -> bool:
        return self.blocks

    def unread(self, unread: Sequence[Unread]) -> bool:  # noqa: ARG002 - a stage is given it
        """Whether the answer must end, because something in it cannot be read and it may be blocked."""
        if self.blocks:
            self._withheld(SideResult(failure="unreadable"))
        return self.blocks

    def refusal(self) -> GatewayError | None:
        """The error of the exchange if the whole answer is withheld."""
        return self._refusal

    def _withheld(self, output: SideResult) -> Collection[int]:
        """The choices whose texts must not leave: the flagged ones, or all when one could not be judged."""
        withheld: Collection[int] = ()
        if self.blocks:
            withheld = output.flagged.keys()
            all_flagged = bool(withheld) and withheld >= output.results.keys()
            if output.failure and not all_flagged:  # the reason why nothing is served says more than some scores
                withheld, output = EVERY_CHOICE, SideResult(failure=output.failure)
        if withheld:
            self._exchange.ruling.decision = "block"
            if withheld is EVERY_CHOICE or set(withheld) >= output.results.keys():
                self._refusal = _withholding(output)
        self._output = output
        return withheld

    # --- how it is reported

    def ending(self) -> "StreamModeration":
        """Puts the moderation at the end of a stream."""
        return StreamModeration(self, self._exchange, self._held_bytes)

    async def of_stream(self, stream: bytes) -> bytes:
        """The moderation of a stream that has passed, in the form that replies carry."""
        output = self._output
        if output is None:
            began = monotonic()
            output = await self._moderation.output(self._exchange, stream, stream=True)
            self._spent("response", began)
        return await self._about(output)

    async def _about(self, output: SideResult) -> bytes:
        input = await self._input
        output = self._output or output
        self._count("input", input)
        self._count("output", output)
        return moderation_of(self._exchange.asked.operation, self._moderation.model, input, output)

    def _spent(self, direction: str, began: float) -> None:
        spent = monotonic() - began
        self._exchange.timing.guard_seconds += spent
        metrics.GUARD.labels(direction).observe(spent)

    def _count(self, side: str, judged: SideResult) -> None:
        mode = self._modes.input if side == "input" else self._modes.output
        result = "flagged" if judged.flagged else ("failed" if judged.failure else "clean")
        metrics.MODERATIONS.labels(side, mode, result).inc()


class StreamModeration:
    """The last stage of a moderated stream: everything passes but the end, which waits until all of it is judged."""

    over = False
    changed = True

    def __init__(self, moderated: ModeratedAnswer, exchange: Exchange, held_bytes: int) -> None:
        self._moderated = moderated
        self._held_bytes = held_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._decoder = Decoder(max_event_bytes=held_bytes)
        self._end = StreamEnd(exchange.asked.operation, exchange.asked.model)

    @property
    def held(self) -> int:
        """Twice the bytes that came: once for the stream, and once for what may wait of its end."""
        return 2 * self._size

    async def feed(self, data: bytes) -> bytes:
        """What comes before the end. Raises GatewayError answer_too_large."""
        self._size += len(data)
        if self._size > self._held_bytes:
            raise self._too_large()
        self._pieces.append(data)
        try:
            return self._end.feed(self._decoder.feed(data))
        except SseError:
            raise self._too_large() from None

    async def end(self, *, broken: bool) -> bytes:
        if broken:
            return b""
        out = self._end.feed(self._decoder.close())
        return out + self._end.close(await self._moderated.of_stream(b"".join(self._pieces)))

    def refusal(self) -> GatewayError | None:
        return None

    def _too_large(self) -> GatewayError:
        what = f"the answer is larger than {self._held_bytes} bytes, the most that is kept for its moderation"
        return GatewayError("answer_too_large", what)


def _sentence(side: str, categories: Sequence[str]) -> str:
    return f"the {side} is flagged as {', '.join(categories)}, and moderation.policy.{side}.mode is 'block'"


def _withholding(output: SideResult) -> GatewayError:
    if output.flagged:
        return GatewayError("answer_blocked", _sentence("output", next(iter(output.flagged.values()))))
    return GatewayError("answer_blocked", f"the output is withheld: {sentence(output.failure or 'unreadable')}")
