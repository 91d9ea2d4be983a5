"""Every detector that exists, in one table."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from detectors.base import Detector
from detectors.encoder import Encoder
from detectors.manifest import DetectorInfo, load
from detectors.rules import pii, secrets
from detectors.rules.patterns import PatternRule

FACTORIES: Mapping[str, Callable[[DetectorInfo], Detector]] = MappingProxyType(
    {
        "ngram": Encoder,
        "secrets": lambda info: PatternRule(info, secrets.PATTERNS),
        "pii": lambda info: PatternRule(info, pii.PATTERNS),
    }
)


def build(only: Collection[str] | None = None) -> tuple[Detector, ...]:
    """The detectors that can speak of at least one of the slugs `only`, or all: loaded, ready, in table order.

    Raises manifest.ModelError when a shipped file is missing or damaged.
    """
    infos = load()
    return tuple(
        factory(infos[name])
        for name, factory in FACTORIES.items()
        if only is None or not infos[name].slugs.isdisjoint(only)
    )
