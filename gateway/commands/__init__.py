"""The commands of `assay`, one file each. `gateway.__main__` imports a file only when its command is run."""

import sys


def out(text: str = "") -> None:
    """A line for the person who ran the command."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """A warning for the person who ran the command."""
    sys.stderr.write(f"assay: {text}\n")
