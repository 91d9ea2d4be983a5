"""Event streams (WHATWG HTML, section 9.2 "Server-sent events"): bytes in, events out, and back. No I/O.

The decoder keeps the exact bytes of every block, so that an unchanged stream leaves as it came.
"""

import re

import msgspec

from gateway.openai_api.strays.forms import may_be_secret

_BOM = b"\xef\xbb\xbf"
_CR, _LF = 0x0D, 0x0A
_EOL = re.compile(rb"\r\n|\n|\r(?!\n)")
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LONGEST_END = 4  # CR LF CR LF
_MOST_LINES = 20_000  # of one block; one with more counts as an event that is not JSON

DONE_DATA = b"[DONE]"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One block of a stream.

    `data` is the payload, its lines joined by LF; empty for a block that carries none (comments, stray blank
    lines), which a receiver ignores. `raw` is the block as it came, its closing blank line included: the raws
    of a stream, joined, are the stream.
    """

    data: bytes
    raw: bytes
    event: bytes | None = None
    id: bytes | None = None


_BESIDE = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?+|[\r\n])(?!data:)(?:(?:event|id|retry)?:)?+([^\r\n]+)")
_LETTER = re.compile(rb"[A-Za-z\x80-\xff]")
_WORDS = 4  # so many are a sentence; most comments only say that the server is alive, in a word or two
_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*(?:data|event|id|retry)?:")


def is_stream(body: bytes) -> bool:
    """Whether this begins like a stream, whatever its content type: with a field or a comment."""
    return _FIELD.match(body) is not None


def is_lines(body: bytes) -> bool:
    """Whether this may be lines of JSON, one for each event."""
    return body.lstrip(_BOM + b"\r\n ").startswith(b"{") and b"\n" in body.strip()


def says_more(raw: bytes) -> bool:
    """Whether a block without data holds more than comments and the other fields of an event."""
    return any(not _FIELD.match(line) for line in raw.removeprefix(_BOM).splitlines() if line.strip())


def says_beside(event: Event) -> bool:
    """Whether a block says something outside its data, in a line of any name: a sentence, a secret, or a name or id of
    more than the one word that APIs use."""
    for name in (event.event, event.id):
        if name is not None and b" " in name.strip():
            return True
    if event.data is event.raw:  # lines of JSON, and what does not look like an event: all of it is data
        return False
    return any(map(_says, _BESIDE.findall(event.raw)))


def _says(line: bytes) -> bool:
    if may_be_secret(line.decode("latin-1")):
        return True
    words = line.split()
    return len(words) >= _WORDS and sum(_LETTER.search(word) is not None for word in words) >= _WORDS


class SseError(ValueError):
    """A block is larger than the decoder's limit. `events` are those before it; the decoder cannot be used again."""

    def __init__(self, limit: int, events: list[Event]) -> None:
        super().__init__(f"an event of the stream is larger than {limit} bytes")
        self.events = events


