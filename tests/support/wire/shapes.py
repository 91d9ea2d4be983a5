"""Where a text can hide in a body: every place of a real request or answer, and every form that it can take there.

`hidden_in` goes through a template and gives one body for each place and form. A place is a string, a key, an object
that may have one field more, or a list that may have one entry more.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Path = tuple[str | int, ...]


class Shape(NamedTuple):
    """A body with a text hidden in it, and what was done."""

    what: str
    body: Any


# In place of a string.
IN_STRINGS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "a sentence": " ".join,
    "behind an id": lambda words: "msg_1 " + " ".join(words),
    "between line ends": "\n".join,
    "with commas": ", ".join,
    "joined": "-".join,
    "joined as a name": "_".join,
}
# As one field more of an object.
IN_FIELDS: Mapping[str, Callable[[Sequence[str]], Mapping[str, Any]]] = {
    "a field": lambda words: {"novel": " ".join(words)},
    "a field of a list": lambda words: {"novel": list(words)},
    "a field of objects": lambda words: {"novel": [{"n": word} for word in words]},
    "fields": lambda words: {f"n{i}": word for i, word in enumerate(words)},
    "a key": lambda words: {" ".join(words): 1},
    "keys": lambda words: dict.fromkeys(words, 1),
    "a key deep below": lambda words: {"novel": {"n": {" ".join(words): None}}},
    "a field as JSON": lambda words: {"novel": json.dumps({"n": " ".join(words)})},
    "a field as a file": lambda words: {"novel": "data:text/plain," + "%20".join(words)},
}


def _places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield from _places(each, (*path, key))


def _changed(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: _changed(value[str(key)], tuple(rest), new)}
    return [_changed(each, tuple(rest), new) if i == key else each for i, each in enumerate(value)]


def hidden_in(template: Any, words: Sequence[str]) -> Iterator[Shape]:
    """Every shape of a template."""
    for path, value in _places(template):
        at = ".".join(map(str, path)) or "the body"
        for what, new in _forms_of(value, words):
            yield Shape(f"{what} {at}", _changed(template, path, new))


def _forms_of(value: Any, words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """What a value becomes."""
    if isinstance(value, str):
        for what, write in IN_STRINGS.items():
            yield f"{what} in place of", write(words)
    elif isinstance(value, dict):
        for what, more in IN_FIELDS.items():
            yield f"{what} of", {**value, **more(words)}
    elif isinstance(value, list):
        yield "an entry of", [*value, " ".join(words)]
        yield "entries of", [*value, *words]
        yield "lists in", [*value, [[word] for word in words]]
    else:
        yield "a sentence in place of", " ".join(words)
        yield "words in place of", list(words)
