"""The words for what is found in an exchange: its texts, where they stand, and what no detector is shown."""

from typing import Literal, NamedTuple, get_args

import msgspec

from gateway.openai_api.bodies.document import Path

Direction = Literal["prompt", "response"]
Channel = Literal["system", "user", "tool", "retrieved", "assistant", "arguments", "reasoning"]
Reason = Literal[
    "image", "audio", "file", "tokens", "field", "part", "event", "operation", "not_json", "ambiguous", "encoding",
    "language", "too_long",
]  # fmt: skip
CHANNELS: tuple[Channel, ...] = get_args(Channel)
REASONS: tuple[Reason, ...] = get_args(Reason)


BESIDE = -1  # in place of a choice's number: what stands beside all choices


class Unread(NamedTuple):
    """A part of an exchange that no detector is shown, and why.

    `field`, `part`, `event`, `operation`: an unknown one that carries text. `ambiguous`: readers differ in what it
    says. `language`: the detectors do not read its language.
    """

    channel: Channel
    reason: Reason


class PassageSource(NamedTuple):
    """A string of the body from which a passage was read; it is the range from `start` to `end` of the passage."""

    path: Path
    text: str
    start: int
    end: int
    is_file: bool = False


class Passage(msgspec.Struct, frozen=True, gc=False):
    """One text of an exchange, never empty.

    `path` are the keys that lead to it in the JSON body (of a stream: in the reply that its events make). `choice` is
    the number of the answer it belongs to, 0 in prompts, BESIDE for what stands beside all answers. `fresh` is True for
    what this request adds: all that comes after the model's last answer, or everything if there is none; responses are
    always fresh. `sources` are the strings it was read from, unless it is one unchanged string.
    """

    direction: Direction
    channel: Channel
    text: str
    path: Path
    choice: int = 0
    fresh: bool = True
    sources: tuple[PassageSource, ...] = ()


class Piece(NamedTuple):
    """A text as found: channel, path and text. `file` is the encoded string, if it was read from a file.

    `grows`: it may be a piece of a text or all of it. `is_name`: it is a name, which says nothing if it is short.
    `listed`: it is one of many in a list of texts.
    """

    channel: Channel
    path: Path
    text: str
    file: str = ""
    grows: bool = False
    is_name: bool = False
    listed: bool = False


class Found(NamedTuple):
    """The texts of a value, and what could not be read in it."""

    pieces: list[Piece]
    unread: list[Unread]

    def add(self, more: "Found") -> None:
        """Add what was found elsewhere."""
        self.pieces.extend(more.pieces)
        self.unread.extend(more.unread)


class Reading(NamedTuple):
    """The passages of one side of an exchange, and what could not be read in it."""

    passages: list[Passage]
    unread: list[Unread]
