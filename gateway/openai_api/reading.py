"""Reads every text of a request, a whole answer, an event or a stream, as the row of its operation says."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.bodies.document import Path, has_repeated_keys, parse, rewrite, rewrite_lines, strings_in
from gateway.openai_api.other import lines_of_json
from gateway.openai_api.passages import (
    BESIDE,
    Channel,
    Direction,
    EventRead,
    Passage,
    Piece,
    Reading,
    Unread,
    first_new,
    passage_of_strays,
    passages_of,
    says_little,
    told_apart,
)
from gateway.openai_api.strays import DEFINED, STRAYS, Gatherer, Stray, claimed_by
from gateway.openai_api.surface import Operation
from gateway.openai_api.surfaces import SURFACES

_BOM = b"\xef\xbb\xbf"
_NOT_JSON = Reading([], [Unread("assistant", "not_json")])
_MOST_STRAYS = 100_000  # commas of a request whose strays are gathered: each costs 16 µs


def read_request(operation: Operation, body: bytes) -> Reading:
    """Every text of a request, in the order of the conversation, and what could not be read.

    A body that is nested too deeply is one passage with an empty path: it is better to judge too much than nothing.
    """
    turns_of = SURFACES[operation].turns
    if turns_of is None or not body:
        return Reading([], [])
    value = _parsed(body)
    if isinstance(value, str):
        return Reading([Passage("prompt", "user", value, ())], [])
    if not isinstance(value, dict):
        return Reading([], [Unread("user", "not_json")])
    turns = turns_of(value)
    new = first_new(turns)
    reading = Reading([], _ambiguities(body, "user"))
    if SURFACES[operation].judged and body.count(b",") > _MOST_STRAYS:
        reading.unread.append(Unread("user", "too_long"))
    elif SURFACES[operation].judged:
        pieces = [piece for turn in turns for piece in turn.found.pieces]
        reading.passages.extend(strays_of_request(value, pieces))
    for number, turn in enumerate(turns):
        reading.passages.extend(passages_of(turn.found.pieces, "prompt", fresh=number >= new))
        reading.unread.extend(turn.found.unread)
    return reading


def read_response(operation: Operation, body: bytes, asked: bytes = b"") -> Reading:
    """Every text of a whole answer, choice by choice or item by item, and what could not be read.

    A body that is really a stream is read as one. A body that is nested too deeply is one passage, as in
    `read_request`. `asked` is the request: what the answer repeats of it is not judged again.
    """
    surface = SURFACES[operation]
    answers = surface.answers
    read = surface.reads if answers is None else answers.read
    if read is None or not body.strip():
        return Reading([], [])
    value = _parsed(body)
    if isinstance(value, str):
        return Reading([Passage("response", "assistant", value, ())], [])
    if isinstance(value, dict):
        reading = read(value)
        reading.passages[:0] = _strays_of_answer(value, reading.passages, asked)
        reading.unread.extend(_ambiguities(body, "assistant"))
        return reading
    if value is None and answers is not None and (sse.is_stream(body) or sse.is_lines(body)):
        return read_stream(operation, body, asked)
    return _plain_text(body, read) if answers is None and value is None else _NOT_JSON


def strays_of_request(value: Any, pieces: Sequence[Piece]) -> Iterator[Passage]:
    """What a request says where no row reads it, apart from these pieces that rows have read. What stands in
    definitions is a text of its own, on the system's channel."""
    gatherer = Gatherer()
    claimed = claimed_by(piece.file or piece.text for piece in pieces)
    strays = gatherer.take(value, claimed, claimed_by(piece.text for piece in pieces if not piece.listed))
    return _gathered(gatherer, strays, "prompt", "user", 0)


def _gathered(
    gatherer: Gatherer, strays: Sequence[Stray], direction: Direction, speaker: Channel, choice: int
) -> Iterator[Passage]:
    """The texts that strays make: those of definitions on the system's channel, all others on the speaker's."""
    for defined in (True, False):
        if gatherer.is_text(defined=defined):
            found = [stray for stray in strays if stray.is_defined is defined]
            path: Path = (STRAYS, DEFINED) if defined else (STRAYS,)
            yield passage_of_strays(found, direction, "system" if defined else speaker, path, choice)


def gatherer_of_answer(asked: bytes) -> Gatherer:
    """A gatherer for an answer to this request."""
    return Gatherer(lambda: frozenset(strings_in(asked)))


def _strays_of_answer(value: Any, passages: Sequence[Passage], asked: bytes) -> list[Passage]:
    """The strays of a whole answer."""
    gatherer = gatherer_of_answer(asked)
    alone = claimed_by(passage.text for passage in passages if not passage.sources)
    strays = gatherer.take(value, claimed_by(_strings_of(passages)), alone)
    return list(_gathered(gatherer, strays, "response", "assistant", BESIDE))


