"""What the gateway writes itself in the form of the Responses API: messages of the policy, responses without their
output, errors, and the end of a blocked stream.

What is open is closed with the text that was sent; then follows `response.incomplete` with the reason `content_filter`.
A message that replaces an answer is an item of its own before `response.completed`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.openai_api import sse
from gateway.openai_api.bodies.document import WHOLE, Path, encoded, fields_of, set_fields
from gateway.openai_api.passages import EventText
from gateway.openai_api.responses import PAIRS

_encode = msgspec.json.encode
_NO_TOKENS: dict[str, Any] = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
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


def message_body(model: str, text: str, *, id: str, created: int, usage: Any = None) -> bytes:
    """A whole response that says `text`; `created` is Unix seconds, the usage is 0 unless given."""
    item = {**_new_item(id), "status": "completed", "content": [_part(text)]}
    usage = _NO_TOKENS if usage is None else usage
    return _encode({**_response(model, id, created, "completed", [item]), "usage": usage})


def message_stream(model: str, text: str, *, id: str, created: int, include_usage: bool) -> bytes:
    """The same as a stream, complete with its end, which always has the usage."""
    opened = _response(model, id, created, "in_progress", [])
    item = {**_new_item(id), "status": "completed", "content": [_part(text)]}
    closed = {**_response(model, id, created, "completed", [item]), "usage": _NO_TOKENS}
    events = [("response.created", {"response": opened}), *item_events(0, id, text)]
    return numbered([*events, ("response.completed", {"response": closed})], 0)


def _response(model: str, id: str, created: int, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    own = {"id": f"resp_{id}", "created_at": created, "model": model, "status": status, "output": output}
    return {**_NEW_RESPONSE, **own}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _new_item(id: str) -> dict[str, Any]:
    return {"id": f"msg_{id}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def item_events(index: int, id: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of one message item of the Responses API, from its opening to its end; not yet numbered."""
    place = {"item_id": f"msg_{id}", "output_index": index}
    inner = {**place, "content_index": 0}
    done = {**_new_item(id), "status": "completed", "content": [_part(text)]}
    return [
        ("response.output_item.added", {"output_index": index, "item": _new_item(id)}),
        ("response.content_part.added", {**inner, "part": _part("")}),
        ("response.output_text.delta", {**inner, "delta": text, "logprobs": []}),
        ("response.output_text.done", {**inner, "text": text, "logprobs": []}),
        ("response.content_part.done", {**inner, "part": _part(text)}),
        ("response.output_item.done", {"output_index": index, "item": done}),
    ]


def numbered(events: list[tuple[str, dict[str, Any]]], first: int) -> bytes:
    """Events of the Responses API as bytes, numbered from `first`."""
    return b"".join(
        sse.encode(encoded({"type": name, **fields, "sequence_number": number}), name)
        for number, (name, fields) in enumerate(events, first)
    )


class _Head(msgspec.Struct):
    """What a replaced response keeps of the upstream's."""

    model: str = ""
    created_at: float = 0.0
    usage: Any = None


def replaced(body: bytes, messages: Mapping[int, str], *, model: str, id: str) -> bytes:
    """A response with the message instead of the model's output. Raises ValueError if the body is not a response."""
    head = msgspec.json.decode(body, type=_Head)
    return message_body(head.model or model, messages[0], id=id, created=int(head.created_at), usage=head.usage)


def withheld(body: bytes, choices: Collection[int]) -> bytes:
    """A whole response without its output; ids and usage stay. Raises ValueError if the body is not a response."""
    ended = {"status": b'"incomplete"', "incomplete_details": b'{"reason":"content_filter"}', "output": b"[]"}
    return set_fields(body, {**ended, "output_text": None})


def with_system(body: dict[str, Any], text: str) -> None:
    """Put the text before the instructions."""
    given = body.get("instructions")
    body["instructions"] = f"{text}\n\n{given}" if isinstance(given, str) and given else text


