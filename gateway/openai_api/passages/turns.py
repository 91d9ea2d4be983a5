"""The messages of a request and the choices of an answer: who speaks, and what is new."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.openai_api.passages.terms import Channel, Found

_ROLES: dict[Any, Channel] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def channel_of(item: Any, speaker: Channel) -> Channel:
    role = item.get("role") if isinstance(item, dict) else None
    return _ROLES.get(role, speaker) if isinstance(role, str) else speaker


class Turn(NamedTuple):
    """What one message or item of a request says, and whether the model made it."""

    found: Found
    by_model: bool


def first_new(turns: Sequence[Turn]) -> int:
    """The number of the first turn that a request adds: the one after the model's last answer.

    The model's messages at the very end (a prefilled answer) count as added too, so that they cannot make the rest look
    old.
    """
    end = len(turns)
    while end and turns[end - 1].by_model:
        end -= 1
    while end and not turns[end - 1].by_model:
        end -= 1
    return end


def choice_number(entry: Any, position: int) -> int:
    """The `index` of an entry of a list, or its position if it has none."""
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if type(index) is int and index >= 0 else position
