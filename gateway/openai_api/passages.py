"""The texts of a body or of a stream, with their channels and paths: the vocabulary, and the search for them.

What a body may hold is written as schemas: nested dicts of the keys to follow, ending in the channel of the
text found there. Lists are gone through wherever they stand. A new field is a new row.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.openai_api.document import Path

Direction = Literal["prompt", "response"]
Channel = Literal["system", "user", "tool", "retrieved", "assistant", "arguments", "reasoning"]


class Passage(msgspec.Struct, frozen=True, gc=False):
    """One text of an exchange, never empty.

    `path` are the keys that lead to it in the JSON body (in a stream: in the reply that the stream amounts to).
    `choice` is the number of the answer it belongs to, 0 in prompts. `fresh` is True for what this request
    adds: all that comes after the last answer of the model, or everything when there is none yet; responses
    are always fresh.
    """

    direction: Direction
    channel: Channel
    text: str
    path: Path
    choice: int = 0
    fresh: bool = True


class Piece(NamedTuple):
    """A text as found: channel, path and text."""

    channel: Channel
    path: Path
    text: str


class Schema(dict[str, "Schema | Leaf"]):
    """The keys to follow in an object."""


class Leaf(NamedTuple):
    """A text, a content part, or a list of them.

    `channel` None: that of whoever speaks; `deep`: any string below counts, as in the arguments of a tool.
    """

    channel: Channel | None = None
    deep: bool = False


SAID = Leaf()
THOUGHT = Leaf("reasoning")
ASKED = Leaf("user")
ARGUMENTS = Leaf("arguments", deep=True)
RESULT = Leaf("tool")
RETRIEVED = Leaf("retrieved")

# The keys of a content part (or of a tool's output) that hold text; images, audio and files have none of them.
_PART = Schema(
    dict.fromkeys(("text", "refusal", "content", "summary", "transcript", "logs", "stdout", "stderr"), SAID)
    | {"thinking": THOUGHT}
)
_ROLES: dict[Any, Channel] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def find(value: Any, schema: Schema | Leaf, path: Path, channel: Channel) -> list[Piece]:
    """The texts in `value`, in its own order, as far as `schema` leads; paths begin with `path`.

    Goes without recursion, since a caller chooses how deep his body is.
    """
    found: list[Piece] = []
    todo: list[tuple[Any, Schema | Leaf, Path, Channel]] = [(value, schema, path, channel)]
    while todo:
        value, schema, path, channel = todo.pop()
        if isinstance(schema, Leaf):
            channel = schema.channel or channel
            if isinstance(value, str):
                if value:
                    found.append(Piece(channel, path, value))
                continue
        if isinstance(value, list):
            todo.extend((value[i], schema, (*path, i), channel) for i in range(len(value) - 1, -1, -1))
        elif isinstance(value, dict):
            below = _below(schema)
            for key in reversed(value):
                branch = schema if below is None else below.get(key)
                if branch is not None:
                    todo.append((value[key], branch, (*path, key), channel))
    return found


def _below(schema: Schema | Leaf) -> Schema | None:
    """The keys to follow in an object under this schema; None: all of them."""
    if isinstance(schema, Schema):
        return schema
    return None if schema.deep else _PART


def channel_of(item: Any, speaker: Channel) -> Channel:
    role = item.get("role") if isinstance(item, dict) else None
    return _ROLES.get(role, speaker) if isinstance(role, str) else speaker


class Turn(NamedTuple):
    """What one message or item of a request says, and whether the model made it."""

    pieces: list[Piece]
    by_model: bool


def first_new(turns: Sequence[Turn]) -> int:
    """The number of the first turn that a request adds: all after the last answer of the model.

    Messages of the model at the very end (a prefilled answer) count as what the request adds, so that they cannot make
    the rest look old.
    """
    end = len(turns)
    while end and turns[end - 1].by_model:
        end -= 1
    while end and not turns[end - 1].by_model:
        end -= 1
    return end


def choice_number(entry: Any, position: int) -> int:
    """The `index` an entry of a list gives itself, else its position."""
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if type(index) is int and index >= 0 else position


class Said(NamedTuple):
    """A text in one event: where in the event, which text of the reply, and whether it is all of that text."""

    channel: Channel
    at: Path
    path: Path
    text: str
    whole: bool
    choice: int


class EventRead(NamedTuple):
    """An event as a JSON object, its texts, the choices it speaks of, and the paths below which no more text comes.

    `with_logprobs` are those of the choices of which it tells token log-probabilities.
    """

    value: dict[str, Any]
    said: list[Said]
    choices: list[int]
    ends: list[Path]
    with_logprobs: Sequence[int] = ()