def _strings_of(passages: Iterable[Passage]) -> Iterator[str]:
    """The strings of the body that the passages were read from."""
    for passage in passages:
        yield passage.text
        for source in passage.sources:
            yield source.text


def _plain_text(body: bytes, read: Callable[[dict[str, Any]], Reading]) -> Reading:
    """Reads what is neither JSON nor a model's answer, such as the error page of a proxy. Lines of JSON, as in files of
    batches, are an answer each: their paths begin with the number of the line."""
    if (lines := lines_of_json(body)) is not None:
        reading = Reading([], [])
        reading.unread.extend(_ambiguities(_as_list(body), "assistant"))
        for number, line in enumerate(lines):
            found = read(line)
            reading.unread.extend(found.unread)
            reading.passages.extend(_in_line(number, passage) for passage in found.passages)
        return reading
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return _NOT_JSON
    looks_like_json = text.lstrip().startswith(("{", "["))
    return _NOT_JSON if looks_like_json else Reading([Passage("response", "assistant", text, ())], [])


def _as_list(lines: bytes) -> bytes:
    """Lines of JSON as one value."""
    return b"[%b]" % b",".join(line.removeprefix(_BOM) for line in lines.splitlines() if line.strip())


def _in_line(number: int, passage: Passage) -> Passage:
    sources = tuple(source._replace(path=(number, *source.path)) for source in passage.sources)
    return msgspec.structs.replace(passage, path=(number, *passage.path), choice=number, sources=sources)


def rewrite_answer(body: bytes, edits: Mapping[Path, str]) -> bytes:
    """An answer with the texts at these paths of `read_response` replaced; see `document.rewrite`."""
    if () in edits:
        return edits[()].encode()
    in_lines = any(isinstance(path[0], int) for path in edits)
    return rewrite_lines(body, edits) if in_lines else rewrite(body, edits)


def _parsed(body: bytes) -> Any:
    """The body as JSON; as one text if it is nested too deeply, None if it is not JSON."""
    try:
        value = parse(body)
    except ValueError:
        return None
    except RecursionError:
        return body.decode(errors="replace")
    return value if isinstance(value, dict) else [value]


def _ambiguities(body: bytes, channel: Channel) -> list[Unread]:
    try:
        return [Unread(channel, "ambiguous")] if has_repeated_keys(body) else []
    except RecursionError:
        return []


def read_event(operation: Operation, data: bytes) -> EventRead | None:
    """The texts of one event of a stream; None if it is not a JSON object and so cannot be read."""
    data = data.strip()
    if not data.startswith(b"{"):
        return None
    try:
        value = parse(data)
    except (ValueError, RecursionError):
        return None
    answers = SURFACES[operation].answers
    return EventRead(value, [], [], [], [], []) if answers is None else answers.read_event(value)


def read_stream(operation: Operation, transcript: bytes, asked: bytes = b"") -> Reading:
    """The passages of a streamed answer, as `read_response` gives those of a whole one.

    The deltas of a text are joined; if an event repeats the whole text, the longer of the two counts. A transcript that
    was cut short gives what had come.
    """
    stream = _Stream(asked)
    for event in sse.events_of(transcript):
        read = read_event(operation, event.data)
        if read is not None:
            stream.add(read)
        if sse.says_beside(event) or (read is None and event.data.strip() not in (b"", sse.DONE_DATA)):
            stream.unread.append(Unread("assistant", "event"))
    return Reading(list(stream.passages()), stream.unread)


class _Stream:
    """The texts of the events of a stream, as they are put together."""

    def __init__(self, asked: bytes) -> None:
        self.unread: list[Unread] = []
        self._gatherer = gatherer_of_answer(asked)
        self._strays: list[Stray] = []
        self._before: dict[Path, str] = {}
        self._channels: dict[Path, tuple[Channel, int]] = {}
        self._names: set[Path] = set()
        self._deltas: dict[Path, list[str]] = {}
        self._wholes: dict[Path, str] = {}

    def add(self, read: EventRead) -> None:
        self.unread.extend(read.unread)
        self._strays += self._gatherer.take_event(read.value, read.said)
        for said in told_apart(read.said, self._before):
            self._channels.setdefault(said.path, (said.channel, said.choice))
            if said.is_name:
                self._names.add(said.path)
            if not said.whole:
                self._deltas.setdefault(said.path, []).append(said.text)
            elif len(said.text) > len(self._wholes.get(said.path, "")):
                self._wholes[said.path] = said.text

    def passages(self) -> Iterator[Passage]:
        yield from _gathered(self._gatherer, self._strays, "response", "assistant", BESIDE)
        by_choice: dict[int, list[Piece]] = {}
        for path, (channel, choice) in self._channels.items():
            text = max("".join(self._deltas.get(path, ())), self._wholes.get(path, ""), key=len)
            if path not in self._names or not says_little(text):
                by_choice.setdefault(choice, []).append(Piece(channel, path, text))
        for choice, pieces in by_choice.items():
            yield from passages_of(pieces, "response", choice)
