"""What a gateway with a configuration decides with, for commands that try policies: the shipped detectors, the
operator's own, and the operator's tables of thresholds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from detectors.manifest import ModelError
from detectors.own.specs import OwnDetectors, ServedGuard
from detectors.panel import load as load_panel
from gateway.config.load import load
from gateway.config.settings import Config
from gateway.enforcement.local_tables import LocalTables, local_tables_of, operating_of, read_local_tables
from gateway.enforcement.signals import load_policy
from gateway.own_detectors.asking import PanelWithGuards, unanswered
from gateway.own_detectors.described import own_detectors
from policies.compiled import Policy


@dataclass(frozen=True, slots=True)
class Installed:
    """The settings, the operator's own detectors, and the operator's tables."""

    config: Config
    own: OwnDetectors
    local: LocalTables

    def policy(self, name_or_path: str) -> Policy:
        """A policy compiled against all of these detectors. Raises what `load_policy` raises."""
        return load_policy(name_or_path, local=self.local, detectors=self.own.infos())

    def detectors(self, policies: Iterable[Policy]) -> PanelWithGuards:
        """All detectors; of the guards that servers run only those that a rule uses, as in a gateway.

        Raises ModelError if one cannot be used, because rules would decide differently without it.
        """
        listened = {each.detector for policy in policies for rule in policy.rules for each in rule.thresholds}
        specs = tuple(spec for spec in self.own.specs if not isinstance(spec, ServedGuard) or spec.id in listened)
        own = msgspec.structs.replace(self.own, specs=specs)
        for spec in specs:
            if fault := own.faults.get(spec.name):
                raise ModelError(f"detectors.{spec.name}: {fault}")
        for name, why in unanswered(self.config, own).items():
            raise ModelError(
                f"detectors.{name}: the guard does not answer now ({why}); start it, see to its `model` and `dialect`, "
                "or leave it out of the settings"
            )
        return PanelWithGuards(load_panel(own=own), self.config, own)


def installed(config_path: str | None = None, operating: Path | None = None) -> Installed:
    """What is installed by the configuration file, else by the one in this folder, if any. `operating` is a file of
    tables to use in place of the one in `state_dir`. Raises ConfigError, and PolicyError for unreadable tables."""
    config = load(path=config_path)
    local = read_local_tables(operating or local_tables_of(config))
    return Installed(config, own_detectors(config, operating_of(local)), local)