class Decoder:
    """Cuts a stream into events, however it arrives: same bytes, same events, in time linear in the bytes.

    Lines may end in LF, CRLF or CR. A block closed by a bare CR is given out only when the next byte is here, since
    that byte may be an LF that belongs to it. Holds at most `max_event_bytes` plus the chunk being fed.
    """

    __slots__ = ("_at_start", "_held", "_limit", "_scanned")

    def __init__(self, max_event_bytes: int = 1 << 20) -> None:
        self._limit = max_event_bytes
        self._held = bytearray()
        self._scanned = 0  # no block ends before this offset of _held
        self._at_start = True

    @property
    def size(self) -> int:
        """Bytes of a block that has not ended."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. Raises SseError when a block exceeds the limit."""
        held = self._held
        if not held:
            events, used = self._cut(data, final=False)
            if used < len(data):
                held += data[used:]
            return events
        held += data
        events, used = self._cut(held, final=False)
        del held[:used]
        return events

    def close(self) -> list[Event]:
        """What is left when the stream ends: at most one event, usually none.

        A last block without its blank line is given out too; it may be cut short. Raises SseError as `feed`.
        """
        events, used = self._cut(self._held, final=True)
        rest = bytes(self._held[used:])
        self._held.clear()
        if rest:
            events += self._events(rest)
        return events

    def _cut(self, buffer: bytes | bytearray, *, final: bool) -> tuple[list[Event], int]:
        events: list[Event] = []
        start, scan, size = 0, self._scanned, len(buffer)
        only_lf = buffer.find(b"\r", scan) < 0
        while start < size:
            end = self._end_of_block(buffer, start, scan, only_lf)
            complete = end > 0 and (final or end < size or buffer[-1] != _CR)
            if (end if complete else size) - start > self._limit:
                self._held = bytearray()
                raise SseError(self._limit, events)
            if not complete:
                break
            events += self._events(bytes(buffer[start:end]))
            start = scan = end
        self._scanned = max(0, size - start - (_LONGEST_END - 1))
        return events, start

    def _end_of_block(self, buffer: bytes | bytearray, start: int, scan: int, only_lf: bool) -> int:
        """The offset just past the block's closing blank line, or 0 when it has not come."""
        lead = start
        if self._at_start and buffer.startswith(_BOM):
            lead += len(_BOM)
        if lead < len(buffer) and buffer[lead] in (_CR, _LF):
            blank = _EOL.match(buffer, lead)
            return blank.end() if blank else 0
        if only_lf:
            at = buffer.find(b"\n\n", max(lead, scan))
            return at + 2 if at >= 0 else 0
        found = _BLANK_LINE.search(buffer, max(lead, scan))
        return found.end() if found else 0

    def _events(self, raw: bytes) -> list[Event]:
        """The event of a block; more than one if the server separates its events by a single line end.

        Clients that read line by line see each `data` line as an event of its own.
        """
        event = self._parse(raw)
        if b"\n" not in event.data:
            return [event]
        lines = event.data.split(b"\n")
        if not all(line == DONE_DATA or (line.startswith(b"{") and line.endswith(b"}")) for line in lines):
            return [event]
        raws = _raw_lines(raw, len(lines))
        return [Event(line, part) for line, part in zip(lines, raws, strict=True)]

    def _parse(self, raw: bytes) -> Event:
        block = raw
        if self._at_start:
            self._at_start = False
            block = raw.removeprefix(_BOM)
        if len(raw) > _MOST_LINES and raw.count(b"\n") + raw.count(b"\r") > _MOST_LINES:
            return Event(raw, raw)
        lines = block.splitlines()
        if len(lines) == 2 and not lines[1] and lines[0].startswith(b"data: "):  # by far the most usual block
            return Event(lines[0][6:], raw)
        return _fields(lines, raw)


def _fields(lines: list[bytes], raw: bytes) -> Event:
    data: list[bytes] = []
    event = id_ = None
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
        elif name == b"id" and b"\0" not in value:
            id_ = value
    return Event(b"\n".join(data), raw, event, id_)


def _raw_lines(raw: bytes, count: int) -> list[bytes]:
    """The block in as many parts as it has `data` lines; joined, the parts are the block."""
    parts: list[list[bytes]] = [[]]
    for line in raw.splitlines(keepends=True):
        if line.startswith(b"data") and parts[-1] and parts[-1][0].lstrip(_BOM).startswith(b"data"):
            parts.append([])
        parts[-1].append(line)
    if len(parts) != count:
        return [*(b"" for _ in range(count - 1)), raw]
    return [b"".join(part) for part in parts]


def events_of(stream: bytes) -> list[Event]:
    """All events of a whole stream; lines of JSON are events as well."""
    if stream.lstrip(_BOM + b"\r\n").startswith(b"{"):
        return [Event(line, line) for line in stream.splitlines() if line.strip()]
    decoder = Decoder(max_event_bytes=len(stream))
    return decoder.feed(stream) + decoder.close()


def encode(data: bytes, event: str | None = None) -> bytes:
    """One event as bytes; data of several lines becomes several `data:` lines."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_EOL.split(data))
    return head + b"data: " + data + b"\n\n"
