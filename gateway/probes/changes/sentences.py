"""The sentences of a text, and its parts that are never changed: code and addresses."""

import re
from collections.abc import Callable, Iterator

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9]|`)|\n+")
# (What stands before an @ starts only where a word does: else the time would grow with the square of a long word.)
_KEPT = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\bhttps?://\S+|\bwww\.\S+|(?<![^\s@])[^\s@]++@\S+|<[^>\n]{1,200}>", re.DOTALL
)


def sentences(text: str) -> list[str]:
    """The sentences in order, each with the space after it: joined they are the text."""
    found, start = [], 0
    for end in _END.finditer(text):
        found.append(text[start : end.end()])
        start = end.end()
    return [*found, text[start:]] if start < len(text) else found


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to everything but code and addresses."""
    return "".join(part if kept else change(part) for part, kept in _parts(text))


def without_code(text: str) -> str:
    """Only the parts to which `outside_code` applies a change."""
    return " ".join(part for part, kept in _parts(text) if not kept)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    start = 0
    for match in _KEPT.finditer(text):
        yield text[start : match.start()], False
        yield match[0], True
        start = match.end()
    yield text[start:], False


def cased_like(word: str, model: str) -> str:
    """`word` in the case of `model`: lower, Capitalised or UPPER."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
