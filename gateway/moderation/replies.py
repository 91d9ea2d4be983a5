"""Where a reply carries its moderation, in OpenAI's form.

Chat has a list of results beside the choices; a stream of chat has an extra chunk for it, before the usage and [DONE].
The Responses API has one result for each side in the response itself; in a stream, in that of the last event.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.moderation.categories import InputScores, flagged_categories, result
from gateway.openai_api import BESIDE, sse
from gateway.openai_api.bodies.document import set_fields
from gateway.openai_api.passages import choice_number
from gateway.openai_api.surface import Operation
from gateway.openai_api.surfaces import answers_of

EVERY_CHOICE = range(2**63)
_encode = msgspec.json.encode


# --- what came of it


@dataclass(frozen=True, slots=True)
class SideResult:
    """The results of one side: for the prompt (0), or for each choice.

    `failure` is a code such as `timed_out` if not all was judged. Without results nothing was judged.
    """

    results: Mapping[int, InputScores] = field(default_factory=dict)
    failure: str = ""

    @property
    def flagged(self) -> dict[int, list[str]]:
        """Choice → OpenAI's categories under which it is flagged; only flagged choices."""
        found = {choice: flagged_categories(scored) for choice, scored in self.results.items()}
        return {choice: categories for choice, categories in found.items() if categories}


_FAILURES: Mapping[str, str] = {
    "truncated": "the text is too long to be judged at once",
    "unreadable": "the text, or a part of it, could not be read",
    "detector": "a detector failed on this text",
    "timed_out": "the detectors did not answer in time",
}


def sentence(failure: str) -> str:
    """A failure as a sentence."""
    return _FAILURES.get(failure, "the detectors do not answer")


def moderation_of(operation: Operation, model: str, input: SideResult, output: SideResult) -> bytes:
    """The value of `moderation` in a reply; `model` names what judged. A side without results is an error."""
    sides = {"input": _side(operation, model, input), "output": _side(operation, model, output)}
    return _encode(sides)


def _side(operation: Operation, model: str, judged: SideResult) -> dict[str, Any]:
    if not judged.results:
        return {"type": "error", "code": judged.failure, "message": sentence(judged.failure)}
    results = []
    for choice, scored in sorted(judged.results.items(), key=lambda each: (each[0] == BESIDE, each[0])):
        about = result(scored, judged.failure)
        about["assay"]["choice"] = choice
        results.append({"type": "moderation_result", "model": model, **about})
    if not answers_of(operation).has_choices:
        return results[0]
    return {"type": "moderation_results", "model": model, "results": results}


# --- where a whole reply carries it


def with_moderation(body: bytes, moderation: bytes) -> bytes:
    """A whole reply with its moderation. Raises ValueError if it is not an object."""
    return set_fields(body, {"moderation": moderation})


def withheld_body(operation: Operation, body: bytes, choices: Collection[int]) -> bytes:
    """A whole reply without the texts of these choices, which end as filtered; ids and usage stay.

    Raises ValueError if it is not a reply of this operation.
    """
    return answers_of(operation).withheld(body, choices)


# --- where a stream carries it


class _Event(msgspec.Struct, gc=False):
    """The fields of an event that tell whether the end has come."""

    id: msgspec.Raw = msgspec.Raw()
    created: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    system_fingerprint: msgspec.Raw = msgspec.Raw()
    service_tier: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    type: Any = None
    choices: Any = None
    response: msgspec.Raw = msgspec.Raw()


_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier", "usage")
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_decode = msgspec.json.Decoder(_Event).decode


def _read(event: sse.Event) -> _Event | None:
    try:
        return _decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_last(read: _Event) -> bool:
    return isinstance(read.type, str) and read.type in _LAST


class StreamEnd:
    """Finds the end of a stream: what comes before it may leave at once, the rest waits."""

    def __init__(self, operation: Operation, model: str) -> None:
        """`model` is used if the stream names none."""
        self._has_choices = answers_of(operation).has_choices
        self._head: dict[str, Any] = {"id": "chatcmpl-moderated", "created": 0, "model": model}
        self._speaking: set[int] = set()
        self._begun = False
        self._waiting: list[sse.Event] = []

    def feed(self, events: Iterable[sse.Event]) -> bytes:
        """Those of the events that may leave."""
        out = []
        for event in events:
            if self._waiting or self._is_end(event):
                self._waiting.append(event)
            else:
                out.append(event.raw)
        return b"".join(out)

    def _is_end(self, event: sse.Event) -> bool:
        if event.data.strip() == sse.DONE_DATA:
            return True
        read = _read(event)
        if read is None:
            return False
        if not self._has_choices:
            return _is_last(read)
        if read.choices == [] and self._begun and not self._speaking:
            return True  # the usage, which clients expect last
        self._note(read)
        return False

    def _note(self, read: _Event) -> None:
        given = {key: getattr(read, key) for key in _HEAD}
        self._head |= {key: raw for key, raw in given.items() if bytes(raw)}
        for i, entry in enumerate(read.choices if isinstance(read.choices, list) else ()):
            self._begun = True
            ended = isinstance(entry, dict) and entry.get("finish_reason") is not None
            (self._speaking.discard if ended else self._speaking.add)(choice_number(entry, i))

    def close(self, moderation: bytes) -> bytes:
        """The rest of the stream with its moderation."""
        if self._has_choices:
            said = {"object": "chat.completion.chunk", "choices": [], "moderation": msgspec.Raw(moderation)}
            return sse.encode(_encode({**self._head, **said})) + b"".join(event.raw for event in self._waiting)
        return b"".join(_with_response_fields(event, {"moderation": moderation}) for event in self._waiting)


def _with_response_fields(event: sse.Event, changes: Mapping[str, bytes]) -> bytes:
    read = _read(event)
    if read is None or not _is_last(read):
        return event.raw
    try:
        data = set_fields(event.data, {"response": set_fields(bytes(read.response), changes)})
    except (ValueError, RecursionError):  # an end without its response
        return event.raw
    return sse.encode(data, None if event.event is None else event.event.decode(errors="replace"))
