"""The texts of one event of a stream."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from gateway.openai_api.bodies.document import Path
from gateway.openai_api.passages import forms
from gateway.openai_api.passages.terms import Channel, Unread


class EventText(NamedTuple):
    """A text in one event: where it stands in the event (`at`), which text of the reply it belongs to (`path`), and
    whether it is all of that text (`whole`).

    `grows`: the event alone does not show whether it is whole: servers send words one by one, all of a name in every
    event, or all that was said so far. `is_name`: it says nothing if it is short.
    """

    channel: Channel
    at: Path
    path: Path
    text: str
    whole: bool
    choice: int
    grows: bool = False
    is_name: bool = False


def told_apart(said: Iterable[EventText], before: dict[Path, str]) -> list[EventText]:
    """The texts of the next event of a stream. A text that `grows` is whole if it repeats or continues the one `before`
    (a short one only repeats); `before` is updated."""
    out = []
    for text in said:
        if text.grows:
            last = before.get(text.path)
            more = last is not None and len(last) > forms.LONG and text.text.startswith(last)
            text = text._replace(whole=more or last == text.text)
            before[text.path] = text.text
        out.append(text)
    return out


class EventRead(NamedTuple):
    """An event as a JSON object, its texts, the choices it is about, and the paths below which no more text comes.

    `with_logprobs` are the choices for which it has token log-probabilities. `unread` is what could not be read in it.
    """

    value: dict[str, Any]
    said: list[EventText]
    choices: list[int]
    ends: list[Path]
    with_logprobs: list[int]
    unread: list[Unread]
