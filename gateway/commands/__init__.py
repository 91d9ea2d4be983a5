"""The commands of `assay`, a file each. `gateway.__main__` imports a file when its command is run."""

import sys


def out(text: str = "") -> None:
    """A line for the person who ran the command."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """A line about something that needs attention."""
    sys.stderr.write(f"assay: {text}\n")
