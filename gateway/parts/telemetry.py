"""What a process reports about itself: traces, tokens, and what it uses of the machine."""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.access.prices import prices_of
from gateway.config.routes import models
from gateway.config.settings import Config
from gateway.exchange import Upstream
from gateway.parts.detectors import Detectors
from gateway.parts.records import Records
from gateway.serving import descriptors
from gateway.telemetry.audit import Audit
from gateway.telemetry.meter import Meter, Models
from gateway.telemetry.processes import Processes

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing

VERSION = version("assay-gateway")


def tracing(config: Config) -> "Tracing | None":
    """None without `otlp_endpoint`. OpenTelemetry's libraries are an extra and take memory, so they are loaded only
    here."""
    if config.otlp_endpoint is None:
        return None
    rate = config.trace_sample_rate
    found: Tracing = import_module("gateway.telemetry.tracing").tracing_to(
        config.otlp_endpoint, sample_rate=rate, version=VERSION
    )
    return found


def meter(config: Config, by_name: Mapping[str, Upstream], audit: Audit) -> Meter:
    served = models(config, by_name)
    priced = (name for name in config.prices if not name.endswith("*"))
    named = Models((*(model for each in served.values() for model in each), *priced), config.model_labels)
    return Meter(served, named, cost=prices_of(config).cost, currency=config.currency, append=audit.append)


def machine(own: str, detectors: Detectors, records: Records) -> list[Callable[[], None]]:
    """Functions that set the gauges of what this process (called `own`) and its child processes use."""
    shortage = descriptors.Shortage()
    kept = {"detectors": lambda: detectors.processes.pids, "monitors": records.monitor_pids}
    processes = Processes(lambda: {own: [os.getpid()], **{name: pids() for name, pids in kept.items()}})
    return [lambda: shortage.look(descriptors.in_use()), processes.show]
