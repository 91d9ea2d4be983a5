"""The texts of one event of a stream."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from gateway.openai_api.bodies.document import Path
from gateway.openai_api.passages import forms
from gateway.openai_api.passages.terms import Channel, Unread


class EventText(NamedTuple):
    """A text in one event: where in the event, which text of the reply, and whether it is all of that text.

    `grows`: which of the two cannot be told from the event alone: servers send words one by one, all of a name in every
    event, or all that was said so far. `is_name`: it says nothing where it is short.
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
    """The texts of the next event of a stream. One that `grows` is all of a text where it says the same as `before`, or
    goes on from a longer one; `before` is brought up to date."""
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
    """An event as a JSON object, its texts, the choices it speaks of, and the paths below which no more text comes.

    `with_logprobs` are those of the choices of which it tells token log-probabilities. `unread` is what in it could not
    be read.
    """

    value: dict[str, Any]
    said: list[EventText]
    choices: list[int]
    ends: list[Path]
    with_logprobs: list[int]
    unread: list[Unread]
