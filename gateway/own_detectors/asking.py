"""Guards asked outside a running gateway: about a file's texts, or whether they answer at all."""

import asyncio
import math
from collections.abc import Mapping, Sequence

from detectors.base import Text
from detectors.own.specs import OwnDetectors
from gateway.config.routes import upstreams
from gateway.config.settings import Config
from gateway.own_detectors.guards import Guard, Heard
from gateway.own_detectors.wiring import Served, close, guards_of

_TOGETHER = 256  # texts that wait for one guard
_NOBODY = "calibration"


def unanswered(config: Config, own: OwnDetectors) -> dict[str, str]:
    """By name why a guard does not answer now. Each is asked about a harmless text."""
    served = guards_of(config, own, upstreams(config))

    async def all_of_them() -> list[str]:
        try:
            return await asyncio.gather(*(each.guard.probe() for each in served))
        finally:
            await close(served)

    whys = asyncio.run(all_of_them())
    return {each.guard.name: why for each, why in zip(served, whys, strict=True) if why}


def heard_of(config: Config, own: OwnDetectors, texts: Sequence[Text]) -> Mapping[str, Sequence[Heard]]:
    """By guard (name@version) what it says of each text, whatever it costs."""
    served = guards_of(config, own, upstreams(config), budgeted=False)
    return asyncio.run(_all(served, texts)) if served else {}


async def _all(served: Sequence[Served], texts: Sequence[Text]) -> dict[str, list[Heard]]:
    try:
        return {each.guard.id: await _one(each.guard, texts) for each in served}
    finally:
        await close(served)


async def _one(guard: Guard, texts: Sequence[Text]) -> list[Heard]:
    heard: list[Heard] = []
    async with asyncio.TaskGroup() as group:
        running = group.create_task(guard.run())
        for start in range(0, len(texts), _TOGETHER):
            batch = texts[start : start + _TOGETHER]
            heard += await asyncio.gather(
                *(guard.ask(_NOBODY, text, urgent=False, deadline=math.inf) for text in batch)
            )
        running.cancel()
    return heard
