"""What is asked of the detector processes and what they answer.

A frame on the socket pair is a 4-byte big-endian length and a msgpack body. A long body goes in slices, each a frame
whose length is marked. Whole bodies may come between its slices, slices of another body may not.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from detectors.opinions import Opinion

_FRAME = 4
_SLICE_BYTES = 64 * 1024
_SLICE, _LAST = 1 << 31, 1 << 30  # in a length: a slice of a body, and the last one
_OVERHEAD = 512  # bytes that a request holds beside its bodies


class JudgingRequest(msgspec.Struct, array_like=True):
    """One exchange to judge, as raw bytes.

    `caller` is who sent it: callers share the detectors fairly and nothing judged for one is remembered for another.
    `prompt_slugs` and `answer_slugs` name what is wanted of each side: None means everything, empty nothing. With
    `fresh` only what the last turn added to the prompt is judged. `urgent` requests go first. After `expires_at`
    (seconds of the monotonic clock, which all processes share; 0 for never) nobody waits for the findings. `alone`: do
    not judge it together with others, because a process died over it. `stretches` are texts of an answer as (channel,
    text) that replace `answer`; `said` are such texts of a prompt that replace `prompt`.
    """

    id: int
    urgent: bool
    operation: str
    prompt: bytes
    answer: bytes
    stream: bool
    encoding: str
    prompt_slugs: list[str] | None
    answer_slugs: list[str] | None
    fresh: bool
    caller: str = ""
    expires_at: float = 0.0
    alone: bool = False
    stretches: list[tuple[str, str]] = []
    said: list[tuple[str, str]] = []

    def size(self) -> int:
        """Bytes that it holds while it waits."""
        return self.text_size() + _OVERHEAD

    def text_size(self) -> int:
        """About how many characters have to be read."""
        texts = sum(len(text) for _, text in self.stretches) + sum(len(text) for _, text in self.said)
        return len(self.prompt) + len(self.answer) + texts


class Finding(msgspec.Struct, array_like=True, gc=False):
    """One text of the exchange and what was found in it.

    `digest` is a keyed hash of the text, in hex; `language` an ISO 639-1 code, empty where it is not clear.
    """

    direction: str
    channel: str
    path: list[str | int]
    choice: int
    fresh: bool
    digest: str
    opinions: list[Opinion]
    language: str = ""


class Findings(msgspec.Struct, array_like=True, gc=False):
    """The reply to a request.

    `coverage` counts texts by (detector, state); `failed` has the detectors that raised, with the exception's type.
    `expired`: the request came too late and was not judged. `unread` lists what no detector was shown, as (direction,
    channel, reason). `remembered` counts for each detector the texts that it had judged before. `unjudged` lists where
    a detector did not judge all texts, as (direction, channel, detector, state). `instead` has, for each detector that
    left texts in another language to others, those others.
    """

    id: int
    findings: list[Finding]
    coverage: list[tuple[str, str, int]]
    failed: dict[str, str]
    expired: bool = False
    unread: list[tuple[str, str, str]] = []
    remembered: list[tuple[str, int]] = []
    unjudged: list[tuple[str, str, str, str]] = []
    instead: dict[str, list[str]] = {}

    def read_instead_of(self, detector: str) -> frozenset[str]:
        """The detectors to which this one left texts that it was asked about."""
        return frozenset(self.instead.get(detector, ()))

    def unread_in(self, direction: str) -> list[tuple[str, str]]:
        """(channel, reason) of what was not read in this direction."""
        return [(channel, reason) for side, channel, reason in self.unread if side == direction]

    def note_unread(self, direction: str, channel: str, reason: str) -> None:
        """Add this to `unread`, once."""
        if (direction, channel, reason) not in self.unread:
            self.unread.append((direction, channel, reason))


class Hello(msgspec.Struct, array_like=True):
    """The first frame of a detector process: which detectors answer, why others do not, and the slugs for which some
    compare a text with what was said before."""

    ready: list[str]
    absent: dict[str, str]
    compared: list[str] = []


_encoder = msgspec.msgpack.Encoder()


def frame(message: object) -> bytes:
    body = _encoder.encode(message)
    return len(body).to_bytes(_FRAME, "big") + body


def slices(message: object) -> Iterator[bytes]:
    """The frame of a message, or of a long one the frames of its slices."""
    body = _encoder.encode(message)
    if len(body) <= _SLICE_BYTES:
        yield len(body).to_bytes(_FRAME, "big") + body
        return
    for start in range(0, len(body), _SLICE_BYTES):
        part = body[start : start + _SLICE_BYTES]
        mark = _SLICE | (_LAST if start + _SLICE_BYTES >= len(body) else 0)
        yield (mark | len(part)).to_bytes(_FRAME, "big") + part


class FrameReader:
    """Bytes in, frame bodies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: list[bytes] = []  # of the body that comes in slices

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= _FRAME:
            length = int.from_bytes(buffer[start : start + _FRAME], "big")
            end = start + _FRAME + (length & ~(_SLICE | _LAST))
            if len(buffer) < end:
                break
            body = bytes(buffer[start + _FRAME : end])
            start = end
            if length & _SLICE:
                self._parts.append(body)
                if not length & _LAST:
                    continue
                body, self._parts = b"".join(self._parts), []
            frames.append(body)
        del buffer[:start]
        return frames


def judging_request(
    operation: str,
    *,
    caller: str = "",
    prompt: bytes = b"",
    answer: bytes = b"",
    stream: bool = False,
    encoding: str = "",
    prompt_slugs: Collection[str] | None = (),
    answer_slugs: Collection[str] | None = (),
    urgent: bool = False,
    fresh: bool = False,
    stretches: Sequence[tuple[str, str]] = (),
    said: Sequence[tuple[str, str]] = (),
) -> JudgingRequest:
    """A request that has no id yet. Slugs may be in any collection; None means all."""
    return JudgingRequest(
        id=0,
        urgent=urgent,
        operation=operation,
        prompt=prompt,
        answer=answer,
        stream=stream,
        encoding=encoding,
        prompt_slugs=None if prompt_slugs is None else sorted(prompt_slugs),
        answer_slugs=None if answer_slugs is None else sorted(answer_slugs),
        fresh=fresh,
        caller=caller,
        stretches=list(stretches),
        said=list(said),
    )
