"""Descriptions become detectors. What a server runs is asked elsewhere: no detector process waits for a network."""

from collections.abc import Collection, Iterator
from pathlib import Path

from detectors.base import Detector
from detectors.manifest import ModelError
from detectors.own import words
from detectors.own.classifier import TextClassifier
from detectors.own.specs import Classifier, OwnDetectors, WordList, info_of, versioned
from detectors.rules.rule import RuleDetector


def build(spec: Classifier | WordList) -> Detector:
    """A detector, loaded and tried. Raises ModelError."""
    if versioned(spec).version != spec.version:
        raise ModelError(f"{_file(spec)}: was changed since the start; restart to use what it holds now")
    if isinstance(spec, Classifier):
        return TextClassifier(spec)
    return RuleDetector(info_of(spec), words.rule(Path(spec.file), spec.subcategory, spec.label, spec.roles))


def _file(spec: Classifier | WordList) -> str:
    return " or ".join(str(getattr(spec, field)) for field in spec.files)


def built(own: OwnDetectors, absent: dict[str, str], only: Collection[str] | None = None) -> Iterator[Detector]:
    """Those that can speak of one of the slugs `only`, or all; `absent` is told by name why others are not there."""
    for spec in own.specs:
        if isinstance(spec, Classifier | WordList) and (only is None or not info_of(spec).slugs.isdisjoint(only)):
            try:
                if fault := own.faults.get(spec.name):
                    raise ModelError(fault)
                yield build(spec)
            except ModelError as error:
                absent[spec.name] = str(error)
