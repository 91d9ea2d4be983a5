"""Event loops for the tests: asyncio's own, and uvloop as well where a test asks for both. Hypothesis' settings."""

import asyncio
import os
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# No test is timed: the machine is shared. In CI the examples are the same every time; elsewhere they are new ones.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

_LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """`@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])` runs a test on both; the product runs on uvloop."""
    marker = item.get_closest_marker("asyncio")
    chosen = marker.kwargs.get("loop_factories") if marker else None
    return {name: _LOOPS[name] for name in chosen or ("asyncio",)}
