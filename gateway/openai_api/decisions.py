"""What is read of `/v1/decisions`: what is to be decided about, and the questions."""

from typing import Any

from gateway.openai_api.document import Path
from gateway.openai_api.passages import SAID, Channel, Found, Leaf, Turn, aside, channel_of, find
from gateway.openai_api.responses import find_in_item

_REQUEST = aside("input questions metadata user safety_identifier")


def decision_turns(body: dict[str, Any]) -> list[Turn]:
    """What is to be decided about, then what is asked of it."""
    asked = Turn(_in_questions(body.get("questions")), False)
    turns = [Turn(find(body, _REQUEST, (), "user"), False)]
    given = body.get("input")
    if not isinstance(given, list):
        return [*turns, Turn(find(given, SAID, ("input",), "user"), False), asked]
    for i, item in enumerate(given):
        turns.append(Turn(_in_item(item, ("input", i)), channel_of(item, "user") == "assistant"))
    return [*turns, asked]


def _in_item(item: Any, path: Path) -> Found:
    """A message, whose parts may be JSON, or another item of the Responses API."""
    parts = item.get("content") if isinstance(item, dict) else None
    channel = channel_of(item, "user")
    if not isinstance(parts, list):
        return find_in_item(item, path, "user")
    found = find_in_item({**item, "content": None}, path, "user")
    found.add(_in_parts(parts, (*path, "content"), channel))
    return found


def _in_parts(parts: list[Any], path: Path, channel: Channel) -> Found:
    """Content parts, and every string in those that are JSON."""
    found = Found([], [])
    for i, part in enumerate(parts):
        if isinstance(part, dict) and part.get("type") == "input_json":
            found.add(find(part.get("data"), Leaf(channel, deep=True), (*path, i, "data"), channel))
        else:
            found.add(find(part, SAID, (*path, i), channel))
    return found


def _in_questions(questions: Any) -> Found:
    found = Found([], [])
    for i, question in enumerate(questions if isinstance(questions, list) else ()):
        path: Path = ("questions", i)
        given = question.get("instructions") if isinstance(question, dict) else None
        if isinstance(given, list):
            found.add(_in_parts(given, (*path, "instructions"), "system"))
        else:
            found.add(find(given, SAID, (*path, "instructions"), "system"))
        for key in ("choices", "levels"):
            options = question.get(key) if isinstance(question, dict) else None
            found.add(find(options, Leaf("system", deep=True), (*path, key), "system"))
    return found
