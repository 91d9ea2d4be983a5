"""An application under uvicorn as the product runs it, in the loop of a test, and a client's connection to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn

from gateway.serving.connection import ServerConnection
from gateway.serving.request import Application


@asynccontextmanager
async def serving(app: Application, **options: Any) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """uvicorn as the product runs it, in this loop. Yields the server and its port; leaves by a graceful stop."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        config = uvicorn.Config(app, http=ServerConnection, ws="none", lifespan="off", log_config=None, **options)
        running = uvicorn.Server(config)
        config.load()
        running.lifespan = config.lifespan_class(config)
        await running.startup(sockets=[listening])
        try:
            yield running, listening.getsockname()[1]
        finally:
            await running.shutdown(sockets=[listening])


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):  # the server was first
            await writer.wait_closed()
