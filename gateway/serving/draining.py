"""Whether this process was told to end: it says so at `/readyz`, and every answer is the last on its connection."""

_begun = False


def begin() -> None:
    """From now on; there is no way back."""
    global _begun
    _begun = True


def has_begun() -> bool:
    """Whether the process is about to end."""
    return _begun
