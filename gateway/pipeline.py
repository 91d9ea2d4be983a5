"""THE REQUEST PATH.

    client → admit → read → route → guard(in) → call → tap → guard(out) → respond → close(outcome)

A stage returns its value or raises a `GatewayError`; only this module turns one into a reply. Every exchange is
closed with exactly one outcome, whatever happens.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import closing
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any

from gateway.access.admission import Admission
from gateway.access.request_reading import Head, head_of, read_body, refuse_beyond
from gateway.access.stored import StoredAnswers
from gateway.delivery.first_bytes import noted
from gateway.delivery.reply import ClientReply, Send
from gateway.delivery.tap import Tap
from gateway.enforcement.guard import Guard
from gateway.enforcement.uploads import MOST_BYTES as UPLOAD_BYTES
from gateway.errors import GatewayError, UpstreamError
from gateway.exchange import Asked, Exchange, Outcome, Recorder, Reply, Timing, outcome_of
from gateway.moderation.completions import ModeratedAnswer
from gateway.moderation.moderations import Moderation
from gateway.samples.sampling import Sampler
from gateway.serving.bodies import Bodies, Receive, content_length
from gateway.serving.client import CLIENT, RESPOND, Client, UnknownClient
from gateway.telemetry.logs import REQUEST
from gateway.turns import LARGE_BYTES
from gateway.upstream.calls import Upstreams
from gateway.upstream.headers import downstream
from gateway.upstream.routing import Routing, renamed
from gateway.upstream.transport import Response

log = logging.getLogger("assay")

_COMPLETED = Outcome.COMPLETED  # bound here: to look it up in the enumeration costs more than to use it
Scope = MutableMapping[str, Any]


class Pipeline:
    """An ASGI application for everything below `/v1/`. Without `moderation`, `/v1/moderations` is forwarded as well.

    `in_flight` is how many exchanges may be open at once; `ids` gives each of them its id.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        bodies: Bodies,
        routing: Routing,
        guard: Guard,
        moderation: Moderation | None,
        upstreams: Upstreams,
        tap: Tap,
        sampler: Sampler,
        recorder: Recorder,
        stored: StoredAnswers,
        in_flight: int,
        ids: Iterator[str],
        wall_clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._wall_clock = wall_clock
        self._admission = admission
        self._bodies = bodies
        self._routing = routing
        self._guard = guard
        self._moderation = moderation
        self._upstreams = upstreams
        self._tap = tap
        self._sampler = sampler
        self._recorder = recorder
        self._stored = stored
        self._in_flight = in_flight
        self._ids = ids
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions: Mapping[str, Any] = scope.get("extensions", {})
        client: Client = extensions.get(CLIENT) or UnknownClient()
        exchange = self._begin(scope, client)
        REQUEST.set(exchange.id)
        client.watch()
        reply = ClientReply(send, client, exchange, respond=extensions.get(RESPOND), revision=self._guard.revision)
        try:
            await self._carry_out(exchange, client, receive, reply)
            if exchange.status < 500:
                exchange.close(_COMPLETED, "", monotonic())
            else:
                exchange.close(Outcome.UPSTREAM_FAILED, "status", monotonic())
        except GatewayError as error:
            client.watched = False
            exchange.close(outcome_of(error.reason), error.reason, monotonic())
            await reply.error(error)
        except asyncio.CancelledError:
            if not client.gone:
                client.watched = False
                exchange.close(Outcome.INTERNAL, "shutting_down", monotonic())
                sentence = "the gateway is shutting down and could not wait longer for this answer; try again"
                await reply.error(GatewayError("shutting_down", sentence, retry_after_seconds=1))
                raise
            exchange.close(Outcome.CLIENT_GONE, "client_gone", monotonic())
        except Exception:
            client.watched = False
            log.exception("request %s failed inside the gateway", exchange.id)
            exchange.close(Outcome.INTERNAL, "bug", monotonic())
            await reply.error(GatewayError("bug", "the gateway failed on this request; its log names the request id"))
        finally:
            client.watched = False
            self.open -= 1
            self._bodies.release(exchange.asked.body)
            if exchange.asked.packed:
                self._bodies.release(exchange.asked.packed)
            self._recorder.closed(exchange)

    async def _carry_out(self, exchange: Exchange, client: Client, receive: Receive, reply: ClientReply) -> None:
        asked = exchange.asked
        refuse_beyond(self._in_flight, self.open)
        head: Head = asked.notes.get(Head) or head_of(asked)
        asked.operation = head.operation
        exchange.principal = self._admission.admit(head.headers, asked.notes)
        if self._guard.throttles.is_used:
            self._guard.admit(exchange)
        self._stored.admit(exchange)
        if head.streamed_through:
            answer = await self._upload(exchange, receive, head)
            await self._pass_on(exchange, answer, reply)
            return
        body = None if head.packing else self._bodies.take(client.take)
        if body is None:
            asked.body, asked.packed = await self._bodies.read(client.take, receive, asked.headers, head.packing)
        else:
            asked.body = body
        exchange.timing.read_at = monotonic()
        if len(asked.body) > LARGE_BYTES:
            await self._guard.turns.take(exchange.principal.name)
        if self._guard.throttles.is_used:
            self._guard.admit_end_user(exchange)
        if self._moderation is not None and self._moderation.answers(asked):
            await reply.whole(200, await self._moderation.answer(exchange))
            return
        body = self._route(exchange, head)
        self._stored.go_on(exchange)
        self._sampler.choose(exchange)
        if self._guard.acts:
            body = await self._guard.prompt(exchange, body)
            if exchange.ruling.replacement:
                await reply.say(exchange.ruling.replacement, int(self._wall_clock().timestamp()))
                return
            body = self._routing.divert(exchange, body)
        if asked.moderated is None:
            await self._pass_on(exchange, await self._upstreams.call(exchange, body, head.tail), reply)
        else:
            await self._moderate(exchange, body, reply)

    async def _moderate(self, exchange: Exchange, body: bytes, reply: ClientReply) -> None:
        """The rest of the path of a request that asks for moderation."""
        assert self._moderation is not None
        with closing(self._moderation.attend(exchange)) as moderated:
            await moderated.screen()
            answer = await self._upstreams.call(exchange, body, exchange.asked.tail)
            await self._pass_on(exchange, answer, reply, moderated)

    async def _pass_on(
        self, exchange: Exchange, answer: Response, reply: Reply, moderated: ModeratedAnswer | None = None
    ) -> None:
        seen = sift = None
        if self._stored.concerns(exchange):
            seen = noted(exchange, answer, self._stored)
            sift = partial(self._stored.sift, exchange) if self._stored.sifts(exchange) else None
        try:
            await self._tap.pass_on(exchange, seen or answer, downstream(answer.headers), reply, moderated, sift)
        except UpstreamError as error:
            self._upstreams.broke_off(exchange, error, answer.status)
            raise
        finally:
            if seen is not None:
                seen.close()
            if not answer.complete:
                answer.abort()

    def _begin(self, scope: Scope, client: Client) -> Exchange:
        now = monotonic()
        path = scope["raw_path"].decode("latin-1")
        asked = Asked(scope["method"], path, scope["query_string"], scope["headers"], notes=client.notes)
        self.open += 1
        return Exchange(next(self._ids), asked, Timing(now, now))

    async def _upload(self, exchange: Exchange, receive: Receive, head: Head) -> Response:
        """Forward a body as it arrives, once its beginning is judged."""
        assert exchange.principal is not None
        exchange.route = self._routing.without_model()
        self._admission.may_send_unread(exchange.principal)
        self._admission.may_use(exchange.principal, exchange.route)
        whole, asked = False, exchange.asked
        if self._guard.judges_uploads(exchange):
            asked.body, whole = await self._bodies.begin(receive, UPLOAD_BYTES)
            await self._guard.upload(exchange, asked.body, head.headers, whole=whole)
        pieces = self._bodies.pieces(receive, asked.body, whole=whole)
        return await self._upstreams.stream(exchange, pieces, content_length(asked.headers), head.tail)

    def _route(self, exchange: Exchange, head: Head) -> bytes:
        """Read the body and set its route, which the caller must be allowed to use. Returns the upstream's body."""
        asked, principal = exchange.asked, exchange.principal
        assert principal is not None
        body = read_body(asked, head, moderates=self._moderation is not None)
        exchange.transcript.stream = asked.stream
        route = exchange.route = self._routing.route(asked.model) if asked.model else self._routing.without_model()
        if body and not asked.model and not head.enveloped:
            self._admission.may_send_unread(principal)
        self._admission.may_use(principal, route)
        return renamed(body, route.model) if route.model and asked.model and head.enveloped else body
