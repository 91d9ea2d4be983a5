"""THE REQUEST PATH.

    client → admit → read → route → guard(in) → call → tap → guard(out) → respond → close(outcome)

A stage returns its value or raises a `GatewayError`; only this module turns one into a reply. Every exchange is
closed with exactly one outcome, whatever happens.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from time import monotonic
from typing import Any, Protocol
from urllib.parse import unquote

from gateway.access.admission import Admission
from gateway.delivery.tap import Tap
from gateway.enforcement.guard import Guard
from gateway.errors import GatewayError
from gateway.exchange import Asked, Exchange, Headers, Outcome, Timing, outcome_of
from gateway.exchange import Reply as ReplyOf
from gateway.moderation.moderations import Moderation
from gateway.openai_api import (
    MODERATED,
    BodyError,
    error_body,
    error_event,
    message_body,
    message_stream,
    operation_of,
    read_envelope,
    read_moderation,
    rewrite,
    set_fields,
    with_system,
)
from gateway.samples.sampling import Sampler
from gateway.serving.disconnect import Watch
from gateway.serving.request import TAKE, WRITE
from gateway.upstream.calls import Answer, Upstreams, downstream_headers
from gateway.upstream.routing import Routing

log = logging.getLogger("assay")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Take = Callable[[], bytes | None]
Write = Callable[[bytes], bool]

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_ONCE = frozenset(
    {b"host", b"origin", b"authorization", b"api-key", b"x-api-key", b"content-type", b"content-encoding"}
)
_MODELLED = frozenset({"chat", "completions", "responses", "embeddings", "moderations"})
_JSON = b"application/json"
_EVENTS = b"text/event-stream"
_ENDS_OF_LINES = (b"\n", b"\r")
_ENDS_OF_EVENTS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Recorder(Protocol):
    """Told of every closed exchange: metrics, audit, sampler."""

    def closed(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may take of the gateway, and all open ones together: `in_flight`, `bodies_bytes`."""

    body_bytes: int
    body_seconds: float
    in_flight: int
    bodies_bytes: int


