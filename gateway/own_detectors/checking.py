"""What is wrong with the operator's detectors, found by loading each one: for `assay check`, which may load models."""

from collections.abc import Iterator

import msgspec

from detectors.own import building
from detectors.own.specs import OwnDetectors
from gateway.config.settings import Config
from gateway.own_detectors.asking import unanswered


def notes(config: Config, own: OwnDetectors) -> Iterator[str]:
    """A line for each guard that does not answer now; it may answer later."""
    for name, why in unanswered(config, own).items():
        yield f"detectors.{name}: the guard does not answer now ({why}); until it does, each rule's on_error decides"


def faults(own: OwnDetectors) -> Iterator[str]:
    """A line for each detector that cannot work, with the path of its settings."""
    for spec in own.specs:
        found: dict[str, str] = {}
        list(building.built(msgspec.structs.replace(own, specs=(spec,)), found))
        why = own.faults.get(spec.name) or found.get(spec.name)
        if why:
            yield f"detectors.{spec.name}: {why}"
