"""A look at the sketches, in a process of its own: it takes seconds of arithmetic, and numpy, which serving processes
must not load. It reads an Asked from its standard input and writes an Answer to its standard output, both as JSON."""

import asyncio
import os
import sys

import msgspec

from gateway.monitoring import history
from gateway.monitoring.findings import Report
from gateway.monitoring.reports import reports
from gateway.monitoring.store import MonitorError, SketchPlace, open_store
from gateway.trust.stores.opening import reading

_NICE = 10


class LookRequest(msgspec.Struct):
    """`now` is Unix seconds."""

    place: SketchPlace
    now: float


class LookAnswer(msgspec.Struct):
    """What was found, or why nothing could be found."""

    reports: list[Report] = []
    problem: str = ""


async def _look(asked: LookRequest) -> LookAnswer:
    store, ledger = open_store(asked.place), reading(redis=asked.place.redis, file=asked.place.ledger)
    try:
        return LookAnswer(reports(await history.read(store, asked.now, ledger)))
    except MonitorError as error:
        return LookAnswer(problem=str(error))
    finally:
        await store.close()
        if ledger is not None:
            await ledger.close()


def main() -> None:
    """Raises msgspec.DecodeError for any input but an Asked."""
    os.nice(_NICE)
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=LookRequest)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_look(asked))) + b"\n")


if __name__ == "__main__":
    main()
