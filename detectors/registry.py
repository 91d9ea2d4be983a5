"""The table of all shipped detectors."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from detectors.base import Detector
from detectors.catalogue import RULES
from detectors.comparing.detector import PairDetector
from detectors.manifest import DetectorInfo, load
from detectors.rules.fingerprint import Fingerprints
from detectors.rules.rule import RuleDetector
from detectors.trained.encoder import Cascade, Multilingual

Factory = Callable[[DetectorInfo], Detector]
PAIR = "pair"
FINGERPRINT = "fingerprint"  # works on a file of the operator's, and does not exist without it

FACTORIES: Mapping[str, Factory] = MappingProxyType(
    {
        "encoder": Cascade,
        **{name: partial(RuleDetector, rule=rule) for name, rule in RULES.items()},
        "encoder-multilingual": Multilingual,
        PAIR: PairDetector,
    }
)


def factories(fingerprints: Path | None = None) -> Mapping[str, Factory]:
    """The table, with one more row if there is a fingerprint file."""
    if fingerprints is None:
        return FACTORIES
    return {**FACTORIES, FINGERPRINT: partial(_fingerprint, path=fingerprints)}


def _fingerprint(info: DetectorInfo, path: Path) -> Detector:
    return RuleDetector(info, Fingerprints(path).rule())


def build(only: Collection[str] | None = None, fingerprints: Path | None = None) -> tuple[Detector, ...]:
    """The loaded detectors, in the order of the table: those that can judge at least one of the slugs `only`, or all.

    `fingerprints` is a file that `assay fingerprint build` made. Raises manifest.ModelError if a file is missing or
    damaged.
    """
    infos = load()
    return tuple(
        factory(infos[name])
        for name, factory in factories(fingerprints).items()
        if only is None or not infos[name].slugs.isdisjoint(only)
    )
