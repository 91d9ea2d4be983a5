"""The detectors of a process: the shipped ones, in processes of their own, and the operator's."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from detectors import manifest
from detectors.own.specs import OwnDetectors
from gateway.config.settings import Config
from gateway.enforcement.local_tables import local_tables_of, operating_of, read_local_tables
from gateway.exchange import Upstream
from gateway.judging.client import JudgingClient, JudgingError
from gateway.judging.messages import Findings, JudgingRequest
from gateway.openai_api import CHANNELS
from gateway.openai_api.passages import REASONS as UNREAD_REASONS
from gateway.own_detectors.described import own_detectors
from gateway.own_detectors.judging import JudgingWithGuards
from gateway.own_detectors.wiring import Served, close, guards_of
from gateway.pages.rates import publish_error_rates
from gateway.pages.taxonomy import publish_detectors
from gateway.serving.background import NamedTask
from gateway.telemetry import metrics, series
from gateway.trust.card import share
from policies.engine import Policy

NICE = 15  # for detectors that no request waits for: on a shared core traffic goes first


class NoDetectors:
    """Stands in for the detector processes where none are wanted."""

    is_ready = False
    detectors: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    absent: dict[str, str]

    def __init__(self) -> None:
        self.absent = {}

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:  # noqa: ARG002 - never judges
        raise JudgingError("turned_off")


@dataclass(frozen=True, slots=True)
class Detectors:
    """`processes` hold the shipped detectors and the operator's, `guards` are detectors that servers run, and `judging`
    asks both together. `own` describes the operator's detectors."""

    own: OwnDetectors
    processes: JudgingClient | NoDetectors
    guards: Sequence[Served]
    judging: JudgingClient | NoDetectors | JudgingWithGuards

    @property
    def infos(self) -> list[manifest.DetectorInfo]:
        """All detectors that can judge, loaded here or not."""
        return [*manifest.load(weights=False).values(), *self.own.infos()]

    @property
    def slugs(self) -> frozenset[str]:
        """The sub-categories that they judge."""
        return frozenset(slug for info in self.infos for slug, _ in info.operating)

    @property
    def are_wanted(self) -> bool:
        """Whether there are detector processes."""
        return isinstance(self.processes, JudgingClient)

    def tasks(self) -> list[NamedTask]:
        if not isinstance(self.processes, JudgingClient):
            return []
        guards = [(f"detector {each.guard.name}", each.guard.run) for each in self.guards]
        return [("judge", self.processes.run), *guards]

    def begin_series(self) -> None:
        """Create their series, so that they exist from the start."""
        publish_error_rates()
        metrics.begin_unread(CHANNELS, UNREAD_REASONS)
        if self.are_wanted:
            series.begin_judging(info.id for info in self.infos)

    def publish(self) -> None:
        """Set the metrics that say which detectors judge each sub-category."""
        publish_detectors(self.own.infos())

    def show(self) -> None:
        """Set the gauges."""
        metrics.DETECTORS_WANTED.set(1 if self.are_wanted else 0)
        metrics.DETECTORS_READY.set(1 if self.processes.is_ready else 0)

    async def close(self) -> None:
        await close(self.guards)


def described(config: Config) -> OwnDetectors:
    """The operator's own detectors, with the false-alarm tables made on this traffic."""
    own = own_detectors(config, operating_of(read_local_tables(local_tables_of(config))))
    share(column for info in own.infos() for column in info.operating)
    return own


def detectors(
    config: Config,
    own: OwnDetectors,
    by_name: Mapping[str, Upstream],
    policy: Callable[[], Policy],
    *,
    nice: int,
) -> Detectors:
    """`by_name` are the upstreams, `policy` gives the policy in force; `nice` is the niceness of the processes."""
    processes = _processes(config, own, nice=nice)
    guards = guards_of(config, own, by_name)
    return Detectors(own, processes, guards, _with_guards(processes, guards, own, policy))


def no_detectors(own: OwnDetectors) -> Detectors:
    """For a process that judges nothing."""
    nothing = NoDetectors()
    return Detectors(own, nothing, (), nothing)


def _processes(config: Config, own: OwnDetectors, *, nice: int) -> JudgingClient:
    given = config.audit_hash_key
    key = given.get_secret_value().encode() if given else secrets.token_bytes(32)
    return JudgingClient(
        hash_key=key,
        covered=metrics.covered,
        processes=config.judges,
        nice=nice,
        fingerprints=config.fingerprints,
        own=own,
        most_bytes=config.judging_bytes,
    )


def _with_guards(
    processes: JudgingClient, guards: Sequence[Served], own: OwnDetectors, policy: Callable[[], Policy]
) -> JudgingClient | JudgingWithGuards:
    """The processes together with the guards; the processes alone if there are no guards."""
    if not guards:
        return processes
    return JudgingWithGuards(
        processes,
        [each.guard for each in guards],
        covered=metrics.covered,
        policy=policy,
        thresholds=own.thresholds(),
    )
