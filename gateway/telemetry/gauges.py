"""Gauges that are set from the state of objects, a few times a second and before every scrape."""

from collections.abc import Callable, Iterable

from gateway.beat import beat
from gateway.telemetry import metrics


class Gauges:
    """`readers` are functions that set gauges; each must be quick."""

    def __init__(self, readers: Iterable[Callable[[], None]]) -> None:
        self._readers = tuple(readers)

    def read(self) -> None:
        """Bring all metrics up to date. Call it from the event loop's thread."""
        metrics.flush()
        for reader in self._readers:
            reader()

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            self.read()
            await beat()
