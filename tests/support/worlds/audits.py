"""The audit file with its writer at work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.telemetry.audit import Audit


@asynccontextmanager
async def running(audit: Audit) -> AsyncIterator[None]:
    """Its writer at work; at the end of the block all is written."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(audit.run())
        await asyncio.sleep(0)
        yield
        task.cancel()
