"""Whether the files and folders that settings name can be written: tried, because modes alone do not tell."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config.settings import Config, env_name

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # may pass; it is reported when something has to be written


def unwritable(config: Config, origin: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each place that the gateway would write to and cannot. Nothing is left behind there."""
    for setting, path in (("audit_path", config.audit_path), ("state_dir", config.state_dir)):
        if path is None:
            continue
        where = origin.get(setting, setting)
        where = where if where == env_name(setting) else f"{where}: {setting}"
        fault = _fault_of_folder(path) if setting == "state_dir" else _fault_of_file(path)
        if fault:
            yield f"{where}: {fault}"


def _fault_of_file(path: Path) -> str:
    """What is wrong with a file to append to, which need not exist yet; empty if nothing is."""
    if path.is_dir():
        return f"{path} is a folder; name a file in it"
    if not path.exists():
        return _fault_of_folder(path.parent, made=False)
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for its reader
        return "" if os.access(path, os.W_OK) else _not_written(path, errno.EACCES)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
    except OSError as error:
        return _not_written(path, error.errno)
    return ""


def _fault_of_folder(path: Path, *, made: bool = True) -> str:
    """What is wrong with a folder to make files in; empty if nothing is. If `made`, it need not exist yet, but its
    parent must."""
    folder = path.parent if made and not path.exists() else path
    if not folder.is_dir():
        return f"there is no folder {folder}; make it, or name another"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return _not_written(folder, error.errno)


def _not_written(path: Path, number: int | None) -> str:
    if number in _FULL:
        return ""
    return f"{path} cannot be written; change its owner or mode, or name another place"
