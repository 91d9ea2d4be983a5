"""Event loops for the tests: in virtual time, unless a test asks for others. Hypothesis' settings. Fast tests
start no other Python."""

import asyncio
import gc
import os
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.support.running.examples import FEW, examples
from tests.support.running.programs import NoSecondPython, folder
from tests.support.running.virtual_time import VirtualTimeLoop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# No test is timed: the machine is shared. In CI the examples are the same every time; elsewhere they are new ones.
settings.register_profile("here", examples(100, deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# What modules make while they are imported stays to the end: no collection need look at it, then or later.
gc.disable()

_NO_SECOND_PYTHON = NoSecondPython()
_LOOPS: Mapping[str, LoopFactory] = {
    "virtual": VirtualTimeLoop,
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """`@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])` runs a test on both, in real time.

    The product runs on uvloop, and of two loops `make check` takes that. A test that waits for another process is
    marked `real_time`; those in tests/e2e all do.
    """
    marker = item.get_closest_marker("asyncio")
    chosen = marker.kwargs.get("loop_factories") if marker else None
    if FEW and chosen == ["asyncio", "uvloop"]:
        chosen = ["uvloop"]
    waits = item.get_closest_marker("real_time") or folder(item) == "e2e"
    usual = "asyncio" if waits else "virtual"
    return {name: _LOOPS[name] for name in chosen or (usual,)}


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()
    gc.set_threshold(5_000)  # what a test leaves behind is little; looking for it costs a tenth of the whole


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _NO_SECOND_PYTHON.runs(item)
    result = yield
    _NO_SECOND_PYTHON.runs(None)
    return result
