"""Small pieces leave at once: TCP_NODELAY is set on the client's side and on the upstream's."""

import socket
from typing import Any

import pytest

from gateway.serving.connection import ServerConnection
from gateway.upstream.http1 import Http1Transport
from gateway.upstream.transport import Limits
from tests.support.running.patience import until
from tests.support.servers.scripted_server import always, answer, serve
from tests.support.servers.served_here import connected, serving

# The product serves on uvloop. asyncio's own loop would leave it off on a listening socket that others have opened.
on_uvloop = pytest.mark.asyncio(loop_factories=["uvloop"])
on_both_loops = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


def nodelay(transport: Any) -> bool:
    found = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    return bool(found)


async def never(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("no request comes")


@on_uvloop
async def test_on_the_clients_side() -> None:
    async with serving(never) as (running, port), connected(port):
        connections: set[Any] = running.server_state.connections
        await until(lambda: len(connections) == 1)
        [connection] = connections
        assert isinstance(connection, ServerConnection)
        assert nodelay(connection._transport)


@on_both_loops
async def test_on_the_upstreams_side() -> None:
    async with serve(always(answer())) as server:
        pool = Http1Transport("127.0.0.1", server.port, Limits())
        under_way = await pool.request(b"GET / HTTP/1.1\r\n\r\n", b"")
        await under_way.head()
        [connection] = pool._all
        assert nodelay(connection._transport)
        await pool.close()
