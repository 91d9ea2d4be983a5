"""The sinks of judged samples: metrics, the audit file, the ledger, second opinions, monitors, probes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from detectors import taxonomy
from gateway.config.settings import Config
from gateway.exchange import Upstream
from gateway.judging.client import JudgingClient
from gateway.monitoring.opening import Monitoring, monitoring
from gateway.opinions.wiring import Opinions, opinions_of
from gateway.parts.clock import wall_clock
from gateway.parts.detectors import Detectors
from gateway.probes.wiring import Probes, probes_of
from gateway.serving.background import NamedTask
from gateway.telemetry.audit import Audit
from gateway.trust.card import shipped_errors
from gateway.trust.judged import Sink
from gateway.trust.ledger import Ledger
from gateway.trust.sinks import AuditSink, MetricsSink
from gateway.trust.stores.opening import open_ledger, with_state_folder
from gateway.trust.watching.gauges import TrustGauges


@dataclass(frozen=True, slots=True)
class Records:
    """Everything that receives judged samples. `monitors` is None where they are turned off."""

    audit: Audit
    ledger: Ledger
    opinions: Opinions
    monitors: Monitoring | None
    probes: Probes

    def sinks(self, config: Config, detectors: Detectors) -> list[Sink]:
        """The sinks to which the process that judges hands its samples."""
        observing: list[Sink] = [] if self.monitors is None else [self.monitors.observing]
        audited = AuditSink(self.audit, keeps_texts=config.audit_text)
        return [
            _metrics_sink(detectors), audited, self.ledger, *self.opinions.sinks, *observing, *self.probes.sinks
        ]  # fmt: skip

    def tasks(self) -> list[NamedTask]:
        """The tasks of every process."""
        return [
            ("audit", self.audit.run),
            ("ledger", self.ledger.run),
            ("estimates", TrustGauges(self.ledger, shipped_errors()).run),
        ]

    def judging_tasks(self) -> list[NamedTask]:
        """The further tasks of a process that judges samples."""
        observing: list[NamedTask] = [] if self.monitors is None else [("monitors", self.monitors.observing.run)]
        return [*observing, *self.opinions.tasks, *self.probes.tasks]

    def monitor_pids(self) -> list[int]:
        """The id of the process that observes for the monitors, while it runs."""
        return [] if self.monitors is None else self.monitors.observing.pids

    async def close(self) -> None:
        await self.opinions.close()
        await self.probes.close()


def records(
    config: Config,
    by_name: Mapping[str, Upstream],
    detectors: Detectors,
    *,
    is_up: Callable[[str], bool] = lambda _: True,
) -> Records:
    """`is_up` says whether requests can use an upstream; a process that sends no requests leaves it out."""
    config = with_state_folder(config)
    audit, ledger, slugs = Audit(config.audit_path), open_ledger(config, wall_clock), detectors.slugs
    processes = detectors.processes
    return Records(
        audit,
        ledger,
        opinions_of(config, ledger, by_name, slugs, wall_clock),
        monitoring(config, wall_clock),
        probes_of(
            config,
            ledger,
            by_name,
            judging=processes if isinstance(processes, JudgingClient) else None,
            slugs=slugs,
            is_up=is_up,
            note=audit.append,
            clock=wall_clock,
        ),
    )


def _metrics_sink(detectors: Detectors) -> MetricsSink:
    judged = {key for info in detectors.infos for key in info.operating}
    return MetricsSink({entry.slug: entry.category for entry in taxonomy.SUBCATEGORIES}, judged)
