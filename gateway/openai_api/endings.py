"""How a stream ends that the policy stopped: in the words of its surface, valid after whatever was sent of it.

Chat and completions: one chunk a blocked choice with `finish_reason` "content_filter", then [DONE]. Responses: what is
open is closed with the text that was sent, then `response.incomplete` with the reason `content_filter`. Where a message
stands in place of an answer, the choice says it and stops, or it is an item of its own before `response.completed`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.document import Path
from gateway.openai_api.messages import chunks, item_events, numbered
from gateway.openai_api.operations import Operation
from gateway.openai_api.streams import PAIRS, Said

_encode = msgspec.json.encode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Ending(Protocol):
    """Follows a stream and can end it at any time."""

    def first(self, data: bytes) -> None:
        """The data of the upstream's first event, sent or not: its id, model and time are kept."""
        ...

    def sent(self, event: Mapping[str, Any], said: list[Said]) -> None:
        """An event that left, with the texts in it as they left."""
        ...

    def blocked(self, choice: int, message: str = "") -> bytes:
        """What is to be said at once when this choice is blocked, or when `message` stands in its place."""
        ...

    def close(self, *, done: bool, message: str = "", usage: Any = None) -> bytes:
        """What is to be said last; `done` when [DONE] was sent already. `message` stands in place of the answer.

        `usage` is what the upstream's own ending told of it, where that is part of the ending (Responses).
        """
        ...


def ending_of(operation: Operation, model: str) -> Ending:
    """`model` counts when the upstream names none. Raises ValueError for an operation that has no streams."""
    if operation is Operation.RESPONSES:
        return _ResponseEnding(model)
    if operation not in _CHUNKS:
        raise ValueError(f"{operation} has no streams that could be blocked")
    return _ChunkEnding(operation, model)


_CHUNKS: dict[Operation, tuple[str, str, dict[str, Any]]] = {
    Operation.CHAT: ("chat.completion.chunk", "chatcmpl-blocked", {"delta": {}}),
    Operation.COMPLETIONS: ("text_completion", "cmpl-blocked", {"text": ""}),
}
_UNSET = (b'""', b"0", b"null")


class _ChunkEnding:
    """Of a stream of chunks; nothing that was sent needs to be closed."""

    def __init__(self, operation: Operation, model: str) -> None:
        self._operation = operation
        kind, id_, self._empty = _CHUNKS[operation]
        self._head: dict[str, Any] = {"id": id_, "object": kind, "created": 0, "model": model}

    def first(self, data: bytes) -> None:
        fields = _fields(data)
        known = ("id", "created", "model")
        self._head |= {key: fields[key] for key in known if bytes(fields.get(key, b"0")) not in _UNSET}

    def sent(self, event: Mapping[str, Any], said: list[Said]) -> None:
        """Nothing to remember."""

    def blocked(self, choice: int, message: str = "") -> bytes:
        if message:
            return chunks(self._head, self._operation, choice, message)
        entry = {"index": choice, **self._empty, "logprobs": None, "finish_reason": "content_filter"}
        return sse.encode(_encode({**self._head, "choices": [entry]}))

    def close(self, *, done: bool, message: str = "", usage: Any = None) -> bytes:
        return b"" if done else sse.DONE


_NEW_RESPONSE: dict[str, Any] = {
    "object": "response",
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "output": [],
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "usage": None,
}
# Lists of parts in an item: the name of their events, and the field of an event that has a part's number.
_PARTS = {
    "content": ("response.content_part", "content_index"),
    "summary": ("response.reasoning_summary_part", "summary_index"),
}
_PART_EVENTS = {f"{name}.{state}": key for key, (name, _) in _PARTS.items() for state in ("added", "done")}


