"""What is found in an exchange: its texts, where they stand, and what no detector is shown."""

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


BESIDE = -1  # in place of the number of an answer


class Unread(NamedTuple):
    """A part of an exchange that no detector is shown, and why.

    `field`, `part`, `event`, `operation`: one that is not known here and carries text. `ambiguous`: readers differ in
    what it says. `language`: it is in none that the detectors read.
    """

    channel: Channel
    reason: Reason


class Source(NamedTuple):
    """A string of the body that a passage was read from; what it says stands from `start` to `end` of the passage."""

    path: Path
    text: str
    start: int
    end: int
    is_file: bool = False


class Passage(msgspec.Struct, frozen=True, gc=False):
    """One text of an exchange, never empty.

    `path` are the keys that lead to it in the JSON body (in a stream: in the reply that the stream amounts to).
    `choice` is the number of the answer it belongs to, 0 in prompts, BESIDE for what stands beside all of them. `fresh`
    is True for what this request adds: all that comes after the last answer of the model, or everything when there is
    none yet; responses are always fresh. `sources` are the strings it was read from, where it is not one string as it
    stands.
    """

    direction: Direction
    channel: Channel
    text: str
    path: Path
    choice: int = 0
    fresh: bool = True
    sources: tuple[Source, ...] = ()


class Piece(NamedTuple):
    """A text as found: channel, path and text; `file` is the string that it was read from, when it was a file's.

    `grows`: it may be a piece of a text or all of it; `is_name`: it is one, where short ones say nothing; `listed`: it
    is one of many in a list of texts.
    """

    channel: Channel
    path: Path
    text: str
    file: str = ""
    grows: bool = False
    is_name: bool = False
    listed: bool = False


class Found(NamedTuple):
    """The texts of a value, and what in it could not be read."""

    pieces: list[Piece]
    unread: list[Unread]

    def add(self, more: "Found") -> None:
        """What was found elsewhere."""
        self.pieces.extend(more.pieces)
        self.unread.extend(more.unread)


class Reading(NamedTuple):
    """The passages of one side of an exchange, and what in it could not be read."""

    passages: list[Passage]
    unread: list[Unread]
