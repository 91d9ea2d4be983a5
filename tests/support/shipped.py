"""The detectors that ship, as their tables describe them: read once, their large files not looked at."""

from collections.abc import Mapping
from functools import cache

from detectors import manifest
from detectors.manifest import DetectorInfo


@cache
def shipped() -> Mapping[str, DetectorInfo]:
    return manifest.load(weights=False)