class _ResponseEnding:
    """Keeps what the client has of every item, so that what is open can be closed with exactly that."""

    def __init__(self, model: str) -> None:
        self._response: dict[str, Any] = {"id": "resp_blocked", "created_at": 0, "model": model} | _NEW_RESPONSE
        self._next = 0
        self._opened = False
        self._items: dict[int, dict[str, Any]] = {}
        self._open_items: set[int] = set()
        self._parts: dict[tuple[int, str, int], dict[str, Any]] = {}
        self._open_parts: set[tuple[int, str, int]] = set()
        self._texts: dict[Path, list[str]] = {}
        self._open_texts: dict[Path, str] = {}  # and the name of their events

    def first(self, data: bytes) -> None:
        response = _fields(_fields(data).get("response", b""))
        if response:
            self._response = dict(response)

    def sent(self, event: Mapping[str, Any], said: list[Said]) -> None:
        type_, number = event.get("type"), event.get("sequence_number")
        self._next = number + 1 if type(number) is int else self._next + 1
        if not isinstance(type_, str):
            return
        self._opened |= type_ == "response.created"
        self._note_texts(type_, said)
        self._note_part(type_, event)
        index, item = event.get("output_index"), event.get("item")
        if type_.startswith("response.output_item.") and type(index) is int and isinstance(item, dict):
            self._items[index] = item
            (self._open_items.add if type_.endswith(".added") else self._open_items.discard)(index)

    def _note_texts(self, type_: str, said: list[Said]) -> None:
        name, _, state = type_.rpartition(".")
        if name not in PAIRS:
            return
        for text in said:
            if state == "delta":
                self._texts.setdefault(text.path, []).append(text.text)
                self._open_texts[text.path] = name
            else:
                self._texts[text.path] = [text.text]
                self._open_texts.pop(text.path, None)

    def _note_part(self, type_: str, event: Mapping[str, Any]) -> None:
        key = _PART_EVENTS.get(type_)
        if key is None:
            return
        index, number, part = event.get("output_index"), event.get(_PARTS[key][1]), event.get("part")
        if type(index) is int and type(number) is int and isinstance(part, dict):
            self._parts[index, key, number] = part
            (self._open_parts.add if type_.endswith(".added") else self._open_parts.discard)((index, key, number))

    def blocked(self, choice: int, message: str = "") -> bytes:
        return b""

    def close(self, *, done: bool, message: str = "", usage: Any = None) -> bytes:
        events: list[tuple[str, dict[str, Any]]] = []
        if not self._opened:
            events.append(("response.created", {"response": self._response}))
        for index in sorted(self._open_items):
            events += self._close_item(index)
        over: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
        name = "response.incomplete"
        if message:
            index = max(self._items, default=-1) + 1
            said = item_events(index, "replacement", message)
            self._items[index] = said[-1][1]["item"]
            events += said
            over, name = {"status": "completed"}, "response.completed"
        output = [self._items[index] for index in sorted(self._items)]
        over |= {} if usage is None else {"usage": usage}
        events.append((name, {"response": {**self._response, **over, "output": output}}))
        return numbered(events, self._next)

    def _close_item(self, index: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The item's open texts and parts, then the item itself, which is kept as it was closed."""
        item = {**self._items[index], "status": "incomplete"}
        place = {"item_id": item.get("id", ""), "output_index": index}
        for path, pieces in self._texts.items():
            if path[1:2] != (index,):
                continue
            text, below = "".join(pieces), path[2:]
            if path in self._open_texts:
                yield _text_done(self._open_texts[path], path, text, place)
            if len(below) == 3 and below[0] in _PARTS and isinstance(below[1], int):
                key = (index, str(below[0]), below[1])
                self._parts[key] = {**self._parts.get(key, _new_part(path, self._open_texts)), str(below[2]): text}
            elif len(below) == 1:
                item[str(below[0])] = text
        for at, kind, number in sorted(self._open_parts):
            if at == index:
                name, numbered = _PARTS[kind]
                yield f"{name}.done", {**place, numbered: number, "part": self._parts[at, kind, number]}
        self._open_parts = {part for part in self._open_parts if part[0] != index}
        for kind in _PARTS:
            parts = [self._parts[key] for key in sorted(self._parts) if key[:2] == (index, kind)]
            if parts:
                item[kind] = parts
        self._items[index] = item
        yield "response.output_item.done", {"output_index": index, "item": item}


def _new_part(path: Path, names: Mapping[Path, str]) -> dict[str, Any]:
    """A part that the upstream never announced."""
    name = names.get(path, "response.output_text").removeprefix("response.")
    kind = "summary_text" if path[2] == "summary" else name
    return {"type": kind, "annotations": []} if kind == "output_text" else {"type": kind}


def _text_done(name: str, path: Path, text: str, place: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    _, [done] = PAIRS[name]
    numbers = {
        str(known)[1:]: given
        for known, given in zip(done.path, path, strict=True)
        if isinstance(known, str) and known.startswith("#")
    }
    more: dict[str, Any] = {"logprobs": []} if name == "response.output_text" else {}
    return f"{name}.done", {**place, **numbers, str(done.at[0]): text, **more}


def _fields(value: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _object(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
