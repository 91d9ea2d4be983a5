"""What a gateway of a configuration decides with, for those who try its policies: the detectors that ship, the
operator's own beside them, and the tables of thresholds that were made here.
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
    """The settings, the operator's own detectors, and the tables made here."""

    config: Config
    own: OwnDetectors
    local: LocalTables

    def policy(self, name_or_path: str) -> Policy:
        """Compiled against all of these detectors. Raises what `load_policy` raises."""
        return load_policy(name_or_path, local=self.local, detectors=self.own.infos())

    def detectors(self, policies: Iterable[Policy]) -> PanelWithGuards:
        """Every detector, of the guards that servers run those that a rule listens to, as in a gateway.

        Raises ModelError when one cannot be used: what rules do without it is not what is tried here.
        """
        listened = {each.detector for policy in policies for rule in policy.rules for each in rule.thresholds}
        specs = tuple(spec for spec in self.own.specs if not isinstance(spec, ServedGuard) or spec.id in listened)
        own = msgspec.structs.replace(self.own, specs=specs)
        for spec in specs:
            if fault := own.faults.get(spec.name):
                raise ModelError(f"detectors.{spec.name}: {fault}")
        for name, why in unanswered(self.config, own).items():
            raise ModelError(
                f"detectors.{name}: the guard does not answer now ({why}); start it, or leave it out of the settings"
            )
        return PanelWithGuards(load_panel(own=own), self.config, own)


def installed(config_path: str | None = None, operating: Path | None = None) -> Installed:
    """By the configuration file, else the one of this folder, if any; `operating` is a file of tables in place of the
    one in `state_dir`. Raises ConfigError, and PolicyError when the tables cannot be read."""
    config = load(path=config_path)
    local = read_local_tables(operating or local_tables_of(config))
    return Installed(config, own_detectors(config, operating_of(local)), local)