def error_event(message: str, type: str, param: str | None, code: str | None, sequence_number: int) -> bytes:
    """The event of an error. It has no `type` of error, and is numbered like other events."""
    body = {"type": "error", "code": code, "message": message, "param": param}
    return sse.encode(_encode({**body, "sequence_number": sequence_number}), "error")


# Lists of parts in an item: the name of their events, and the field of an event that has a part's number.
_PARTS = {
    "content": ("response.content_part", "content_index"),
    "summary": ("response.reasoning_summary_part", "summary_index"),
}
_PART_EVENTS = {f"{name}.{state}": key for key, (name, _) in _PARTS.items() for state in ("added", "done")}


class ResponseEnding:
    """The ending of a stream of the Responses API.

    It remembers what the client has of every item, so that open items can be closed with exactly that.
    """

    def __init__(self, model: str) -> None:
        self._response: dict[str, Any] = {"id": "resp_blocked", "created_at": 0, "model": model} | _NEW_RESPONSE
        self._next = 0
        self._opened = False
        self._items: dict[int, dict[str, Any]] = {}
        self._open_items: set[int] = set()
        self._parts: dict[tuple[int, str, int], dict[str, Any]] = {}
        self._open_parts: set[tuple[int, str, int]] = set()
        self._texts: dict[Path, list[str]] = {}
        self._open_texts: dict[Path, str] = {}  # by path, the name of their events

    def first(self, data: bytes) -> None:
        response = fields_of(fields_of(data).get("response", b""))
        if response:
            self._response = dict(response)

    def sent(self, event: Mapping[str, Any], said: list[EventText]) -> None:
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

    def _note_texts(self, type_: str, said: list[EventText]) -> None:
        name, _, state = type_.rpartition(".")
        if name not in PAIRS:
            return
        for text in said:
            if WHOLE in text.path:
                continue  # spelled by tokens
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
        texts, parts = self._by_item()
        for index in sorted(self._open_items):
            events += self._close_item(index, texts.get(index, ()), parts.get(index, set()))
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

    def _by_item(self) -> tuple[Mapping[int, Sequence[Path]], Mapping[int, set[tuple[str, int]]]]:
        """The paths of the texts, and the places of the parts, of each item."""
        texts: dict[int, list[Path]] = {}
        for path in self._texts:
            if len(path) > 1 and isinstance(path[1], int):
                texts.setdefault(path[1], []).append(path)
        parts: dict[int, set[tuple[str, int]]] = {}
        for index, kind, number in self._parts:
            parts.setdefault(index, set()).add((kind, number))
        return texts, parts

    def _close_item(
        self, index: int, texts: Iterable[Path], parts: set[tuple[str, int]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The item's open texts and parts, of all these, then the item itself, which is kept as it was closed."""
        item = {**self._items[index], "status": "incomplete"}
        place = {"item_id": item.get("id", ""), "output_index": index}
        for path in texts:
            text, below = "".join(self._texts[path]), path[2:]
            if path in self._open_texts:
                yield _text_done(self._open_texts[path], path, text, place)
            if len(below) == 3 and below[0] in _PARTS and isinstance(below[1], int):
                kind, number = str(below[0]), below[1]
                known = self._parts.get((index, kind, number), _new_part(path, self._open_texts))
                self._parts[index, kind, number] = {**known, str(below[2]): text}
                parts.add((kind, number))
            elif len(below) == 1:
                item[str(below[0])] = text
        for kind, number in sorted(parts):
            if (index, kind, number) in self._open_parts:
                self._open_parts.discard((index, kind, number))
                name, numbered = _PARTS[kind]
                yield f"{name}.done", {**place, numbered: number, "part": self._parts[index, kind, number]}
        for kind in _PARTS:
            of_kind = [self._parts[index, kind, number] for other, number in sorted(parts) if other == kind]
            if of_kind:
                item[kind] = of_kind
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
