"""Gauges that are read off the living objects, a few times a second and before every scrape, rather than counted."""

from collections.abc import Callable, Iterable

from gateway.beat import beat
from gateway.telemetry import metrics


class Gauges:
    """`readers` set gauges; each is quick."""

    def __init__(self, readers: Iterable[Callable[[], None]]) -> None:
        self._readers = tuple(readers)

    def read(self) -> None:
        """Bring everything that is shown up to date. From the event loop's thread."""
        metrics.flush()
        for reader in self._readers:
            reader()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.read()
            await beat()
