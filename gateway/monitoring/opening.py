"""Where sketches lie: in Redis, or in a file beside the ledger."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.config.settings import Config
from gateway.monitoring.observing import KEPT_DAYS, Observing
from gateway.monitoring.store import Place, open_store
from gateway.monitoring.watching import Reports, beside

FILE = "monitors.db"


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The sink, and what is read from it."""

    observing: Observing
    reports: Reports


def monitoring(config: Config, clock: Callable[[], float]) -> Monitoring | None:
    """None where monitors are turned off. `clock` is Unix seconds."""
    if not config.monitors:
        return None
    place = _place(config)
    store = open_store(place)
    return Monitoring(Observing(store, clock=clock), Reports(store, beside(place), clock=clock))


def _place(config: Config) -> Place:
    if config.redis_url is not None:
        return Place(redis=config.redis_url.get_secret_value(), days=KEPT_DAYS)
    folder = config.state_dir or Path(tempfile.mkdtemp(prefix="assay-state-"))
    return Place(file=str(folder / FILE))
