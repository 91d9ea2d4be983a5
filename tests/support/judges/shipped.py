"""The detectors that ship, as their tables describe them: read once, their large files not looked at. And these files,
to be damaged."""

import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from detectors import manifest
from detectors.manifest import DetectorInfo


@cache
def shipped() -> Mapping[str, DetectorInfo]:
    return manifest.load(weights=False)


def linked_models(folder: Path) -> Path:
    """A folder with all that is shipped, as links: copies would be a hundred megabytes."""
    return shutil.copytree(manifest.MODELS, folder / "models", copy_function=os.symlink)


def own(link: Path) -> Path:
    """Put a copy of the file in place of the link to it."""
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)
    return link
