"""The one way to hold an answer: it goes to its client through inspections, and nothing leaves uninspected.

A whole body is collected, unpacked and handed to each inspection in turn. A stream goes through stages: each takes
bytes and gives back what may leave. What waits is bounded, and meanwhile the client gets comments.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from gateway.delivery.answers import Answer, collected, unpacked
from gateway.delivery.budget import Share
from gateway.delivery.screen import Inspection, Stage
from gateway.encodings import EncodingError
from gateway.errors import UpstreamError
from gateway.exchange import Exchange, Headers, Reply, rewritten
from gateway.openai_api import Reason, Unread
from gateway.openai_api.sse import PING

_FED_BYTES = 4 * 1024  # that go through a stage before others have their turn on the event loop


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
            plain, more = await unpacked(body, encoding, self._held_bytes)
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


def _raise_first(judged: Sequence[Inspection | Stage]) -> None:
    for each in judged:
        if (refusal := each.refusal()) is not None:
            raise refusal
