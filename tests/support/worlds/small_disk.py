"""Disks that are small, full or read-only: real ones, in a mount namespace of their own, where this user may mount."""

import functools
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.running.patience import PATIENCE_SECONDS

_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")


@functools.cache
def _may_mount() -> bool:
    try:
        tried = subprocess.run(
            [*_NAMESPACE, "mount -t tmpfs none /mnt"], capture_output=True, check=False, timeout=PATIENCE_SECONDS
        )
    except OSError:
        return False
    return tried.returncode == 0


def beside(mounts: Sequence[str], command: Sequence[str]) -> list[str]:
    """The command, with these mounts that nobody else sees. Skips the test where nothing may be mounted."""
    if not _may_mount():
        pytest.skip("this user may not mount a small disk (unshare --user --mount)")
    return [*_NAMESPACE, "; ".join([*mounts, 'exec "$@"']), "sh", *command]


def disk(folder: Path, options: str) -> str:
    """What mounts a small disk there."""
    return f"mount -t tmpfs -o {options} none '{folder}'"


def run_beside(
    mounts: Sequence[str], command: Sequence[str], env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, its output in one."""
    return subprocess.run(
        beside(mounts, command),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
