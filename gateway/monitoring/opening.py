"""Opens the monitors' store, in Redis or in a file beside the ledger."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.config.settings import Config
from gateway.monitoring.observing import KEPT_DAYS, WRITE_SECONDS, Observing
from gateway.monitoring.store import SketchPlace, open_store
from gateway.monitoring.watching import Reports, beside
from gateway.trust.stores import opening
from gateway.trust.stores.opening import state_folder

FILE = "monitors.db"


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The sink, and what is read from it."""

    observing: Observing
    reports: Reports


def monitoring(config: Config, clock: Callable[[], float]) -> Monitoring | None:
    """None where monitors are turned off. `clock` gives Unix seconds."""
    if not config.monitors:
        return None
    place = _place(config)
    store, often = open_store(place), config.monitor_seconds
    return Monitoring(
        Observing(store, clock=clock, write_seconds=min(WRITE_SECONDS, often)),
        Reports(store, beside(place), clock=clock, look_seconds=often),
    )


def _place(config: Config) -> SketchPlace:
    if config.redis_url is not None:
        return SketchPlace(redis=config.redis_url.get_secret_value(), days=KEPT_DAYS)
    folder = state_folder(config)
    return SketchPlace(file=str(folder / FILE), ledger=str(folder / opening.FILE))
