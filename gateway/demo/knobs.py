"""Knobs that tell the demo upstream what to do: in its settings, a header, the query, or the model's name."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qsl

HEADER_PREFIX = b"x-demo-"


class KnobError(ValueError):
    """An unknown knob, or a value that a knob does not take."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """Settings of the demo upstream. They come from its own settings, headers (`x-demo-ttft-ms: 50`), the query
    (`?ttft_ms=50`) and the model's name (`demo-small?ttft_ms=50&deltas=64`); the later of these wins."""

    ttft_ms: float = 0.0
    """Wait so many milliseconds before the first byte of an answer."""
    gap_ms: float = 0.0
    """Wait so many milliseconds between two events of a stream, or two pieces of a download."""
    deltas: int = 0
    """Cut the text of a stream into exactly so many deltas, repeating it if it is too short; 0: word by word."""
    status: int = 200
    """Answer with this status and an error body when it is 400 or above."""
    html: bool = False
    """Answer 502 with a page of HTML."""
    hang: bool = False
    """Never answer."""
    stall_after: int = 0
    """Fall silent after so many events of a stream (or pieces of a body), keeping the connection open."""
    reset_after: int = -1
    """Close the connection without an end after so many events of a stream (or pieces of a body)."""
    error_after: int = 0
    """Send an error event after so many events of a stream, and end it there."""
    gzip: bool = False
    """Compress the answer."""
    crlf: bool = False
    """End the lines of a stream in CRLF."""
    split: int = 0
    """Send the body in pieces of so many bytes; 1 splits at every byte."""
    big: int = 0
    """Make the text of the answer (or the download) so many bytes long."""
    say: str = ""
    """Answer with this text."""
    pick: str = ""
    """Answer with the conversation of this id."""


_DEFAULTS = Knobs()
_TYPES = {field.name: type(getattr(_DEFAULTS, field.name)) for field in fields(Knobs)}
_FLAGS = {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}


def with_headers(knobs: Knobs, headers: Iterable[tuple[bytes, bytes]]) -> Knobs:
    found = {
        name[len(HEADER_PREFIX) :].decode("latin-1").replace("-", "_"): value.decode("latin-1")
        for name, value in headers
        if name.startswith(HEADER_PREFIX)
    }
    return turned(knobs, found) if found else knobs


def with_query(knobs: Knobs, query: str) -> Knobs:
    """The knobs with those of a query, given without its question mark. Raises KnobError."""
    return turned(knobs, dict(parse_qsl(query, keep_blank_values=True))) if query else knobs


def turned(knobs: Knobs, values: Mapping[str, str]) -> Knobs:
    """The knobs with these values, given as text. Raises KnobError; for an unknown knob it names the nearest one."""
    changes: dict[str, Any] = {name: _value(name, text) for name, text in values.items()}
    return replace(knobs, **changes)


def _value(name: str, text: str) -> bool | int | float | str:
    kind = _TYPES.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, _TYPES, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_TYPES)}"
        raise KnobError(f"the demo upstream has no knob '{name}'; {hint}")
    try:
        return _FLAGS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise KnobError(f"the knob '{name}' of the demo upstream takes {kind.__name__}, not '{text}'") from None
