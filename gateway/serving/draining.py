"""Whether this process was told to end: then `/readyz` says so, and every answer is the last on its connection."""

_begun = False


def begin() -> None:
    """This process was told to end; there is no way back."""
    global _begun
    _begun = True


def has_begun() -> bool:
    """Whether the process is about to end."""
    return _begun
