"""Calls to several scripted model servers: real ones on loopback, pauses and cool-downs in a clock of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.config.settings import DEFAULT_FORWARDED
from gateway.exchange import Asked, Balance, Exchange, Route, Upstream
from gateway.openai_api import operation_of
from gateway.upstream.calls import Tries, Upstreams
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.health import Cooldown
from gateway.upstream.transport import Limits
from tests.support.servers.scripted_server import Script, Server, serve
from tests.support.worlds.seen_tries import SeenTries

CHAT = "/v1/chat/completions"
BODY = b'{"model": "m", "messages": []}'


@dataclass(slots=True)
class World:
    servers: list[Server]
    upstreams: list[Upstream]
    seen: SeenTries = field(default_factory=SeenTries)
    pauses: list[float] = field(default_factory=list)
    now: float = 0.0
    waits: asyncio.Event | None = None  # for this, before a second try or another one
    last: Exchange = field(init=False)
    calls: Upstreams = field(init=False)

    async def call(self, *headers: tuple[bytes, bytes], path: str = CHAT, **more: object) -> int:
        """The status of one request on a route to all upstreams; its body is read."""
        asked = Asked("POST", path, headers=list(headers), body=BODY, model="m")
        asked.operation = operation_of("POST", path)
        for name in ("body", "packed", "stream"):
            if name in more:
                setattr(asked, name, more[name])
        exchange = self.last = Exchange("req_1", asked)
        balance: Balance = "order"
        exchange.route = Route("r", tuple(self.upstreams), 1.0, balance=balance)
        under_way = await self.calls.call(exchange, asked.body, asked.tail)
        while await under_way.more():
            pass
        under_way.abort()
        return under_way.status

    @property
    def asked(self) -> list[int]:
        return [len(server.requests) for server in self.servers]


@asynccontextmanager
async def world(
    *scripts: Script, tries: Tries = Tries(), limits: Limits = Limits(), cooldown: Cooldown = Cooldown(), **own: Any
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(script)) for script in scripts]
        upstreams = [Upstream(f"up{n}", "http", "127.0.0.1", server.port, "/v1") for n, server in enumerate(servers)]
        at = World(servers, [replace(upstream, **own) for upstream in upstreams])

        async def sleep(seconds: float) -> None:
            at.pauses.append(seconds)
            if at.waits is not None:
                await at.waits.wait()

        at.calls = Upstreams(
            limits,
            HeaderFilter(DEFAULT_FORWARDED),
            at.seen,
            tries=tries,
            cooldown=cooldown,
            clock=lambda: at.now,
            draw=lambda: 1.0,
            sleep=sleep,
        )
        stack.push_async_callback(at.calls.close)
        yield at
