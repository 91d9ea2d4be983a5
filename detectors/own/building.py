"""Makes detectors from descriptions. Guards that a server runs are asked elsewhere, so that no detector process waits
for the network."""

from collections.abc import Collection, Iterator
from pathlib import Path

from detectors.base import Detector
from detectors.manifest import ModelError
from detectors.own import words
from detectors.own.classifier import TextClassifier
from detectors.own.specs import Classifier, OwnDetectors, WordList, info_of, versioned
from detectors.rules.rule import RuleDetector


def build(spec: Classifier | WordList) -> Detector:
    """A detector that was loaded and tried. Raises ModelError."""
    if versioned(spec).version != spec.version:
        raise ModelError(f"{_file(spec)}: has changed since the start; restart to use the new content")
    if isinstance(spec, Classifier):
        return TextClassifier(spec)
    return RuleDetector(info_of(spec), words.rule(Path(spec.file), spec.subcategory, spec.label, spec.roles))


def _file(spec: Classifier | WordList) -> str:
    return " or ".join(str(getattr(spec, field)) for field in spec.files)


def built(own: OwnDetectors, absent: dict[str, str], only: Collection[str] | None = None) -> Iterator[Detector]:
    """The detectors that can judge one of the slugs `only`, or all. Those that cannot be built are added to `absent`,
    by name, with the reason."""
    for spec in own.specs:
        if isinstance(spec, Classifier | WordList) and (only is None or not info_of(spec).slugs.isdisjoint(only)):
            try:
                if fault := own.faults.get(spec.name):
                    raise ModelError(fault)
                yield build(spec)
            except ModelError as error:
                absent[spec.name] = str(error)
