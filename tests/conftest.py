"""Event loops for the tests: asyncio's own, and uvloop as well where a test asks for both."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """`@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])` runs a test on both; the product runs on uvloop."""
    marker = item.get_closest_marker("asyncio")
    chosen = marker.kwargs.get("loop_factories") if marker else None
    return {name: _LOOPS[name] for name in chosen or ("asyncio",)}
