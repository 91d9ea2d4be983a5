"""Sentences of a text, and what in it is never changed: code, addresses, what stands in quotes of code."""

import re
from collections.abc import Callable, Iterator

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9]|`)|\n+")
_KEPT = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\bhttps?://\S+|\bwww\.\S+|\S+@\S+|<[^>\n]{1,200}>", re.DOTALL)


def sentences(text: str) -> list[str]:
    """In their order, each with the space behind it: joined they are the text."""
    found, start = [], 0
    for end in _END.finditer(text):
        found.append(text[start : end.end()])
        start = end.end()
    return [*found, text[start:]] if start < len(text) else found


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` made to all but code and addresses, which keep every character."""
    return "".join(part if kept else change(part) for part, kept in _parts(text))


def without_code(text: str) -> str:
    """Only what `outside_code` would change."""
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
