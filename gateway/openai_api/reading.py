"""Every text of a request, of a whole answer, of an event and of a stream, read as the row of its operation says."""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.document import Path, has_repeated_keys, parse
from gateway.openai_api.passages import (
    Channel,
    EventRead,
    Passage,
    Piece,
    Reading,
    Unread,
    first_new,
    passages_of,
    says_little,
    told_apart,
)
from gateway.openai_api.surfaces import SURFACES, Operation

_NOT_JSON = Reading([], [Unread("assistant", "not_json")])


def read_request(operation: Operation, body: bytes) -> Reading:
    """Every text of a request, in the order of the conversation, and what of it could not be read.

    A body nested too deeply to be read gives itself as one passage with an empty path: better to judge too much than
    nothing.
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
    for number, turn in enumerate(turns):
        reading.passages.extend(passages_of(turn.found.pieces, "prompt", fresh=number >= new))
        reading.unread.extend(turn.found.unread)
    return reading


def read_response(operation: Operation, body: bytes) -> Reading:
    """Every text of a whole answer, choice by choice or item by item, and what of it could not be read.

    What is a stream, whatever it was called, is read as one. A body nested too deeply is one passage, as in
    `read_request`.
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
        reading.unread.extend(_ambiguities(body, "assistant"))
        return reading
    if value is None and answers is not None and (sse.is_stream(body) or sse.is_lines(body)):
        return read_stream(operation, body)
    return _plain_text(body, read) if answers is None and value is None else _NOT_JSON


def _plain_text(body: bytes, read: Callable[[dict[str, Any]], Reading]) -> Reading:
    """What is no JSON and no answer of a model: lines of JSON, as files of batches have them, or the error page of a
    proxy. Nothing can be cut out of such lines, so their paths lead nowhere."""
    if (lines := _lines_of_json(body)) is not None:
        reading = Reading([], [])
        for number, line in enumerate(lines):
            found = read(line)
            reading.unread.extend(found.unread)
            reading.passages.extend(
                msgspec.structs.replace(passage, path=(number, *passage.path), sources=()) for passage in found.passages
            )
        return reading
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return _NOT_JSON
    looks_like_json = text.lstrip().startswith(("{", "["))
    return _NOT_JSON if looks_like_json else Reading([Passage("response", "assistant", text, ())], [])


def _lines_of_json(body: bytes) -> list[dict[str, Any]] | None:
    """The objects of a file that has one in each line; None for what is no such file."""
    if not sse.is_lines(body):
        return None
    lines = [_parsed(line) for line in body.splitlines() if line.strip()]
    return lines if all(isinstance(line, dict) for line in lines) else None


def _parsed(body: bytes) -> Any:
    """The body as JSON; as one text when it is nested too deeply, None when it is no JSON."""
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
    """The texts of one event of a stream; None if it is not a JSON object, and so unreadable."""
    data = data.strip()
    if not data.startswith(b"{"):
        return None
    try:
        value = parse(data)
    except (ValueError, RecursionError):
        return None
    answers = SURFACES[operation].answers
    return EventRead(value, [], [], [], [], []) if answers is None else answers.read_event(value)


def read_stream(operation: Operation, transcript: bytes) -> Reading:
    """The passages of a streamed answer, as `read_response` gives those of a whole one.

    The deltas of a text are joined; where an event repeats the whole text the longer of the two counts. A
    transcript that was cut short gives what had come.
    """
    before: dict[Path, str] = {}
    channels: dict[Path, tuple[Channel, int]] = {}
    names: set[Path] = set()
    deltas: dict[Path, list[str]] = {}
    wholes: dict[Path, str] = {}
    reading = Reading([], [])
    for event in sse.events_of(transcript):
        read = read_event(operation, event.data)
        if read is None and event.data.strip() not in (b"", sse.DONE_DATA):
            reading.unread.append(Unread("assistant", "event"))
        reading.unread.extend(read.unread if read else ())
        for said in told_apart(read.said, before) if read else ():
            channels.setdefault(said.path, (said.channel, said.choice))
            if said.is_name:
                names.add(said.path)
            if not said.whole:
                deltas.setdefault(said.path, []).append(said.text)
            elif len(said.text) > len(wholes.get(said.path, "")):
                wholes[said.path] = said.text
    by_choice: dict[int, list[Piece]] = {}
    for path, (channel, choice) in channels.items():
        text = max("".join(deltas.get(path, ())), wholes.get(path, ""), key=len)
        if path not in names or not says_little(text):
            by_choice.setdefault(choice, []).append(Piece(channel, path, text))
    for choice, pieces in by_choice.items():
        reading.passages.extend(passages_of(pieces, "response", choice))
    return reading
