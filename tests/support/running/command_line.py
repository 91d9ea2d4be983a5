"""The command `assay`, run in this process: what it prints, and with which status it ends."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from gateway.__main__ import main


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class _Stream(io.TextIOWrapper):
    """Standard input or output: text over bytes, as a process has them."""

    def __init__(self, given: bytes = b"") -> None:
        self.bytes = io.BytesIO(given)
        super().__init__(self.bytes, "utf-8", write_through=True)

    def all(self) -> str:
        self.flush()
        return self.bytes.getvalue().decode()


def assay(*arguments: str, given: str = "", cwd: Path, **environ: str) -> Done:
    """Run the command in a folder with a clean environment."""
    out, err = _Stream(), _Stream()
    with (
        contextlib.chdir(cwd),
        _environment(environ),
        mock.patch("sys.stdin", _Stream(given.encode())),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = main(arguments)
    return Done(status, out.all(), err.all())


@contextlib.contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """The environment without what would set Assay up, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "OPENAI_"))}
    with mock.patch.dict(os.environ, {**kept, **more}, clear=True):
        yield
