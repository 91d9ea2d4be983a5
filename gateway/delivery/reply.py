"""The one way to the client: adds our own headers, and reports an error in whatever way is still possible."""

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import monotonic
from typing import Any, Protocol

from gateway.errors import GatewayError
from gateway.exchange import Exchange, Headers
from gateway.openai_api import SURFACES, answers_of, error_event, error_reply

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Respond = Callable[[int, Headers, bytes], None]

_JSON = b"application/json"
_NO_GUARD = (b"x-assay-guard-ms", b"0")
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')
_EVENTS = b"text/event-stream"
_ENDS_OF_LINES = (b"\n", b"\r")
_ENDS_OF_EVENTS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Client(Protocol):
    """What is used of `serving.client.Client`."""

    watched: bool

    def write(self, data: bytes) -> bool: ...


class ClientReply:
    """The one way to the client. It knows what has left, so an error after the first byte becomes a final event."""

    __slots__ = (
        "_client", "_events", "_exchange", "_finished", "_last", "_respond", "_revision", "_send", "_unsent", "started",
    )  # fmt: skip

    def __init__(
        self,
        send: Send,
        client: Client,
        exchange: Exchange,
        *,
        respond: Respond | None = None,
        revision: bytes,
    ) -> None:
        """`respond` is the server's, see `serving.client`; without it a whole answer is sent in pieces.

        `revision` goes into the headers unless another policy decided. The `client` is no longer watched once the last
        piece is sent: from then on it may leave.
        """
        self._send = send
        self._client = client
        self._respond = respond
        self._unsent = b""
        self._exchange = exchange
        self._revision = revision
        self._events = False
        self._finished = False
        self._last = b""
        self.started = False

    async def start(self, status: int, headers: Headers, *, decided: bool = True) -> None:
        """Send status and headers, with the first of the body if that follows at once.

        `decided` False leaves the decision out, because it is still to be made.
        """
        self._complete(status, headers, decided=decided)
        self._events = self._exchange.transcript.stream and _is_plain_stream(headers)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self.started = True  # not before: a head that cannot be written leaves room for an error

    async def at_once(self, status: int, headers: Headers, data: bytes, *, decided: bool = True) -> None:
        """Send a whole answer: like `start` and `finish`."""
        if self._respond is None:
            await self.start(status, headers, decided=decided)
            await self.finish(data)
            return
        self._complete(status, headers, decided=decided)
        self._client.watched = False
        self._respond(status, headers, data)
        self.started = self._finished = True

    def _complete(self, status: int, headers: Headers, *, decided: bool) -> None:
        """Add our own headers, and note that the first byte leaves now."""
        exchange, timing, ruling = self._exchange, self._exchange.timing, self._exchange.ruling
        exchange.status = status
        timing.first_byte_at = monotonic()
        seconds = timing.guard_seconds
        headers.append((b"x-request-id", exchange.id.encode("ascii")))
        if decided:
            headers.append((b"x-assay-decision", ruling.decision.encode("ascii")))
        headers.append((b"x-assay-policy", ruling.revision.encode("ascii") if ruling.revision else self._revision))
        headers.append((b"x-assay-guard-ms", b"%.1f" % (seconds * 1000)) if seconds else _NO_GUARD)

    async def send(self, data: bytes) -> None:
        """Send a piece; waits while the client does not read."""
        self._last = data
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def offer(self, data: bytes) -> bool:
        """Send a piece now, without waiting. If it returns False, call `settle` next."""
        if self._client.write(data):
            self._last = data
            return True
        self._unsent = data
        return False

    async def settle(self) -> None:
        """Send what could not be sent at once; waits while the client does not read."""
        data, self._unsent = self._unsent, b""
        await self.send(data)

    async def finish(self, data: bytes = b"") -> None:
        """Send the last piece."""
        self._client.watched = False
        self._finished = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def whole(
        self, status: int, body: bytes, more: Sequence[tuple[bytes, bytes]] = (), length: int | None = None
    ) -> None:
        """Send an answer of our own, in JSON. `length` is the content-length if the body is left out (HEAD)."""
        size = len(body) if length is None else length
        await self.at_once(status, [(b"content-type", _JSON), (b"content-length", b"%d" % size), *more], body)

    async def say(self, text: str, created: int) -> None:
        """Send the policy's message in the form of a model's answer. `created` is Unix seconds."""
        asked, id = self._exchange.asked, self._exchange.id.removeprefix("req_")
        answers = answers_of(asked.operation)
        if asked.stream:
            usage = asked.include_usage
            body = answers.message_stream(asked.model, text, id=id, created=created, include_usage=usage)
        else:
            body = answers.message_body(asked.model, text, id=id, created=created)
        await self._own(body, asked.stream)

    async def error(self, error: GatewayError) -> None:
        """Tell the client what went wrong, in the way that is still possible."""
        what = error.what
        if self._finished or error.reason == "client_gone":
            return
        if not self.started:
            exchange = self._exchange
            if what.source == "policy":
                exchange.ruling.decision = "throttle" if error.reason == "throttled" else "block"
            if what.source == "policy" and what.status == 400 and await self._refuses(error):
                return
            operation = exchange.asked.operation
            body = error_reply(operation, error.message, what.type, error.param, what.code, what.status)
            retry = error.retry_after_seconds
            more = [] if retry is None else [(b"retry-after", b"%d" % retry)]
            await self.whole(what.status, b"" if exchange.asked.method == "HEAD" else body, more, length=len(body))
        elif self._events and (not self._last or self._last.endswith(_ENDS_OF_LINES)):
            operation = self._exchange.asked.operation
            number = _next_number(self._last)
            event = error_event(operation, error.message, what.type, error.param, what.code, sequence_number=number)
            # End the event that broke off; more empty lines than it needs mean nothing.
            await self.finish(event if not self._last or self._last.endswith(_ENDS_OF_EVENTS) else b"\n\n" + event)
        # Otherwise the answer stays unfinished: the server closes the connection, so the client sees that it broke off.

    async def _refuses(self, error: GatewayError) -> bool:
        """Answer a block with a refusal, if the surface has one."""
        asked = self._exchange.asked
        answers = SURFACES[asked.operation].answers
        if answers is None or answers.refusals is None:
            return False
        write = answers.refusals.stream if asked.stream else answers.refusals.body
        body = write(asked.model, error.message, id=self._exchange.id.removeprefix("req_"))
        await self._own(body, asked.stream)
        return True

    async def _own(self, body: bytes, stream: bool) -> None:
        """Send an answer of our own with status 200."""
        if not stream:
            await self.whole(200, body)
            return
        await self.at_once(200, [(b"content-type", b"text/event-stream; charset=utf-8")], body)


def _next_number(sent: bytes) -> int:
    """The number of the next event, on a surface that numbers its events."""
    numbers = _NUMBER.findall(sent)
    return int(numbers[-1]) + 1 if numbers else 0


def _is_plain_stream(headers: Headers) -> bool:
    """Whether we can add an event to this stream: not if it is compressed."""
    named = dict(headers)
    return named.get(b"content-type", b"").startswith(_EVENTS) and b"content-encoding" not in named