class Pipeline:
    """An ASGI application for everything below `/v1/`. Without `moderation`, `/v1/moderations` is forwarded as well."""

    def __init__(
        self,
        *,
        admission: Admission,
        routing: Routing,
        guard: Guard,
        moderation: Moderation | None,
        upstreams: Upstreams,
        tap: Tap,
        sampler: Sampler,
        recorder: Recorder,
        bounds: Bounds,
        id_prefix: str,
        wall_clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._wall_clock = wall_clock
        self._admission = admission
        self._routing = routing
        self._guard = guard
        self._moderation = moderation
        self._upstreams = upstreams
        self._tap = tap
        self._sampler = sampler
        self._recorder = recorder
        self._bounds = bounds
        self._id_prefix = id_prefix
        self._ids = count()
        self._held = 0  # bytes of the bodies of open exchanges
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._begin(scope)
        watch = Watch(scope)
        extensions: Mapping[str, Any] = scope.get("extensions", {})
        reply = Reply(send, extensions.get(WRITE), exchange, watch, self._guard.revision)
        try:
            await self._carry_out(exchange, extensions.get(TAKE), receive, reply)
            failed = exchange.status >= 500
            exchange.close(
                Outcome.UPSTREAM_FAILED if failed else Outcome.COMPLETED, "status" if failed else "", monotonic()
            )
        except GatewayError as error:
            watch.stop()
            exchange.close(outcome_of(error.reason), error.reason, monotonic())
            await reply.error(error)
        except asyncio.CancelledError:
            if not watch.gone:
                watch.stop()
                exchange.close(Outcome.INTERNAL, "shutting_down", monotonic())
                sentence = "the gateway is shutting down and could not wait longer for this answer; try again"
                await reply.error(GatewayError("shutting_down", sentence, retry_after_seconds=1))
                raise
            exchange.close(Outcome.CLIENT_GONE, "client_gone", monotonic())
        except Exception:
            watch.stop()
            log.exception("request %s failed inside the gateway", exchange.id)
            exchange.close(Outcome.INTERNAL, "bug", monotonic())
            await reply.error(GatewayError("bug", "the gateway failed on this request; its log names the request id"))
        finally:
            watch.stop()
            self.open -= 1
            self._held -= len(exchange.asked.body)
            self._recorder.closed(exchange)

    async def _carry_out(self, exchange: Exchange, take: Take | None, receive: Receive, reply: "Reply") -> None:
        headers = dict(exchange.asked.headers)
        if len(headers) != len(exchange.asked.headers):
            _refuse_repeated(exchange.asked.headers)
        self._check(exchange)
        exchange.principal = self._admission.admit(headers)
        self._guard.admit(exchange)
        if _is_streamed_through(exchange, headers):
            exchange.route = self._routing.without_model()
            self._admission.may_send_unread(exchange.principal)
            self._admission.may_use(exchange.principal, exchange.route)
            pieces = self._pieces(receive)
            answer = await self._upstreams.stream(exchange, pieces, _length(headers), _tail(exchange))
        else:
            body = take() if take is not None else None  # most often it came along with the headers
            if body is None:
                exchange.asked.body = await self._read(headers, receive)
            else:
                exchange.asked.body = body
                self._held += len(body)
                self._bound(len(body))
            exchange.timing.read_at = monotonic()
            if exchange.asked.operation == "moderations" and self._moderation is not None:
                await reply.whole(200, await self._moderation.answer(exchange))
                return
            body = self._route(exchange)
            self._admission.may_use(exchange.principal, exchange.route)  # type: ignore[arg-type]
            self._sampler.choose(exchange)
            body = await self._guard.prompt(exchange, body)
            if exchange.ruling.replacement:
                await self._say(exchange, reply)
                return
            body = self._detour(exchange, body)
            if exchange.asked.moderated is not None:
                await self._moderate(exchange, body, reply)
                return
            answer = await self._upstreams.call(exchange, body, _tail(exchange))
        await self._pass_on(exchange, answer, reply)

    async def _moderate(self, exchange: Exchange, body: bytes, reply: "Reply") -> None:
        """The rest of the way when the request asks for moderation."""
        assert self._moderation is not None
        attended = self._moderation.attend(exchange, reply)
        try:
            await attended.screen()
            await self._pass_on(exchange, await self._upstreams.call(exchange, body, _tail(exchange)), attended)
        finally:
            attended.close()

    async def _pass_on(self, exchange: Exchange, answer: Answer, reply: ReplyOf) -> None:
        try:
            await self._tap.pass_on(exchange, answer, downstream_headers(answer), reply)
        finally:
            if not answer.complete:
                answer.abort()

    # --- stages that need nothing but the request

    def _begin(self, scope: Scope) -> Exchange:
        now = monotonic()
        exchange = Exchange(
            f"req_{self._id_prefix}{next(self._ids):08x}",
            Asked(scope["method"], scope["raw_path"].decode("latin-1"), scope["query_string"], scope["headers"]),
            Timing(now, now),
        )
        self.open += 1
        return exchange

    def _check(self, exchange: Exchange) -> None:
        if self.open > self._bounds.in_flight:
            raise GatewayError(
                "overloaded",
                f"the gateway has {self._bounds.in_flight} requests open; try again shortly",
                retry_after_seconds=1,
            )
        if exchange.asked.method not in _METHODS:
            raise GatewayError("method_not_allowed", f"the method {exchange.asked.method[:20]} is not forwarded")
        path = exchange.asked.path
        if "%" in path:  # a server behind us may decode it, even twice: what that one would see counts
            path = unquote(unquote(path))
        if not exchange.asked.path.startswith("/v1/") or (("/." in path or "\\" in path) and _climbs(path)):
            raise GatewayError("not_found", "the path leaves /v1; write it plainly, without dot segments")
        exchange.asked.operation = operation_of(exchange.asked.method, path)

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, bounded."""
        most = self._bounds.body_bytes
        if (_length(headers) or 0) > most:
            raise _too_large(most)
        message = await self._message(receive)
        body: bytes = message.get("body", b"")
        size = len(body)
        self._held += size
        try:
            self._bound(size)
            pieces = [body]
            while message.get("more_body"):
                message = await self._message(receive)
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                self._held += len(pieces[-1])
                self._bound(size)
        except BaseException:
            self._held -= size
            raise
        return b"".join(pieces) if len(pieces) > 1 else body

    def _bound(self, size: int) -> None:
        if size > self._bounds.body_bytes:
            raise _too_large(self._bounds.body_bytes)
        if self._held > self._bounds.bodies_bytes:
            raise _too_much(self._bounds.bodies_bytes)

    async def _pieces(self, receive: Receive) -> AsyncIterator[bytes]:
        """The body as it comes, for uploads."""
        while True:
            message = await self._message(receive)
            if body := message.get("body", b""):
                yield body
            if not message.get("more_body"):
                return

    async def _message(self, receive: Receive) -> MutableMapping[str, Any]:
        seconds = self._bounds.body_seconds
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError:
            raise GatewayError("body_timeout", f"nothing of the request body came for {seconds:g} s") from None
        if message["type"] == "http.disconnect":
            raise GatewayError("client_gone", "the client left while it sent the request")
        return message

    def _route(self, exchange: Exchange) -> bytes:
        """Sets route, model and stream from the envelope; returns the body for the upstream."""
        body = exchange.asked.body
        if exchange.asked.operation not in _MODELLED:
            model = _model_of_other(exchange)
            exchange.route = self._routing.route(model) if model else self._routing.without_model()
            if body and not model and exchange.principal is not None:
                self._admission.may_send_unread(exchange.principal)
            return body
        try:
            envelope = read_envelope(body)
        except BodyError as error:
            raise GatewayError("bad_body", str(error), param=error.param) from None
        exchange.asked.stream = exchange.transcript.stream = envelope.stream
        exchange.asked.include_usage = envelope.include_usage
        exchange.asked.model = envelope.model or ""
        if exchange.asked.model:
            exchange.route = self._routing.route(exchange.asked.model)
        else:
            exchange.route = self._routing.without_model()
        if envelope.moderated and self._moderation is not None and exchange.asked.operation in MODERATED:
            try:
                exchange.asked.moderated = read_moderation(body)
            except BodyError as error:
                raise GatewayError("bad_body", str(error), param=error.param) from None
            body = set_fields(body, {"moderation": None})  # it is done here: no model server need know of it
        renamed = exchange.route.model
        return rewrite(body, {("model",): renamed}) if renamed and exchange.asked.model else body

    def _detour(self, exchange: Exchange, body: bytes) -> bytes:
        """Sends the request elsewhere if the policy says so; once, because its rules are not asked again."""
        if exchange.ruling.detour is None:
            return body
        assert exchange.route is not None
        to, system = exchange.ruling.detour
        before, exchange.route = exchange.route, self._routing.detour(exchange.route, to)
        try:
            if exchange.asked.model and exchange.asked.operation in _MODELLED and before.model != exchange.route.model:
                body = rewrite(body, {("model",): exchange.route.model or exchange.asked.model})
            return with_system(exchange.asked.operation, body, system) if system else body
        except (ValueError, RecursionError) as error:
            sentence = f"the policy adds a system message to this request, which has no place for it: {error}"
            raise GatewayError("prompt_blocked", sentence) from None

    async def _say(self, exchange: Exchange, reply: "Reply") -> None:
        """The policy's message, as the model's answer would come."""
        id = exchange.id.removeprefix("req_")
        created = int(self._wall_clock().timestamp())
        asked, text = exchange.asked, exchange.ruling.replacement
        if not asked.stream:
            await reply.whole(200, message_body(asked.operation, asked.model, text, id=id, created=created))
            return
        usage = asked.include_usage
        body = message_stream(asked.operation, asked.model, text, id=id, created=created, include_usage=usage)
        await reply.start(200, [(b"content-type", b"text/event-stream; charset=utf-8")], body_follows=True)
        await reply.finish(body)


class Reply:
    """The one way to the client. Counts what left, so that an error after the first byte becomes a final event."""

    __slots__ = (
        "_events", "_exchange", "_finished", "_last", "_revision", "_send", "_unsent", "_watch", "_write", "started",
    )  # fmt: skip

    def __init__(self, send: Send, write: Write | None, exchange: Exchange, watch: Watch, revision: bytes) -> None:
        """`write` is the server's, see `cycle.WRITE`; without it every piece is sent. `revision` is told unless another
        one decided."""
        self._send = send
        self._write = write
        self._unsent = b""
        self._exchange = exchange
        self._watch = watch
        self._revision = revision
        self._events = False
        self._finished = False
        self._last = b""
        self.started = False

    async def start(self, status: int, headers: Headers, *, decided: bool = True, body_follows: bool = False) -> None:
        """Send status and headers, with the first of the body if that follows at once.

        `decided` False leaves the decision out, because it is still to be made.
        """
        exchange, timing, ruling = self._exchange, self._exchange.timing, self._exchange.ruling
        exchange.status = status
        timing.first_byte_at = monotonic()
        self.started = True
        guard_ms = b"%.1f" % (timing.guard_seconds * 1000) if timing.guard_seconds else b"0"
        headers.append((b"x-request-id", exchange.id.encode("ascii")))
        if decided:
            headers.append((b"x-assay-decision", ruling.decision.encode("ascii")))
        headers.append((b"x-assay-policy", ruling.revision.encode("ascii") if ruling.revision else self._revision))
        headers.append((b"x-assay-guard-ms", guard_ms))
        self._events = exchange.transcript.stream and _is_plain_stream(headers)
        await self._send(
            {"type": "http.response.start", "status": status, "headers": headers, "body_follows": body_follows}
        )

    async def send(self, data: bytes) -> None:
        """Send a piece; waits while the client does not read."""
        self._last = data
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def offer(self, data: bytes) -> bool:
        """Send a piece now, from wherever this is called. When it says False, `settle` must come next."""
        if self._write is not None and self._write(data):
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
        self._watch.stop()
        self._finished = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def whole(
        self, status: int, body: bytes, more: Sequence[tuple[bytes, bytes]] = (), length: int | None = None
    ) -> None:
        """Send an answer of our own, in JSON. `length` is told instead of the body's, when that is left out."""
        size = len(body) if length is None else length
        headers = [(b"content-type", _JSON), (b"content-length", b"%d" % size), *more]
        await self.start(status, headers, body_follows=True)
        await self.finish(body)

    async def error(self, error: GatewayError) -> None:
        """Tell the client what went wrong, in the way that is still open."""
        what = error.what
        if self._finished or error.reason == "client_gone":
            return
        if not self.started:
            exchange = self._exchange
            if what.source == "policy":
                exchange.ruling.decision = "throttle" if error.reason == "throttled" else "block"
            body = error_body(error.message, what.type, error.param, what.code)
            retry = error.retry_after_seconds
            more = [] if retry is None else [(b"retry-after", b"%d" % retry)]
            await self.whole(what.status, b"" if exchange.asked.method == "HEAD" else body, more, length=len(body))
        elif self._events and (not self._last or self._last.endswith(_ENDS_OF_LINES)):
            operation = self._exchange.asked.operation
            event = error_event(operation, error.message, what.type, error.param, what.code)
            # The event that broke off ends here: empty lines more than it needs mean nothing.
            await self.finish(event if not self._last or self._last.endswith(_ENDS_OF_EVENTS) else b"\n\n" + event)
        # Else the answer stays unfinished: the server closes the connection and the client sees that it broke off.


def _too_large(most: int) -> GatewayError:
    return GatewayError("body_too_large", f"the request body is larger than the limit of {most} bytes (max_body_bytes)")


def _too_much(most: int) -> GatewayError:
    return GatewayError(
        "overloaded",
        f"the gateway holds {most} bytes of request bodies (max_bodies_bytes); try again shortly",
        retry_after_seconds=1,
    )


def _refuse_repeated(headers: Headers) -> None:
    """What is said once must be: of two, the gateway could act on one and the model server on the other."""
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _ONCE and said.setdefault(name, value) != value:
            raise GatewayError("bad_header", f"the header {name.decode()} was sent with two values; send it once")


def _is_plain_stream(headers: Headers) -> bool:
    """Whether an event of ours can be put behind what was sent: not into a compressed stream."""
    named = dict(headers)
    return named.get(b"content-type", b"").startswith(_EVENTS) and b"content-encoding" not in named


def _is_streamed_through(exchange: Exchange, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body goes through unread: what may be large and is not ours to judge."""
    if exchange.asked.operation in _MODELLED:
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity":
            raise GatewayError(
                "bad_encoding", f"send the body without content-encoding {encoding.decode('latin-1')[:40]!r}"
            )
        return False
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return False
    return b"json" not in headers.get(b"content-type", b"").lower()


def _length(headers: Mapping[bytes, bytes]) -> int | None:
    value = headers.get(b"content-length", b"")
    return int(value) if value.isdigit() else None


def _tail(exchange: Exchange) -> bytes:
    """The path after `/v1`, with its query."""
    path = exchange.asked.path[3:].encode("latin-1")
    return path + b"?" + exchange.asked.query if exchange.asked.query else path


def _climbs(path: str) -> bool:
    """Whether a server behind us could resolve the path to something outside `/v1`."""
    segments = path.replace("\\", "/").split("/")
    return ".." in segments or "." in segments


def _model_of_other(exchange: Exchange) -> str:
    """The model of a request we do not know: from its JSON body or from /v1/models/NAME, else empty."""
    if exchange.asked.operation == "models":
        return unquote(exchange.asked.path).strip("/").partition("models")[2].strip("/")
    try:
        return read_envelope(exchange.asked.body).model or ""
    except BodyError:
        return ""
