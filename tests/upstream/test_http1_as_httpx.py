"""The HTTP/1.1 client behind httpx's interface, beside httpx's own transport: both read the same bytes alike."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2 as httpx
import pytest

from gateway.errors import UpstreamError
from gateway.upstream.http1 import Http1Transport
from gateway.upstream.transport import Limits, Response
from tests.support.running.together import together
from tests.support.servers.scripted_server import Peer, Script, always, answer, serve
from tests.support.wire.http1_answers import ANSWERS, BROKEN, GARBAGE

# Not used here. Without one httpx reads the system's certificates for each transport.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


@dataclass(slots=True)
class _Body(httpx.AsyncByteStream):
    answer: Response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.answer.more():
            yield piece

    async def aclose(self) -> None:
        self.answer.abort()


@dataclass(slots=True)
class PoolTransport(httpx.AsyncBaseTransport):
    """`http1.Http1Transport` as httpx wants a transport."""

    pool: Http1Transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        lines = b"".join(b"%b: %b\r\n" % header for header in request.headers.raw)
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode(), request.url.raw_path, lines)
        chunked = "transfer-encoding" in request.headers
        under_way = await self.pool.request(head, None, head_only=request.method == "HEAD", chunked=chunked)
        try:
            async for piece in request.stream:
                if under_way.settled:
                    break
                await under_way.send(piece)
            else:
                under_way.sent()
            await under_way.head()
        except BaseException:
            under_way.abort()
            raise
        return httpx.Response(under_way.status, headers=under_way.headers, stream=_Body(under_way))

    async def aclose(self) -> None:
        await self.pool.close()


Seen = tuple[int, list[tuple[bytes, bytes]], bytes] | str


async def seen(transport: httpx.AsyncBaseTransport, port: int, method: str = "GET") -> Seen:
    """What a client of httpx gets: status, headers and raw body, or that it failed."""
    try:
        async with (
            httpx.AsyncClient(transport=transport, trust_env=False) as client,
            client.stream(method, f"http://127.0.0.1:{port}/") as response,
        ):
            body = b"".join([piece async for piece in response.aiter_raw()])
            return response.status_code, plainly(response.headers.raw), body
    except (httpx.TransportError, UpstreamError):
        return "failed"


def plainly(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11 hands the name of a coding on in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in lowered]


async def by_both(script: Script, method: str = "GET") -> tuple[Seen, Seen]:
    async with serve(script) as server:
        ours = await seen(PoolTransport(Http1Transport("127.0.0.1", server.port, Limits())), server.port, method)
        return ours, await seen(httpx.AsyncHTTPTransport(verify=NO_TLS, trust_env=False), server.port, method)


def saying(wire: bytes, closes: bool) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)
        if not closes:
            await peer.client_left()

    return script


@together("name", ANSWERS)
async def test_answers(name: str) -> None:
    wire, closes, expected, _ = ANSWERS[name]
    ours, theirs = await by_both(saying(wire, closes))
    assert ours == theirs == (expected.status, plainly(expected.headers), expected.body)


@together("name", BROKEN)
async def test_answers_that_break_off(name: str) -> None:
    assert await by_both(saying(BROKEN[name][0], True)) == ("failed", "failed")


# What h11 lets pass and we do not. None is an answer that a sound server gives.
STRICTER = {"a folded header", "201 headers", "headers of 70 KB"}


@together("name", GARBAGE)
async def test_garbage(name: str) -> None:
    ours, theirs = await by_both(saying(GARBAGE[name], True))
    assert ours == "failed"
    assert (theirs == "failed") == (name not in STRICTER), theirs


async def test_head() -> None:
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    ours, theirs = await by_both(always(wire), "HEAD")
    assert ours == theirs == (200, [(b"content-length", b"1000")], b"")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_bodies(chunked: bool) -> None:
    body = bytes(range(256)) * 8000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 70_000):
            yield body[start : start + 70_000]

    async def echo(peer: Peer) -> None:
        while True:
            await peer.send(answer((await peer.request()).body))

    async with (
        serve(echo) as server,
        httpx.AsyncClient(transport=PoolTransport(Http1Transport("127.0.0.1", server.port, Limits()))) as client,
    ):
        for _ in range(3):
            content = pieces() if chunked else body
            response = await client.post(f"http://127.0.0.1:{server.port}/", content=content)
            assert response.content == body
        assert len(server.peers) == 1
